"""What a process has of one Redis queue; it outlives a consumer, which is replaced when its connection breaks."""

from __future__ import annotations

import threading
from collections import deque


class Intake:
    """The bell by the door, and what came in. Threads of the worker, its consumer and the listener share it."""

    def __init__(self) -> None:
        self.bell = threading.Event()
        #: Messages that Redis sent along with the bell: taken already.
        self.handed: deque[bytes] = deque()
        #: Whether the bell said that something waits in the queue.
        self.called = True
        #: Whether Redis may believe that this process has what it has not.
        self.reclaim = True
        #: Ids of messages that the worker has, those that wait for a thread among them.
        self.held: set[str] = set()
        #: Of those, what it has done with and Redis was not told of yet.
        self.done: deque[str] = deque()
        #: Of those, what Redis has forgotten already, with the enqueue of what followed from it.
        self.forgotten: set[str] = set()

    def call(self, _message: bytes = b"") -> None:
        """Something waits in the queue, or may."""
        self.called = True
        self.bell.set()

    def lost_sight(self) -> None:
        """Nobody listened for a while: what was called or handed over meanwhile was not heard."""
        self.reclaim = True
        self.call()

    def hand(self, message: bytes) -> None:
        """A message is here."""
        self.handed.append(message)
        self.bell.set()
