"""What every request and answer goes through: how large a body may be, how deep its JSON, and the security headers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from flask import Flask, Request, Response, current_app, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from shared.payloads import strip_invalid

#: Bytes of a body, where a route does not say otherwise (`takes`).
MAX_BODY = 64 * 1024
#: Levels of nesting in JSON: Meta's deepest webhook has nine.
MAX_DEPTH = 32

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
#: A year; browsers heed it over https only.
_HSTS = "max-age=31536000"


class BadJson(ValueError):
    """JSON that we do not take."""


class SafeJson(DefaultJSONProvider):
    """Reads only JSON that PostgreSQL can keep: no NaN, no NUL, no half characters, not too deep."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:  # noqa: ARG002 - Flask's signature
        """Raises ValueError, which says what is wrong."""
        try:
            found = json.loads(s.decode() if isinstance(s, bytes) else s, parse_constant=_no_constant)
        except RecursionError:
            raise BadJson(f"is nested too deep; want at most {MAX_DEPTH} levels") from None
        return _checked(found, MAX_DEPTH)


def _no_constant(name: str) -> NoReturn:
    raise BadJson(f"holds {name}; want a number")


def _checked(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return strip_invalid(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise BadJson("holds a number that is too large; want one of at most 1.8e308")
    if isinstance(value, dict | list):
        if depth == 0:
            raise BadJson(f"is nested too deep; want at most {MAX_DEPTH} levels")
        if isinstance(value, dict):
            return {strip_invalid(name): _checked(item, depth - 1) for name, item in value.items()}
        return [_checked(item, depth - 1) for item in value]
    return value


class SafeRequest(Request):
    """Says what is wrong with a body."""

    def on_json_loading_failed(self, e: ValueError | None) -> Any:
        """Malformed JSON, or another content type."""
        if e is None:
            raise UnsupportedMediaType("Content-Type is not JSON; want application/json")
        if isinstance(e, json.JSONDecodeError):
            raise BadRequest(f"the body is not JSON: {e.msg} at line {e.lineno}, column {e.colno}")
        if isinstance(e, UnicodeDecodeError):
            raise BadRequest("the body is not UTF-8; want JSON in UTF-8")
        raise BadRequest(f"the body {e}" if isinstance(e, BadJson) else "the body holds a number that is too long")


View = TypeVar("View", bound=Callable[..., Any])


def max_body(most: int) -> Callable[[View], View]:
    """Lets a view take bodies of up to `most` bytes; written next to the view, under its route."""

    def mark(view: View) -> View:
        view.max_body = most  # type: ignore[attr-defined]  # a note on the function
        return view

    return mark


def install(app: Flask) -> None:
    """Puts the limits and the headers in force."""
    app.before_request(_limit)
    app.request_class = SafeRequest
    app.json = SafeJson(app)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.config["MAX_FORM_PARTS"] = 20
    app.after_request(_headers)


def _limit() -> None:
    """Refuses by the announced length, also where a view does not look at its body; what is not announced, when it is read."""
    view = current_app.view_functions.get(request.endpoint or "")
    request.max_content_length = most = getattr(view, "max_body", MAX_BODY)
    if (request.content_length or 0) > most:
        raise RequestEntityTooLarge


def _headers(answer: Response) -> Response:
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    if request.headers.get("X-Forwarded-Proto", request.scheme) == "https":
        answer.headers.setdefault("Strict-Transport-Security", _HSTS)
    return answer
