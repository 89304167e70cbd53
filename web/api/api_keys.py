"""/api/v1/keys: a business's API keys. A key that manages makes others, which do not manage, and which end with it."""

from __future__ import annotations

from typing import Any

from flask import Response, g
from marshmallow import fields
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Conflict, Unauthorized

from shared import db
from shared.errors import InvalidPayload, Refused
from shared.people import users
from shared.teaching import fields as given
from web.api import keys
from web.api.api import api, customer_id, existing
from web.api.schemas import stored_id, stored_text, stored_time
from web.audited import audited
from web.parameters import BodySchema


class KeySchema(BodySchema):
    """A key, without its secret."""

    id = stored_id()
    name = stored_text()
    manages = fields.Boolean(
        required=True, metadata={"description": "Whether it may invite people, make keys and connect channels."}
    )
    made_by = stored_id(allow_none=True, metadata={"description": "The key that made it, and with which it ends."})
    created_at = stored_time()
    revoked_at = stored_time(allow_none=True)


class NewKeySchema(BodySchema):
    """A key to be made."""

    what = "API key"
    name = given.text(200, required=True, metadata={"description": "What it is for."})


class KeyWithSecretSchema(KeySchema):
    """A key that was made."""

    key = stored_text(metadata={"description": "The key itself; it is shown this once."})


class KeysSchema(BodySchema):
    """All keys of a business."""

    data = fields.List(fields.Nested(KeySchema), required=True)


@api.get("/keys")
@api.response(200, KeysSchema)
def list_keys() -> dict[str, Any]:
    """List API keys

    Those that work first. A key itself is never shown again.
    """
    return {"data": keys.of_customer(customer_id())}


@api.post("/keys")
@api.managing
@api.arguments(NewKeySchema)
@api.response(201, KeyWithSecretSchema)
def create_key(new: dict[str, Any]) -> dict[str, Any]:
    """Make an API key

    With a key that manages. The new one does not, and ends when the one that made it is revoked.
    """
    try:
        name = users.checked_name(new["name"])
    except Refused as refusal:
        raise InvalidPayload("API key", {"name": str(refusal)}) from None
    with db.transaction():
        try:
            key = keys.create(customer_id(), name, made_by=g.key.key_id)
        except keys.KeyRevoked:
            raise Unauthorized("This key was revoked meanwhile.", www_authenticate=WWWAuthenticate("bearer")) from None
        made = keys.find(existing(keys.owner_of(key), "key").key_id, customer_id()) or {}
        audited("key.created", "key", made["id"], name=name)
    return {**made, "key": key}


@api.delete("/keys/<int:key_id>")
@api.managing
@api.response(204)
@api.alt_response(409, response="CONFLICT")
def revoke_key(key_id: int) -> Response:
    """Revoke an API key

    One that manages is revoked at the desk (409), with those that it made.
    """
    with db.transaction():
        key = existing(keys.find(key_id, customer_id()), "key")
        if key["manages"]:
            raise Conflict("This is a key that manages. An owner revokes it at the desk.")
        keys.revoke(key_id, customer_id())
        audited("key.revoked", "key", key_id, name=key["name"])
    return Response(status=204)
