"""Enqueues a plan as a channel would: it repeats each message with the same external id until it is accepted.

Run as a process: python -m scripts.local.chaos.producer MESSAGES SEED POISON_EVERY SPREAD CHANNELS
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from scripts.local.chaos.plan import PlannedMessage, chatbot_ids, plan
from shared import db
from shared.queue_service import enqueue_incoming_message

T = TypeVar("T")

#: Threads; each has its own conversations and sends their messages in order.
THREADS = 4
#: Seconds between attempts while PostgreSQL is down.
RETRY_PAUSE = 0.2


def produce(messages: int, seed: int, poison_every: int, spread: float, channels: Sequence[str]) -> None:
    """Enqueues every message of the plan, spread over so many seconds."""
    chatbots = retry_until_up(chatbot_ids)
    shares: list[list[PlannedMessage]] = [[] for _ in range(THREADS)]
    for message in plan(messages, seed, poison_every, channels):
        shares[int(message.external_user_id) // 10 % THREADS].append(message)
    with ThreadPoolExecutor(THREADS) as pool:
        begun, interval = time.monotonic(), spread / messages
        list(pool.map(lambda share: _send_all(share, chatbots, begun, interval), shares))


def _send_all(messages: list[PlannedMessage], chatbots: list[int], begun: float, interval: float) -> None:
    for message in messages:
        time.sleep(max(0.0, begun + message.number * interval - time.monotonic()))
        retry_until_up(
            lambda message=message: enqueue_incoming_message(  # type: ignore[misc]  # the default binds this turn's message
                chatbot_id=chatbots[message.tenant],
                channel=message.channel,
                external_user_id=message.external_user_id,
                content=message.content,
                external_id=message.external_id,
            )
        )


def retry_until_up(work: Callable[[], T]) -> T:
    """Repeats the work until PostgreSQL answers."""
    while True:
        try:
            return work()
        except Exception as problem:
            if not db.is_outage(problem):
                raise
            time.sleep(RETRY_PAUSE)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # outages are what this program is run through
    produce(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5].split(","))
