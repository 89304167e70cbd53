"""The journey of a message: each step that it took, when, how long, what kept it, and where it is now.

It is read from what there is: the messages themselves, their media, the tokens that were booked, dead letters, and jobs while the
ledger still has them. Texts of messages are no part of it, and errors are in our words alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from shared import db
from shared.channels.outcomes import explanation
from shared.channels.registry import SEND_QUEUES
from shared.config import settings
from shared.db import sql
from shared.models import Chatbot, Contact, Conversation, Customer, DeadLetter, Job, Media, Message, UsageLog
from shared.queues import Queue

queries = sql.load(__file__)

REACHED = ("SENT", "DELIVERED", "READ")
#: Where a message is known that is not stored: its job, or what has become of that.
_STORING = (
    (Job, (Job.queue == Queue.INCOMING) & (Job.state != "completed")),
    (DeadLetter, (DeadLetter.queue == Queue.INCOMING) & DeadLetter.state.in_(("open", "ignored"))),
)


@dataclass(frozen=True)
class Step:
    """A step. `state`: done, now (it is there), failed, or ahead; `job` is the ledger's row, while there is one."""

    kind: str
    state: str
    begun_at: datetime | None = None
    ended_at: datetime | None = None
    job: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return (self.ended_at - self.begun_at).total_seconds() if self.begun_at and self.ended_at else None

    @property
    def crashes(self) -> int:
        """Workers that died with it."""
        return int(self.job["lost_claims"]) if self.job else 0

    @property
    def retries(self) -> int:
        """Attempts beyond the first."""
        return max(0, int(self.job["attempts"]) - 1) if self.job else 0


@dataclass(frozen=True)
class Journey:
    """`question` is the customer's message, `reply` what answered it; of what a person wrote there is the reply alone."""

    question: dict[str, Any] | None
    reply: dict[str, Any] | None
    about: dict[str, Any]
    steps: tuple[Step, ...]
    #: Messages of the customer that the same reply answers.
    merged: tuple[int, ...] = ()


def of_message(message_id: int) -> Journey | None:
    """The journey of a message, or of the reply to which it led; None if there is no such message, and none is to be stored."""
    message = _message(Message.id == message_id)
    if message is None:
        return _of_unstored(message_id)
    question: dict[str, Any] | None
    if message["role"] == "user":
        question, reply = message, _reply_to(message)
    else:
        question, reply = _message(Message.id == message["reply_to"]), message
    answered = reply["reply_to"] if reply and reply["reply_to"] else question["id"] if question else None
    merged = tuple(queries["merged"].scalar(question_id=answered) or ()) if answered else ()
    jobs = _jobs(question, reply)
    steps = _with_hindrances(_steps(question, reply, jobs, merged))
    return Journey(question, reply, _about(message), steps, merged)


def known(message_ids: Collection[int]) -> set[int]:
    """Those of them that have a journey."""
    ids = list(message_ids)
    stored = Message.select(Message.id.alias("id")).where(Message.id.in_(ids))
    unstored = [model.select(model.message_id.alias("id")).where(model.message_id.in_(ids), at) for model, at in _STORING]
    return {row["id"] for query in (stored, *unstored) for row in db.rows(query)} if ids else set()


def _of_unstored(message_id: int) -> Journey | None:
    """Of a message that was accepted, while the job that stores it waits, or after that has failed for good."""
    job, letter = (db.row(model.select().where(model.message_id == message_id, at).limit(1)) for model, at in _STORING)
    if job is None and letter is None:
        return None
    payload = job["payload"] if job else {}
    received = Step("received", "done", job["created_at"] if job else None, facts={"provider_id": payload.get("external_id")})
    if job and job["state"] != "failed":
        steps = _with_hindrances([received, Step("stored", "now", job["created_at"], None, job)])
        return Journey(None, None, _about_job(job, payload), steps)
    error, ended = (letter["error"], letter["failed_at"]) if letter else (_why(job), job["closed_at"] if job else None)
    about = _about_job(letter or job or {}, payload)
    return Journey(None, None, about, (received, Step("stored", "failed", None, ended, job, error=error)))


def _about_job(found: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    """Whose it is, as far as its job or its dead letter says: there is no conversation yet."""
    chatbot_id = found.get("chatbot_id") or payload.get("chatbot_id")
    chatbot = Chatbot.select(Chatbot.name).where(Chatbot.id == (chatbot_id if isinstance(chatbot_id, int) else 0))
    return {
        "conversation_id": None,
        "chatbot": db.scalar(chatbot),
        "customer_id": found["customer_id"],
        "customer": db.scalar(Customer.select(Customer.name).where(Customer.id == found["customer_id"])),
        "contact_name": None,
        "channel": found.get("channel") or payload.get("channel"),
        "external_user_id": payload.get("external_user_id"),
    }


def _message(condition: Any) -> dict[str, Any] | None:
    return db.row(Message.select().where(condition).limit(1))


def _reply_to(question: dict[str, Any]) -> dict[str, Any] | None:
    """Its own reply, or that of a later message, which has seen it as well."""
    reply_id = queries["reply_to"].scalar(conversation_id=question["conversation_id"], message_id=question["id"])
    return _message(Message.id == reply_id) if reply_id else None


def _jobs(question: dict[str, Any] | None, reply: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The newest job of each queue that worked on one of these, or answers the question together with a later one."""
    ids = [row["id"] for row in (question, reply) if row] + [reply["reply_to"] if reply else None]
    jobs = Job.select().where(Job.message_id.in_([message_id for message_id in ids if message_id]))
    found = {row["queue"]: row for row in db.rows(jobs.order_by(Job.id))}
    if question is not None and reply is None and Queue.AI not in found:
        line = (Job.queue == Queue.AI, Job.ordering_key == str(question["conversation_id"]), Job.closed_at.is_null())
        answering = db.row(Job.select().where(*line, Job.message_id > question["id"]).order_by(Job.id).limit(1))
        found |= {Queue.AI.value: answering} if answering else {}
    return found


def _about(message: dict[str, Any]) -> dict[str, Any]:
    """Whose it is."""
    about = (
        Conversation.select(
            Conversation.id.alias("conversation_id"),
            Conversation.owner,
            Chatbot.id.alias("chatbot_id"),
            Chatbot.name.alias("chatbot"),
            Customer.id.alias("customer_id"),
            Customer.name.alias("customer"),
            Contact.name.alias("contact_name"),
            Conversation.channel,
            Conversation.external_user_id,
        )
        .join(Chatbot)
        .join(Customer)
        .switch(Conversation)
        .left_outer_join(Contact, on=Contact.id == Conversation.contact)
        .where(Conversation.id == message["conversation_id"])
    )
    [row] = db.rows(about)
    return row


def _steps(
    question: dict[str, Any] | None, reply: dict[str, Any] | None, jobs: dict[str, dict[str, Any]], merged: tuple[int, ...]
) -> Iterator[Step]:
    if question is not None:
        yield from _inbound(question, jobs)
        if len(merged) > 1:
            yield Step("merged", "done", facts={"messages": len(merged)})
        yield from _answering(question, reply, jobs)
    if reply is not None:
        yield from _leaving(reply, jobs)


def _with_hindrances(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps; the facts of the one where it is say what else than a worker it waits for."""
    return tuple(replace(step, facts=step.facts | _hindrances(step.job)) if step.state == "now" else step for step in steps)


def _hindrances(job: dict[str, Any] | None) -> dict[str, Any]:
    """`held` behind an older job of its conversation; `waits_for` a pause or a channel, be it that the older one does."""
    if job is None or job["closed_at"]:
        return {}
    waits_for = job["waits_for"]
    if job["held"]:
        line = (Job.queue == job["queue"], Job.ordering_key == job["ordering_key"], Job.closed_at.is_null(), ~Job.held)
        waits_for = db.scalar(Job.select(Job.waits_for).where(*line))
    return {name: value for name, value in (("held", job["held"]), ("waits_for", waits_for)) if value}


def _inbound(question: dict[str, Any], jobs: dict[str, dict[str, Any]]) -> Iterator[Step]:
    job = jobs.get(Queue.INCOMING)
    accepted = job["created_at"] if job else None
    if question["sent_at"]:
        yield Step("written", "done", question["sent_at"], question["sent_at"])
    yield Step("received", "done", accepted or question["created_at"], facts={"provider_id": question["external_id"]})
    yield Step("stored", "done", accepted, question["created_at"], job)
    media = db.rows(Media.select(Media.state).where(Media.message == question["id"]))
    if media:
        states = {row["state"] for row in media}
        state = "now" if "waiting" in states else "failed" if states == {"failed"} else "done"
        fetching = jobs.get(Queue.MEDIA)
        begun, ended = (fetching["created_at"], fetching["closed_at"]) if fetching else (None, None)
        yield Step("media", state, begun, ended, fetching, {"files": len(media)}, _why(fetching))


def _answering(question: dict[str, Any], reply: dict[str, Any] | None, jobs: dict[str, dict[str, Any]]) -> Iterator[Step]:
    """The wait for the AI and its answer; nothing if it is not asked, for a person has the conversation or it is kept only."""
    job = jobs.get(Queue.AI)
    if job is None and reply is None:
        if question["metadata"].get("kept"):
            yield Step("kept", "done", facts={"is_late": _came_late(question)})
    elif job is not None and job["started_at"] is None:
        place = {} if job["held"] else {"place": queries["place"].scalar(job_id=job["id"])}
        facts = {"lane": job["priority"], **place}
        yield Step("waiting", "now", job["created_at"], None, job, facts, _why(job))
        yield Step("ai", "ahead")
    else:
        asked_at, started_at = (job["created_at"], job["started_at"]) if job else (question["created_at"], None)
        yield Step("waiting", "done", asked_at, started_at, facts={"lane": job["priority"]} if job else {})
        yield _answer(question, reply, job, started_at or asked_at)


def _answer(question: dict[str, Any], reply: dict[str, Any] | None, job: dict[str, Any] | None, begun_at: datetime) -> Step:
    """What the AI, once asked, has made of the question."""
    ended_at = reply["created_at"] if reply else job["closed_at"] if job else None
    if (job is not None and job["state"] == "failed") or (reply is not None and "fallback" in reply["metadata"]):
        state, error = "failed", _last_failure(question["id"]) or _why(job)
    else:
        state, error = ("done", None) if reply else ("now", _why(job))
    return Step("ai", state, begun_at, ended_at, job, _answer_facts(question, reply), error)


def _came_late(question: dict[str, Any]) -> bool:
    """Whether nobody waited for an answer any more when it came."""
    written: datetime | None = question["sent_at"]
    return written is not None and (question["created_at"] - written).total_seconds() > settings().answer_within


def _answer_facts(question: dict[str, Any], reply: dict[str, Any] | None) -> dict[str, Any]:
    """Who answered, what it cost, which knowledge it had; of a failed question what its attempts cost."""
    about = reply["metadata"] if reply else {}
    ids = [question["id"], *([reply["id"]] if reply else [])]
    used = db.row(UsageLog.select().where(UsageLog.message.in_(ids), UsageLog.kind == "ai").order_by(UsageLog.id.desc()).limit(1))
    facts = {name: about[name] for name in ("provider", "model", "finish_reason", "fallback") if about.get(name)}
    if used:
        facts |= {"model": used["model"], "prompt_tokens": used["prompt_tokens"], "completion_tokens": used["completion_tokens"]}
    if items := about.get("knowledge"):
        facts["knowledge"] = items
    return facts


def _leaving(reply: dict[str, Any], jobs: dict[str, dict[str, Any]]) -> Iterator[Step]:
    routing, queue = jobs.get(Queue.OUTGOING), SEND_QUEUES.get(reply["channel"])
    status, sending = reply["status"], jobs.get(queue or "")
    if routing is not None:
        state = {"completed": "done", "failed": "failed"}.get(routing["state"], "now")
        yield Step("outgoing", state, routing["created_at"], routing["closed_at"], routing, error=_why(routing))
    if queue is not None and (sending is not None or status == "PENDING"):
        state = "done" if sending and sending["state"] == "completed" else "failed" if status == "FAILED" else "now"
        begun, ended = (sending["created_at"], sending["closed_at"]) if sending else (None, None)
        yield Step("sending", state, begun, ended, sending, error=_why(sending))
    if status in ("FAILED", "SUPERSEDED"):
        code = reply["metadata"].get("error_code")
        error = _last_failure(reply["id"]) or explanation(code)
        yield Step(status.lower(), "failed", None, reply["updated_at"], facts={"error_code": code}, error=error)
        return
    left_at = sending["closed_at"] if sending else routing["closed_at"] if routing else None
    reached = REACHED.index(status) if status in REACHED else -1
    for number, kind in enumerate(REACHED):
        if kind != "SENT" and queue is None:
            continue  # the page shows it; nobody reports more
        at = left_at if kind == "SENT" else reply["updated_at"] if number == reached else None
        facts = {"provider_id": reply["external_id"]} if kind == "SENT" and reply["external_id"] else {}
        yield Step(kind.lower(), "done" if number <= reached else "ahead", None, at, facts=facts)


def _last_failure(message_id: int) -> str | None:
    """Why a message failed for good: not the row's own error, which has the words of whoever refused it."""
    letters = DeadLetter.select(DeadLetter.error).where(DeadLetter.message_id == message_id).order_by(DeadLetter.failed_at.desc())
    error: str | None = db.scalar(letters.limit(1))
    return error


def _why(job: dict[str, Any] | None) -> str | None:
    """What kept a job, or keeps it, in our words."""
    error: str | None = job["last_error"] if job and job["state"] != "completed" else None
    return error
