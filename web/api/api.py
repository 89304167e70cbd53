"""/api/v1 for businesses' servers: the key, whose rows it opens, pages, and parameters. The routes are in web/api_*.py."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, NotFound, Unauthorized

from shared import db
from shared.payloads import MAX_ROW_ID
from web.api.keys import owner_of
from web.parameters import number
from web.request_limits import check_api_key, check_wrong_key

api = Blueprint("api", __name__, url_prefix="/api/v1")

#: Rows of a page at most, and where the request does not say.
MAX_PAGE, PAGE = 100, 50


@api.before_request
def _open() -> None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    owner = db.retry_on_outage(lambda: owner_of(key.strip()), db.WEB_RETRY_SECONDS) if scheme.lower() == "bearer" else None
    if owner is None:
        check_wrong_key()
        wanted = "no valid API key; want Authorization: Bearer sk_… with a key of scripts/keys create"
        raise Unauthorized(wanted, www_authenticate=WWWAuthenticate("bearer"))
    check_api_key(owner.key_id)
    g.customer_id = owner.customer_id


def customer_id() -> int:
    """Whose key opened this request."""
    found: int = g.customer_id
    return found


def body() -> dict[str, Any]:
    """The request's JSON object. Raises BadRequest."""
    said = request.get_json()
    if not isinstance(said, dict):
        raise BadRequest("the body is no object; want a JSON object")
    return said


def page_of(sql: str, **params: Any) -> Response:
    """A page of rows, newest first: {"data": […], "next": the id to go on `before`, or null}.

    `sql` has %(customer_id)s, %(before)s and %(limit)s, and selects `id`.
    """
    limit = number("limit", PAGE, most=MAX_PAGE) or PAGE
    given = {"customer_id": customer_id(), "before": number("before", MAX_ROW_ID), "limit": limit + 1, **params}
    found = db.rows(sql, given)
    rows = [to_json(row) for row in found[:limit]]
    return jsonify(data=rows, next=rows[-1]["id"] if len(found) > limit else None)


def to_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON shows it: times in ISO 8601."""
    return {name: value.isoformat() if isinstance(value, datetime | date) else value for name, value in row.items()}


def found_or_404(row: dict[str, Any] | None, what: str) -> dict[str, Any]:
    """The row. Raises NotFound: another customer's row is no row."""
    if row is None:
        raise NotFound(f"there is no such {what}; want the id of one of yours")
    return row


def row_id(given: int) -> int:
    """An id of a path. Raises NotFound for one that no row can have."""
    if not 1 <= given <= MAX_ROW_ID:
        raise NotFound("there is no such id; want one of yours")
    return given
