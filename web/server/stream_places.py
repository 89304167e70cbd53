"""Who may hold a stream open: a process has so many places for all, for those of one group, of one address, of one topic."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

#: Streams of one topic: a visitor's tabs, and one or two that it has left and whose end is not noticed yet.
PER_TOPIC = 6
#: Seconds after which a page may ask again for a stream where none is to spare.
FULL_RETRY = 30


class StreamLimitReached(Exception):
    """No stream to spare; the page polls meanwhile, and asks again after `retry` seconds."""

    def __init__(self, reason: str, retry: int) -> None:
        super().__init__(reason)
        self.retry = retry


@dataclass(frozen=True)
class StreamLimits:
    """Streams that a process serves at once: together, of one group, of one address."""

    together: int
    group: int
    address: int


class Counted(Protocol):
    """What a stream is counted by."""

    topic: str
    group: int
    address: str


AnyCounted = TypeVar("AnyCounted", bound=Counted)


class StreamPlaces(Generic[AnyCounted]):
    """The open streams of a hub. `group` is what a group is, as its limit names it. For any thread."""

    def __init__(self, limits: StreamLimits, group: str) -> None:
        self._limits, self._group = limits, group
        self._lock = threading.Lock()
        self._streams: dict[str, set[AnyCounted]] = defaultdict(set)
        self._by_group: Counter[int] = Counter()
        self._by_address: Counter[str] = Counter()

    def enter(self, stream: AnyCounted) -> None:
        """Takes a place; `leave` gives it back. Raises StreamLimitReached."""
        with self._lock:
            self._check_room(stream)
            self._streams[stream.topic].add(stream)
            self._by_group[stream.group] += 1
            self._by_address[stream.address] += 1

    def _check_room(self, stream: AnyCounted) -> None:
        if len(self._streams.get(stream.topic, ())) >= PER_TOPIC:
            raise StreamLimitReached(f"This visitor has {PER_TOPIC} streams open.", FULL_RETRY)
        for what, taken, limit in (
            ("this address", self._by_address[stream.address], self._limits.address),
            (self._group, self._by_group[stream.group], self._limits.group),
            ("this process", self.count, self._limits.together),
        ):
            if taken >= limit:
                raise StreamLimitReached(f"All {limit} streams of {what} are taken.", FULL_RETRY)

    def leave(self, stream: AnyCounted) -> None:
        """Gives a place back; a second time does nothing."""
        with self._lock:
            streams = self._streams.get(stream.topic, set())
            if stream in streams:
                streams.remove(stream)
                _count_down(self._by_group, stream.group)
                _count_down(self._by_address, stream.address)
            if not streams:
                self._streams.pop(stream.topic, None)

    @property
    def count(self) -> int:
        """Open streams."""
        return self._by_group.total()

    def of_topic(self, topic: str) -> list[AnyCounted]:
        """The open streams of a topic."""
        with self._lock:
            return list(self._streams.get(topic, ()))

    def all(self) -> list[AnyCounted]:
        """The open streams."""
        with self._lock:
            return [stream for streams in self._streams.values() for stream in streams]


def _count_down(counts: Counter[Any], name: Any) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
