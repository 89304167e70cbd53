"""ai-processing: asks the provider, with the chatbot's knowledge and the conversation so far, and saves its reply."""

from __future__ import annotations

from typing import Any

from shared import payloads
from shared.ai import knowledge, prompt, provider
from shared.config import settings
from shared.db.credentials import decrypt
from shared.errors import PermanentError
from shared.jobs.completion import Ending, end
from shared.jobs.ledger import Claim, Claiming
from shared.jobs.stage import stage
from shared.queues import Queue
from shared.telemetry import metrics

#: Messages of the conversation that the provider sees.
CONTEXT = 10

# A reply belongs where its question stands, whatever its id.
claim = Claiming(
    Queue.AI,
    f"""
    select b.id as chatbot_id, b.system_prompt, b.model, b.temperature, b.max_tokens, b.provider_base_url,
        b.provider_api_key, reply.id as reply_id, ({knowledge.SEARCH}) as items, b.unsupported_message,
        case when m.metadata ? 'unsupported' then not exists (
            select from message t where t.conversation_id = m.conversation_id and t.role = 'user' and t.id <= m.id
                and not t.metadata ? 'unsupported' and t.id > coalesce((select max(r.reply_to) from message r
                    where r.conversation_id = m.conversation_id and r.reply_to < m.id), 0))
        else false end as unreadable,
        (select jsonb_agg(jsonb_build_array(t.role, t.content) order by coalesce(t.reply_to, t.id), t.id)
         from (select id, role, content, reply_to from message
               where conversation_id = m.conversation_id and status <> 'FAILED'
                 and (role = 'user' and id <= m.id or role = 'assistant' and coalesce(reply_to, id) < m.id)
               order by coalesce(reply_to, id) desc, id desc limit {CONTEXT}) t) as history
    from message m join chatbot b on b.id = m.chatbot_id
    left join knowledge_base k on k.id = b.knowledge_base_id
    left join message reply on reply.reply_to = m.id
    where m.id = mine.message_id and m.role = 'user'
    """,
)

_answered = Ending(
    "ai_answered",
    """
    with mine as materialized (
        select * from jsonb_to_recordset($1) as a(n int, job_id bigint, claim int, message_id bigint, customer_id bigint,
            text text, metadata jsonb, prompt_tokens int, completion_tokens int, model text)
    ), reply as (
        insert into message (conversation_id, chatbot_id, channel, role, content, status, reply_to, metadata)
        select conversation_id, chatbot_id, channel, 'assistant', mine.text, 'PENDING', m.id, mine.metadata
        from mine join message m on m.id = mine.message_id order by n
        returning id, conversation_id, channel, reply_to
    ), done as (
        select mine.*, reply.id as reply_id, conversation_id, channel from mine join reply on reply.reply_to = mine.message_id
    ), tokens as (
        insert into usage_log (customer_id, kind, message_id, prompt_tokens, completion_tokens, model)
        select customer_id, 'ai', reply_id, prompt_tokens, completion_tokens, model from done
        where model <> '' -- nobody was asked
    )
    select jsonb_agg(n) as done, job_finish(
        jsonb_object_agg(job_id, claim),
        jsonb_agg(jsonb_build_object('queue', 'outgoing-messages', 'customer_id', customer_id, 'message_id', reply_id,
            'ordering_key', conversation_id::text, 'payload', jsonb_build_object(
                'message_id', reply_id, 'conversation_id', conversation_id, 'channel', channel))), p_seen => false) as tickets
    from done having count(*) > 0
    """,
)


def answer(claimed: Claim) -> None:
    """Replies to a message; a reply that was saved is never asked for again."""
    message_id = payloads.read(Queue.AI, claimed.payload)["message_id"]
    loaded = claimed.loaded
    if loaded is None:
        raise PermanentError(f"there is no user message {message_id} to answer")
    if loaded["reply_id"] is not None:
        end(claimed)
        return
    if loaded["unreadable"]:  # a picture: no model is asked what it cannot see
        _save(claimed, message_id, provider.Completion(loaded["unsupported_message"], "", 0, 0, None, "unsupported"), [])
        return
    items = [knowledge.Item(**item) for item in loaded["items"] or []]
    completion = provider.complete(_provider(loaded), prompt.build(loaded["system_prompt"], items, loaded["history"]))
    _save(claimed, message_id, completion, items)


def _provider(loaded: dict[str, Any]) -> provider.Provider:
    conf, key = settings(), loaded["provider_api_key"]
    return provider.Provider(
        base_url=loaded["provider_base_url"] or conf.openai_base_url,
        api_key=decrypt(key, f"chatbot {loaded['chatbot_id']}") if key else conf.openai_api_key,
        model=loaded["model"],
        temperature=loaded["temperature"],
        max_tokens=loaded["max_tokens"],
    )


def _save(claimed: Claim, message_id: int, completion: provider.Completion, items: list[knowledge.Item]) -> None:
    metadata = {
        "model": completion.model,
        "knowledge_item_ids": [item.id for item in items],
        "request_id": completion.request_id,
        "finish_reason": completion.finish_reason,
    }
    values = {
        "message_id": message_id,
        "customer_id": claimed.customer_id,
        "text": completion.text,
        "metadata": metadata,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "model": completion.model,
    }
    if not _answered(claimed, values):
        raise PermanentError(f"message {message_id} is gone")
    metrics.increment("tokens", "prompt", by=completion.prompt_tokens)
    metrics.increment("tokens", "completion", by=completion.completion_tokens)


actors = stage(claim, answer)
