"""What is kept of requests that are not complete: so many of an address, and so many bytes. Beyond that the oldest goes.

Not the newest: an honest request is complete within milliseconds, so the oldest are slow ones, or are meant to be.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from werkzeug.exceptions import HTTPException, RequestTimeout, ServiceUnavailable, TooManyRequests

#: Bytes of a body that every request may hold; what is above counts against the memory for all.
SMALL = 64 * 1024
#: One address may use this part of that memory.
SHARE = 4
#: Seconds after which whoever is refused may try again.
RETRY = 5


class Refused(Exception):
    """A request that is not read to its end; `error` says why."""

    def __init__(self, error: HTTPException) -> None:
        super().__init__(error.description)
        self.error = error


@dataclass(eq=False)
class Body:
    """A body in memory, from its first byte until its request is answered."""

    admission: Admission
    address: str
    #: Ends the wait for the rest of it.
    stop: Callable[[], None] = field(default=lambda: None)
    size: int = 0
    large: int = 0
    why_stopped: HTTPException = field(default_factory=lambda: RequestTimeout("The request did not arrive in time."))

    def grow(self, size: int) -> None:
        """Takes memory for so many bytes more. Raises Refused."""
        self.size += size
        self.admission.take(self, max(0, self.size - SMALL) - self.large)

    def move(self, disk: Admission) -> None:
        """Its bytes are on the disk from now on, and count there. Raises Refused."""
        size, memory = self.large, self.admission
        memory.forget(self)
        self.admission = disk
        disk.take(self, size)


class Admission:
    """The bodies of one process; used on its event loop only."""

    def __init__(self, unfinished: int, memory: int, share: int = SHARE) -> None:
        self._limit, self._memory, self._share = unfinished, memory, share
        self._unfinished: defaultdict[str, dict[Body, None]] = defaultdict(dict)
        self._large: dict[Body, None] = {}
        self._bytes: Counter[str] = Counter()

    @contextmanager
    def body(self, address: str) -> Iterator[Body]:
        """What a request may keep until it is answered."""
        body = Body(self, address)
        try:
            yield body
        finally:
            self._is_over(body)
            body.admission.forget(body)

    @contextmanager
    def unfinished(self, body: Body) -> Iterator[None]:
        """The time in which a body arrives. The address's oldest ends for it, if there are too many."""
        bodies = self._unfinished[body.address]
        if len(bodies) >= self._limit:
            error = TooManyRequests(f"This address has more than {self._limit} unfinished requests.", retry_after=RETRY)
            self._evict(next(iter(bodies)), error)
        self._unfinished[body.address][body] = None  # the eviction may have taken the last of them away
        try:
            yield
        finally:
            self._is_over(body)
            body.admission.complete(body)

    def complete(self, body: Body) -> None:
        """It can be evicted no more, and keeps its bytes until it is answered."""
        self._large.pop(body, None)

    def forget(self, body: Body) -> None:
        """Its bytes are not kept here any longer."""
        self._large.pop(body, None)
        self._bytes[body.address] -= body.large
        body.large = 0
        if not self._bytes[body.address]:
            del self._bytes[body.address]

    def take(self, body: Body, size: int) -> None:
        """Takes bytes of the memory for large bodies. Raises Refused if neither the address's nor others' oldest can give any."""
        if size <= 0:
            return
        share = TooManyRequests("This address sends too many large bodies at once.", retry_after=RETRY)
        while self._bytes[body.address] + size > self._memory // self._share:
            self._evict(self._oldest_large(body, body.address, share), share)
        full = ServiceUnavailable("Too many large bodies are on their way.", retry_after=RETRY)
        while self._bytes.total() + size > self._memory:
            self._evict(self._oldest_large(body, "", full), full)
        self._bytes[body.address] += size
        body.large += size
        self._large[body] = None

    def _oldest_large(self, body: Body, address: str, error: HTTPException) -> Body:
        others = (other for other in self._large if other is not body and address in ("", other.address))
        oldest = next(others, None)
        if oldest is None:
            raise Refused(error)
        return oldest

    def _evict(self, body: Body, error: HTTPException) -> None:
        self._is_over(body)
        body.admission.forget(body)  # its bytes may be on the disk
        body.why_stopped = error
        body.stop()

    def _is_over(self, body: Body) -> None:
        """It is complete, or has ended."""
        self.complete(body)
        bodies = self._unfinished[body.address]
        bodies.pop(body, None)
        if not bodies:
            del self._unfinished[body.address]
