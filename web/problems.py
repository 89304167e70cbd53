"""Errors as RFC 9457 says: application/problem+json with status, title and detail. Never a stack trace.

Who opens an address in a browser gets a page, in the browser's language (error_words)."""

from __future__ import annotations

import json
import logging
from typing import Any

import redis
import sentry_sdk
from flask import Flask, Response, has_request_context, make_response, render_template, request
from flask_babel import get_locale
from peewee import InterfaceError, OperationalError
from werkzeug.exceptions import (
    BadHost,
    HTTPException,
    InternalServerError,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
)

from shared import db
from shared.broker.connection import outage as redis_outage
from shared.db.credentials import CredentialsUnreadable
from shared.errors import InvalidPayload, Refused, ServiceDown
from shared.media.folder import FileMissing, StorageDown
from web.error_words import own_words, words_of
from web.hardening import PAGE_POLICY

log = logging.getLogger(__name__)

#: Seconds after which a client may try again when PostgreSQL does not answer.
RETRY_AFTER = 5
MIMETYPE = "application/problem+json"
#: Headers that an exception passes on to the answer; its body and length it does not.
_PASSED_ON = frozenset({"allow", "retry-after", "www-authenticate", "location"})


def install(app: Flask) -> None:
    """Answers every error of the application."""
    app.register_error_handler(HTTPException, answer_to)
    app.register_error_handler(InvalidPayload, _invalid)
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(CredentialsUnreadable, _unreadable)
    for outage in (OperationalError, InterfaceError, ServiceDown):
        app.register_error_handler(outage, _outage)
    for service in (redis.RedisError, StorageDown):
        app.register_error_handler(service, _service_down)
    app.register_error_handler(Exception, _unexpected)


def problem(
    status: int, title: str, detail: str, headers: dict[str, str] | None = None, *, own: str | None = None, **more: Any
) -> Response:
    """A problem document, or its page with this error's `own` words or general ones; `more` are members of its own."""
    if _is_opened_by_a_person():
        return _page(status, own, headers or {})
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    return Response(json.dumps(body, ensure_ascii=False), status, headers=headers, mimetype=MIMETYPE)


def _is_opened_by_a_person() -> bool:
    """A browser that opens an address, or sends a form, names HTML among what it takes; programs and scripts do not."""
    if not has_request_context():  # web/server/front.py refuses some bodies before Flask has the request
        return False
    is_for_programs = request.path.startswith(("/api/", "/webhooks/"))
    return request.method in ("GET", "POST") and "text/html" in dict(request.accept_mimetypes) and not is_for_programs


def _page(status: int, own: str | None, headers: dict[str, str]) -> Response:
    retry = int(headers.get("Retry-After", 0))
    title, advice = words_of(status, own, retry)
    comes_back = retry if status == 503 and request.method == "GET" else 0  # what a form sent would be asked for instead
    page = render_template("problem.html", title=title, advice=advice, retry=comes_back, locale=str(get_locale() or "en"))
    answer = make_response(page, status, headers)
    answer.headers["Content-Security-Policy"] = PAGE_POLICY
    answer.headers.add("Vary", "Accept-Language")
    return answer


def answer_to(error: HTTPException) -> Response:
    """The problem document of an HTTP error."""
    if error.response is not None:  # a redirect of the router
        return Response(status=error.response.status_code, headers={"Location": error.response.headers.get("Location", "/")})
    detail = error.description or error.name
    if isinstance(error, NotFound) and request.url_rule is None and request.path.startswith("/api/"):
        detail = "There is no such address in the API; GET /api/v1/openapi.json lists all that there are."
    elif isinstance(error, NotFound) and request.url_rule is None:
        detail = "There is no such page. Check the address for a typo."
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        detail = f"There is no {request.method} here. This address takes {', '.join(sorted(error.valid_methods))}."
    if isinstance(error, BadHost):
        detail = "The Host header is no name of a host. Send the name by which this server is known."
    if isinstance(error, RequestEntityTooLarge):
        detail = f"The body is too large. At most {request.max_content_length} bytes are allowed."
    headers = {name: value for name, value in error.get_headers() if name.lower() in _PASSED_ON}
    return problem(error.code or 500, error.name, detail, headers, own=own_words(error), **getattr(error, "members", {}))


def _invalid(error: InvalidPayload) -> Response:
    return problem(422, "Unprocessable Entity", str(error), errors=error.errors)


def _refused(error: Refused) -> Response:
    return problem(409, "Conflict", str(error))


def _unreadable(error: CredentialsUnreadable) -> Response:
    return answer_to(unreadable(error))


def unreadable(error: CredentialsUnreadable) -> ServiceUnavailable:
    """The HTTP error of a secret that no key of ours opens. It is logged."""
    log.error("credentials_unreadable", extra={"error": str(error)})
    # A provider sends its webhook once more: nothing is lost, if the key comes back in time.
    return ServiceUnavailable(
        "A stored secret cannot be decrypted. Whoever runs this server sets CREDENTIALS_KEY to the key that encrypted it."
    )


def _outage(error: Exception) -> Response:
    db.outage.noticed(error)
    # Whether the request took effect is not known: the answer to its commit may be what was lost.
    detail = f"The database is unavailable. Retry the same request in {RETRY_AFTER} seconds."
    return problem(503, "Service Unavailable", detail, {"Retry-After": str(RETRY_AFTER)})


def _service_down(error: redis.RedisError | StorageDown) -> Response:
    return answer_to(service_down(error))


def service_down(error: redis.RedisError | StorageDown) -> ServiceUnavailable:
    """The HTTP error of a page that shows what is in Redis, or in a file: everything else goes on without them. It is logged."""
    if isinstance(error, StorageDown):
        log.error("storage_down", extra={"error": str(error)})
        name = "The storage of files"
    else:
        redis_outage.noticed(error)
        name = f"Redis ({redis_outage.latest})"
    detail = f"{name} is unavailable. Retry the same request in {RETRY_AFTER} seconds."
    return ServiceUnavailable(detail, retry_after=RETRY_AFTER)


def _unexpected(error: Exception) -> Response:
    if db.is_passing(error):  # read only, a prepared statement lost: the database's errors of other classes
        return _outage(error)
    record(error)
    return problem(500, InternalServerError().name, "The request failed because of an error on our side, which was recorded.")


def record(error: Exception) -> None:
    """Logs an error on our side, and tells Sentry of it."""
    log.error("request_failed", extra={"route": request.url_rule.rule if request.url_rule else None}, exc_info=error)
    sentry_sdk.capture_exception(error)


def note_broken_off(error: Exception) -> None:
    """Logs why the rest of a long answer cannot be made. Its status has left: its client only sees that the connection ends."""
    if isinstance(error, FileMissing):
        log.warning("answer_broken_off", extra={"reason": "its file has been deleted"})
    elif isinstance(error, StorageDown):
        service_down(error)
    elif db.is_passing(error):
        db.outage.noticed(error)
    else:
        log.error("answer_failed", exc_info=error)
        sentry_sdk.capture_exception(error)
