"""Server-sent events for open pages. A stream is a connection of the event loop (web/server) and costs no thread.

PostgreSQL notifies at the commit that changed a conversation (widget_changed in schema.sql). One LISTEN connection a process
hears it and wakes the visitor's streams; what is newer than they have sent is read for many of them by one statement. A lost
notification delays a message by seconds and loses none: every stream is read anew every ten seconds, and all of them at
once after the LISTEN connection broke. Replies that are being written come the same way, where a page is open: the streams say
so in the table open_page (shared/channels/widget/drafts.py).
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
import weakref
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from shared import db
from web.widget import notifications, open_pages
from web.widget.conversation import Asked, Draft, news_of_many
from web.widget.events import events_of

log = logging.getLogger(__name__)

#: Seconds of silence after which a stream sends a comment: proxies keep it, and a dead page is noticed.
HEARTBEAT = 20.0
#: Seconds a stream lasts, more or less a fifth; then the page resumes it, maybe at another process.
LIFETIME = 900.0
#: Streams of one visitor: its tabs, and one or two that it has left and whose end is not noticed yet.
PER_VISITOR = 6
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
    """Streams that a process serves at once: together, of one chatbot, of one address."""

    together: int
    chatbot: int
    address: int


class Subscription:
    """A stream's place in the hub. `seen` is the revision that its page has, `draft` the reply that it sees growing."""

    __slots__ = ("address", "draft", "ends", "hub", "marked_at", "seen", "send", "sent_at", "visitor", "writing")

    def __init__(self, hub: StreamHub, visitor: Any, seen: int, address: str) -> None:
        self.hub, self.seen, self.address = hub, seen, address
        self.visitor = visitor  # a Visitor; or whoever watches at the desk (web/desk/live.py): `topic` and `chatbot_id`
        self.send: Send | None = None  # until it is served
        self.writing = False
        self.draft: Draft | None = None
        self.marked_at = -math.inf  # when it was last said that this page is open
        self.sent_at = time.monotonic()
        self.ends = self.sent_at + LIFETIME * random.uniform(0.8, 1.2)


class StreamHub:
    """The streams of a process. Places are taken by requests' threads; everything else happens on the event loop."""

    #: Seconds within which each stream is compared with the database, which finds what no notification announced.
    reconcile = 10.0

    def __init__(self, limits: StreamLimits) -> None:
        self.limits = limits
        self.closed = False
        self._lock = threading.Lock()
        self._streams: dict[str, set[Subscription]] = defaultdict(set)
        self._by_chatbot: Counter[int] = Counter()
        self._by_address: Counter[str] = Counter()
        self._woken: dict[Subscription, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._something = asyncio.Event()
        self._reader = ThreadPoolExecutor(1, "widget-reader")
        self._tasks: set[asyncio.Task[None]] = set()
        _hubs.add(self)

    # ---- places

    def enter(self, visitor: Any, seen: int, address: str) -> Subscription:
        """Takes a place; `leave` gives it back. Raises StreamLimitReached."""
        with self._lock:
            self._check_room(visitor, address)
            subscription = Subscription(self, visitor, seen, address)
            self._streams[visitor.topic].add(subscription)
            self._by_chatbot[visitor.chatbot_id] += 1
            self._by_address[address] += 1
        return subscription

    def _check_room(self, visitor: Any, address: str) -> None:
        if self.closed:
            raise StreamLimitReached("This process is shutting down.", CLOSING_RETRY)
        if len(self._streams.get(visitor.topic, ())) >= PER_VISITOR:
            raise StreamLimitReached(f"This visitor has {PER_VISITOR} streams open.", FULL_RETRY)
        for what, taken, limit in (
            ("this address", self._by_address[address], self.limits.address),
            ("this chatbot", self._by_chatbot[visitor.chatbot_id], self.limits.chatbot),
            ("this process", self.count, self.limits.together),
        ):
            if taken >= limit:
                raise StreamLimitReached(f"All {limit} streams of {what} are taken.", FULL_RETRY)

    def leave(self, subscription: Subscription) -> None:
        """Gives a place back; a second time does nothing."""
        topic = subscription.visitor.topic
        with self._lock:
            subscriptions = self._streams.get(topic, set())
            if subscription in subscriptions:
                subscriptions.remove(subscription)
                _count_down(self._by_chatbot, subscription.visitor.chatbot_id)
                _count_down(self._by_address, subscription.address)
            if not subscriptions:
                self._streams.pop(topic, None)
            self._woken.pop(subscription, None)

    @property
    def count(self) -> int:
        """Open streams."""
        return self._by_chatbot.total()

    # ---- streams

    async def serve(self, subscription: Subscription, receive: Receive, send: Send) -> None:
        """Sends events until the page leaves, the stream has lived, or the process ends. Gives its place back.

        The answer's head is sent. What remains of a stream that waits is this coroutine, in `receive`.
        """
        self._start()
        subscription.send = send
        try:
            await self._write(subscription, f"retry: {RETRY}\n\n".encode())
            self._wake([subscription])  # what happened before it came
            if self.closed:
                await self._end(subscription)
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            subscription.send = None
            self.leave(subscription)

    def close(self) -> None:
        """Ends every stream, as a shutdown must: their pages resume elsewhere. On the event loop; a second time does nothing."""
        if self.closed:
            return
        self.closed = True
        self._something.set()
        for subscription in self._all_streams():
            self._begin(self._end(subscription))

    def _start(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._begin(self._keep_reading())
            self._begin(self._keep_tending())
            self._listen()

    def _listen(self) -> None:
        notifications.listen(self)

    def _begin(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # the loop itself keeps no reference
        task.add_done_callback(self._tasks.discard)

    async def _keep_tending(self) -> None:
        """Every second: comments for silent streams, the end of old ones, and some of all are compared with the database."""
        while not self.closed:
            await asyncio.sleep(1.0)
            now, streams = time.monotonic(), self._all_streams()
            for subscription in streams:
                if now > subscription.ends:
                    self._begin(self._end(subscription))
                elif now - subscription.sent_at > HEARTBEAT and not subscription.writing:
                    self._begin(self._write(subscription, b": still here\n\n"))
            turn, turns = int(now), max(1, round(self.reconcile))
            self._wake(streams[turn % turns :: turns])

    async def _write(self, subscription: Subscription, text: bytes, more: bool = True) -> None:
        """Waits while the page does not read; the connection ends if that lasts (web/server/connection.py)."""
        if subscription.send is None:
            return
        subscription.writing, subscription.sent_at = True, time.monotonic()
        await subscription.send({"type": "http.response.body", "body": text, "more_body": more})
        subscription.writing = False
        self._something.set()  # it may have been woken meanwhile

    async def _end(self, subscription: Subscription) -> None:
        send, subscription.send = subscription.send, None
        if send is not None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _all_streams(self) -> list[Subscription]:
        with self._lock:
            return [subscription for subscriptions in self._streams.values() for subscription in subscriptions]

    # ---- news

    def _wake(self, subscriptions: Iterable[Subscription]) -> None:
        with self._lock:
            self._woken.update(dict.fromkeys(subscriptions))
        self._something.set()

    async def _keep_reading(self) -> None:
        while not self.closed:
            await self._something.wait()
            self._something.clear()
            while page := self._take_page():
                await self._read(page)

    def _take_page(self) -> list[Subscription]:
        with self._lock:
            page = [stream for stream in self._woken if stream.send is not None and not stream.writing][:PAGE]
            for stream in page:
                del self._woken[stream]
            return page

    async def _read(self, page: list[Subscription]) -> None:
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

    def _ask(self, page: list[Subscription]) -> Sequence[Any]:
        """What is new for each stream; its pages count as open from then on. In a thread."""
        open_pages.mark(page)
        return news_of_many([Asked(stream.visitor, stream.seen, stream.draft) for stream in page])

    def _events(self, stream: Subscription, latest: Any) -> tuple[str, bool]:
        """What is sent of it, and whether there is more."""
        text, stream.draft = events_of(latest, stream.draft)
        stream.seen = latest.cursor
        return text, latest.is_behind

    async def _send_news(self, stream: Subscription, text: str, is_behind: bool) -> None:
        await self._write(stream, text.encode())
        if is_behind:
            self._wake([stream])

    # ---- notifications, from their thread

    def hear(self, topic: str) -> None:
        """Wakes the streams of one conversation."""
        with self._lock:
            subscriptions = list(self._streams.get(topic, ()))
        if subscriptions:
            self._wake_from_thread(subscriptions)

    def miss(self) -> None:
        """Wakes all streams: something may have been announced while nobody listened."""
        self._wake_from_thread(self._all_streams())

    def _wake_from_thread(self, subscriptions: list[Subscription]) -> None:
        assert self._loop is not None, "nobody listens before the first stream"
        try:
            self._loop.call_soon_threadsafe(self._wake, subscriptions)
        except RuntimeError:  # the loop is closed: the process ends
            self.closed = True


_hubs: weakref.WeakSet[StreamHub] = weakref.WeakSet()


def close_streams() -> None:
    """Ends the streams of this process. On the event loop."""
    for hub in list(_hubs):
        hub.close()


def _count_down(counts: Counter[Any], name: Any) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]
