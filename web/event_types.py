"""What events there are, for everyone: a page with examples, and the JSON Schema of each."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, jsonify, make_response, render_template
from flask_babel import get_locale
from werkzeug.exceptions import NotFound

from shared.webhooks import schemas
from shared.webhooks.events import EVENT_TYPES

event_types = Blueprint("event_types", __name__)

#: Seconds that a client may keep them: they change with a release.
_MAX_AGE = 300
_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@event_types.get("/webhooks/events")
def page() -> Response:
    """All events, with their members and an example of each, in the browser's language."""
    events = [{"type": event, **_described(event.name)} for event in EVENT_TYPES.values()]
    answer = make_response(render_template("event_types.html", events=events, locale=str(get_locale() or "en")))
    answer.headers.add("Vary", "Accept-Language")
    answer.headers["Content-Security-Policy"] = _POLICY
    answer.headers["Cache-Control"] = f"public, max-age={_MAX_AGE}"
    return answer


@event_types.get("/api/v1/events/schemas/<name>")
def schema(name: str) -> Response:
    """The JSON Schema (draft 2020-12) of an event."""
    if name not in EVENT_TYPES:
        raise NotFound("There is no such event. They are listed at /webhooks/events.")
    answer = jsonify(schemas.schema(name))
    answer.mimetype = "application/schema+json"
    answer.headers["Cache-Control"] = f"public, max-age={_MAX_AGE}"
    answer.headers["Access-Control-Allow-Origin"] = "*"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return answer


def _described(event: str) -> dict[str, Any]:
    data = schemas.schema(event)["properties"]["data"]
    members = [
        {"name": name, "is_required": name in data["required"], "description": about.get("description", ""), "kind": _kind(about)}
        for name, about in data["properties"].items()
    ]
    return {"members": members, "example": json.dumps(schemas.example(event), indent=2, ensure_ascii=False)}


def _kind(member: dict[str, Any]) -> str:
    if "enum" in member:
        return " | ".join(member["enum"])
    kind = member.get("type", "text")
    return " or ".join(kind) if isinstance(kind, list) else str(kind)
