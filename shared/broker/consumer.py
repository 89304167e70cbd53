"""A consumer that sleeps until it is woken, until something is due, or until there is room again."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed, DecodeError
from dramatiq.message import Message

from shared.broker.connection import Delivery, outage
from shared.broker.queue_state import QueueState

#: Seconds between fetches from an idle queue. Wake-ups come by publish; this is for a lost one, and it is the heartbeat.
IDLE_FETCH = 4.0
#: The same of a process that is not woken (shared/queues.py, POLLED).
POLL = 2.0
#: Messages a consumer holds for each thread. Those beyond one are fetched together, when there is room for all of
#: them, or at the next top-up: enough to save round trips, few enough that other processes get their share.
PREFETCH_PER_THREAD = 1.5
#: Seconds after which a consumer fetches even if it has little room: another customer's message may be next in Redis.
TOP_UP = 0.1
#: Messages of one ack: a millisecond of Redis.
MAX_ACKS = 500
#: A customer's id; a stock client gives none.
_CUSTOMER = (int, str, type(None))


def read(data: bytes) -> Message[Any] | None:
    """A message of Redis; None where it is none that a worker can handle: somebody else wrote it, or it was cut off."""
    try:
        message: Message[Any] = Message.decode(data)
    except DecodeError:
        return None
    options = message.options
    is_sound = isinstance(options, dict) and isinstance(message.kwargs, dict) and isinstance(message.actor_name, str)
    if is_sound and isinstance(options.get("redis_message_id"), str) and isinstance(options.get("customer"), _CUSTOMER):
        return message
    return None


def id_of(data: bytes) -> str | None:
    """The id under which Redis keeps a message; None where it is none."""
    message = read(data)
    return message.options["redis_message_id"] if message else None


class Taken(NamedTuple):
    """What a process got from a queue."""

    messages: list[bytes]
    #: Seconds until the next delayed message is due.
    due_in: float | None
    #: How many messages of the queue the process has now, as far as Redis knows.
    assigned: int


class Queues(Protocol):
    """What a consumer needs of its broker."""

    states: dict[str, QueueState]
    retired: bool

    @property
    def is_polling(self) -> bool:
        """Whether it is not woken."""

    def put(self, messages: Iterable[Message[Any]], done: Sequence[Delivery] = ()) -> int:
        """Puts messages, forgets deliveries."""

    def take(self, queue_name: str, count: int) -> Taken:
        """Takes messages."""

    def reclaim(self, queue_name: str, suspects: set[str] | None = None) -> set[str]:
        """Puts back what never arrived."""

    def drop_unreadable(self, queue_name: str) -> None:
        """Forgets what was taken and cannot be read."""

    def give_back(self, queue_name: str, message_ids: Sequence[str]) -> None:
        """Returns messages that were not begun."""

    def do_nack(self, queue_name: str, message_id: str) -> Any:
        """Dead-letters a message."""


class WokenConsumer(Consumer):
    """Hands messages of one queue to the worker's threads; sleeps until woken, due, or free again."""

    def __init__(self, broker: Queues, queue_name: str, threads: int) -> None:
        self.broker, self.queue_name = broker, queue_name
        self.threads, self.prefetch = threads, max(threads + 2, int(threads * PREFETCH_PER_THREAD))
        self._state = broker.states[queue_name]
        self._state.reclaim_needed = True
        self._prefetched: deque[bytes] = self._state.prefetched
        self._queue_empty, self._next_fetch, self._next_top_up = False, 0.0, 0.0
        self._in_flight, self._unacked = self._state.in_flight, self._state.unacked
        self._acking = threading.Lock()
        self._next_look, self._suspects = 0.0, set[str]()

    def __next__(self) -> MessageProxy | None:
        try:
            if self.broker.retired:
                self.requeue([])
            if not self._prefetched and not self._slept():
                self._fetch()
            message = self._next_message()
        except redis.RedisError as problem:  # one that refuses (full, a replica since its failover) is as good as away
            outage.noticed(problem)
            raise ConnectionClosed(problem) from None
        return message

    def _slept(self) -> bool:
        """Sleeps if nothing is left to take, or there is no room for it, until that may have changed or a fetch is due."""
        now = time.monotonic()
        pause = self._next_fetch - now
        if pause <= 0 or (self._room() and not self._queue_empty):
            return False
        if not self._queue_empty:
            pause = min(pause, self._next_top_up - now if self._next_top_up > now else TOP_UP)
        if self._state.wakeup.wait(pause):
            self._state.wakeup.clear()
            self._queue_empty = self._queue_empty and not self._state.messages_waiting
        return True

    def _room(self) -> int:
        """How many messages to fetch now: none while all threads have enough to do, until an ack or the next top-up."""
        held = len(self._in_flight) - self._state.extra_threads
        is_time = held <= self.threads or time.monotonic() >= self._next_top_up
        return max(0, self.prefetch - held) if is_time and not self.broker.retired else 0

    def _fetch(self) -> None:
        """Takes what there is room for. Fetching is the heartbeat as well."""
        if self._state.reclaim_needed:
            self._state.reclaim_needed = False
            self._flush_acks()  # what the consumer before this one could not
            self.broker.reclaim(self.queue_name)
        self._state.wakeup.clear()
        self._state.messages_waiting = False
        room = self._room()
        taken = self.broker.take(self.queue_name, room)
        self._prefetched.extend(taken.messages)
        self._queue_empty = len(taken.messages) < room
        idle = POLL if self.broker.is_polling else IDLE_FETCH
        pause = idle if taken.due_in is None else min(idle, taken.due_in)
        if self.broker.retired and room:
            pause = 0.0  # retired meanwhile: tell Redis at once
        self._next_fetch, self._next_top_up = time.monotonic() + pause, time.monotonic() + TOP_UP
        self._look_for_lost(taken.assigned)

    def _look_for_lost(self, assigned: int) -> None:
        """Puts back what Redis has pushed and this process has not got; twice missing is lost, for a push may be under way."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + IDLE_FETCH
        if assigned > self._state.count():
            self._suspects = self.broker.reclaim(self.queue_name, self._suspects)
        else:
            self._suspects = set()

    def _next_message(self) -> MessageProxy | None:
        if not self._prefetched:
            return None
        message = read(self._prefetched.popleft())
        if message is None:
            self.broker.drop_unreadable(self.queue_name)
            return None
        self._in_flight.add(message.options["redis_message_id"])
        # A delay that is over; Dramatiq would delay the message again.
        message.options.pop("eta", None)
        if message.queue_name != self.queue_name:
            message = message.copy(queue_name=self.queue_name)
        return MessageProxy(message)

    def ack(self, message: MessageProxy) -> None:
        """Forgets a message that was worked on, unless the enqueue did. One thread flushes acks; the others queue theirs."""
        message_id = message.options["redis_message_id"]
        if message_id in self._state.acked:
            self._state.acked.discard(message_id)
            self._free([message_id])
            return
        self._unacked.append(message_id)
        self._flush_acks()

    def _flush_acks(self) -> None:
        while self._unacked and self._acking.acquire(blocking=False):
            try:
                self._ack_some()
            finally:
                self._acking.release()

    def _ack_some(self) -> None:
        ids = [self._unacked.popleft() for _ in range(min(len(self._unacked), MAX_ACKS))]
        try:
            if ids:
                self.broker.put([], [(self.queue_name, message_id) for message_id in ids])
        except redis.RedisError as problem:
            self._unacked.extend(ids)
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
        threads = self.threads + self._state.extra_threads
        enough = len(self._in_flight) > threads
        self._in_flight.difference_update(ids)
        if enough and len(self._in_flight) <= threads:
            self._state.wakeup.set()

    def requeue(self, not_begun: Iterable[MessageProxy]) -> None:
        """Gives back what was taken and not begun, and what is still in the cache.

        Where Redis does not hear of it, the next consumer asks what is here, and gives back the rest.
        """
        ids = [message.options["redis_message_id"] for message in not_begun]
        while self._prefetched:
            message_id = id_of(self._prefetched.popleft())
            ids += [message_id] if message_id else []
        if not ids:
            return
        try:
            self.broker.give_back(self.queue_name, ids)
        except redis.RedisError as problem:  # a thread of Dramatiq's would end with anything but its own error
            raise ConnectionClosed(problem) from None
