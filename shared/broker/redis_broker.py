"""The Redis broker: Dramatiq's own keys and layout, but woken instead of polling.

Stock `RedisBroker` sleeps between fetches from a queue; an idle pipeline of four hops pays 200 ms for that. Here a worker
that found less than it has room for waits, and the enqueue pushes the message to it; where nobody waits, the first message
of an empty queue is published on its wake channel. Each worker process has one listener (listener.py), and an ack that frees
a slot wakes the consumer of its own process. Delayed messages are moved by whoever takes from their queue, and who sleeps
until the next one is due. Nothing depends on a wake-up being heard: a consumer looks by itself every `IDLE_FETCH` seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import dramatiq
import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.brokers.redis import RedisBroker
from dramatiq.common import dq_name, q_name
from dramatiq.errors import QueueNotFound
from dramatiq.message import Message
from dramatiq.middleware import CurrentMessage, Middleware, ShutdownNotifications
from dramatiq.worker import ConsumerThread

from shared import queues
from shared.broker import identity
from shared.broker.connection import WORKER, Delivery, Patience, connect_redis, now_ms, one_beside, outage, redis_now_ms
from shared.broker.consumer import Taken, WokenConsumer, id_of
from shared.broker.fair_queue import FairQueue
from shared.broker.listener import Listener
from shared.broker.queue_state import QueueState
from shared.config import host_of, settings
from shared.queues import Queue
from shared.telemetry import metrics
from shared.telemetry.worker_logging import WorkerLogging

log = logging.getLogger(__name__)

#: Seconds without a heartbeat after which a worker counts as dead and its messages come back. Several idle fetches,
#: and short enough that a killed worker's jobs run again within 30 s.
DEAD_AFTER = 12.0


def addressed(message: Message[Any], delay: int | None) -> Message[Any]:
    """The message with the id under which Redis keeps it; delayed (milliseconds), with its time, on the delay queue.

    A job's message keeps one id for all its deliveries, so that Redis never carries a job twice.
    """
    if not delay and "redis_message_id" in message.options:
        return message
    options: dict[str, Any] = {"redis_message_id": message.options.get("redis_message_id") or message.message_id}
    queue_name = message.queue_name
    if delay is not None and delay > 0:
        queue_name = dq_name(queue_name)
        options["eta"] = now_ms() + delay
    return message.copy(queue_name=queue_name, options=options)


class Broker(RedisBroker):
    """A RedisBroker whose consumers are woken. Drop-in: stock clients and the dashboard see what they expect."""

    def __init__(self, client: redis.Redis, middleware: list[Middleware], namespace: str) -> None:
        # The stock maintenance by chance is off: rescue() does its work, by time.
        super().__init__(client=client, middleware=middleware, namespace=namespace, maintenance_chance=0)  # type: ignore[no-untyped-call]
        if identity.is_given:
            self.broker_id = identity.name
        self.states: dict[str, QueueState] = {}
        #: How many threads a stage may have in a process that it shares with others (shared/broker/fair_queue.py).
        self.thread_limits: dict[str, int] = {}
        #: Whether this process takes nothing any more.
        self.retired = False
        self.wake_channel = f"{namespace}:__wake__:"
        self._put, self._take = (client.register_script(_lua("turns") + _lua(name)) for name in ("put", "take"))
        self._requeue, self._rescue = (client.register_script(_lua(name)) for name in ("requeue", "rescue"))
        #: The worker's queue, and its consumer threads by the queue in Redis; none in a process without a worker.
        self.work_queue: FairQueue | None = None
        self.consumer_threads: Mapping[str, ConsumerThread] = {}
        self._listener = Listener(one_beside(client), self.states, self.wake_channel, f"{namespace}:__hand__:{self.broker_id}:")

    @property
    def is_polling(self) -> bool:
        """Whether this process looks for work by itself, for nobody waits for what it does."""
        return queues.POLLED.issuperset(self.queues)

    def declare_queue(self, queue_name: str) -> None:
        """Declares a queue, without a consumer for its delayed messages: whoever takes from it moves those."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.states[queue_name] = QueueState()
            self.emit_after("declare_queue", queue_name)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueues one message, `delay` in milliseconds."""
        message = addressed(message, delay)
        self.emit_before("enqueue", message, delay)
        self.put([message])
        outage.over()
        self.emit_after("enqueue", message, delay)
        return message

    def put(self, messages: Iterable[Message[Any]], done: Sequence[Delivery] = ()) -> int:
        """Forgets what is done and puts addressed messages on their queues, in one round trip; returns how many were new.

        A message for which this process waits itself is handed to its worker.
        """
        messages = list(messages)
        args: list[str | bytes | int] = [len(done), *(part for delivery in done for part in delivery)]
        for message in messages:
            place = "head" if queues.is_dead_letter(message.actor_name) else "tail"
            queue_name = q_name(message.queue_name)
            due = 0 if message.queue_name == queue_name else message.options["eta"]
            customer = message.options.get("customer", "")
            args += [queue_name, message.options["redis_message_id"], message.encode(), place, due, customer]
        try:
            new, *kept = self._put(keys=[self.namespace], args=[self.wake_channel, self.broker_id, now_ms(), *args])
        except redis.RedisError:
            self._reclaim_soon(messages)
            raise
        for number in kept:
            self._hand_over(messages[number - 1])
        if self.is_polling:  # nobody else tells it what it has put itself
            for name in {message.queue_name for message in messages} & self.states.keys():
                self.states[name].notify()
        return int(new)

    def _hand_over(self, message: Message[Any]) -> None:
        """Gives the worker of this process a message that Redis has assigned to it."""
        state, thread = self.states[message.queue_name], self.consumer_threads.get(message.queue_name)
        if thread is None:
            state.push(message.encode())
        else:
            state.in_flight.add(message.options["redis_message_id"])
            thread.handle_message(MessageProxy(message))

    def _reclaim_soon(self, messages: list[Message[Any]]) -> None:
        """Redis may have kept some of these messages for this process; the answer that would have said so was lost."""
        for name in {message.queue_name for message in messages} & self.states.keys():
            self.states[name].on_reconnect()

    def end(self, done: Sequence[Delivery], messages: Iterable[Message[Any]]) -> None:
        """Puts what follows from jobs that ended and forgets their deliveries; Dramatiq's acks find nothing left to do."""
        self.put(messages, done)
        for queue_name, message_id in done:
            self.states[queue_name].acked.add(message_id)

    def take(self, queue_name: str, count: int) -> Taken:
        """Takes up to `count` messages. One that gets fewer and listens is pushed the missing number as soon as they come."""
        args: list[str | int] = [self.broker_id, queue_name, count, int(not self.is_polling)]
        due, assigned, *messages = self._take(keys=[self.namespace], args=args)
        return Taken(messages, None if due < 0 else due / 1000, assigned)

    def rescue(self, dead_after: float = DEAD_AFTER) -> dict[str, list[str]]:
        """Brings back the messages of workers whose heartbeat stopped; returns their ids by queue."""
        rescued: dict[str, list[str]] = {}
        args = [int(dead_after * 1000), self.dead_message_ttl, self.wake_channel, *every_queue()]
        for queue_name, message_id in self._rescue(keys=[self.namespace], args=args):
            rescued.setdefault(queue_name.decode(), []).append(message_id.decode(errors="replace"))
        return rescued

    def missing(self, queue_name: str, message_ids: list[str]) -> set[str]:
        """Which of these messages Redis carries neither on the queue, nor delayed, nor in a worker's hands."""
        pipe = self.client.pipeline(transaction=False)
        for name in (queue_name, dq_name(queue_name)):
            pipe.hmget(f"{self.namespace}:{name}.msgs", message_ids)
        ready, delayed = pipe.execute()
        found = zip(message_ids, ready, delayed, strict=True)
        return {message_id for message_id, one, other in found if one is None and other is None}

    def reclaim(self, queue_name: str, suspects: set[str] | None = None) -> set[str]:
        """Puts back what Redis believes this process has and it does not: an answer or a push lost with a connection.

        A push may be under way: with `suspects`, what was missing before, only those go back. Returns all that is missing.
        """
        missing = self._missing_here(queue_name)
        missing -= self._drop_unreadable(queue_name, missing)
        lost = missing if suspects is None else missing & suspects
        if lost:
            log.warning("lost_messages_reclaimed", extra={"redis_queue": queue_name, "messages": len(lost)})
            self.give_back(queue_name, sorted(lost))
        return missing - lost

    def drop_unreadable(self, queue_name: str) -> None:
        """Forgets what this process has been given and cannot read; the sweep puts its jobs anew."""
        self._drop_unreadable(queue_name, self._missing_here(queue_name))

    def _missing_here(self, queue_name: str) -> set[str]:
        """The ids of what Redis believes this process has and it does not."""
        members = cast(set[bytes], self.client.smembers(f"{self.namespace}:__acks__.{self.broker_id}.{queue_name}"))
        state = self.states[queue_name]
        here = state.in_flight.union(map(id_of, list(state.prefetched)))
        return {message_id.decode(errors="replace") for message_id in members} - here

    def _drop_unreadable(self, queue_name: str, message_ids: set[str]) -> set[str]:
        ids = sorted(message_ids)
        found = cast(list[bytes | None], self.client.hmget(f"{self.namespace}:{queue_name}.msgs", ids)) if ids else []
        unreadable = [name for name, data in zip(ids, found, strict=True) if data is not None and id_of(data) != name]
        if unreadable:
            self.put([], [(queue_name, message_id) for message_id in unreadable])
            log.error("unreadable_messages_dropped", extra={"redis_queue": queue_name, "messages": unreadable})
        return set(unreadable)

    def give_back(self, queue_name: str, message_ids: Sequence[str], worker: str | None = None) -> None:
        """Returns messages that this process has, or another, to the front of their queue, and wakes a worker for them."""
        self._requeue(keys=[self.namespace], args=[self.wake_channel, worker or self.broker_id, queue_name, *message_ids])

    def declare_dead(self, worker: str) -> None:
        """The next rescue brings back what this worker had in hand, without waiting for its heartbeat to become old."""
        self.client.zadd(f"{self.namespace}:__heartbeats__", {worker: 0}, xx=True)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5000) -> Consumer:  # noqa: ARG002 - Dramatiq's signature
        """A woken consumer. Dramatiq asks for two messages a thread; see PREFETCH_PER_THREAD."""
        if queue_name not in self.states:
            raise QueueNotFound(queue_name)
        if not self.is_polling:
            self._listener.start()
        threads = max(1, prefetch // 2)
        return WokenConsumer(self, queue_name, min(threads, self.thread_limits.get(queues.stage(queue_name), threads)))

    def add_capacity(self, stage: Queue, threads: int) -> None:
        """Fetches a stage's messages for so many threads more, or fewer if negative. One caller at a time."""
        for lane in queues.lanes(stage).values():
            self.states[lane].extra_threads += threads
            self.states[lane].wakeup.set()

    def retire(self) -> None:
        """Takes nothing any more and is pushed nothing; what is under way goes on. Raises redis.RedisError."""
        self.retired = True
        for name, state in self.states.items():
            self.client.hdel(f"{self.namespace}:__waiting__.{name}", self.broker_id)
            state.wakeup.set()

    def close(self) -> None:
        """Ends the listener."""
        self._listener.close()
        super().close()

    def _dispatch(self, command: str) -> Callable[..., Any]:
        """Dramatiq's own commands. Each writes a heartbeat, so each is told Redis' time instead of this machine's."""
        dispatch = self.scripts["dispatch"]

        def do_dispatch(queue_name: str, *args: Any) -> Any:
            times = [self.heartbeat_timeout, self.dead_message_ttl]
            unpack_size = self._max_unpack_size()  # type: ignore[no-untyped-call]
            head = [command, redis_now_ms(self.client), queue_name, self.broker_id, *times, 0, unpack_size]
            return dispatch(keys=[self.namespace], args=[*head, *args])

        return do_dispatch


def _lua(name: str) -> str:
    return Path(__file__).with_name(f"{name}.lua").read_text(encoding="utf-8")


def every_queue() -> list[str]:
    """The names of all queues in Redis."""
    return [*queues.every_lane(), queues.MAINTENANCE_QUEUE]


def middleware() -> list[Middleware]:
    """In the order in which they see a message. A worker process adds Retries (shared/jobs/worker_process.py)."""
    return [
        WorkerLogging(),  # first in, so that the others' work is inside its context
        CurrentMessage(),  # the wrapper tells Retries by the message's options what the ledger decided
        ShutdownNotifications(notify_shutdown=False),
    ]


_setting_up = threading.Lock()
_broker: Broker | None = None


def get_broker(patience: Patience = WORKER) -> Broker:
    """The process's broker, made on first use; a process consumes the queues whose actors it declares."""
    global _broker  # noqa: PLW0603 - Dramatiq keeps one broker a process as well
    with _setting_up:
        if _broker is None:
            conf = settings()
            _broker = Broker(connect_redis(conf, patience), middleware(), conf.redis_namespace)
            dramatiq.set_broker(_broker)
            metrics.use(_broker.client)
            log.debug("broker_ready", extra={"redis": host_of(conf.redis_address)})
    return _broker


def reset() -> None:
    """Forgets the broker; for programs that change their environment: tests, bench, chaos."""
    global _broker  # noqa: PLW0603
    if _broker is not None:
        _broker.close()
    _broker = None
