"""ai-processing: asks the provider, with the chatbot's knowledge and the conversation so far, and saves its reply."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from typing import Any

from shared import payloads
from shared.ai import brakes, knowledge, patience, prompt, provider
from shared.broker.thread_pool import ThreadPool
from shared.config import host_of, settings
from shared.db import sql
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure, PermanentError
from shared.http.bulkhead import MAX_SLOTS, Bulkhead, NoRoom, Room, customer_room
from shared.jobs import worker_process
from shared.jobs.completion import CompletionStatement, complete
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue
from shared.telemetry import metrics

log = logging.getLogger(__name__)

queries = sql.load(__file__)

save_reply = CompletionStatement(queries["save_reply"])
brake_conversation = CompletionStatement(queries["brake"])

#: Around calls to chatbots' own providers. The provider of the environment is the operator's to choose.
_bulkhead = Bulkhead(ThreadPool.of(worker_process.boot(), Queue.AI), no_response=(provider.NoAnswer,))


@actor(
    Queue.AI,
    max_retries=3,
    min_backoff=1000,
    on_retry_exhausted=DeadLetter(queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=queries["attempt_failed"],
    outside_level=logging.ERROR,  # every chatbot needs the platform's provider; of one's own see _blame_owner
)
def answer(job: Job) -> None:
    """Replies to a message; a reply that was saved is never asked for again."""
    message_id = payloads.read(Queue.AI, job.payload)["message_id"]
    loaded = job.loaded
    if loaded is None:
        raise PermanentError(f"there is no user message {message_id} to answer")
    if loaded["reply_id"] is not None:
        complete(job)
        return
    if loaded["braked"] or (loaded["auto_submitted"] or "no") != "no":  # as RFC 3834 has it: another machine wrote it
        log.info("not_answered", extra={"reason": "braked" if loaded["braked"] else "auto_submitted"})
        complete(job)
        return
    if loaded["pace"] and (reason := brakes.reason(_replies(loaded), loaded["history"][-1][1], settings().reply_limit)):
        _brake(job, message_id, reason)
        return
    if loaded["unreadable"]:  # a picture: no model is asked what it cannot see
        _save(job, message_id, provider.Completion(loaded["unsupported_message"], "", 0, 0, None, "unsupported"), [])
        return
    items = prompt.fitting([knowledge.Item(**item) for item in loaded["items"] or []])
    completion = _ask(job, loaded, prompt.build(loaded["system_prompt"], items, loaded["history"]))
    _save(job, message_id, completion, items)


def _replies(loaded: dict[str, Any]) -> list[brakes.Reply]:
    return [brakes.Reply(*reply) for reply in loaded["pace"]]


def _brake(job: Job, message_id: int, reason: str) -> None:
    """The bot falls silent here for a while; the business hears of it once."""
    values = {"message_id": message_id, "customer_id": job.customer_id, "reason": reason}
    limits = {"seconds": settings().brake_seconds, "most_doublings": brakes.MOST_DOUBLINGS}
    if not brake_conversation(job, values | limits):
        raise PermanentError(f"message {message_id} is gone")
    log.warning("conversation_braked", extra={"reason": reason, "customer": job.customer_id})
    metrics.increment("brakes", reason)


def _ask(job: Job, loaded: dict[str, Any], messages: list[dict[str, str]]) -> provider.Completion:
    begun, tried_for = time.monotonic(), loaded["tried_for"] or 0.0
    asked = _provider(loaded, patience.timeout(tried_for) if job.attempt > 1 else settings().ai_timeout)
    try:
        with _bulkhead.slot(*_rooms(job, asked), age=tried_for) if asked.is_own else nullcontext():
            return provider.complete(asked, messages)
    except (provider.Throttled, NoRoom) as refusal:
        if isinstance(refusal, NoRoom) and not refusal.is_failing:  # many questions, and answers: they are not the one to blame
            raise
        tried_for += time.monotonic() - begun
        words = getattr(refusal, "words", "")
        failure = patience.later(str(refusal), tried_for, getattr(refusal, "retry_after", None), words)
        _blame_owner(failure, asked)
        raise failure from refusal
    except OutsideFailure as failure:
        _blame_owner(failure, asked)
        raise


def _blame_owner(failure: Exception, asked: provider.Provider) -> None:
    """A chatbot's own provider is its customer's to mend, and no error of ours."""
    if isinstance(failure, OutsideFailure) and asked.is_own:
        failure.level = logging.INFO


def _rooms(job: Job, own: provider.Provider) -> tuple[Room, ...]:
    """Where a call to a chatbot's own provider needs a slot. What many customers have in common is slowed by none of them."""
    host = host_of(own.base_url).lower()
    shared_room = Room("the provider", host, least=MAX_SLOTS, times=4)
    return Room("the chatbot's provider", (job.customer_id, host)), customer_room(job.customer_id), shared_room


def _provider(loaded: dict[str, Any], timeout: float) -> provider.Provider:
    conf, owner = settings(), f"chatbot {loaded['chatbot_id']}"
    own_url, own_key = loaded["provider_base_url"], loaded["provider_api_key"]
    if (own_url is None) != (own_key is None):  # the key of the environment goes to nobody else's provider
        raise PermanentError(f"{owner} has one of provider_base_url and provider_api_key; set both, or none")
    return provider.Provider(
        base_url=own_url or conf.openai_base_url,
        api_key=decrypt(own_key, owner) if own_key else conf.openai_api_key,
        model=loaded["model"],
        temperature=loaded["temperature"],
        max_tokens=loaded["max_tokens"],
        timeout=timeout,
        is_own=own_url is not None,
    )


def _save(job: Job, message_id: int, completion: provider.Completion, items: list[knowledge.Item]) -> None:
    metadata = {
        "model": completion.model,
        "knowledge_item_ids": [item.id for item in items],
        "request_id": completion.request_id,
        "finish_reason": completion.finish_reason,
    }
    values = {
        "message_id": message_id,
        "customer_id": job.customer_id,
        "text": completion.text,
        "metadata": metadata,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "model": completion.model,
    }
    if not save_reply(job, values):
        raise PermanentError(f"message {message_id} is gone")
    metrics.increment("tokens", "prompt", by=completion.prompt_tokens)
    metrics.increment("tokens", "completion", by=completion.completion_tokens)
