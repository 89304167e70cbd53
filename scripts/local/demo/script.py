"""The written conversations of shop.json, and the tenants they need."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.db import credentials, transaction
from shared.models import (
    Chatbot,
    Customer,
    KnowledgeBase,
    KnowledgeItem,
    WebhookEndpoint,
    WhatsappCloudAccount,
    WhatsappQrSession,
)
from shared.webhooks import signing

FILE = Path(__file__).with_name("shop.json")
#: This tenant's endpoint for failures is down at first.
FLAKY_TENANT = 1
#: Meta refuses this token of a shop's WhatsApp number.
EXPIRED_TOKEN = "expired-token"
#: What each shop's first endpoint hears of; its second one hears of failures.
EVENTS = ["message.received", "message.sent", "channel.down", "channel.up"]
#: This visitor's answers are written slowly enough to be watched.
STREAMED_TO = "visitor-nora"


@dataclass
class Turn:
    """What a person says, what should come of it, and (after the play) the message it became.

    `failure` says what goes wrong on the way, or what it is besides a text; `fault` is the simulator's rule that makes it so.
    `sends` is how Meta reports what is no text (a tapped button, a picture), `first` what they wrote before they corrected it,
    `seconds_ago` how long Meta kept it.
    """

    says: str
    hears: str
    sends: dict[str, Any] = field(default_factory=dict)
    first: str = ""
    seconds_ago: int = 0
    outcome: str = "answered"  # or fallback, failed
    failure: str = ""
    fault: dict[str, Any] | None = None
    ai_attempts: int = 1
    at_least_seconds: float = 0
    copies: int = 1
    provider: int = 1  # which of the chatbot's providers answers
    error: list[str] = field(default_factory=list)
    message_ids: list[int] = field(default_factory=list)


@dataclass
class Dialogue:
    """One person on one channel. `has_to_wait`: the number cannot send at first, so they ask on without an answer."""

    tenant: int
    channel: str
    who: str
    user: str
    turns: list[Turn]
    has_to_wait: bool = False


@dataclass
class Tenant:
    """A shop as it was stored."""

    name: str
    price_cents: int
    bot: str
    chatbot_id: int
    fallback: str
    secrets: dict[str, str]  # of its endpoints, by the path of their URL
    lessons: dict[
        str, Any
    ]  # what its bot is taught by imports (lessons.py), and its providers; {} if it knows all from the start


@dataclass
class Scenario:
    """Everything that the demo plays."""

    tenants: list[Tenant]
    dialogues: list[Dialogue]

    def turns(self) -> list[Turn]:
        """All of them, in the order of the file."""
        return [turn for dialogue in self.dialogues for turn in dialogue.turns]


def load(simulator_url: str) -> Scenario:
    """Reads the file and stores its tenants."""
    written = json.loads(FILE.read_text(encoding="utf-8"))
    with transaction():
        tenants = [_store(number, shop, simulator_url) for number, shop in enumerate(written["tenants"])]
    return Scenario(tenants, _dialogues(written["conversations"]))


def for_the_desk(scenario: Scenario) -> Scenario:
    """What else --keep plays, so that the desk has something to do: a person is wanted, three sends and answers fail, a gap."""
    return Scenario(scenario.tenants, _dialogues(json.loads(FILE.read_text(encoding="utf-8"))["for_the_desk"]))


def _dialogues(written: list[dict[str, Any]]) -> list[Dialogue]:
    return [Dialogue(**{**one, "turns": [Turn(**turn) for turn in one["turns"]]}) for one in written]


def faults(scenario: Scenario, real_ai: bool, door: str) -> list[dict[str, Any]]:
    """The simulator's rules for what goes wrong. A real AI provider does not fail on demand."""
    planned = [{"match": turn.first or turn.says, **turn.fault} for turn in scenario.turns() if turn.fault and not real_ai]
    flaky = {"kind": "webhook", "fault": "status", "status": 500, "match": _path(FLAKY_TENANT, "failures"), "times": 2}
    expired = {"kind": "graph", "fault": "revoked", "token": EXPIRED_TOKEN}
    return [*reports(door), *planned, flaky, expired]


def reports(door: str) -> list[dict[str, Any]]:
    """Gateways tell the front door what arrived: a channel that hears of nothing is one to look at."""
    hook, secret = f"{door}/webhooks/whatsapp/qr/{{sender}}", os.environ["WHATSAPP_QR_WEBHOOK_SECRET"]
    rule = {"fault": "statuses", "url": hook, "statuses": ["sent", "delivered"], "app_secret": secret}
    return [{"kind": kind, **rule} for kind in ("waha", "evolution")]


def _store(number: int, shop: dict[str, Any], simulator_url: str) -> Tenant:
    customer = Customer.create(name=shop["name"], plan_price_cents=shop["plan_price_cents"])
    base = KnowledgeBase.create(customer=customer, name=f"{shop['name']}: questions and answers")
    for item in shop["knowledge"]:
        KnowledgeItem.create(knowledge_base=base, **item)
    chatbot_id = _chatbot(customer.id, base.id, shop)
    token = credentials.encrypt(shop.get("cloud_token", "demo-token"))
    WhatsappCloudAccount.create(chatbot=chatbot_id, phone_number_id=f"10000000{number}", access_token=token)
    WhatsappQrSession.create(chatbot=chatbot_id, session_name=f"shop-{number}", dialect=shop.get("qr_dialect", "waha"))
    secrets = {
        _endpoint(customer.id, number, "events", EVENTS, simulator_url),
        _endpoint(customer.id, number, "failures", ["message.failed"], simulator_url),
    }
    return Tenant(
        shop["name"], shop["plan_price_cents"], shop["bot"], chatbot_id, shop["fallback"], dict(secrets), shop.get("lessons", {})
    )


def _chatbot(customer_id: int, base_id: int, shop: dict[str, Any]) -> int:
    return Chatbot.create(
        customer=customer_id,
        name=shop["bot"],
        knowledge_base=base_id,
        system_prompt=shop["system_prompt"],
        fallback_message=shop["fallback"],
        debounce_seconds=0,
        transcription_model="whisper-1",
    ).id


def _path(number: int, what: str) -> str:
    return f"/customer/shop-{number}/{what}"


def _endpoint(customer_id: int, number: int, what: str, events: list[str], simulator_url: str) -> tuple[str, str]:
    secret = signing.new_secret()
    WebhookEndpoint.create(
        customer=customer_id, url=simulator_url + _path(number, what), secret=credentials.encrypt(secret), events=events
    )
    return _path(number, what), secret
