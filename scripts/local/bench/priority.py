"""Priority: how long a premium customer's job waits for the AI behind 10,000 basic ones, and what basic gets beside premium.

First both lanes are full: premium alone would fill the AI stage, and basic's share of the calls is counted. Then premium comes
as a steady stream, and the time from `waiting` to the claim is measured.
"""

from __future__ import annotations

from scripts.local.bench import load
from scripts.local.bench.modes import Run, percentiles
from scripts.local.bench.rig import STAGES, Rig, slow
from shared import db
from shared.queues import LOWEST, PRIORITIES

#: What the AI takes (ms).
AI_MS = 500
#: Premium messages that wait at the beginning, a part of the basic ones: 20 s for a default process.
PREMIUM_PART = 8
#: Seconds at the beginning that are not counted: whose consumer is there first has all threads.
START = 3
#: The steady stream: messages, and seconds between them.
STREAM, EVERY = 200, 0.1
#: Seconds for what must happen.
PATIENCE = 300.0

_BOTS = "select b.id from chatbot b join customer c on c.id = b.customer_id where c.priority = %s order by b.id"
_WAITING = "select count(*) from job where queue = 'ai-processing' and id > 0 and closed_at is null"
_OPEN = _WAITING + " and priority = 1"
_UNBEGUN = _OPEN + " and started_at is null"
_SHARE = """
    with busy as (
        select min(started_at) + interval '%(start)s s' as begun, max(started_at) as over
        from job where queue = 'ai-processing' and priority = 1
    )
    select count(*) filter (where priority <> 1) as others, count(*) as calls,
        extract(epoch from max(over) - max(begun))::float8 as s
    from job, busy where queue = 'ai-processing' and started_at between begun and over
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


def priority(place: Rig, messages: int) -> Run:
    """`messages` basic ones wait. Raises RuntimeError if a premium one is not answered once, or another one is lost."""
    place.empty()
    premium = messages // PREMIUM_PART
    best, worst = _bots(PRIORITIES[0]), _bots(LOWEST)
    with slow(place, AI_MS) as world, place.workers(world, {}, [name for name in STAGES if name != "ai"]):
        for name, count, bots in (("basic", messages, worst), ("premium", premium, best)):
            load.fill(name, count, count, bots)()
        load.until(lambda: db.scalar(_WAITING) == messages + premium, "messages have not come to the AI", PATIENCE)
        with place.workers(world, {}, ["ai"]):
            load.until(lambda: not db.scalar(_UNBEGUN), "premium jobs still wait", PATIENCE)
            share = db.row(_SHARE, {"start": START}) or {}
            load.send_paced("stream", STREAM, EVERY, best)
            load.until(lambda: not db.scalar(_OPEN), "premium jobs are still open", PATIENCE)
            waiting = int(db.scalar(_WAITING))
        load.until(lambda: db.row(_BUSY) is None, "jobs are still open", PATIENCE)
        _check(messages + premium + STREAM, premium + STREAM)
    if not share["calls"]:
        raise RuntimeError(f"{messages} messages do not fill the AI stage for {START} s; want 2,000 or more")
    times = percentiles([row["ms"] for row in db.rows(_WAITS)])
    return {
        **{f"premium waits, {name}": value for name, value in times.items()},
        "basic behind it": float(waiting),
        "basic beside full premium, %": 100 * share["others"] / share["calls"],
        "AI calls/s": share["calls"] / share["s"],
    }


def _bots(rank: int) -> list[int]:
    return [row["id"] for row in db.rows(_BOTS, [rank])]


def _check(messages: int, premium: int) -> None:
    found = db.row(_COUNTS) or {}
    kept = found["replies"] == found["answered"] and found["answered"] + found["open"] == found["messages"] == messages
    if not kept or found["premium_answered"] != premium:
        raise RuntimeError(f"counts are not exact: {found}; want {messages} messages, each answered once or waiting")
