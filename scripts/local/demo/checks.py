"""What must be true after the demo, in PostgreSQL and in what the outside world has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from peewee import fn
from standardwebhooks import Webhook, WebhookVerificationError

from scripts.local.demo.script import FLAKY_TENANT, STREAMED_TO, Scenario, Turn
from shared import db
from shared.models import Chatbot, Job, Message, UsageLog, WebhookEvent
from shared.queues import Queue

#: Of all answers on one page: more than one each, which would be the answer in one piece.
LEAST_PIECES = 5


@dataclass(frozen=True)
class Check:
    """A promise, whether it was kept, and what was observed."""

    promise: str
    kept: bool
    observed: str


def checks(scenario: Scenario, record: list[dict[str, Any]], drafts: Counter[str], real_ai: bool) -> Iterator[Check]:
    """All of them. `drafts`: by visitor, pieces of answers that the open page was shown while they were written."""
    turns = [(turn, _outcome_of(turn.message_ids[0])) for turn in scenario.turns()]
    yield from _outcomes(turns, real_ai)
    for turn, row in turns:
        if turn.failure and not (turn.fault and real_ai):
            yield _failure(scenario, turn, row)
    pieces = drafts[STREAMED_TO]
    yield Check("an open page shows the answer while it is written", pieces >= LEAST_PIECES, f"{pieces} pieces")
    yield from _sends(record)
    yield from _webhooks(scenario, [seen for seen in record if seen["kind"] == "webhook"])


def _outcome_of(message_id: int) -> dict[str, Any]:
    """What came of a message: its reply, its AI job, and how often it was charged."""
    reply = db.row(Message.select().where(Message.reply_to == message_id)) or {"content": "", "status": "none", "error": None}
    job = db.row(Job.select().where(Job.message_id == message_id, Job.queue == Queue.AI)) or {"attempts": 0}
    is_charged = (UsageLog.message == message_id) & (UsageLog.kind == "message")
    return {
        **reply,
        "fallback": bool(reply.get("metadata", {}).get("fallback")),
        "replies": db.scalar(Message.select(fn.COUNT(Message.id)).where(Message.reply_to == message_id)),
        "charged": db.scalar(UsageLog.select(fn.COUNT(UsageLog.id)).where(is_charged)),
        "attempts": job["attempts"],
        "seconds": (job["closed_at"] - job["created_at"]).total_seconds() if job.get("closed_at") else 0.0,
    }


def _outcomes(turns: list[tuple[Turn, dict[str, Any]]], real_ai: bool) -> Iterator[Check]:
    answered = sum(1 for _, row in turns if row.get("replies") == 1)
    yield Check("every message has exactly one reply", answered == len(turns), f"{answered} of {len(turns)}")
    if not real_ai:
        right = sum(1 for turn, row in turns if turn.outcome == "fallback" or turn.hears in row["content"])
        yield Check("every answer is the one from the shop's own knowledge", right == len(turns), f"{right} of {len(turns)}")
    charged = sum(row["charged"] for _, row in turns)
    yield Check("every message is charged once", charged == len(turns), f"{charged} of {len(turns)}")


def _failure(scenario: Scenario, turn: Turn, row: dict[str, Any]) -> Check:
    shops = {tenant.fallback for tenant in scenario.tenants}
    observed = f"{row['status']}, {row['attempts']} attempt(s) at the AI, {row['seconds']:.1f} s"
    kept = (turn.outcome == "failed") == (row["status"] == "FAILED")
    kept &= (turn.outcome == "fallback") == row["fallback"] == (row["content"] in shops)
    kept &= row["attempts"] == turn.ai_attempts and row["seconds"] >= turn.at_least_seconds
    kept &= all(words.lower() in (row["error"] or "").lower() for words in turn.error)
    kept &= len(set(turn.message_ids)) == 1
    kept &= (row["metadata"].get("provider") or {}).get("position", 1) == turn.provider
    if row["error"]:
        observed += f": {row['error']}"
    return Check(turn.failure, kept, observed)


def _sends(record: list[dict[str, Any]]) -> Iterator[Check]:
    has_left = Message.status << ("SENT", "DELIVERED")
    is_sent = (Message.role == "assistant") & (Message.channel != "widget") & has_left
    replies = db.rows(Message.select(Message.channel, Message.content, Message.data).where(is_sent))
    expected = Counter((row["channel"], _as_recorded(row)) for row in replies)
    channels = {"graph": "whatsapp_cloud", "waha": "whatsapp_qr", "evolution": "whatsapp_qr"}
    seen = Counter((channels[row["kind"]], row["text"]) for row in record if row["kind"] in channels and row["accepted"])
    promise = "WhatsApp and the gateways took each reply exactly once, word for word"
    yield Check(promise, seen == expected, f"{seen.total()} taken, {expected.total()} recorded as SENT")


def _as_recorded(reply: dict[str, Any]) -> str:
    """The simulator keeps of a template what Meta gets: its name and its parameters."""
    template = reply["data"].get("template")
    return ", ".join([template["name"], *template["parameters"]["body"].values()]) if template else reply["content"]


def _webhooks(scenario: Scenario, posts: list[dict[str, Any]]) -> Iterator[Check]:
    columns = (WebhookEvent.id, WebhookEvent.customer, WebhookEvent.status, WebhookEvent.attempts, WebhookEvent.event)
    events = db.rows(WebhookEvent.select(*columns))
    taken = Counter(post["headers"]["x-webhook-id"] for post in posts if post["accepted"])
    once = all(taken[f"evt_{event['id']}"] == 1 and event["status"] == "DELIVERED" for event in events)
    yield Check("every webhook event arrived exactly once", once and len(taken) == len(events), f"{len(taken)} of {len(events)}")
    genuine = sum(1 for post in posts if _genuine(scenario, post))
    yield Check("every webhook's signature verifies", genuine == len(posts) > 0, f"{genuine} of {len(posts)} requests")
    flaky = scenario.tenants[FLAKY_TENANT]
    customer = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == flaky.chatbot_id))
    failures = [event for event in events if (event["event"], event["customer_id"]) == ("message.failed", customer)]
    [failed] = failures or [{"attempts": 0, "status": "missing"}]
    promise = f"{flaky.name}'s endpoint fails twice, then hears of the failed message"
    yield Check(promise, failed["attempts"] == 3, f"{failed['status']} at attempt {failed['attempts']}")


def _genuine(scenario: Scenario, post: dict[str, Any]) -> bool:
    [secret] = [tenant.secrets[post["path"]] for tenant in scenario.tenants if post["path"] in tenant.secrets]
    try:
        Webhook(secret).verify(post["body"], post["headers"])
    except WebhookVerificationError:
        return False
    return True
