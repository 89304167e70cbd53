"""The widget's API: sessions, messages, history and live events of one visitor with one chatbot.

Cross-origin pages are answered if the business lists them (allowed_origins). Visitors show a bearer token and no cookie,
so a foreign page has nothing to ride on.
"""

from __future__ import annotations

import threading
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request
from werkzeug.exceptions import BadRequest, ServiceUnavailable, UnprocessableEntity

from shared.config import settings
from shared.errors import InvalidPayload
from shared.queue_service import Accepted, QueueService
from web.parameters import idempotency_key, number, used_otherwise
from web.request_limits import check_message, check_session
from web.widget.access import check_origin, find_bot, is_foreign
from web.widget.conversation import MAX_PAGE, content_of, history, news
from web.widget.sse import Hub, StreamLimitReached, stream
from web.widget.visitor import Visitor, new_token, visitor_of

api = Blueprint("widget_api", __name__, url_prefix="/api/v1/chatbots/<bot>")
_service = QueueService()

_CORS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Last-Event-ID",
    "Access-Control-Expose-Headers": "Retry-After, Idempotency-Replayed",
    "Access-Control-Max-Age": "7200",
}


@api.url_value_preprocessor
def _take_bot(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    g.bot_name = (values or {}).pop("bot", "")


@api.before_request
def _admit() -> None:
    g.bot = find_bot(g.bot_name)
    check_origin(g.bot, request.headers.get("Origin", ""), request.host)


@api.after_request
def _finish(answer: Response) -> Response:
    answer.vary.add("Origin")
    origin = request.headers.get("Origin", "")
    if is_foreign(origin, request.host) and "bot" in g and origin in g.bot.allowed_origins:
        answer.headers.update({"Access-Control-Allow-Origin": origin, **_CORS})
    return answer


def _visitor() -> Visitor:
    return visitor_of(g.bot.id, request.headers.get("Authorization", ""))


@api.post("/sessions")
def begin() -> tuple[Response, int]:
    """A token for a new visitor. Nothing is stored."""
    check_session()
    return jsonify(token=new_token(g.bot.id), chatbot={"name": g.bot.name}), 201


@api.post("/messages")
def say() -> tuple[Response, int]:
    """Accepts a message: 202 {id, status}. The same Idempotency-Key of the same visitor is the same message."""
    visitor = _visitor()
    key, said = idempotency_key(), request.get_json()
    if not isinstance(said, dict) or set(said) != {"content"} or not isinstance(said["content"], str):
        raise BadRequest('the body is not as it must be; want {"content": "the text"}')
    check_message(visitor)
    accepted = _accept(visitor, said["content"], key)
    answer = jsonify(id=accepted.message_id, status="ACCEPTED")
    if not accepted.new:
        _same(accepted.message_id, said["content"])
        answer.headers["Idempotency-Replayed"] = "true"
    return answer, 202


def _accept(visitor: Visitor, content: str, key: str | None) -> Accepted:
    message = {
        "chatbot_id": visitor.chatbot_id,
        "channel": "widget",
        "external_user_id": visitor.id,
        "content": content,
        # Another visitor's key must not be this one's: external ids are one space for the whole chatbot.
        "external_id": f"{visitor.id}:{key}" if key else None,
    }
    try:
        return _service.accept_message(message)
    except InvalidPayload as problem:
        raise UnprocessableEntity(str(problem)) from None


def _same(message_id: int, content: str) -> None:
    """Raises UnprocessableEntity if a message that was accepted before said something else."""
    if content_of(message_id) not in (content, None):  # None: pruned this moment
        raise used_otherwise()


@api.get("/messages")
def read() -> Response:
    """The conversation's newest messages (`limit`, `before` an id), or with `after` what changed since that cursor."""
    visitor = _visitor()
    after = number("after", None, 0, 2**62)
    if after is None:
        return jsonify(history(visitor, number("limit", 50, 1, MAX_PAGE) or 50, number("before", None, 1, 2**62)))
    found = news(visitor, after)
    return jsonify(messages=[message for _, message in found.messages], cursor=found.cursor, more=False)


@api.get("/events")
def events() -> Response:
    """Messages as they come, as server-sent events whose ids are revisions; resumes behind Last-Event-ID."""
    visitor, seen = _visitor(), request.headers.get("Last-Event-ID", "0").strip()
    if not (seen.isascii() and seen.isdigit() and len(seen) < 20):
        raise BadRequest(f"Last-Event-ID: got {seen[:40]!r}; want the id of an event of this stream")
    streams = hub()
    try:
        place = streams.enter(visitor, int(seen))
    except StreamLimitReached as problem:
        raise ServiceUnavailable(f"{problem}; want GET …/messages?after= meanwhile", retry_after=problem.retry) from None
    answer = Response(stream(streams, place), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})
    answer.call_on_close(lambda: streams.leave(place))  # also when the page left before the first byte
    return answer


_making = threading.Lock()


def hub() -> Hub:
    """This process's streams; made on first use, so after the fork."""
    with _making:
        return current_app.extensions.get("widget-hub") or _new_hub()


def _new_hub() -> Hub:
    made = Hub(settings().widget_max_streams)
    current_app.extensions["widget-hub"] = made
    return made
