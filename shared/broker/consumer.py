"""A consumer that sleeps until it is woken, until something is due, or until there is room again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message

from shared.telemetry.outage import Outage

if TYPE_CHECKING:  # the broker makes consumers
    from shared.broker.redis_broker import Broker

#: Seconds between looks at an idle queue; wakes come by publish, this is for a lost one, and it is the heartbeat.
IDLE_LOOK = 4.0
#: Messages a consumer holds for each thread. Those beyond one are fetched together, when there is room for all of
#: them: enough to save round trips, few enough that other processes get their share.
PREFETCH_PER_THREAD = 1.5
#: Messages of one ack: a millisecond of Redis.
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
        self._intake = broker.intakes[queue_name]
        self._intake.reclaim = True
        self._cache: deque[bytes] = self._intake.handed
        self._exhausted, self._next_look = False, 0.0
        self._held, self._done = self._intake.held, self._intake.done
        self._acking = threading.Lock()

    def __next__(self) -> MessageProxy | None:
        try:
            if self.broker.retired:
                self.requeue([])
            if not self._cache and not self._rested():
                self._look()
        except redis.RedisError as problem:  # one that refuses (full, a replica since its failover) is as good as away
            outage.noticed(problem)
            raise ConnectionClosed(problem) from None
        outage.over()
        return self._hand_out() if self._cache else None

    def _rested(self) -> bool:
        """Sleeps if nothing is left to take, or there is no room for it, until that may have changed or a look is due."""
        pause = self._next_look - time.monotonic()
        if pause <= 0 or (self._room() and not self._exhausted):
            return False
        if self._intake.bell.wait(pause):
            self._intake.bell.clear()
            self._exhausted = self._exhausted and not self._intake.called
        return True

    def _room(self) -> int:
        """Threads that have enough to do need nothing yet; the ack that changes it wakes us."""
        held = len(self._held) - self.broker.stretched
        return self.prefetch - held if held <= self.threads and not self.broker.retired else 0

    def _look(self) -> None:
        """Takes what there is room for. To ask is the heartbeat as well."""
        if self._intake.reclaim:
            self._intake.reclaim = False
            self._tell()  # what the consumer before this one could not
            self.broker.reclaim(self.queue_name)
        self._intake.bell.clear()
        self._intake.called = False
        room = self._room()
        due, taken = self.broker.take(self.queue_name, room)
        self._cache.extend(taken)
        self._exhausted = len(taken) < room
        pause = IDLE_LOOK if due < 0 else min(IDLE_LOOK, max(0.0, (due - now_ms()) / 1000))
        if self.broker.retired and room:
            pause = 0.0  # retired meanwhile: says so
        self._next_look = time.monotonic() + pause

    def _hand_out(self) -> MessageProxy:
        message: Message[Any] = Message.decode(self._cache.popleft())
        self._held.add(message.options["redis_message_id"])
        # A delay that is over; Dramatiq would delay the message again.
        message.options.pop("eta", None)
        return MessageProxy(message.copy(queue_name=self.queue_name))

    def ack(self, message: MessageProxy) -> None:
        """Forgets a message that was worked on, unless its job's end did. While one thread tells Redis, others leave theirs."""
        message_id = message.options["redis_message_id"]
        if message_id in self._intake.forgotten:
            self._intake.forgotten.discard(message_id)
            self._free([message_id])
            return
        self._done.append(message_id)
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
                self.broker.put([], [(self.queue_name, message_id) for message_id in ids])
        except redis.RedisError as problem:
            self._done.extend(ids)
            raise ConnectionClosed(problem) from None
        self._free(ids)

    def nack(self, message: MessageProxy) -> None:
        """Moves a message that failed for good to the dead-letter list that the dashboard shows."""
        message_id = message.options["redis_message_id"]
        try:
            self.broker.do_nack(self.queue_name, message_id)
        except redis.RedisError as problem:
            raise ConnectionClosed(problem) from None
        self._free([message_id])

    def _free(self, ids: list[str]) -> None:
        """There is room again; the consumer is woken when there is enough to fetch."""
        threads = self.threads + self.broker.stretched
        enough = len(self._held) > threads
        self._held.difference_update(ids)
        if enough and len(self._held) <= threads:
            self._intake.bell.set()

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Gives back what was taken and not begun, and what is still in the cache."""
        ids = [message.options["redis_message_id"] for message in messages]
        while self._cache:
            ids.append(Message.decode(self._cache.popleft()).options["redis_message_id"])
        if ids:
            self.broker.give_back(self.queue_name, ids)
