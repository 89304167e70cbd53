"""The widget's API: sessions, messages, history and live events of one visitor with one chatbot.

Cross-origin pages are answered if the business lists them (allowed_origins). Visitors show a bearer token and no cookie,
so a foreign page has nothing to ride on.
"""

from __future__ import annotations

import threading
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request
from marshmallow import ValidationError, fields
from werkzeug.exceptions import BadRequest, ServiceUnavailable, Unauthorized, UnprocessableEntity

from shared.config import settings
from shared.errors import InvalidPayload
from shared.payloads import is_blank
from shared.queue_service import Accepted, QueueService
from web import uploads
from web.files import answer_with
from web.hardening import bearer, is_foreign, max_body, reads_no_body_without
from web.parameters import IdempotencyHeader, QuerySchema, WholeNumber, key_reused, parser
from web.request_limits import check_message, check_session, client_site
from web.server.stream_places import StreamLimitReached, StreamLimits
from web.server.streams import STREAM
from web.widget import files
from web.widget.access import check_origin, find_bot
from web.widget.conversation import MAX_PAGE, history, news, said_in
from web.widget.ids import public_id, row_id
from web.widget.sse import WidgetHub, WidgetStream
from web.widget.testers import check_tester
from web.widget.visitor import TOKEN, Visitor, new_token, token_of, visitor_of

api = Blueprint("widget_api", __name__, url_prefix="/api/v1/chatbots/<bot>")
reads_no_body_without(bearer(TOKEN), api)
_service = QueueService()

#: Messages of a page where the request does not say.
PAGE = 50
#: A cursor of a query; no revision gets there.
MAX_CURSOR = 2**62
#: Where the application keeps its streams.
_HUB = "widget-hub"
_CORS = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Last-Event-ID",
    "Access-Control-Expose-Headers": "Retry-After, Idempotency-Replayed",
    "Access-Control-Max-Age": "7200",
}


class MessageId(fields.Field[int]):
    """A message's id, as this API tells it."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        number = row_id(value)
        if number is None:
            raise ValidationError(f"must be the id of a message of this conversation, got {value[:40]!r}.")
        return number


class HistoryQuerySchema(QuerySchema):
    """Which messages: the newest (`limit`, `before` an id), or what changed `after` a cursor."""

    limit = WholeNumber(1, MAX_PAGE, load_default=PAGE)
    before = MessageId()
    after = WholeNumber(0, MAX_CURSOR)


@api.url_value_preprocessor
def _take_public_key(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    g.public_key = (values or {}).pop("bot", "")


@api.before_request
def _authorize() -> None:
    g.bot = find_bot(g.public_key)
    check_origin(g.bot, request.headers.get("Origin", ""), request.host)


@api.after_request
def _add_cors_headers(answer: Response) -> Response:
    answer.vary.add("Origin")
    origin = request.headers.get("Origin", "")
    if is_foreign(origin, request.host) and "bot" in g and origin in g.bot.allowed_origins:
        answer.headers.update({"Access-Control-Allow-Origin": origin, **_CORS})
    return answer


def _visitor() -> Visitor:
    visitor = visitor_of(g.bot.id, request.headers.get("Authorization", ""))
    check_tester(visitor)
    return visitor


@api.post("/sessions")
def create_session() -> tuple[Response, int]:
    """A token for a new visitor: 201. Who shows a token that has not expired gets a new one of the same visitor: 200."""
    try:
        token, status = token_of(_visitor()), 200
    except Unauthorized:
        check_session(g.bot.id)
        token, status = new_token(g.bot.id), 201
    return jsonify(token=token, chatbot={"name": g.bot.name}), status


@api.post("/messages")
def send_message() -> tuple[Response, int]:
    """Accepts a message: 202 {id, status}. The same Idempotency-Key of the same visitor is the same message."""
    visitor = _visitor()
    key: str | None = parser.parse(IdempotencyHeader, location="headers", error_status_code=400).get("key")
    content, sent = _message(visitor)
    check_message(visitor)
    accepted = _accept(visitor, content, sent, key)
    answer = jsonify(id=public_id(accepted.message_id), status="ACCEPTED")
    if not accepted.new:
        if said_in(accepted.message_id) not in ((content, [one.sha256 for one in sent]), None):
            raise key_reused()
        answer.headers["Idempotency-Replayed"] = "true"
    return answer, 202


def _message(visitor: Visitor) -> tuple[str, list[files.Sent]]:
    """The text of a message, and its files; without a text a label says what it is, as in other channels."""
    body = request.get_json()
    is_right = isinstance(body, dict) and "content" in body and set(body) <= {"content", "files"}
    if not is_right or not isinstance(body["content"], str):
        raise BadRequest('The body must be {"content": "the text"}, with files also {"files": ["…"]}.')
    sent = files.sent_by(visitor, body.get("files", []))
    content: str = body["content"]
    return content if not is_blank(content) or not sent else uploads.label(sent[0].kind), sent


def _accept(visitor: Visitor, content: str, sent: list[files.Sent], key: str | None) -> Accepted:
    message: dict[str, Any] = {
        "chatbot_id": visitor.chatbot_id,
        "channel": "widget",
        "external_user_id": visitor.id,
        "content": content,
        # Another visitor's key must not be this one's: external ids are one space for the whole chatbot.
        "external_id": f"{visitor.id}:{key}" if key else None,
    }
    if sent:
        said = uploads.said_with(content, sent[0].kind)
        message |= {"kind": "media", "media": [one.as_media() for one in sent], "metadata": said}
    try:
        return _service.accept_message(message)
    except InvalidPayload as problem:
        raise UnprocessableEntity(str(problem)) from None


@api.post("/files")
@max_body(uploads.MAX_FILE, uploads.IN_MEMORY)
def send_file() -> tuple[Response, int]:
    """Stores a file, the request's body, for a message that names it: 201 {file, kind, mime, size, name}."""
    visitor = _visitor()
    check_message(visitor)  # or else a file would cost nothing
    sent, text = files.take(visitor, request.args.get("name", ""))
    return jsonify(file=text, kind=sent.kind, mime=sent.mime, size=sent.size, name=sent.name), 201


@api.get("/files/<file_id>")
def get_file(file_id: str) -> Response:
    """A file of the visitor's own conversation."""
    return answer_with(files.find(_visitor(), file_id))


@api.get("/messages")
def list_messages() -> Response:
    """The conversation's newest messages, or with `after` what changed since that cursor."""
    visitor = _visitor()
    query = parser.parse(HistoryQuerySchema, location="query", error_status_code=400)
    if "after" not in query:
        return jsonify(history(visitor, query["limit"], query.get("before")))
    latest = news(visitor, query["after"])
    return jsonify(messages=[message for _, message in latest.messages], cursor=latest.cursor, more=False)


@api.get("/events")
def stream_events() -> Response:
    """Messages as they come, as server-sent events whose ids are revisions; resumes behind Last-Event-ID.

    This is the head of the answer; its events come from the stream's place in the hub (web/server/front.py).
    """
    visitor, last_event_id = _visitor(), request.headers.get("Last-Event-ID", "0").strip()
    is_number = last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 20
    if not is_number or int(last_event_id) > MAX_CURSOR:  # many pages' news are read by one statement, which would fail
        raise BadRequest(f"Last-Event-ID must be the id of an event of this stream, got {last_event_id[:40]!r}.")
    try:
        if request.method == "GET":  # and not HEAD
            request.environ[STREAM] = hub().enter(WidgetStream(visitor, int(last_event_id), client_site()))
    except StreamLimitReached as problem:
        raise ServiceUnavailable(f"{problem} Poll GET …/messages?after= meanwhile.", retry_after=problem.retry) from None
    return Response(mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


_creating_hub = threading.Lock()


def hub() -> WidgetHub:
    """This process's streams; made on first use, so after the fork."""
    with _creating_hub:
        if _HUB not in current_app.extensions:
            conf = settings()
            limits = StreamLimits(conf.widget_max_streams, conf.widget_chatbot_max_streams, conf.widget_address_max_streams)
            current_app.extensions[_HUB] = WidgetHub(limits)
        streams: WidgetHub = current_app.extensions[_HUB]
        return streams
