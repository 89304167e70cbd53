"""ai-processing: asks the provider, with the chatbot's knowledge and the conversation so far, and saves its reply."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, cast

from shared import db, payloads
from shared.ai import attachments, brakes, citations, prompt, provider, reply
from shared.ai.context import Context
from shared.ai.failover import Answer, Failover, Question
from shared.ai.prompt import Item
from shared.ai.reply import Reply
from shared.ai.search import items_of, search
from shared.ai.tools import Tool
from shared.broker import rate_limits
from shared.broker.thread_pool import ThreadPool
from shared.budgets.meter import PICTURE, Meter, Most, Payer, Unaffordable, metering, most_of_texts
from shared.channels import typing_indicator
from shared.channels.registry import channel
from shared.channels.widget.drafts import AnswerUnwanted, Draft
from shared.config import settings
from shared.db import sql
from shared.errors import PermanentError, RateLimited, Snooze
from shared.http.bulkhead import Bulkhead, NoRoom, Room
from shared.jobs import worker_process
from shared.jobs.completion import CompletionStatement, complete
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.media.folder import FileMissing
from shared.media.storage import storage
from shared.queues import Queue
from shared.telemetry import metrics

log = logging.getLogger(__name__)

#: Characters of an item that are read: one more than a prompt takes, by which it sees that it has to cut. The claim says 8001.
READ = prompt.ITEM_BUDGET + 1

#: Seconds after which a message is answered without its files, if no worker has begun to fetch them.
FETCH_BEGINS = 60.0

#: Searches of one customer that hold or wait for a connection: half of a default process's threads.
MAX_SEARCHES = 16

#: Seconds for which a question waits while what is left of a budget is reserved for calls that are under way.
RESERVED_PATIENCE = 30.0
#: Seconds until a conversation is looked at again that became a part of another one while the bot fell silent in it.
MOVED_WAIT = 1.0

queries = sql.load(__file__)

save_reply = CompletionStatement(queries["save_reply"])
brake_conversation = CompletionStatement(queries["brake"])

_threads = ThreadPool.of(worker_process.boot(), Queue.AI)
_failover = Failover(Bulkhead(_threads, no_response=(provider.NoAnswer,)))
#: Around searches that may take long. Each is sure to end, so that a customer's room is as large as it ever was.
_searches = Bulkhead(_threads, no_response=(), max_slots=MAX_SEARCHES)


@actor(
    Queue.AI,
    max_retries=3,
    min_backoff=1000,
    on_retry_exhausted=DeadLetter(queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=queries["attempt_failed"],
    limits_itself=True,
    outside_level=logging.ERROR,  # every chatbot needs the platform's provider; of one's own see shared/ai/failover.py
)
def answer(job: Job) -> None:
    """Replies to a message; a reply that was saved is never asked for again."""
    message_id = payloads.read(Queue.AI, job.payload)["message_id"]
    context = cast("Context | None", job.loaded)
    if context is None:
        raise PermanentError(f"there is no user message {message_id} to answer")
    if context["reply_id"] is not None and not context["is_superseded"]:
        complete(job)
        return
    if reason := _reason_for_silence(context):
        log.info("not_answered", extra={"reason": reason})
        complete(job)
        return
    if context["is_superseded"]:
        queries["make_room"].rows(message_id=message_id)
    replies = [brakes.Reply(*reply) for reply in context["pace"] or ()]
    if replies and (reason := brakes.reason(replies, context["history"][-1][1], settings().reply_limit)):
        _brake(job, message_id, reason)
        return
    _wait_for_media(job, context["media_fetch"])
    if own_words := reply.own_words(context):
        _save(job, message_id, context, own_words)
    else:
        _ask_and_save(job, message_id, context)


def _ask_and_save(job: Job, message_id: int, context: Context) -> None:
    """Has the reply written, and books what that costs, whatever comes of it."""
    meter = Meter(_payer(job, message_id, context), has_budget=context["has_budget"])
    try:
        with metering(meter), _room_for_pictures(job, context):  # whoever has to wait for it takes no turn of the limit
            rate_limits.admit(job.id, job.queue, job.priority)
            written = _write(job, message_id, context, meter)
    except AnswerUnwanted as unwanted:
        log.info("not_answered", extra={"reason": unwanted.reason})
        meter.book()
        complete(job)
    except Exception as problem:
        if isinstance(problem, RateLimited):  # this is no wait for a provider (shared/ai/patience.py)
            problem.untried = context["untried"]
        if isinstance(problem, Snooze) or db.is_outage(problem):  # it costs no attempt, so that no failed one books it
            meter.book()
            raise
        problem.details = {"booking": meter.booking()}  # type: ignore[attr-defined]  # for attempt_failed
        raise
    else:
        _save(job, message_id, context, written, meter)


def _payer(job: Job, message_id: int, context: Context) -> Payer:
    assert job.customer_id is not None, "answer_job_v1 names it"
    return Payer(job.customer_id, context["chatbot_id"], message_id, job.id, job.claim)


def _room_for_pictures(job: Job, context: Context) -> AbstractContextManager[None]:
    """Room in memory, if the model is shown any. Raises NoRoomInMemory."""
    turns = [prompt.Turn(*turn) for turn in context["history"]] if context["can_see"] else []
    return attachments.room(job.customer_id, turns, job.age) if any(turn.files for turn in turns) else nullcontext()


def _write(job: Job, message_id: int, context: Context, meter: Meter) -> Reply:
    """The reply: the model's, or what a customer gets where a budget is used up. Raises what asking raises."""

    def search_again(query: str) -> list[Item]:
        base_id = context["knowledge_base_id"]
        return _fitting(context, _search(job, partial(search, base_id, query, READ)) if base_id else [])

    def compose(providers: list[dict[str, Any]]) -> Reply:
        ask = partial(_ask, job, message_id, {**context, "providers": providers}, meter)
        return reply.compose(context, items, ask, search_again)

    items = _fitting(context, _found(job, context))
    shown = typing_indicator.begin(context["channel"], context["typing"])
    try:
        return compose(context["providers"])
    except Unaffordable as refused:
        _wait_for_reserved(context, refused)
        meter.refused_by = refused.budget
        if refused.at_limit != "cheaper_model":
            return reply.unaffordable(context, refused)
        meter.beyond = refused.budget
        try:
            return compose([{**context["providers"][0], "model": refused.model}])
        except Unaffordable as again:
            return reply.unaffordable(context, again)
    finally:
        if shown is not None:
            shown.end()


def _wait_for_reserved(context: Context, refused: Unaffordable) -> None:
    """What others have reserved may not be spent in the end, so a question waits for them. Raises Snooze."""
    if not refused.is_spent and (context["tried_for"] or 0.0) < RESERVED_PATIENCE:
        raise Snooze(
            random.uniform(0.5, 1.5), f"what is left of budget {refused.budget} is reserved for calls that are under way"
        )


def _reason_for_silence(context: Context) -> str | None:
    if context["owner"] != "bot":
        return f"owner_{context['owner']}"
    if context["is_revoked"]:
        return "revoked"
    if context["braked"]:
        return "braked"
    if context["is_told_already"] and context["media_fetch"] in (None, "failing"):  # else there may be something to read yet
        return "told_already"
    # As RFC 3834 has it: another machine wrote it.
    return "auto_submitted" if (context["auto_submitted"] or "no") != "no" else None


def _wait_for_media(job: Job, fetch: str | None) -> None:
    """Lets a message's files be fetched first, but for those that nobody gives us, or nobody fetches. Raises Snooze."""
    if fetch == "open" or (fetch == "unclaimed" and job.age < FETCH_BEGINS):
        # media-fetch calls this job as soon as it is through, so a file that comes in an hour is not asked for every second.
        raise Snooze(min(60.0, max(2.0, job.age / 4)), "the message's files are being fetched")


def _found(job: Job, context: Context) -> list[dict[str, Any]]:
    """What the claim found, or has left to be searched for, as it may take long. Raises NoRoom."""
    if context["is_searched"]:
        return context["items"] or []
    assert job.customer_id is not None, "answer_job_v1 names it"
    try:
        return _search(job, partial(items_of, context, job.customer_id, READ))
    except NoRoom as full:
        full.untried = context["untried"]
        raise


def _search(job: Job, find: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What is found in the room that the job's customer has for searches. Raises NoRoom."""
    with _searches.slot(Room("the customer's knowledge search", job.customer_id), age=job.age):
        return find()


def _fitting(context: Context, found: Sequence[dict[str, Any]]) -> list[Item]:
    """The items that were found, as far as the prompt has room for them."""
    return prompt.fitting([Item(**item) for item in found], _or(context["knowledge_characters"], settings().knowledge_characters))


def _brake(job: Job, message_id: int, reason: str) -> None:
    """The bot falls silent here for a while; the business hears of it once."""
    values = {"message_id": message_id, "customer_id": job.customer_id, "reason": reason}
    limits = {"seconds": settings().brake_seconds, "most_doublings": brakes.MOST_DOUBLINGS}
    if not brake_conversation(job, values | limits):
        raise Snooze(MOVED_WAIT, "its conversation was merged into another at this moment, or is gone")
    log.warning("conversation_braked", extra={"reason": reason, "customer": job.customer_id})
    metrics.increment("brakes", reason)


def _messages(context: Context, known: str) -> list[prompt.Message]:
    turns = [prompt.Turn(*turn) for turn in context["history"]]
    if any(turn.files for turn in turns):
        turns = attachments.attached(turns, _picture if context["can_see"] else None)
    return prompt.build(
        context["system_prompt"],
        known,
        turns,
        history_budget=_or(context["history_characters"], settings().history_characters),
        place=channel(context["channel"]).place,
    )


def _picture(storage_key: str) -> bytes | None:
    try:
        return storage().read(storage_key)
    except FileMissing:
        return None


def _or(own: int | None, default: int) -> int:
    return default if own is None else own


def _ask(job: Job, message_id: int, context: Context, meter: Meter, items: Sequence[Item], offered: Sequence[Tool]) -> Answer:
    """The answer, shown while it is written where a page is open. Raises AnswerUnwanted."""
    question = Question(context["chatbot_id"], job.customer_id, job.attempt, context["tried_for"] or 0.0)
    messages = _messages(context, prompt.as_prompt(items, offered) if context["has_knowledge"] else "")
    tools = [tool.definition for tool in offered]
    draft = Draft(job, message_id) if context["is_watched"] else None
    on_text = citations.Reader(draft, items) if draft is not None else None

    def call(asked: provider.Provider) -> provider.Completion:
        def complete_one(messages: list[prompt.Message]) -> provider.Completion:
            most = Most(_most_of(messages, tools), asked.max_tokens)
            with meter.call("ai", asked.base_url, asked.model, most) as made:
                completion = provider.complete(asked, messages, tools=tools, on_text=on_text, own_name=context["chatbot_name"])
                made.paid(completion.prompt_tokens, completion.completion_tokens, model=completion.model)
            return completion

        return prompt.ask_within_context((job.customer_id, asked.base_url, asked.model), messages, complete_one)

    try:
        return _failover.ask(question, context["providers"], call)
    finally:
        if draft is not None:
            draft.close()


def _most_of(messages: Sequence[prompt.Message], tools: Sequence[dict[str, Any]]) -> int:
    """The tokens of a prompt, at the most."""
    pictures = sum(len(message.get("pictures", ())) for message in messages)
    return most_of_texts([*(message["content"] for message in messages), *map(str, tools)]) + pictures * PICTURE


def _save(job: Job, message_id: int, context: Context, written: Reply, meter: Meter | None = None) -> None:
    values = {
        "message_id": message_id,
        "customer_id": job.customer_id,
        "claimed_at": context["claimed_at"],
        "text": written.text,
        "metadata": written.metadata,
        "refused_by": meter and meter.refused_by,
        "handover": written.handover,
        "gap_question": written.gap and written.gap.question,
        "gap_reason": written.gap and written.gap.reason,
    }
    booked: AbstractContextManager[list[dict[str, Any]]] = meter.handed_over() if meter else nullcontext([])
    with booked as calls:
        if not save_reply(job, values | {"calls": calls}):
            raise PermanentError(f"message {message_id} is gone")
    for name in ("prompt", "completion"):
        metrics.increment("tokens", name, by=sum(call.get(f"{name}_tokens", 0) for call in calls))
