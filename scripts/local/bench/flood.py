"""Flood: how long a customer waits behind another one of the same plan who has just sent thousands of messages, and when idle.

Customers take turns in every queue (shared/broker/turns.lua, fair_queue.py). What is left to wait for is a thread: each works
on a message of the flood and is not interrupted.
"""

from __future__ import annotations

from scripts.local.bench import load
from scripts.local.bench.modes import Run, percentiles
from scripts.local.bench.priority import chatbots_of
from scripts.local.bench.rig import Rig, slow
from shared import db
from shared.queues import LOWEST

#: Duration of an AI call (ms).
AI_MS = 500
#: The other customer's messages, and seconds between them.
PROBES, INTERVAL = 30, 0.4
#: Seconds in which they must be answered.
TIMEOUT = 120.0

_WAITS = """
    select (extract(epoch from sent.closed_at - accepted.created_at) * 1000)::float8 as ms
    from message question
    join job accepted on accepted.message_id = question.id and accepted.queue = 'incoming-messages'
    join message reply on reply.reply_to = question.id and reply.status = 'SENT'
    join job sent on sent.message_id = reply.id and sent.queue = 'whatsapp-cloud-send'
    where question.external_id like %s order by 1
"""
_OPEN_FLOOD = "select count(*) from job j join message m on m.id = j.message_id where j.closed_at is null and m.chatbot_id = %s"
#: Questions without a reply and replies that are not sent, for which there is no open job.
_LOST = """
    select count(*) from message m
    where (case role when 'user' then not exists (select from message reply where reply.reply_to = m.id)
           else status <> 'SENT' end)
      and not exists (select from job where job.message_id = m.id and closed_at is null)
"""


def flood(rig: Rig, messages: int) -> Run:
    """Behind this many messages. Raises RuntimeError unless each of the other's is answered once, while the flood still waits."""
    rig.empty()
    many, one = chatbots_of(LOWEST)[:2]
    with slow(rig, AI_MS) as world, rig.workers(world, {}):
        load.send_paced("warm-up", PROBES, INTERVAL / 4, [many, one])
        load.until_sent(PROBES)
        idle = percentiles(_probe("idle", one))
        load.fill("flood", messages, messages, [many])()
        behind = percentiles(_probe("behind", one))
        waiting = int(db.scalar(_OPEN_FLOOD, [many]))
    if not waiting:
        raise RuntimeError(f"{messages} messages are worked off before the other customer's are; use 2,000 or more.")
    if lost := int(db.scalar(_LOST)):
        raise RuntimeError(f"Counts are not exact: {lost} messages are neither answered nor waiting.")
    return {
        **{f"idle, {name}": value for name, value in idle.items()},
        **{f"behind the flood, {name}": value for name, value in behind.items()},
        "waits, p50 ratio": behind["p50 ms"] / idle["p50 ms"],
        "waits, p95 ratio": behind["p95 ms"] / idle["p95 ms"],
        "flood left": float(waiting),
    }


def _probe(name: str, chatbot: int) -> list[float]:
    """Milliseconds from accepting each of a customer's messages to its reply's end, sorted."""
    load.send_paced(name, PROBES, INTERVAL, [chatbot])
    load.until(lambda: len(db.rows(_WAITS, [f"{name}-%"])) == PROBES, "the other customer's messages are not answered", TIMEOUT)
    return [row["ms"] for row in db.rows(_WAITS, [f"{name}-%"])]
