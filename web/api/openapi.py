"""/api/v1/openapi.json: the API for businesses' servers, described; schemathesis tests the one against the other."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from shared.channels.registry import CHANNELS
from shared.payloads import EVENTS, MAX_ROW_ID
from shared.queue_service import STATES
from shared.queues import Queue
from web.api.api import MAX_PAGE, PAGE
from web.api.usage import MAX_DAYS
from web.api.webhooks import MAX_URL

document = Blueprint("openapi", __name__)

Json = dict[str, Any]

_ID: Json = {"type": "integer", "minimum": 1, "maximum": MAX_ROW_ID}
_TIME: Json = {"type": "string", "format": "date-time"}
_TEXT: Json = {"type": "string"}


def _or_null(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]}


def _object(required: list[str] | None = None, **properties: Any) -> Json:
    wanted = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": wanted, "additionalProperties": False}


def _page(of: str) -> Json:
    return _object(data={"type": "array", "items": _ref(of)}, next=_or_null(_ID))


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


#: Narrower than what is taken, but every URL that it makes is.
_URL_PATTERN = r"^https?://[a-z]{1,30}\.[a-z]{2,10}(/[A-Za-z0-9/_-]*)?$"
_URL: Json = {
    "type": "string",
    "format": "uri",
    "pattern": r"^https?://[a-z0-9.-]+\.[a-z]{2,}(/[A-Za-z0-9/_-]*)?$",
    "maxLength": MAX_URL,
}
_EVENT_NAMES: Json = {"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(EVENTS)}}
_ENDPOINT: dict[str, Any] = {"id": _ID, "url": _TEXT, "events": _EVENT_NAMES, "active": {"type": "boolean"}, "created_at": _TIME}
_CONTENT: Json = {
    "type": "string",
    "minLength": 1,
    "maxLength": max(channel.max_content for channel in CHANNELS.values()),
    "pattern": r"\S",
}
_STATUSES: Json = {"type": "string", "enum": ["PENDING", "SENT", "DELIVERED", "READ", "FAILED"]}

SCHEMAS: Json = {
    "Problem": {
        "type": "object",
        "properties": {
            "type": _TEXT,
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "what was wrong, and what is right"},
            "errors": {"type": "object", "additionalProperties": _TEXT},
        },
        "required": ["type", "title", "status", "detail"],
    },
    "Conversation": _object(id=_ID, chatbot_id=_ID, channel=_TEXT, external_user_id=_TEXT, created_at=_TIME, updated_at=_TIME),
    "Message": _object(
        id=_ID,
        conversation_id=_ID,
        role={"type": "string", "enum": ["user", "assistant"]},
        content=_TEXT,
        status=_STATUSES,
        reply_to=_or_null(_ID),
        error=_or_null(_TEXT),
        created_at=_TIME,
        updated_at=_TIME,
    ),
    "NewMessage": _object(content=_CONTENT),
    "Endpoint": _object(**_ENDPOINT),
    "EndpointWithSecret": _object(list(_ENDPOINT), **_ENDPOINT, secret={"type": "string", "description": "whsec_…, shown once"}),
    "NewEndpoint": _object(["url"], url=_URL, events=_EVENT_NAMES, active={"type": "boolean"}),
    "ChangedEndpoint": _object([], url=_URL, events=_EVENT_NAMES, active={"type": "boolean"}, rotate_secret={"type": "boolean"}),
    "Event": _object(
        id=_ID,
        endpoint_id=_ID,
        event=_TEXT,
        status={"type": "string", "enum": ["PENDING", "DELIVERED", "FAILED"]},
        attempts={"type": "integer"},
        response_status=_or_null({"type": "integer"}),
        error=_or_null(_TEXT),
        created_at=_TIME,
        delivered_at=_or_null(_TIME),
    ),
    "Resent": _object(id=_ID, status={"type": "string", "enum": ["PENDING"]}),
    "Queues": _object(
        None, **{queue.value: _object(None, **{state: {"type": "integer"} for state in STATES}) for queue in Queue}
    ),
    "Usage": _object(
        day={"type": "string", "format": "date"},
        kind=_TEXT,
        quantity={"type": "integer"},
        prompt_tokens={"type": "integer"},
        completion_tokens={"type": "integer"},
    ),
    "Conversations": _page("Conversation"),
    "Messages": _page("Message"),
    "Endpoints": _page("Endpoint"),
    "Events": _page("Event"),
    "Usages": _object(data={"type": "array", "items": _ref("Usage")}),
}


def _query(name: str, schema: Json, about: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": about}


def _path(name: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": _ID}


_PAGED = [
    _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": PAGE}, "rows of a page"),
    _query("before", _ID, "`next` of the page before"),
]
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    "description": "the same key in the same conversation is the same message",
}
_DATE: Json = {"type": "string", "format": "date"}
_REASONS = {
    400: "a parameter or the body is malformed",
    401: "no valid API key",
    404: "no such row of yours",
    409: "not now",
    413: "the body is too large",
    415: "the body is not application/json",
    422: "a field of the body is wrong, `errors` names it; or the Idempotency-Key was used for another content",
    429: "too many requests with this key, or wrong keys of this address; Retry-After says when to come again",
    503: "the database does not answer; Retry-After says when to come again",
}


def _operation(name: str, about: str, answers: dict[int, str], body: str = "", parameters: list[Json] | None = None) -> Json:
    problems = [400, 401, 404, 429, 503, *((413, 415, 422) if body else ()), *((409,) if name == "resend" else ())]
    found: Json = {"operationId": name, "summary": about, "parameters": parameters or [], "responses": {}}
    for status, schema in answers.items():
        content = {"content": {"application/json": {"schema": _ref(schema)}}} if schema else {}
        found["responses"][str(status)] = {"description": "done", **content}
    for status in problems:
        content = {"application/problem+json": {"schema": _ref("Problem")}}
        found["responses"][str(status)] = {"description": _REASONS[status], "content": content}
    if body:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    return found


def _paths() -> Json:
    chatbot = _query("chatbot_id", _ID, "only conversations of this chatbot")
    talk, endpoint, event = _path("conversation_id"), _path("endpoint_id"), _path("event_id")
    length: Json = {"type": "integer", "minimum": 1, "maximum": MAX_DAYS, "default": 30}
    days = [_query("from", _DATE, "first day"), _query("days", length, "how many days")]
    said = {202: "Message", 200: "Message"}
    return {
        "/conversations": {"get": _operation("conversations", "Conversations", {200: "Conversations"}, "", [*_PAGED, chatbot])},
        "/conversations/{conversation_id}/messages": {
            "get": _operation("messages", "Messages", {200: "Messages"}, "", [talk, *_PAGED]),
            "post": _operation("say", "Send a message", said, "NewMessage", [talk, _KEY]),
        },
        "/webhook-endpoints": {
            "get": _operation("endpoints", "Webhook endpoints", {200: "Endpoints"}, "", _PAGED),
            "post": _operation("create_endpoint", "A new endpoint", {201: "EndpointWithSecret"}, "NewEndpoint"),
        },
        "/webhook-endpoints/{endpoint_id}": {
            "get": _operation("endpoint", "One endpoint", {200: "Endpoint"}, "", [endpoint]),
            "patch": _operation("change_endpoint", "Change it", {200: "EndpointWithSecret"}, "ChangedEndpoint", [endpoint]),
            "delete": _operation("delete_endpoint", "Forget it", {204: ""}, "", [endpoint]),
        },
        "/webhook-events": {"get": _operation("events", "Webhook events", {200: "Events"}, "", _PAGED)},
        "/webhook-events/{event_id}/resend": {"post": _operation("resend", "Deliver it again", {202: "Resent"}, "", [event])},
        "/queues": {"get": _operation("queues", "Jobs by queue and state", {200: "Queues"})},
        "/usage": {"get": _operation("usage", "Usage by day and kind", {200: "Usages"}, "", days)},
    }


def openapi() -> Json:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Switchboard",
            "version": "1",
            "description": "The API for businesses' servers. Errors are problem documents (RFC 9457).",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"key": []}],
        "paths": _paths(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "sk_…, of scripts/keys create"}},
        },
    }


@document.get("/api/v1/openapi.json")
def serve() -> Response:
    """The document, for everybody."""
    answer = jsonify(openapi())
    answer.headers["Cache-Control"] = "public, max-age=300"
    return answer
