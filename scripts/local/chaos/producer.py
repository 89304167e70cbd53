"""Enqueues a plan, as a channel would: again and again with the same external id until it is accepted.

Run as a process: python -m scripts.local.chaos.producer MESSAGES SEED POISON_EVERY
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from scripts.local.chaos.plan import Planned, chatbot_ids, plan
from shared import db
from shared.queue_service import enqueue_incoming_message

T = TypeVar("T")

#: Threads; each has its own conversations, whose messages it sends in order.
THREADS = 4
#: Seconds between attempts while PostgreSQL is down.
PAUSE = 0.2


def produce(messages: int, seed: int, poison_every: int) -> None:
    """Enqueues every message of the plan."""
    bots = patient(chatbot_ids)
    lines: list[list[Planned]] = [[] for _ in range(THREADS)]
    for planned in plan(messages, seed, poison_every):
        lines[int(planned.external_user_id) // 10 % THREADS].append(planned)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda line: _send_all(line, bots), lines):
            pass


def _send_all(line: list[Planned], bots: list[int]) -> None:
    for planned in line:
        _send(planned, bots)


def _send(planned: Planned, bots: list[int]) -> None:
    patient(
        lambda: enqueue_incoming_message(
            chatbot_id=bots[planned.chatbot],
            channel=planned.channel,
            external_user_id=planned.external_user_id,
            content=planned.content,
            external_id=planned.external_id,
        )
    )


def patient(work: Callable[[], T]) -> T:
    """Works again until PostgreSQL is there."""
    while True:
        try:
            return work()
        except Exception as problem:
            if not db.is_outage(problem):
                raise
            time.sleep(PAUSE)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # outages are this program's weather
    produce(*(int(argument) for argument in sys.argv[1:4]))
