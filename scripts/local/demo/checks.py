"""What must be true after the demo, in PostgreSQL and in what the outside world has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from scripts.local.demo.script import FLAKY_TENANT, Line, Play
from shared import db

_LINE = """
    select m.id, r.content, r.status, r.error, r.metadata, coalesce((r.metadata ->> 'fallback')::boolean, false) as fallback,
        (select count(*) from message x where x.reply_to = m.id) as replies,
        (select count(*) from usage_log u where u.message_id = m.id and u.kind = 'message') as charged,
        j.attempts, extract(epoch from j.closed_at - j.created_at)::float8 as seconds
    from message m left join message r on r.reply_to = m.id
    left join job j on j.message_id = m.id and j.queue = 'ai-processing'
    where m.id = %s
"""


@dataclass(frozen=True)
class Check:
    """A promise, whether it was kept, and what was found."""

    promise: str
    kept: bool
    found: str


def checks(play: Play, record: list[dict[str, Any]], real_ai: bool) -> Iterator[Check]:
    """All of them."""
    lines = [(line, db.row(_LINE, [line.message_ids[0]]) or {}) for _, line in play.lines()]
    yield from _outcomes(lines, real_ai)
    for line, row in lines:
        if line.twist and not (line.fault and real_ai):
            yield _twist(play, line, row)
    yield from _sends(record)
    yield from _webhooks(play, [seen for seen in record if seen["kind"] == "webhook"])


def _outcomes(lines: list[tuple[Line, dict[str, Any]]], real_ai: bool) -> Iterator[Check]:
    answered = sum(1 for _, row in lines if row.get("replies") == 1)
    yield Check("every message has exactly one reply", answered == len(lines), f"{answered} of {len(lines)}")
    if not real_ai:
        right = sum(1 for line, row in lines if line.outcome == "fallback" or line.hears in row["content"])
        yield Check("every answer is the one from the shop's own knowledge", right == len(lines), f"{right} of {len(lines)}")
    charged = sum(row["charged"] for _, row in lines)
    yield Check("every message is charged once", charged == len(lines), f"{charged} of {len(lines)}")


def _twist(play: Play, line: Line, row: dict[str, Any]) -> Check:
    shops = {tenant.fallback for tenant in play.tenants}
    found = f"{row['status']}, {row['attempts']} attempt(s) at the AI, {row['seconds']:.1f} s"
    kept = (line.outcome == "failed") == (row["status"] == "FAILED")
    kept &= (line.outcome == "fallback") == row["fallback"] == (row["content"] in shops)
    kept &= row["attempts"] == line.ai_attempts and row["seconds"] >= line.at_least_seconds
    kept &= all(words.lower() in (row["error"] or "").lower() for words in line.error)
    kept &= len(set(line.message_ids)) == 1
    if row["error"]:
        found += f": {row['error']}"
    return Check(line.twist, kept, found)


def _sends(record: list[dict[str, Any]]) -> Iterator[Check]:
    expected = Counter(
        (row["channel"], row["content"])
        for row in db.rows(
            "select channel, content from message where role = 'assistant' and channel <> 'widget' and status = 'SENT'"
        )
    )
    channels = {"graph": "whatsapp_cloud", "waha": "whatsapp_qr", "evolution": "whatsapp_qr"}
    seen = Counter((channels[row["kind"]], row["text"]) for row in record if row["kind"] in channels and row["accepted"])
    promise = "WhatsApp and the gateways took each reply exactly once, word for word"
    yield Check(promise, seen == expected, f"{seen.total()} taken, {expected.total()} recorded as SENT")


def _webhooks(play: Play, posts: list[dict[str, Any]]) -> Iterator[Check]:
    events = db.rows("select id, status, attempts, event from webhook_event")
    taken = Counter(post["headers"]["x-webhook-id"] for post in posts if post["accepted"])
    once = all(taken[f"evt_{event['id']}"] == 1 and event["status"] == "DELIVERED" for event in events)
    yield Check("every webhook event arrived exactly once", once and len(taken) == len(events), f"{len(taken)} of {len(events)}")
    genuine = sum(1 for post in posts if _genuine(play, post))
    yield Check("every webhook's signature verifies", genuine == len(posts) > 0, f"{genuine} of {len(posts)} requests")
    [failed] = [event for event in events if event["event"] == "message.failed"] or [{"attempts": 0, "status": "missing"}]
    promise = f"{play.tenants[FLAKY_TENANT].name}'s endpoint fails twice, then hears of the failed message"
    yield Check(promise, failed["attempts"] == 3, f"{failed['status']} at attempt {failed['attempts']}")


def _genuine(play: Play, post: dict[str, Any]) -> bool:
    [secret] = [tenant.secrets[post["path"]] for tenant in play.tenants if post["path"] in tenant.secrets]
    try:
        Webhook(secret).verify(post["body"], post["headers"])
    except WebhookVerificationError:
        return False
    return True
