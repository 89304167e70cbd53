"""The load: which message belongs to which conversation. The same seed makes the same plan in every process."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scripts.local.tenants import add_chatbot, add_endpoint, connect_number
from shared import db
from shared.models import WhatsappQrSession

#: The channels that every tenant is connected to (seed_tenants).
CHANNELS = ("widget", "whatsapp_cloud", "whatsapp_qr")
#: Plan prices of the tenants in cents, one for each lane of the AI queue.
PRICES = (2_000, 6_000, 15_000)
#: Messages of one conversation, on average: enough that their order matters.
MESSAGES_PER_CONVERSATION = 8

#: What a message contains that kills its worker (poison/sitecustomize.py).
POISON_MARK = "poison-pill"


@dataclass(frozen=True)
class PlannedMessage:
    """One inbound message."""

    number: int
    tenant: int  # index
    channel: str
    external_user_id: str
    content: str
    external_id: str


def plan(messages: int, seed: int, poison_every: int = 0, channels: Sequence[str] = CHANNELS) -> Iterator[PlannedMessage]:
    """Messages over many conversations; every `poison_every`-th kills the process that answers it."""
    choice = random.Random(seed)
    conversations = max(1, messages // MESSAGES_PER_CONVERSATION)
    for number in range(messages):
        conversation = choice.randrange(conversations)
        poisoned = poison_every and number % poison_every == poison_every - 1
        yield PlannedMessage(
            number=number,
            tenant=conversation % len(PRICES),
            channel=channels[conversation // len(PRICES) % len(channels)],
            external_user_id=f"49{conversation:010d}7",
            content=f"{POISON_MARK if poisoned else 'question'} number {number}",
            external_id=f"in-{number}",
        )


def seed_tenants(simulator_url: str) -> None:
    """A tenant for each plan: chatbot, WhatsApp number, QR session, webhook endpoint."""
    with db.transaction():
        for index, price in enumerate(PRICES):
            chatbot = add_chatbot(f"Tenant {index}", price)
            connect_number(chatbot, f"77700{index}")
            WhatsappQrSession.create(chatbot=chatbot, session_name=f"session-{index}")
            add_endpoint(chatbot.customer, f"{simulator_url}/customer/{index}")


def chatbot_ids() -> list[int]:
    """The chatbots in the order of their tenants."""
    return [row["id"] for row in db.rows("select id from chatbot order by id")]
