"""/api/v1/channels: a business's accounts on its channels, whether they can send, and new credentials for one that cannot."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import fields, validate

from shared import db
from shared.channels import accounts, health
from shared.teaching import fields as given
from web.api.api import api, customer_id, existing
from web.api.schemas import stored_id, stored_time
from web.audited import audited
from web.connecting import CONNECTED
from web.parameters import BodySchema

#: Characters of a token.
MAX_SECRET = 4_096
#: The address of an account.
ACCOUNT = f"/channels/<any({', '.join(CONNECTED)}):channel>/<int:chatbot_id>"


class ChannelSchema(BodySchema):
    """An account of a chatbot on a channel: a number, a session."""

    channel = fields.String(required=True, validate=validate.OneOf(CONNECTED))
    chatbot_id = stored_id()
    name = fields.String(required=True, metadata={"description": "The provider's name for it: a number's id, a session."})
    active = fields.Boolean(required=True)
    state = fields.String(required=True, validate=validate.OneOf(health.STATES))
    reason = fields.String(required=True, allow_none=True)
    explanation = fields.String(required=True, allow_none=True, metadata={"description": "What is wrong, and what to do."})
    detail = fields.String(required=True, allow_none=True, metadata={"description": "The provider's own words."})
    since = stored_time(allow_none=True)
    next_try_at = stored_time(allow_none=True)
    held_replies = fields.Integer(
        required=True, metadata={"description": "Conversations whose next reply waits until the account can send."}
    )


class ChannelsSchema(BodySchema):
    """All accounts of a business."""

    data = fields.List(fields.Nested(ChannelSchema), required=True)


class CredentialsSchema(BodySchema):
    """A new token or key of an account. It is stored encrypted, and never shown."""

    what = "credentials"
    secret = given.secret(MAX_SECRET, required=True)


@api.get("/channels")
@api.response(200, ChannelsSchema)
def list_channels() -> dict[str, Any]:
    """List channels

    The accounts of all chatbots, whether they can send, and if not, why and what to do.
    """
    return {"data": accounts.overview(customer_id())}


@api.put(f"{ACCOUNT}/credentials")
@api.arguments(CredentialsSchema)
@api.response(204)
def replace_credentials(credentials: dict[str, Any], channel: str, chatbot_id: int) -> Response:
    """Replace an account's credentials

    Replies that were held leave, one after the other.
    """
    account = existing(accounts.find(customer_id(), channel, chatbot_id), "channel")
    with db.transaction():
        accounts.replace_secret(account, credentials["secret"].strip())
        health.connected(account)
        audited("channel.secret_replaced", "channel", chatbot_id, name=account.name, channel=channel)
    return Response(status=204)


@api.post(f"{ACCOUNT}/retry")
@api.response(204)
def retry_channel(channel: str, chatbot_id: int) -> Response:
    """Try an account again

    For one that cannot send, and whose trouble is over: a reply tries it now. Nothing happens to one that can.
    """
    account = existing(accounts.find(customer_id(), channel, chatbot_id), "channel")
    with db.transaction():
        if health.retry(account):
            audited("channel.retried", "channel", chatbot_id, name=account.name, channel=channel)
    return Response(status=204)
