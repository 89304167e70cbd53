"""Tells open pages of the desk that something has changed, as server-sent events: ids, no texts. Pages fetch what they show.

The streams are connections of the event loop, without a thread (web/server/streams.py). Nothing announces changes for
the desk, so that no message gets slower by somebody watching: once a second a process asks for marks of what its pages show, all
of them in two statements, and for who may still see it. The stream of somebody who was logged out or disabled ends; `rights` says
what its user may, and a page that was made for other rights goes (static/desk/desk.js). A new stream is told at once, so one that
broke has missed nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

from flask import Response, current_app, g, request
from werkzeug.exceptions import NotFound, ServiceUnavailable

from shared.db import sql
from shared.inbox import thread
from shared.models import User
from shared.people import sessions, users
from web.desk import access, desk, forms
from web.desk.access import allowed
from web.request_limits import client_site
from web.server.stream_places import StreamLimitReached, StreamLimits
from web.server.streams import STREAM, Stream, StreamHub

queries = sql.load(__file__)

#: Streams of a process together, of one customer, of one address.
LIMITS = StreamLimits(together=1_000, group=300, address=300)
#: Stands for the mark of what a stream has told nothing of. An erased conversation's mark is None, and that is news.
_UNTOLD = object()
#: For each event its mark, and its data.
Events: TypeAlias = dict[str, tuple[Any, dict[str, Any]]]
_HUB = "switchboard.desk_streams"
_creating_hub = threading.Lock()


class DeskStream(Stream):
    """An open page of the desk: the lists of a customer, and maybe one conversation; or operators' failures."""

    __slots__ = ("conversation_id", "customer_id", "session_id", "shown")

    def __init__(self, topic: str, session_id: int, customer_id: int | None, conversation_id: int | None, address: str) -> None:
        super().__init__(topic, customer_id or 0, address)
        self.session_id, self.customer_id, self.conversation_id = session_id, customer_id, conversation_id
        self.shown: dict[str, Any] = {}  # for each event its mark


class DeskHub(StreamHub[DeskStream]):
    """The desk's streams of a process. Nobody announces what changes; it is asked each second."""

    group = "this business"

    reconcile = 1.0
    #: An event, for a page is not told of comments: where none comes any more, the connection is dead (static/desk/desk.js).
    sign_after, sign = 10.0, b"event: here\ndata: 1\n\n"

    def _ask(self, page: list[DeskStream]) -> Sequence[Any]:
        logged_in = sessions.users_of({stream.session_id for stream in page})
        customers = {stream.customer_id for stream in page if stream.customer_id}
        open_ones = {stream.conversation_id for stream in page if stream.conversation_id}
        lists = {row["customer_id"]: row for row in queries["lists"].rows(customers=list(customers))} if customers else {}
        marks = (
            {row["id"]: row["mark"] for row in queries["conversations"].rows(conversations=list(open_ones))} if open_ones else {}
        )
        failures = queries["failures"].scalar() if any(not stream.customer_id for stream in page) else None
        latest = [_latest(stream, lists, marks, failures) for stream in page]
        return [_for_user(logged_in.get(stream.session_id), stream, events) for stream, events in zip(page, latest, strict=True)]

    def _events(self, stream: DeskStream, latest: Events | None) -> tuple[str, bool]:
        if latest is None:  # it ends now, and the page gets no other one
            stream.ends = 0.0
            return "", False
        changed = {name: data for name, (mark, data) in latest.items() if stream.shown.get(name, _UNTOLD) != mark}
        stream.shown.update({name: latest[name][0] for name in changed})
        return "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in changed.items()), False


def _for_user(user: User | None, stream: DeskStream, events: Events) -> Events | None:
    """What a stream's user hears; None: may not see it any more."""
    if user is None or not _may_see(user, stream):
        return None
    rights = access.rights(user)
    return {"rights": (rights, {"rights": rights}), **events}


def _may_see(user: User, stream: DeskStream) -> bool:
    """Whether its user could open it now: was not given another role."""
    if stream.customer_id is None:
        return users.may(user, "operator")
    return users.may(user, "agent") and (user.role == "operator" or user.customer_id == stream.customer_id)


def _latest(stream: DeskStream, lists: dict[int, dict[str, Any]], marks: dict[int, str], failures: str | None) -> Events:
    """For each event its mark, and its data."""
    if stream.customer_id is None:
        return {"failures": (failures, {})}
    row = lists.get(stream.customer_id)
    waits = row is not None and row["handed_over_at"] is not None
    handoff = {"handoff": row["newest"], "at": float(row["handed_over_at"])} if row and waits else {"handoff": None, "at": 0}
    latest: Events = {"list": (row and row["mark"], handoff)}
    if stream.conversation_id:
        latest["conversation"] = (marks.get(stream.conversation_id), {"id": stream.conversation_id})
    return latest


@desk.get("/c/<int:customer_id>/events")
@allowed("agent")
def events() -> Response:
    """`list`: a list has changed, with the newest handoff that waits; `conversation`: the one named in the address has.

    404 if that is not there: the page that shows it goes (static/desk/desk.js).
    """
    open_id = forms.row_id(request.args, "conversation")
    found = thread.conversation(g.customer.id, open_id) if open_id else None
    if open_id and found is None:
        raise NotFound
    return _answer(DeskStream(f"desk {g.user.id}", g.session_id, g.customer.id, found["id"] if found else None, client_site()))


@desk.get("/operate/events")
@allowed("operator")
def operate_events() -> Response:
    """`failures`: a job has failed for good, a channel went down or came back, a replay went on, something was paused."""
    return _answer(DeskStream(f"operate {g.user.id}", g.session_id, None, None, client_site()))


def _answer(stream: DeskStream) -> Response:
    """The head of the answer; its events come from its place in the hub (web/server/front.py)."""
    try:
        if request.method == "GET":
            request.environ[STREAM] = hub().enter(stream)
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
