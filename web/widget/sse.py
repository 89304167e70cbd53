"""Server-sent events for open pages: one LISTEN connection a process, one sleeping thread a stream.

PostgreSQL notifies at the commit that changed a conversation (widget_changed in schema.sql); the stream of that visitor
wakes and reads what is newer than what it has sent. A lost notification delays a message by seconds and loses none: the hub
compares the revisions of all its streams every RECONCILE seconds, and at once after its connection broke.
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

from peewee import ValuesList

from shared import db
from shared.models import Conversation
from web.widget.conversation import News, news
from web.widget.visitor import Visitor

log = logging.getLogger(__name__)

#: Seconds between comparisons of all streams with the database, which find what no notification announced.
RECONCILE = 10.0
#: Seconds in which PostgreSQL answers on the listening connection; one that a network has forgotten never speaks again.
ANSWER_WITHIN = 5.0
#: Seconds of silence after which a stream sends a comment: proxies keep it, and a dead page is noticed.
HEARTBEAT = 20.0
#: Seconds a stream lasts, more or less a fifth; then the page resumes it, maybe at another process.
LIFETIME = 900.0
#: Streams of one visitor: its tabs, and one or two that it has left and whose end is not noticed yet.
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

    def __init__(self, reason: str, retry: int) -> None:
        super().__init__(reason)
        self.retry = retry


class Subscription:
    """A stream's place in the hub. `seen` is the revision that its page has."""

    def __init__(self, visitor: Visitor, seen: int) -> None:
        self.visitor, self.seen = visitor, seen
        self.woken = threading.Event()
        self.woken.set()  # what happened before it came is read first


class StreamHub:
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
                raise StreamLimitReached("This process is shutting down.", CLOSING_RETRY)
            if self._count >= self.limit:
                raise StreamLimitReached(f"All {self.limit} streams of this process are taken.", FULL_RETRY)
            if len(self._streams.get(visitor.topic, ())) >= PER_VISITOR:
                raise StreamLimitReached(f"This visitor has {PER_VISITOR} streams open.", FULL_RETRY)
            subscription = Subscription(visitor, seen)
            self._streams[visitor.topic].add(subscription)
            self._count += 1
            self._start_listener()
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Gives a place back; a second time does nothing."""
        with self._lock:
            subscriptions = self._streams.get(subscription.visitor.topic, set())
            if subscription in subscriptions:
                subscriptions.remove(subscription)
                self._count -= 1
            if not subscriptions:
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
        """Wakes the streams whose conversation has moved on."""
        for subscription in behind(self._all_streams()):
            subscription.woken.set()

    def _all_streams(self) -> list[Subscription]:
        with self._lock:
            return [subscription for subscriptions in self._streams.values() for subscription in subscriptions]

    def _start_listener(self) -> None:
        if self._listener is None:
            self._listener = threading.Thread(target=self._listen, name="widget-listener", daemon=True)
            self._listener.start()

    def _listen(self) -> None:
        while not self.closed.is_set():
            try:
                self._listen_until_broken()
            except Exception as problem:
                if not db.is_outage(problem):
                    log.exception("widget_listener_failed")
                else:
                    db.outage.noticed(problem)
                self.closed.wait(RECONNECT_PAUSE)

    def _listen_until_broken(self) -> None:
        connection = db.listener("widget")
        try:
            db.outage.over()
            reconciled_at = 0.0  # at once: what was announced while nobody listened
            ready = select.poll()  # select() takes no descriptor above 1023, and streams are many
            ready.register(connection, select.POLLIN)
            while not self.closed.is_set():
                if time.monotonic() - reconciled_at >= RECONCILE:
                    if not connection.answers(ANSWER_WITHIN, "listen widget"):
                        return
                    self.reconcile()
                    reconciled_at = time.monotonic()
                ready.poll(1000)
                connection.poll()
                while connection.notifies:
                    self.wake(connection.notifies.pop(0).payload)
        finally:
            connection.close()


_hubs: weakref.WeakSet[StreamHub] = weakref.WeakSet()


def close_streams() -> None:
    """Ends the streams of this process: at a shutdown gunicorn waits for its threads, and these would sleep on."""
    for hub in list(_hubs):
        hub.close()


def behind(streams: list[Subscription]) -> list[Subscription]:
    """Those that have not seen the newest revision of their conversation."""
    if not streams:
        return []
    visitors = [(number, stream.visitor.chatbot_id, stream.visitor.id) for number, stream in enumerate(streams)]
    open_stream = ValuesList(visitors, columns=("number", "chatbot_id", "visitor_id"), alias="open_stream")
    is_its_conversation = (
        (Conversation.chatbot == open_stream.c.chatbot_id)
        & (Conversation.channel == "widget")
        & (Conversation.external_user_id == open_stream.c.visitor_id)
    )
    revisions = Conversation.select(open_stream.c.number, Conversation.revision).join(open_stream, on=is_its_conversation)
    return [streams[row["number"]] for row in db.rows(revisions) if row["revision"] > streams[row["number"]].seen]


def stream(hub: StreamHub, subscription: Subscription, read: Callable[[Visitor, int], News] = news) -> Iterator[str]:
    """Server-sent events until the page leaves, the stream has lived, or the process ends. Gives its place back."""
    ends = time.monotonic() + LIFETIME * random.uniform(0.8, 1.2)
    try:
        yield f"retry: {RETRY}\n\n"
        while not hub.closed.is_set() and time.monotonic() < ends:
            if subscription.woken.wait(HEARTBEAT):
                yield from _unseen_events(subscription, read)
            else:
                yield ": still here\n\n"
    except Exception as problem:
        if not db.is_outage(problem):
            raise
        db.outage.noticed(problem)  # the page resumes where this stream ended
    finally:
        hub.leave(subscription)


def _unseen_events(subscription: Subscription, read: Callable[[Visitor, int], News]) -> Iterator[str]:
    while True:
        subscription.woken.clear()
        latest = read(subscription.visitor, subscription.seen)
        for revision, message in latest.messages:
            yield event("message", message, revision)
        moved_on, subscription.seen = latest.cursor > subscription.seen, latest.cursor
        if not moved_on:
            return


def event(name: str, data: dict[str, Any], event_id: int) -> str:
    """One server-sent event; JSON has no line breaks of its own."""
    return f"event: {name}\nid: {event_id}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
