"""A process's subscription at Redis: wake-ups, and the messages that are pushed to it.

A connection may die without a word (a firewall, a NAT or a load balancer forgets it, a machine is lost): Redis goes on
counting it as a subscriber and pushes messages into it. So the listener pings its own connection, makes a new one when no
answer comes, and lets the consumers ask Redis which messages they are supposed to have.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis
from redis.client import PubSub

from shared.broker.queue_state import QueueState

log = logging.getLogger(__name__)

#: Seconds without a word from Redis after which the listener pings. With the next one: a dead connection is noticed in 10 s.
PING_AFTER = 4.0
#: Seconds in which Redis must answer the ping.
PONG_WITHIN = 5.0
#: Seconds between attempts to reach a Redis that is down.
RECONNECT_PAUSE = 0.5
#: Seconds after which the listener looks whether it shall end, or its queues have changed.
LOOK_EVERY = 1.0


class Listener:
    """One thread and one connection of a process, for the wake and the push channels of its queues."""

    def __init__(self, client: redis.Redis, states: Mapping[str, QueueState], wake_channel: str, push_channel: str) -> None:
        self._client, self._states = client, states
        self._wake_channel, self._push_channel = wake_channel, push_channel
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._is_lost = False
        self._closing = threading.Event()

    def start(self) -> None:
        """Starts the thread, unless it runs. The consumers of all queues call it at the same moment."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._keep_listening, name="listener", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._closing.set()

    def _keep_listening(self) -> None:
        while not self._closing.is_set():
            try:
                self._listen_until_broken()
            except (redis.RedisError, OSError) as problem:
                if not self._is_lost:  # one line, not two a second
                    log.warning("redis_listener_lost", extra={"error": str(problem).strip()})
                self._is_lost = True
                self._closing.wait(RECONNECT_PAUSE)
            except Exception:  # an error of ours; without this thread each message would wait for seconds
                log.exception("redis_listener_failed")
                self._is_lost = True
                self._closing.wait(RECONNECT_PAUSE)

    def _listen_until_broken(self) -> None:
        """Returns when there is a new queue to listen to, or the process ends."""
        states = dict(self._states)
        handlers = self._handlers(states)
        with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
            subscription.subscribe(*handlers)
            line, is_subscribed = _Line(subscription), False
            while not self._closing.is_set() and len(states) == len(self._states):
                message = line.next_message()
                if message and message["type"] == "message":
                    handlers[message["channel"]](message["data"])
                elif message and not is_subscribed:  # the answer to the first ping comes after all subscriptions
                    is_subscribed = True
                    self._on_subscribed(states)

    def _on_subscribed(self, states: Mapping[str, QueueState]) -> None:
        if self._is_lost:
            log.warning("redis_listener_back")
        self._is_lost = False
        for state in states.values():
            state.on_reconnect()

    def _handlers(self, states: Mapping[str, QueueState]) -> dict[bytes, Callable[[bytes], None]]:
        """Its own queues only: a wake-up costs each process that hears it a tenth of a millisecond."""
        handlers: dict[bytes, Callable[[bytes], None]] = {}
        for name, state in states.items():
            handlers[f"{self._wake_channel}{name}".encode()] = state.notify
            handlers[f"{self._push_channel}{name}".encode()] = state.push
        return handlers


class _Line:
    """A subscription that is pinged when it is silent; the first ping leaves at once."""

    def __init__(self, subscription: PubSub) -> None:
        self._subscription = subscription
        self._ping()

    def _ping(self) -> None:
        self._subscription.ping()
        self._heard_at, self._is_asked = time.monotonic(), True

    def next_message(self) -> dict[str, Any] | None:
        """What Redis sent, an answer to a ping too; None if it sent nothing for a second. Raises redis.RedisError."""
        message: dict[str, Any] | None = self._subscription.get_message(timeout=LOOK_EVERY)
        now = time.monotonic()
        if message:
            self._heard_at, self._is_asked = now, False
        elif self._is_asked and now - self._heard_at > PONG_WITHIN:
            raise redis.TimeoutError(f"the connection is dead: no answer to a ping for {PONG_WITHIN:.0f} s")
        elif not self._is_asked and now - self._heard_at > PING_AFTER:
            self._ping()
        return message
