"""Endpoints of a business: what it may set, created and changed; what the API and the desk share.

Each verb is given its customer, and sees no other's rows: None is "there is no such row". Secrets and the values of
own headers go in, and never come out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from peewee import Case, Expression, ModelSelect, fn

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.db.credentials import CredentialsUnreadable, decrypt, encrypt
from shared.errors import InvalidPayload, Refused
from shared.models import Chatbot, WebhookEndpoint, WebhookEvent, limits
from shared.webhooks import rotation, signing
from shared.webhooks.deliveries import delivery_job_tickets
from shared.webhooks.schemas import example_data
from shared.webhooks.triggers import Trigger

#: Own headers of an endpoint, and the characters of one.
MAX_HEADERS, MAX_HEADER = 10, 1000
HEADER_NAME = r"^[A-Za-z][A-Za-z0-9-]{0,99}$"
#: What HTTP itself, or we, say: a receiver must be able to trust it.
_RESERVED = re.compile(
    r"host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|accept-encoding|user-agent|proxy-.*"
    r"|webhook-.*|x-webhook-.*|svix-.*",
    re.IGNORECASE,
)
#: What a business may see of an endpoint; `headers` becomes `header_names` (`shown`).
COLUMNS = (
    WebhookEndpoint.id,
    WebhookEndpoint.url,
    WebhookEndpoint.description,
    WebhookEndpoint.events,
    WebhookEndpoint.chatbots,
    WebhookEndpoint.channels,
    WebhookEndpoint.headers,
    WebhookEndpoint.rate_limit,
    WebhookEndpoint.active,
    WebhookEndpoint.paused,
    WebhookEndpoint.redelivery_schedule,
    WebhookEndpoint.old_secret_until.alias("rotation_ends_at"),
    WebhookEndpoint.failing_since,
    WebhookEndpoint.disabled_reason,
    WebhookEndpoint.created_at,
)


def headers_problem(headers: Mapping[str, str]) -> str:
    """What is wrong with own headers, or nothing."""
    if len(headers) > MAX_HEADERS:
        return f"must be at most {MAX_HEADERS}"
    reserved = [name for name in headers if _RESERVED.fullmatch(name)]
    return f"must not set {reserved[0]}, which is ours to say" if reserved else ""


def listed(customer_id: int) -> ModelSelect[WebhookEndpoint]:
    """Its endpoints; rows are for `shown`."""
    return WebhookEndpoint.select(*COLUMNS).where(WebhookEndpoint.customer == customer_id)


def shown(endpoint: dict[str, Any]) -> dict[str, Any]:
    """What may be shown of a row."""
    headers = endpoint.pop("headers")
    return {**endpoint, "header_names": _names_of(headers, endpoint["id"]) if headers else []}


def name_of(endpoint: Mapping[str, Any]) -> str:
    """What an endpoint is called in the audit, if it has words or an address: of that the host, for it may hold a secret."""
    return endpoint["description"] or urlsplit(endpoint["url"] or "").hostname or ""


def _names_of(headers: str, endpoint_id: int) -> list[str] | None:
    try:
        return sorted(json.loads(decrypt(headers, f"webhook endpoint {endpoint_id}")))
    except CredentialsUnreadable:  # whoever reads this sees all else, and can set them again
        return None


def get(customer_id: int, endpoint_id: int) -> dict[str, Any] | None:
    """One of its endpoints."""
    row = db.row(WebhookEndpoint.select(*COLUMNS).where(_is_own(customer_id, endpoint_id)))
    return row and shown(row)


def create(customer_id: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """A new endpoint, with its secret. Raises TooMany, InvalidPayload, also for a chatbot that is not the customer's."""
    secret = signing.new_secret()
    _check_chatbots(customer_id, values.get("chatbots"))
    new = WebhookEndpoint.insert(customer=customer_id, secret=encrypt(secret), **_stored(values))
    with db.transaction():
        limits.check(limits.ENDPOINTS, customer_id, listed(customer_id))
        return {**shown(db.rows(new.returning(*COLUMNS))[0]), "secret": secret}


def change(customer_id: int, endpoint_id: int, values: Mapping[str, Any], rotates: bool = False) -> dict[str, Any] | None:
    """The endpoint as it is now, with its secret if that is new; None: it is not the customer's.

    A secret that is replaced signs as well for a day. Who switches an endpoint on again begins with a clean record. Call it in
    a transaction. Raises Refused, InvalidPayload, also for a chatbot that is not the customer's.
    """
    own = _is_own(customer_id, endpoint_id)
    if db.row(WebhookEndpoint.select(WebhookEndpoint.id).where(own)) is None:
        return None
    _check_chatbots(customer_id, values.get("chatbots"))
    is_turned = WebhookEndpoint.url.is_null(values.get("url") is not None)
    if "url" in values and db.row(WebhookEndpoint.select(WebhookEndpoint.id).where(own, is_turned)):
        # Events that wait to be read would have to be delivered, or the other way round.
        raise Refused("An endpoint with an address keeps one, and one whose events are read gets none. Make a new endpoint.")
    stored, secret = _stored(values), signing.new_secret() if rotates else None
    if secret:
        stored |= rotation.replaced(own, secret)
    if stored.get("active") is not None:
        stored |= {"failing_since": None, "warned_at": None, "disabled_reason": None}
    if stored.get("url") is not None:
        is_same = WebhookEndpoint.url == stored["url"], WebhookEndpoint.url_changed_at
        stored["url_changed_at"] = Case(None, [is_same], fn.clock_timestamp())
    if not stored:
        return get(customer_id, endpoint_id)
    row = db.row(WebhookEndpoint.update(**stored).where(own).returning(*COLUMNS))
    return row and {**shown(row), **({"secret": secret} if secret else {})}


def delete(customer_id: int, endpoint_id: int) -> int | None:
    """Its events go with it. Returns its id."""
    row = db.row(WebhookEndpoint.delete().where(_is_own(customer_id, endpoint_id)).returning(WebhookEndpoint.id))
    return None if row is None else int(row["id"])


def send_test(
    customer_id: int, endpoint_id: int, event: str | None, record: Callable[[], object] | None = None
) -> dict[str, Any] | None:
    """Delivers an example of an event, with `test` in its data, also where the endpoint is paused. Raises Refused.

    `record` writes of it in the same transaction.
    """
    is_own = _is_own(customer_id, endpoint_id)
    endpoint = db.row(WebhookEndpoint.select(WebhookEndpoint.url, WebhookEndpoint.events, WebhookEndpoint.active).where(is_own))
    if endpoint is None:
        return None
    if not endpoint["active"]:
        raise Refused("The endpoint is switched off. Set it active first.")
    name = event or endpoint["events"][0]
    values = {"customer": customer_id, "endpoint": endpoint_id, "event": name, "payload": {**example_data(name), "test": True}}
    shown: list[Any] = [WebhookEvent.id, WebhookEvent.status]
    if endpoint["url"] is None:  # it is there to be read
        values["position"] = 0
    else:
        shown.append(delivery_job_tickets(Trigger.TEST))
    with db.transaction():
        [row] = db.rows(WebhookEvent.insert(**values).returning(*shown))
        if record is not None:
            record()
    enqueue(tickets_of(row.pop("tickets", ())))
    return row


def _stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """As columns. Raises InvalidPayload."""
    stored = dict(values)
    if headers := stored.get("headers"):
        if problem := headers_problem(headers):
            raise InvalidPayload("webhook endpoint", {"headers": problem})
        stored["headers"] = encrypt(json.dumps(headers))
    elif "headers" in stored:
        stored["headers"] = None
    return stored


def _check_chatbots(customer_id: int, chatbots: list[int] | None) -> None:
    own = Chatbot.select(Chatbot.id).where((Chatbot.customer == customer_id) & Chatbot.id.in_(chatbots or []))
    if foreign := sorted(set(chatbots or ()) - {row["id"] for row in db.rows(own)}):
        raise InvalidPayload("webhook endpoint", {"chatbots": f"there is no chatbot {foreign[0]}; use the ids of yours"})


def _is_own(customer_id: int, endpoint_id: int) -> Expression:
    return (WebhookEndpoint.customer == customer_id) & (WebhookEndpoint.id == endpoint_id)
