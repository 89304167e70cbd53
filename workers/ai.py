"""ai-processing: asks the provider, with the chatbot's knowledge and the conversation so far, and saves its reply."""

from __future__ import annotations

from typing import Any

from shared import ai, db, knowledge, ledger, payloads, tally
from shared.config import settings
from shared.errors import Permanent
from shared.ledger import Claim, Ticket
from shared.queues import Queue
from shared.secrets import decrypt
from shared.stage import stage

#: Messages of the conversation that the provider sees.
CONTEXT = 10

# A reply belongs where its question stands, whatever its id.
_LOAD = """
    select b.id as chatbot_id, b.system_prompt, b.model, b.temperature, b.max_tokens, b.provider_base_url,
        b.provider_api_key, b.knowledge_base_id, k.language, m.content, reply.id as reply_id, b.unsupported_message,
        case when m.metadata ? 'unsupported' then not exists (
            select from message t where t.conversation_id = m.conversation_id and t.role = 'user' and t.id <= m.id
                and not t.metadata ? 'unsupported' and t.id > coalesce((select max(r.reply_to) from message r
                    where r.conversation_id = m.conversation_id and r.reply_to < m.id), 0))
        else false end as unreadable,
        (select jsonb_agg(jsonb_build_array(t.role, t.content) order by coalesce(t.reply_to, t.id), t.id)
         from (select id, role, content, reply_to from message
               where conversation_id = m.conversation_id and status <> 'FAILED'
                 and (role = 'user' and id <= m.id or role = 'assistant' and coalesce(reply_to, id) < m.id)
               order by coalesce(reply_to, id) desc, id desc limit %(context)s) t) as history
    from message m join chatbot b on b.id = m.chatbot_id
    left join knowledge_base k on k.id = b.knowledge_base_id
    left join message reply on reply.reply_to = m.id
    where m.id = %(message_id)s and m.role = 'user'
"""

_ANSWER = """
    with reply as (
        insert into message (conversation_id, chatbot_id, channel, role, content, status, reply_to, metadata)
        select conversation_id, chatbot_id, channel, 'assistant', %(text)s, 'PENDING', id, %(metadata)s
        from message where id = %(message_id)s
        returning id, conversation_id, channel
    ), tokens as (
        insert into usage_log (customer_id, kind, message_id, prompt_tokens, completion_tokens, model)
        select %(customer_id)s, 'ai', id, %(prompt_tokens)s, %(completion_tokens)s, %(model)s from reply
        where %(model)s <> '' -- nobody was asked
    )
    select job_finish(%(job_id)s, %(claim)s, jsonb_build_array(jsonb_build_object(
        'queue', 'outgoing-messages', 'customer_id', %(customer_id)s::bigint, 'message_id', id,
        'ordering_key', conversation_id::text,
        'payload', jsonb_build_object('message_id', id, 'conversation_id', conversation_id, 'channel', channel))))
    from reply
"""


def answer(claimed: Claim) -> list[Ticket]:
    """Replies to a message; a reply that was saved is never asked for again."""
    message_id = payloads.read(Queue.AI, claimed.payload)["message_id"]
    loaded = db.row(_LOAD, {"message_id": message_id, "context": CONTEXT})
    if loaded is None:
        raise Permanent(f"there is no user message {message_id} to answer")
    if loaded["reply_id"] is not None:
        return ledger.finish(claimed, "select job_finish(%(job_id)s, %(claim)s)") or []
    if loaded["unreadable"]:  # a picture: no model is asked what it cannot see
        polite = ai.Completion(loaded["unsupported_message"], "", 0, 0, None, "unsupported")
        return _save(claimed, message_id, polite, [])
    items = _knowledge(loaded)
    completion = ai.complete(_provider(loaded), ai.prompt(loaded["system_prompt"], items, loaded["history"]))
    return _save(claimed, message_id, completion, items)


def _knowledge(loaded: dict[str, Any]) -> list[knowledge.Item]:
    base = loaded["knowledge_base_id"]
    return [] if base is None else knowledge.search(base, loaded["language"], loaded["content"])


def _provider(loaded: dict[str, Any]) -> ai.Provider:
    conf, key = settings(), loaded["provider_api_key"]
    return ai.Provider(
        base_url=loaded["provider_base_url"] or conf.openai_base_url,
        api_key=decrypt(key, f"chatbot {loaded['chatbot_id']}") if key else conf.openai_api_key,
        model=loaded["model"],
        temperature=loaded["temperature"],
        max_tokens=loaded["max_tokens"],
    )


def _save(claimed: Claim, message_id: int, completion: ai.Completion, items: list[knowledge.Item]) -> list[Ticket]:
    metadata = {
        "model": completion.model,
        "knowledge_item_ids": [item.id for item in items],
        "request_id": completion.request_id,
        "finish_reason": completion.finish_reason,
    }
    params = {
        "message_id": message_id,
        "customer_id": claimed.customer_id,
        "text": completion.text,
        "metadata": db.json(metadata),
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "model": completion.model,
    }
    tickets = ledger.finish(claimed, _ANSWER, params)
    if tickets is None:
        raise Permanent(f"message {message_id} is gone")
    tally.add("tokens", "prompt", by=completion.prompt_tokens)
    tally.add("tokens", "completion", by=completion.completion_tokens)
    return tickets


actors = stage(Queue.AI, answer)
