"""/api/v1/channels/…: connects an account by proof, as an owner does at the desk, and disconnects it; with a key that manages."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_babel import force_locale
from marshmallow import fields
from werkzeug.exceptions import Conflict, ServiceUnavailable, UnprocessableEntity

from shared import db
from shared.channels import accounts, checks, connecting
from shared.channels.checks import NO_ANSWER, ProviderRefused
from shared.channels.health import ChannelAccount
from shared.channels.whatsapp_cloud import connect as cloud
from shared.channels.whatsapp_qr.dialects import DIALECTS
from shared.errors import OutsideFailure
from shared.models import Chatbot
from shared.teaching import fields as given
from shared.teaching.chatbots import is_own
from web import connecting as connections
from web.api.api import api, customer_id, existing
from web.api.channels import ACCOUNT, MAX_SECRET, ChannelSchema
from web.api.schemas import stored_text
from web.connection_words import PROBLEMS
from web.parameters import BodySchema

#: Seconds after which a provider that did not answer may be asked again.
_RETRY_AFTER = 60


class NewChannelSchema(BodySchema):
    """What proves that an account is yours: of `whatsapp_cloud` phone_number_id and secret, of `telegram` secret; a session of
    `whatsapp_qr` is made, and a phone reads its code."""

    what = "channel"
    secret = given.secret(MAX_SECRET, metadata={"description": "Meta's access token, or BotFather's."})
    phone_number_id = given.text(40, metadata={"description": "Meta's id of the number, digits only."})
    waba_id = given.text(40, metadata={"description": "Meta's id of its business account, where the token does not tell."})
    dialect = given.choice(*DIALECTS, metadata={"description": "What the gateway of the session speaks."})


class CheckSchema(BodySchema):
    """One thing that has to be right."""

    name = stored_text()
    state = stored_text("ok", "warning", "problem")
    problem = stored_text(allow_none=True, metadata={"description": "A code."})
    explanation = stored_text(allow_none=True, metadata={"description": "What is wrong, and what to do at the desk."})
    found = stored_text(metadata={"description": "What is there: a number, an address, missing names."})
    words = stored_text(metadata={"description": "The provider's own words."})


class ChecksSchema(BodySchema):
    """What a provider says of a connection, asked now."""

    data = fields.List(fields.Nested(CheckSchema), required=True)
    qr_code = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The picture that the phone reads, as a data: address. It changes every 20 seconds."},
    )


@api.post(ACCOUNT)
@api.managing
@api.arguments(NewChannelSchema)
@api.response(201, ChannelSchema)
def connect_channel(new: dict[str, Any], channel: str, chatbot_id: int) -> dict[str, Any]:
    """Connect a channel

    By proof: Meta shows the number to the token, Telegram names the bot for it, and a session is made at the gateway, whose code
    (`checks`) a phone reads. The chatbot must have no account on the channel; 409 otherwise, and for what another chatbot has.
    """
    existing(db.row(Chatbot.select(Chatbot.id).where(is_own(customer_id(), chatbot_id))), "chatbot")
    if accounts.find(customer_id(), channel, chatbot_id) is not None:
        raise Conflict("The chatbot has an account on this channel. Disconnect it first.")
    proof = {"name": new.pop("phone_number_id", ""), **new}
    try:
        connections.connect(customer_id(), channel, chatbot_id, {name: text.strip() for name, text in proof.items()})
    except connecting.Taken:
        raise Conflict(_words("taken")) from None
    except ProviderRefused as refusal:
        raise UnprocessableEntity(_detail(refusal)) from None
    except OutsideFailure as failure:
        raise _later(str(failure)) from None
    [row] = [one for one in accounts.overview(customer_id()) if (one["channel"], one["chatbot_id"]) == (channel, chatbot_id)]
    return row


@api.delete(ACCOUNT)
@api.managing
@api.response(204)
def disconnect_channel(channel: str, chatbot_id: int) -> Response:
    """Disconnect a channel

    The account is free for another chatbot; what waits for it fails.
    """
    account = _own(channel, chatbot_id)
    with connections.asking(customer_id(), channel):
        connecting.disconnect(account, connections.noting(channel, chatbot_id))
    return Response(status=204)


@api.get(f"{ACCOUNT}/checks")
@api.managing
@api.response(200, ChecksSchema)
def check_channel(channel: str, chatbot_id: int) -> dict[str, Any]:
    """Check a channel

    Asks the provider; nothing changes there. With a key that manages: whoever has `qr_code` links a phone of theirs.
    """
    found, _waits, code = connections.steps(customer_id(), _own(channel, chatbot_id))
    states = {"good": "ok", "warn": "warning", "bad": "problem"}
    data = [
        {
            **{"name": step.name, "state": states[step.tone], "found": step.found, "words": step.words},
            **{"problem": step.problem or None, "explanation": _words(step.problem) or None},
        }
        for step in found
    ]
    return {"data": data, "qr_code": code or None}


@api.post(f"{ACCOUNT}/subscribe")
@api.managing
@api.response(204)
def subscribe_channel(channel: str, chatbot_id: int) -> Response:
    """Subscribe to a number's account

    Asks Meta once more to send the messages of the number's business account here. 404 where that account is not known.
    """
    row = checks.row_of(_own(channel, chatbot_id))
    existing(row and row.get("waba_id"), "business account")
    with connections.asking(customer_id(), channel):
        step = checks.asked("subscription", lambda: cloud.subscribe_again(row or {}))
    if step.problem == NO_ANSWER:
        raise _later(step.words)
    if step.problem:
        raise UnprocessableEntity(f"{_words(step.problem)} {step.words}".strip())
    connections.noting(channel, chatbot_id)("channel.subscribed", step.found)
    return Response(status=204)


def _own(channel: str, chatbot_id: int) -> ChannelAccount:
    return existing(accounts.find(customer_id(), channel, chatbot_id), "channel")


def _detail(refusal: ProviderRefused) -> str:
    return f"{_words(refusal.problem)} {refusal.words}".strip()


def _later(how: str) -> ServiceUnavailable:
    """The provider could not be asked, or fails: `how`."""
    return ServiceUnavailable(f"{_words(NO_ANSWER)} {how}", retry_after=_RETRY_AFTER)


def _words(problem: str) -> str:
    """What is wrong and what to do, as the desk says it; the API speaks English."""
    with force_locale("en"):
        return str(PROBLEMS.get(problem, problem))
