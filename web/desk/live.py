"""Tells open pages of the desk that something has changed, as server-sent events: ids, no texts. Pages fetch what they show.

The streams are the widget's (web/widget/sse.py): connections of the event loop, without a thread. Nothing announces changes for
the desk, so that no message gets slower by somebody watching: once a second a process asks for marks of what its pages show, all
of them in two statements. A new stream is told at once, so one that broke has missed nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import Response, current_app, g, request
from werkzeug.exceptions import ServiceUnavailable

from shared.db import sql
from shared.inbox import thread
from web.desk import desk
from web.desk.access import allowed
from web.desk.inbox import number
from web.request_limits import client_site
from web.widget.sse import STREAM, StreamHub, StreamLimitReached, StreamLimits, Subscription

queries = sql.load(__file__)

#: Streams of a process together, of one customer, of one address.
LIMITS = StreamLimits(together=1_000, chatbot=300, address=300)
_HUB = "switchboard.desk_streams"
_creating_hub = threading.Lock()


@dataclass(eq=False)
class Watcher:
    """Whose page it is, and what it shows: the lists of a customer, and maybe one conversation; or operators' failures."""

    topic: str
    customer_id: int | None
    conversation_id: int | None
    shown: dict[str, Any] = field(default_factory=dict)

    @property
    def chatbot_id(self) -> int:
        """By which streams are counted."""
        return self.customer_id or 0


class DeskHub(StreamHub):
    """The desk's streams of a process."""

    reconcile = 1.0

    def _listen(self) -> None:
        """Nobody announces; it is asked each second."""

    def _ask(self, page: list[Subscription]) -> Sequence[Any]:
        watchers: list[Watcher] = [stream.visitor for stream in page]
        customers = {watcher.customer_id for watcher in watchers if watcher.customer_id}
        open_ones = {watcher.conversation_id for watcher in watchers if watcher.conversation_id}
        lists = {row["customer_id"]: row for row in queries["lists"].rows(customers=list(customers))} if customers else {}
        marks = (
            {row["id"]: row["mark"] for row in queries["conversations"].rows(conversations=list(open_ones))} if open_ones else {}
        )
        failures = queries["failures"].scalar() if any(not watcher.customer_id for watcher in watchers) else None
        return [_latest(watcher, lists, marks, failures) for watcher in watchers]

    def _events(self, stream: Subscription, latest: dict[str, tuple[Any, dict[str, Any]]]) -> tuple[str, bool]:
        watcher: Watcher = stream.visitor
        changed = {name: data for name, (mark, data) in latest.items() if watcher.shown.get(name) != mark}
        watcher.shown.update({name: latest[name][0] for name in changed})
        return "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in changed.items()), False


def _latest(
    watcher: Watcher, lists: dict[int, dict[str, Any]], marks: dict[int, str], failures: str | None
) -> dict[str, tuple[Any, dict[str, Any]]]:
    """For each event its mark, and its data."""
    if watcher.customer_id is None:
        return {"failures": (failures, {})}
    row = lists.get(watcher.customer_id)
    waits = row is not None and row["handed_over_at"] is not None
    handoff = {"handoff": row["newest"], "at": float(row["handed_over_at"])} if row and waits else {"handoff": None, "at": 0}
    latest: dict[str, tuple[Any, dict[str, Any]]] = {"list": (row and row["mark"], handoff)}
    if watcher.conversation_id:
        latest["conversation"] = (marks.get(watcher.conversation_id), {"id": watcher.conversation_id})
    return latest


@desk.get("/c/<int:customer_id>/events")
@allowed("agent")
def events() -> Response:
    """`list`: a list has changed, with the newest handoff that waits; `conversation`: the one named in the address has."""
    open_id = number("conversation")
    found = thread.conversation(g.customer.id, open_id) if open_id else None
    return _stream(Watcher(f"desk {g.user.id}", g.customer.id, found["id"] if found else None))


@desk.get("/operate/events")
@allowed("operator")
def operate_events() -> Response:
    """`failures`: a job has failed for good, a channel went down or came back, a replay went on, something was paused."""
    return _stream(Watcher(f"operate {g.user.id}", None, None))


def _stream(watcher: Watcher) -> Response:
    """The head of the answer; its events come from its place in the hub (web/server/front.py)."""
    try:
        if request.method == "GET":
            request.environ[STREAM] = hub().enter(watcher, 0, client_site())
    except StreamLimitReached as problem:
        raise ServiceUnavailable(str(problem), retry_after=problem.retry) from None
    return Response(mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


def hub() -> DeskHub:
    """This process's streams; made on first use, so after the fork."""
    with _creating_hub:
        if _HUB not in current_app.extensions:
            current_app.extensions[_HUB] = DeskHub(LIMITS)
        streams: DeskHub = current_app.extensions[_HUB]
        return streams
