"""Priority: how long premium jobs wait for the AI behind 10,000 basic ones, and what share basic gets beside premium.

First both lanes are full: premium alone would fill the AI stage, and basic's share of the calls is counted. Then premium jobs
come as a steady stream, and the time from `waiting` to the claim is measured.
"""

from __future__ import annotations

from scripts.local.bench import load
from scripts.local.bench.modes import Run, percentiles
from scripts.local.bench.rig import STAGES, Rig, slow
from shared import db
from shared.queues import LOWEST, PRIORITIES

#: Duration of an AI call (ms).
AI_MS = 500
#: Premium messages that wait at the beginning: the basic ones divided by this, 20 s of work for a default process.
PREMIUM_DIVISOR = 8
#: Seconds at the beginning that are not counted: the lane whose consumer starts first gets all threads.
SETTLE = 3
#: The steady stream: messages, and seconds between them.
STREAM, INTERVAL = 200, 0.1
#: Seconds that each step may take.
TIMEOUT = 300.0

_CHATBOTS = "select b.id from chatbot b join customer c on c.id = b.customer_id where c.priority = %s order by b.id"
_WAITING = "select count(*) from job where queue = 'ai-processing' and id > 0 and closed_at is null"
_OPEN_PREMIUM = _WAITING + " and priority = 1"
_UNSTARTED = _OPEN_PREMIUM + " and started_at is null"
_SHARE = """
    with period as (
        select min(started_at) + interval '%(start)s s' as begins, max(started_at) as ends
        from job where queue = 'ai-processing' and priority = 1
    )
    select count(*) filter (where priority <> 1) as others, count(*) as calls,
        extract(epoch from max(ends) - max(begins))::float8 as seconds
    from job, period where queue = 'ai-processing' and started_at between begins and ends
"""
_WAITS = """
    select (extract(epoch from j.started_at - j.created_at) * 1000)::float8 as ms from job j join message m on m.id = j.message_id
    where j.queue = 'ai-processing' and j.priority = 1 and m.external_id like 'stream-%%' order by 1
"""
_BUSY = "select 1 from job where queue <> 'ai-processing' and id > 0 and closed_at is null limit 1"
_COUNTS = """
    select (select count(*) from message where role = 'user') as messages,
        (select count(*) from message where role = 'assistant') as replies,
        (select count(distinct reply_to) from message where role = 'assistant' and status = 'SENT') as answered,
        (select count(distinct message_id) from job where queue = 'ai-processing' and id > 0 and closed_at is null) as open,
        (select count(distinct reply_to) from message m
         join chatbot b on b.id = m.chatbot_id join customer c on c.id = b.customer_id
         where m.role = 'assistant' and m.status = 'SENT' and c.priority = 1) as premium_answered
"""


def priority(rig: Rig, messages: int) -> Run:
    """Behind this many basic messages. Raises RuntimeError unless each premium message is answered once and none is lost."""
    rig.empty()
    premium = messages // PREMIUM_DIVISOR
    premium_bots, basic_bots = chatbots_of(PRIORITIES[0]), chatbots_of(LOWEST)
    with slow(rig, AI_MS) as world, rig.workers(world, {}, [name for name in STAGES if name != "ai"]):
        for name, count, bots in (("basic", messages, basic_bots), ("premium", premium, premium_bots)):
            load.fill(name, count, count, bots)()
        load.until(lambda: db.scalar(_WAITING) == messages + premium, "not all messages have reached the AI queue", TIMEOUT)
        with rig.workers(world, {}, ["ai"]):
            load.until(lambda: not db.scalar(_UNSTARTED), "premium jobs still wait", TIMEOUT)
            share = db.row(_SHARE, {"start": SETTLE}) or {}
            load.send_paced("stream", STREAM, INTERVAL, premium_bots)
            load.until(lambda: not db.scalar(_OPEN_PREMIUM), "premium jobs are still open", TIMEOUT)
            waiting = int(db.scalar(_WAITING))
        load.until(lambda: db.row(_BUSY) is None, "jobs are still open", TIMEOUT)
        _check(messages + premium + STREAM, premium + STREAM)
    if not share["calls"]:
        raise RuntimeError(f"{messages} messages do not fill the AI stage for {SETTLE} s; use 2,000 or more.")
    waits = percentiles([row["ms"] for row in db.rows(_WAITS)])
    return {
        **{f"premium waits, {name}": value for name, value in waits.items()},
        "basic behind it": float(waiting),
        "basic beside full premium, %": 100 * share["others"] / share["calls"],
        "AI calls/s": share["calls"] / share["seconds"],
    }


def chatbots_of(rank: int) -> list[int]:
    """The chatbots of the customers whose plan has this priority."""
    return [row["id"] for row in db.rows(_CHATBOTS, [rank])]


def _check(messages: int, premium: int) -> None:
    counts = db.row(_COUNTS) or {}
    exact = counts["replies"] == counts["answered"] and counts["answered"] + counts["open"] == counts["messages"] == messages
    if not exact or counts["premium_answered"] != premium:
        raise RuntimeError(f"Counts are not exact: {counts}; expected {messages} messages, each answered once or waiting.")
