"""A consumer that sleeps until it is woken, until something is due, or until there is room again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message

from shared.observability import Outage

if TYPE_CHECKING:  # the broker makes consumers
    from shared.broker import Broker

#: Seconds between looks at an idle queue; wakes come by publish, this is for a lost one, and it is the heartbeat.
IDLE_LOOK = 4.0
#: Messages a consumer holds for each thread. Those beyond one are fetched together, when there is room for all of
#: them: enough to save round trips, few enough that other processes get their share.
PREFETCH_PER_THREAD = 1.5
#: Messages of one ack: Lua's unpack takes some thousands.
MAX_ACKS = 500

outage = Outage("redis")


def now_ms() -> int:
    """Wall-clock milliseconds, as Dramatiq writes them into `eta` and heartbeats."""
    return int(time.time() * 1000)


class WokenConsumer(Consumer):
    """Hands messages of one queue to the worker's threads; sleeps until woken, due, or free again."""

    def __init__(self, broker: Broker, queue_name: str, threads: int) -> None:
        self.broker, self.queue_name = broker, queue_name
        self.threads, self.prefetch = threads, max(threads + 2, int(threads * PREFETCH_PER_THREAD))
        self._wake = broker.wakes[queue_name]
        self._cache: list[bytes] = []
        # The broker's, for a consumer is replaced when its connection breaks and the threads work on.
        self._held, self._done = broker.in_hand[queue_name], broker.done[queue_name]
        self._acking = threading.Lock()
        self._reclaimed = False

    def __next__(self) -> MessageProxy | None:
        try:
            if not self._cache:
                self._refill()
        except (redis.ConnectionError, redis.TimeoutError) as problem:
            outage.noticed(problem)
            raise ConnectionClosed(problem) from None
        outage.over()
        return self._hand_out() if self._cache else None

    def _refill(self) -> None:
        if not self._reclaimed:
            self._tell()  # what the consumer before this one could not
            self.broker.reclaim(self.queue_name)
            self._reclaimed = True
        self._wake.clear()
        # Threads that have enough to do need nothing yet, the ack that changes it wakes us; to ask is the heartbeat as well.
        room = self.prefetch - len(self._held) if len(self._held) <= self.threads else 0
        due, self._cache = self.broker.take(self.queue_name, room)
        if not self._cache:
            pause = IDLE_LOOK if due < 0 else min(IDLE_LOOK, max(0.0, (due - now_ms()) / 1000))
            self._wake.wait(pause)

    def _hand_out(self) -> MessageProxy:
        message: Message[Any] = Message.decode(self._cache.pop(0))
        self._held.add(message.options["redis_message_id"])
        # A delay that is over; Dramatiq would delay the message again.
        message.options.pop("eta", None)
        return MessageProxy(message.copy(queue_name=self.queue_name))

    def ack(self, message: MessageProxy) -> None:
        """Forgets a message that was worked on. While one thread tells Redis, others only leave theirs for it."""
        self._done.append(message.options["redis_message_id"])
        self._tell()

    def _tell(self) -> None:
        while self._done and self._acking.acquire(blocking=False):
            try:
                self._forget_some()
            finally:
                self._acking.release()

    def _forget_some(self) -> None:
        ids = [self._done.popleft() for _ in range(min(len(self._done), MAX_ACKS))]
        try:
            if ids:
                self.broker.forget(self.queue_name, ids)
        except (redis.ConnectionError, redis.TimeoutError) as problem:
            self._done.extend(ids)
            raise ConnectionClosed(problem) from None
        self._free(ids)

    def nack(self, message: MessageProxy) -> None:
        """Moves a message that failed for good to the dead-letter list that the dashboard shows."""
        message_id = message.options["redis_message_id"]
        try:
            self.broker.do_nack(self.queue_name, message_id)
        except (redis.ConnectionError, redis.TimeoutError) as problem:
            raise ConnectionClosed(problem) from None
        self._free([message_id])

    def _free(self, ids: list[str]) -> None:
        """There is room again; the consumer is woken when there is enough to fetch."""
        enough = len(self._held) > self.threads
        self._held.difference_update(ids)
        if enough and len(self._held) <= self.threads:
            self._wake.set()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Gives back what was taken and not begun, and what is still in the cache."""
        ids = [message.options["redis_message_id"] for message in messages]
        ids += [Message.decode(data).options["redis_message_id"] for data in self._cache]
        self._cache = []
        if ids:
            self.broker.give_back(self.queue_name, ids)
