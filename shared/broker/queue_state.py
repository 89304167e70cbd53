"""What a process has of one Redis queue; it outlives a consumer, which is replaced when its connection breaks.

Each message that Redis believes is with this process is in one of these places (shared/README.md draws the way between them):

    prefetched   taken from Redis, or pushed by it, and not handed to a thread yet
    in_flight    handed to the worker: waiting for a thread, or being worked on
    unacked      worked on, and Redis has not been told
    acked        of those in flight: Redis has forgotten it already, together with the enqueue of what follows
"""

from __future__ import annotations

import threading
from collections import deque


class QueueState:
    """Shared by the worker's threads, the queue's consumer and the listener. Each step is one atomic call on a collection."""

    def __init__(self) -> None:
        #: Threads beyond those that the process began with (shared/broker/thread_pool.py).
        self.extra_threads = 0
        #: Ends the consumer's sleep.
        self.wakeup = threading.Event()
        #: Whether messages wait in Redis, as far as this process was told.
        self.messages_waiting = True
        #: Whether Redis may believe that this process has messages which never arrived.
        self.reclaim_needed = True
        self.prefetched: deque[bytes] = deque()
        self.in_flight: set[str] = set()
        self.unacked: deque[str] = deque()
        self.acked: set[str] = set()

    def count(self) -> int:
        """How many messages Redis should count as this process's; a few more while some move from one place to the next."""
        return len(self.prefetched) + len(self.in_flight) - len(self.acked)

    def notify(self, _message: bytes = b"") -> None:
        """Messages wait in the queue, or may."""
        self.messages_waiting = True
        self.wakeup.set()

    def on_reconnect(self) -> None:
        """Nobody listened for a while: what was notified or pushed meanwhile was not heard."""
        self.reclaim_needed = True
        self.notify()

    def push(self, message: bytes) -> None:
        """Redis hands a message over."""
        self.prefetched.append(message)
        self.wakeup.set()
