"""Server-sent events for open pages. A stream is a connection of the event loop and costs no thread.

A hub has the streams of a process that show the same kind of thing: the widget's (web/widget/sse.py), the desk's
(web/desk/live.py). What is new is asked for many of them at once, in a thread, and sent to each.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
import weakref
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shared import db

log = logging.getLogger(__name__)

#: Seconds of silence after which a stream sends a comment: proxies keep it, and a dead page is noticed.
HEARTBEAT = 20.0
#: Seconds a stream lasts, more or less a fifth; then the page resumes it, maybe at another process.
LIFETIME = 900.0
#: Streams of one topic: a visitor's tabs, and one or two that it has left and whose end is not noticed yet.
PER_TOPIC = 6
#: Streams that are read by one statement.
PAGE = 200
#: Seconds after which a page may ask again: of a process that has no stream to spare, and of one that is being replaced.
FULL_RETRY = 30
CLOSING_RETRY = 2
#: Seconds between attempts to read.
RECONNECT_PAUSE = 1.0
#: Milliseconds that an EventSource waits before it resumes.
RETRY = 1000

#: Where a view leaves the stream's place in the request's environ.
STREAM = "switchboard.stream"
#: How ASGI gives and takes messages.
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


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


class Stream:
    """An open page. `topic` is what it shows, by which it is woken; `group` is what it is counted with."""

    __slots__ = ("address", "ends", "group", "hub", "send", "sent_at", "topic", "writing")

    hub: StreamHub[Any]  # from its `enter` on

    def __init__(self, topic: str, group: int, address: str) -> None:
        self.topic, self.group, self.address = topic, group, address
        self.send: Send | None = None  # until it is served
        self.writing = False
        self.sent_at = time.monotonic()
        self.ends = self.sent_at + LIFETIME * random.uniform(0.8, 1.2)


AnyStream = TypeVar("AnyStream", bound=Stream)


class StreamHub(Generic[AnyStream]):
    """Streams of a process. Places are taken by requests' threads; everything else happens on the event loop."""

    #: What a group is, as its limit names it.
    group: str

    #: Seconds within which each stream is compared with the database, which finds what no notification announced.
    reconcile = 10.0

    def __init__(self, limits: StreamLimits) -> None:
        self.limits = limits
        self.closed = False
        self._lock = threading.Lock()
        self._streams: dict[str, set[AnyStream]] = defaultdict(set)
        self._by_group: Counter[int] = Counter()
        self._by_address: Counter[str] = Counter()
        self._woken: dict[AnyStream, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._something = asyncio.Event()
        self._reader = ThreadPoolExecutor(1, "stream-reader")
        self._tasks: set[asyncio.Task[None]] = set()
        _hubs.add(self)

    # ---- places

    def enter(self, stream: AnyStream) -> AnyStream:
        """Takes a place; `leave` gives it back. Raises StreamLimitReached."""
        with self._lock:
            self._check_room(stream)
            self._streams[stream.topic].add(stream)
            self._by_group[stream.group] += 1
            self._by_address[stream.address] += 1
            stream.hub = self
        return stream

    def _check_room(self, stream: AnyStream) -> None:
        if self.closed:
            raise StreamLimitReached("This process is shutting down.", CLOSING_RETRY)
        if len(self._streams.get(stream.topic, ())) >= PER_TOPIC:
            raise StreamLimitReached(f"This visitor has {PER_TOPIC} streams open.", FULL_RETRY)
        for what, taken, limit in (
            ("this address", self._by_address[stream.address], self.limits.address),
            (self.group, self._by_group[stream.group], self.limits.group),
            ("this process", self.count, self.limits.together),
        ):
            if taken >= limit:
                raise StreamLimitReached(f"All {limit} streams of {what} are taken.", FULL_RETRY)

    def leave(self, stream: AnyStream) -> None:
        """Gives a place back; a second time does nothing."""
        with self._lock:
            streams = self._streams.get(stream.topic, set())
            if stream in streams:
                streams.remove(stream)
                _count_down(self._by_group, stream.group)
                _count_down(self._by_address, stream.address)
            if not streams:
                self._streams.pop(stream.topic, None)
            self._woken.pop(stream, None)

    @property
    def count(self) -> int:
        """Open streams."""
        return self._by_group.total()

    # ---- streams

    async def serve(self, stream: AnyStream, receive: Receive, send: Send) -> None:
        """Sends events until the page leaves, the stream has lived, or the process ends. Gives its place back.

        The answer's head is sent. What remains of a stream that waits is this coroutine, in `receive`.
        """
        self._start()
        stream.send = send
        try:
            await self._write(stream, f"retry: {RETRY}\n\n".encode())
            self._wake([stream])  # what happened before it came
            if self.closed:
                await self._end(stream)
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            stream.send = None
            self.leave(stream)

    def close(self) -> None:
        """Ends every stream, as a shutdown must: their pages resume elsewhere. On the event loop; a second time does nothing."""
        if self.closed:
            return
        self.closed = True
        self._something.set()
        for stream in self._all_streams():
            self._begin(self._end(stream))

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._begin(self._keep_reading())
            self._begin(self._keep_tending())
            self._listen()

    def _listen(self) -> None:
        """Has `hear` and `miss` called from now on, if anybody announces what changes."""

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself keeps no reference
        task.add_done_callback(self._tasks.discard)

    async def _keep_tending(self) -> None:
        """Every second: comments for silent streams, the end of old ones, and some of all are compared with the database."""
        while not self.closed:
            await asyncio.sleep(1.0)
            now, streams = time.monotonic(), self._all_streams()
            for stream in streams:
                if now > stream.ends:
                    self._begin(self._end(stream))
                elif now - stream.sent_at > HEARTBEAT and not stream.writing:
                    self._begin(self._write(stream, b": still here\n\n"))
            turn, turns = int(now), max(1, round(self.reconcile))
            self._wake(streams[turn % turns :: turns])

    async def _write(self, stream: AnyStream, text: bytes) -> None:
        """Waits while the page does not read; the connection ends if that lasts (web/server/connection.py)."""
        if stream.send is None:
            return
        stream.writing, stream.sent_at = True, time.monotonic()
        await stream.send({"type": "http.response.body", "body": text, "more_body": True})
        stream.writing = False
        self._something.set()  # it may have been woken meanwhile

    async def _end(self, stream: AnyStream) -> None:
        send, stream.send = stream.send, None
        if send is not None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _all_streams(self) -> list[AnyStream]:
        with self._lock:
            return [stream for streams in self._streams.values() for stream in streams]

    # ---- news

    def _wake(self, streams: Iterable[AnyStream]) -> None:
        with self._lock:
            self._woken.update(dict.fromkeys(streams))
        self._something.set()

    async def _keep_reading(self) -> None:
        while not self.closed:
            await self._something.wait()
            self._something.clear()
            while page := self._take_page():
                await self._read(page)

    def _take_page(self) -> list[AnyStream]:
        with self._lock:
            page = [stream for stream in self._woken if stream.send is not None and not stream.writing][:PAGE]
            for stream in page:
                del self._woken[stream]
            return page

    async def _read(self, page: list[AnyStream]) -> None:
        """Reads what is newer, and sends it. While PostgreSQL is away the streams stay, and are read when it is back."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._reader, self._ask, page)
        except Exception as problem:
            if db.is_outage(problem):
                db.outage.noticed(problem)
            else:
                log.exception("stream_read_failed")
            await asyncio.sleep(RECONNECT_PAUSE)
            self._wake(page)
            return
        for stream, latest in zip(page, found, strict=True):
            text, is_behind = self._events(stream, latest)
            if text:
                stream.writing = True
                self._begin(self._send_news(stream, text, is_behind))

    def _ask(self, page: list[AnyStream]) -> Sequence[Any]:
        """What is new for each stream. In a thread."""
        raise NotImplementedError

    def _events(self, stream: AnyStream, latest: Any) -> tuple[str, bool]:
        """What is sent of it, and whether there is more."""
        raise NotImplementedError

    async def _send_news(self, stream: AnyStream, text: str, is_behind: bool) -> None:
        await self._write(stream, text.encode())
        if is_behind:
            self._wake([stream])

    # ---- notifications, from their thread

    def hear(self, topic: str) -> None:
        """Wakes the streams of one topic."""
        with self._lock:
            streams = list(self._streams.get(topic, ()))
        if streams:
            self._wake_from_thread(streams)

    def miss(self) -> None:
        """Wakes all streams: something may have been announced while nobody listened."""
        self._wake_from_thread(self._all_streams())

    def _wake_from_thread(self, streams: list[AnyStream]) -> None:
        assert self._loop is not None, "nobody listens before the first stream"
        try:
            self._loop.call_soon_threadsafe(self._wake, streams)
        except RuntimeError:  # the loop is closed: the process ends
            self.closed = True


_hubs: weakref.WeakSet[StreamHub[Any]] = weakref.WeakSet()


def close_streams() -> None:
    """Ends the streams of this process. On the event loop."""
    for hub in list(_hubs):
        hub.close()


def _count_down(counts: Counter[Any], name: Any) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
