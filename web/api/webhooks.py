"""/api/v1/webhook-endpoints and /webhook-events: where a business hears of events, and a second delivery of one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from flask import Response, jsonify
from marshmallow import Schema, ValidationError, fields, validate
from werkzeug.exceptions import Conflict

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.db.credentials import encrypt
from shared.payloads import EVENTS, check
from shared.webhooks import signing
from web.api.api import api, body, customer_id, found_or_404, page_of, row_id, to_json

#: Characters of a URL.
MAX_URL = 2_000
_COLUMNS = "id, url, events, active, created_at"  # never the secret

_LIST = f"""
    select {_COLUMNS} from webhook_endpoint where customer_id = %(customer_id)s and id < %(before)s
    order by id desc limit %(limit)s
"""
_ONE = f"select {_COLUMNS} from webhook_endpoint where customer_id = %(customer_id)s and id = %(id)s"
_CREATE = f"""
    insert into webhook_endpoint (customer_id, url, secret, events, active)
    values (%(customer_id)s, %(url)s, %(secret)s, %(events)s, %(active)s) returning {_COLUMNS}
"""
_CHANGE = f"""
    update webhook_endpoint set url = coalesce(%(url)s, url), events = coalesce(%(events)s, events),
        active = coalesce(%(active)s, active), secret = coalesce(%(secret)s, secret)
    where customer_id = %(customer_id)s and id = %(id)s returning {_COLUMNS}
"""
_DELETE = "delete from webhook_endpoint where customer_id = %(customer_id)s and id = %(id)s returning id"

_EVENTS = """
    select id, endpoint_id, event, status, attempts, response_status, error, created_at, delivered_at
    from webhook_event where customer_id = %(customer_id)s and id < %(before)s order by id desc limit %(limit)s
"""
_EVENT = """
    select v.id, v.status, e.active from webhook_event v join webhook_endpoint e on e.id = v.endpoint_id
    where v.customer_id = %(customer_id)s and v.id = %(id)s
"""
# Not while it is under way: the guard and the new job are one statement.
_RESEND = """
    with again as (
        update webhook_event set status = 'PENDING', delivered_at = null, error = null, response_status = null
        where customer_id = %(customer_id)s and id = %(id)s and status <> 'PENDING' returning id
    )
    select id, job_add_v1(jsonb_build_array(delivery_job_v1(%(customer_id)s, id))) as tickets from again
"""


def _address(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None and parts.port != 0
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or " " in url:
        raise ValidationError("want an http(s) URL with a host and without a password")


_url_checks: list[Any] = [validate.Length(max=MAX_URL, error=f"want at most {MAX_URL} characters"), _address]
_events_checks = validate.Length(min=1, error="want at least one event")


class NewEndpoint(Schema):
    """An endpoint to be made."""

    url = fields.String(required=True, validate=_url_checks)
    events = fields.List(
        fields.String(validate=validate.OneOf(EVENTS, error="want " + ", ".join(EVENTS))),
        load_default=list(EVENTS),
        validate=_events_checks,
    )
    active = fields.Boolean(load_default=True, truthy={True}, falsy={False})


class ChangedEndpoint(NewEndpoint):
    """What may change; `rotate_secret` makes a new secret, which the answer shows once."""

    url = fields.String(load_default=None, validate=_url_checks)
    events = fields.List(
        fields.String(validate=validate.OneOf(EVENTS, error="want " + ", ".join(EVENTS))),
        load_default=None,
        validate=_events_checks,
    )
    active = fields.Boolean(load_default=None, truthy={True}, falsy={False})
    rotate_secret = fields.Boolean(load_default=False, truthy={True}, falsy={False})


@api.get("/webhook-endpoints")
def endpoints() -> Response:
    """A page of endpoints, newest first; never a secret."""
    return page_of(_LIST)


@api.post("/webhook-endpoints")
def create_endpoint() -> tuple[Response, int]:
    """A new endpoint: 201, with the secret that signs its deliveries, shown this once."""
    given, secret = check(NewEndpoint, "webhook endpoint", body()), signing.new_secret()
    made = found_or_404(db.row(_CREATE, {**given, "customer_id": customer_id(), "secret": encrypt(secret)}), "customer")
    return jsonify({**to_json(made), "secret": secret}), 201


@api.get("/webhook-endpoints/<int:endpoint_id>")
def endpoint(endpoint_id: int) -> Response:
    """One endpoint."""
    return jsonify(to_json(found_or_404(db.row(_ONE, _params(endpoint_id)), "webhook endpoint")))


@api.patch("/webhook-endpoints/<int:endpoint_id>")
def change_endpoint(endpoint_id: int) -> Response:
    """Changes url, events or active; with `rotate_secret` the answer shows the new secret."""
    params, given = _params(endpoint_id), check(ChangedEndpoint, "webhook endpoint", body())
    secret = signing.new_secret() if given["rotate_secret"] else None
    changed = db.row(_CHANGE, {**params, **given, "secret": encrypt(secret) if secret else None})
    answer = to_json(found_or_404(changed, "webhook endpoint"))
    return jsonify({**answer, "secret": secret} if secret else answer)


@api.delete("/webhook-endpoints/<int:endpoint_id>")
def delete_endpoint(endpoint_id: int) -> tuple[str, int]:
    """Forgets an endpoint and its events; what is under way to it is given up."""
    found_or_404(db.row(_DELETE, _params(endpoint_id)), "webhook endpoint")
    return "", 204


@api.get("/webhook-events")
def events() -> Response:
    """A page of events, newest first."""
    return page_of(_EVENTS)


@api.post("/webhook-events/<int:event_id>/resend")
def resend(event_id: int) -> tuple[Response, int]:
    """Delivers an event once more, under its own id: 202. 409 while it is under way, or if its endpoint is switched off."""
    params = _params(event_id)
    event = found_or_404(db.row(_EVENT, params), "webhook event")
    if not event["active"]:
        raise Conflict("the event's endpoint is switched off; want it active first")
    again = db.row(_RESEND, params)
    if again is None:
        raise Conflict("the event is under way; want DELIVERED or FAILED first")
    enqueue(tickets_of(again["tickets"]))
    return jsonify(id=again["id"], status="PENDING"), 202


def _params(given: int) -> dict[str, Any]:
    return {"customer_id": customer_id(), "id": row_id(given)}
