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
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from shared import db
from web.server.stream_places import StreamLimitReached, StreamLimits, StreamPlaces

log = logging.getLogger(__name__)

#: Seconds a stream lasts, more or less a fifth; then the page resumes it, maybe at another process.
LIFETIME = 900.0
#: Streams that are read by one statement.
PAGE = 200
#: Seconds after which a page may ask again whose process is being replaced.
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
    #: Seconds of silence after which a stream sends a sign of life, and that sign: proxies keep it, and a dead page is noticed.
    sign_after, sign = 20.0, b": still here\n\n"

    def __init__(self, limits: StreamLimits) -> None:
        self.closed = False
        self._places: StreamPlaces[AnyStream] = StreamPlaces(limits, self.group)
        self._lock = threading.Lock()
        self._woken: dict[AnyStream, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._something = asyncio.Event()
        self._reader = ThreadPoolExecutor(1, "stream-reader")
        self._tasks: set[asyncio.Task[None]] = set()
        _hubs.add(self)

    # ---- places

    def enter(self, stream: AnyStream) -> AnyStream:
        """Takes a place; `leave` gives it back. Raises StreamLimitReached."""
        if self.closed:
            raise StreamLimitReached("This process is shutting down.", CLOSING_RETRY)
        self._places.enter(stream)
        stream.hub = self
        return stream

    def leave(self, stream: AnyStream) -> None:
        """Gives a place back; a second time does nothing."""
        self._places.leave(stream)
        with self._lock:
            self._woken.pop(stream, None)

    @property
    def count(self) -> int:
        """Open streams."""
        return self._places.count

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
        for stream in self._places.all():
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
        """Every second: signs of life for silent streams, the end of old ones, and some of all are compared with the database."""
        while not self.closed:
            await asyncio.sleep(1.0)
            now, streams = time.monotonic(), self._places.all()
            for stream in streams:
                if now > stream.ends:
                    self._begin(self._end(stream))
                elif now - stream.sent_at > self.sign_after and not stream.writing:
                    self._begin(self._write(stream, self.sign))
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
        if streams := self._places.of_topic(topic):
            self._wake_from_thread(streams)

    def miss(self) -> None:
        """Wakes all streams: something may have been announced while nobody listened."""
        self._wake_from_thread(self._places.all())

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
