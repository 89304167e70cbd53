"""The written conversations of shop.json, and the tenants they need."""

from __future__ import annotations

import json
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


@dataclass
class Line:
    """What a person says, what should come of it, and (after the play) the message it became."""

    says: str
    hears: str
    outcome: str = "answered"  # or fallback, failed
    twist: str = ""
    fault: dict[str, Any] | None = None
    ai_attempts: int = 1
    at_least_seconds: float = 0
    copies: int = 1
    error: list[str] = field(default_factory=list)
    message_ids: list[int] = field(default_factory=list)


@dataclass
class Talk:
    """One person on one channel."""

    tenant: int
    channel: str
    who: str
    user: str
    lines: list[Line]


@dataclass
class Tenant:
    """A shop as it was stored."""

    name: str
    price_cents: int
    bot: str
    chatbot_id: int
    fallback: str
    secrets: dict[str, str]  # of its endpoints, by the path of their URL


@dataclass
class Play:
    """Everything that the demo plays."""

    tenants: list[Tenant]
    talks: list[Talk]

    def lines(self) -> list[tuple[Talk, Line]]:
        """All lines, in the order of the file."""
        return [(talk, line) for talk in self.talks for line in talk.lines]


def load(simulator_url: str) -> Play:
    """Reads the file and stores its tenants."""
    written = json.loads(FILE.read_text())
    with transaction():
        tenants = [_store(number, shop, simulator_url) for number, shop in enumerate(written["tenants"])]
    talks = [Talk(**{**talk, "lines": [Line(**line) for line in talk["lines"]]}) for talk in written["conversations"]]
    return Play(tenants, talks)


def faults(play: Play, real_ai: bool) -> list[dict[str, Any]]:
    """The simulator's rules for the twists. A real AI provider does not fail on demand."""
    planned = [{"match": line.says, **line.fault} for _, line in play.lines() if line.fault and not real_ai]
    flaky = {"kind": "webhook", "fault": "status", "status": 500, "match": _path(FLAKY_TENANT, "failures"), "times": 2}
    return [*planned, flaky]


def _store(number: int, shop: dict[str, Any], simulator_url: str) -> Tenant:
    customer = Customer.create(name=shop["name"], plan_price_cents=shop["plan_price_cents"])
    base = KnowledgeBase.create(customer=customer, name=f"{shop['name']}: questions and answers")
    for item in shop["knowledge"]:
        KnowledgeItem.insert(knowledge_base=base, **item).execute()
    chatbot_id = _chatbot(customer.id, base.id, shop)
    WhatsappCloudAccount.insert(
        chatbot=chatbot_id, phone_number_id=f"10000000{number}", access_token=credentials.encrypt("demo-token")
    ).execute()
    WhatsappQrSession.insert(chatbot=chatbot_id, session_name=f"shop-{number}", dialect=shop.get("qr_dialect", "waha")).execute()
    keys = {
        _endpoint(customer.id, number, "events", ["message.received", "message.sent"], simulator_url),
        _endpoint(customer.id, number, "failures", ["message.failed"], simulator_url),
    }
    return Tenant(shop["name"], shop["plan_price_cents"], shop["bot"], chatbot_id, shop["fallback"], dict(keys))


def _chatbot(customer_id: int, base_id: int, shop: dict[str, Any]) -> int:
    return int(
        Chatbot.insert(
            customer=customer_id,
            name=shop["bot"],
            knowledge_base_id=base_id,
            system_prompt=shop["system_prompt"],
            fallback_message=shop["fallback"],
            debounce_seconds=0,
        ).execute()
    )


def _path(number: int, what: str) -> str:
    return f"/customer/shop-{number}/{what}"


def _endpoint(customer_id: int, number: int, what: str, events: list[str], simulator_url: str) -> tuple[str, str]:
    secret = signing.new_secret()
    WebhookEndpoint.insert(
        customer=customer_id, url=simulator_url + _path(number, what), secret=credentials.encrypt(secret), events=events
    ).execute()
    return _path(number, what), secret
