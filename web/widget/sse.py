"""News for open pages: one LISTEN connection a process, one sleeping thread a stream.

PostgreSQL notifies at the commit that changed a conversation (widget_changed in schema.sql); the stream of that visitor
wakes and reads what is newer than it has told. A lost notification costs seconds, not news: the hub compares the revisions
of all its streams every RECONCILE seconds, and at once after its connection broke.
"""

from __future__ import annotations

import json
import logging
import random
import select
import threading
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shared import db
from web.widget.conversation import News, news
from web.widget.visitor import Visitor

log = logging.getLogger(__name__)

#: Seconds between looks for news that no notification told of: one statement for all streams of the process.
RECONCILE = 10.0
#: Seconds of silence after which a stream sends a comment: proxies keep it, and a dead page is noticed.
HEARTBEAT = 20.0
#: Seconds a stream lasts, more or less a fifth; then the page resumes it, maybe at another process.
LIFETIME = 900.0
#: Streams of one visitor: its tabs, and one or two that it left and that are not noticed yet.
PER_VISITOR = 6
#: Seconds after which a page may ask again: of a process that has no stream to spare, and of one that is being replaced.
FULL_RETRY = 30
CLOSING_RETRY = 2
#: Seconds between attempts to listen again.
RECONNECT_PAUSE = 1.0
#: Milliseconds that an EventSource waits before it resumes.
RETRY = 1000


class StreamLimitReached(Exception):
    """No stream to spare; the page polls meanwhile, and asks again after `retry` seconds."""

    def __init__(self, why: str, retry: int) -> None:
        super().__init__(why)
        self.retry = retry


class Subscription:
    """A stream's place in the hub. `seen` is the revision that its page has."""

    def __init__(self, visitor: Visitor, seen: int) -> None:
        self.visitor, self.seen = visitor, seen
        self.woken = threading.Event()
        self.woken.set()  # what happened before it came is read first


class Hub:
    """Wakes the streams of a process."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.closed = threading.Event()
        self._lock = threading.Lock()
        self._streams: dict[str, set[Subscription]] = defaultdict(set)
        self._count = 0
        self._listener: threading.Thread | None = None
        _hubs.add(self)

    @contextmanager
    def subscribe(self, visitor: Visitor, seen: int) -> Iterator[Subscription]:
        """A place for the length of the block. Raises StreamLimitReached."""
        subscription = self.enter(visitor, seen)
        try:
            yield subscription
        finally:
            self.leave(subscription)

    def enter(self, visitor: Visitor, seen: int) -> Subscription:
        """Takes a place; `leave` gives it back. Raises StreamLimitReached."""
        with self._lock:
            if self.closed.is_set():
                raise StreamLimitReached("this process ends", CLOSING_RETRY)
            if self._count >= self.limit:
                raise StreamLimitReached(f"all {self.limit} streams of this process are taken", FULL_RETRY)
            if len(self._streams.get(visitor.topic, ())) >= PER_VISITOR:
                raise StreamLimitReached(f"this visitor has {PER_VISITOR} streams open", FULL_RETRY)
            subscription = Subscription(visitor, seen)
            self._streams[visitor.topic].add(subscription)
            self._count += 1
            self._start()
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Gives a place back; a second time does nothing."""
        with self._lock:
            mine = self._streams.get(subscription.visitor.topic, set())
            if subscription in mine:
                mine.remove(subscription)
                self._count -= 1
            if not mine:
                self._streams.pop(subscription.visitor.topic, None)

    @property
    def count(self) -> int:
        """Open streams."""
        return self._count

    def close(self) -> None:
        """Ends every stream, as a shutdown must: their pages resume elsewhere. Only flags: safe in a signal handler."""
        self.closed.set()
        for topic in list(self._streams):
            for subscription in list(self._streams.get(topic, ())):
                subscription.woken.set()

    def wake(self, topic: str) -> None:
        """Wakes the streams of one conversation."""
        with self._lock:
            for subscription in self._streams.get(topic, ()):
                subscription.woken.set()

    def reconcile(self) -> None:
        """Wakes the streams whose conversation has moved on, whoever did not say so."""
        for subscription in behind(self._everyone()):
            subscription.woken.set()

    def _everyone(self) -> list[Subscription]:
        with self._lock:
            return [subscription for mine in self._streams.values() for subscription in mine]

    def _start(self) -> None:
        if self._listener is None:
            self._listener = threading.Thread(target=self._hear, name="widget-listener", daemon=True)
            self._listener.start()

    def _hear(self) -> None:
        while not self.closed.is_set():
            try:
                self._hear_until_broken()
            except Exception as problem:
                if not db.is_outage(problem):
                    log.exception("listening for widget news failed; again in a second")
                else:
                    db.outage.noticed(problem)
                self.closed.wait(RECONNECT_PAUSE)

    def _hear_until_broken(self) -> None:
        connection = db.listener("widget")
        try:
            db.outage.over()
            looked = 0.0  # at once: what was told while nobody listened
            ready = select.poll()  # select() takes no descriptor above 1023, and streams are many
            ready.register(connection, select.POLLIN)
            while not self.closed.is_set():
                if time.monotonic() - looked >= RECONCILE:
                    self.reconcile()
                    looked = time.monotonic()
                ready.poll(1000)
                connection.poll()
                while connection.notifies:
                    self.wake(connection.notifies.pop(0).payload)
        finally:
            connection.close()


_hubs: weakref.WeakSet[Hub] = weakref.WeakSet()


def close_streams() -> None:
    """Ends the streams of this process: gunicorn waits for its threads, and these would sleep until they are killed."""
    for hub in list(_hubs):
        hub.close()


_REVISIONS = """
    select w.n, c.revision from unnest(%(numbers)s::int[], %(bots)s::bigint[], %(visitors)s::text[]) w (n, bot, visitor)
    join conversation c on c.chatbot_id = w.bot and c.channel = 'widget' and c.external_user_id = w.visitor
"""


def behind(streams: list[Subscription]) -> list[Subscription]:
    """Those that have not seen the newest revision of their conversation."""
    if not streams:
        return []
    params = {
        "numbers": list(range(len(streams))),
        "bots": [stream.visitor.chatbot_id for stream in streams],
        "visitors": [stream.visitor.id for stream in streams],
    }
    return [streams[row["n"]] for row in db.rows(_REVISIONS, params) if row["revision"] > streams[row["n"]].seen]


def stream(hub: Hub, subscription: Subscription, read: Callable[[Visitor, int], News] = news) -> Iterator[str]:
    """Server-sent events until the page leaves, the stream has lived, or the process ends. Gives its place back."""
    ends = time.monotonic() + LIFETIME * random.uniform(0.8, 1.2)
    try:
        yield f"retry: {RETRY}\n\n"
        while not hub.closed.is_set() and time.monotonic() < ends:
            if subscription.woken.wait(HEARTBEAT):
                yield from _tell(subscription, read)
            else:
                yield ": still here\n\n"
    except Exception as problem:
        if not db.is_outage(problem):
            raise
        db.outage.noticed(problem)  # the page resumes where this stream ended
    finally:
        hub.leave(subscription)


def _tell(subscription: Subscription, read: Callable[[Visitor, int], News]) -> Iterator[str]:
    while True:
        subscription.woken.clear()
        found = read(subscription.visitor, subscription.seen)
        for revision, message in found.messages:
            yield event("message", message, revision)
        moved, subscription.seen = found.cursor > subscription.seen, found.cursor
        if not moved:
            return


def event(name: str, data: dict[str, Any], number: int) -> str:
    """One server-sent event; JSON has no line breaks of its own."""
    return f"event: {name}\nid: {number}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
