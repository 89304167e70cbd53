"""Customers for benchmarks and chaos: each with a chatbot, and what that needs of knowledge, numbers and webhook endpoints."""

from __future__ import annotations

from collections.abc import Iterable

from shared.db import credentials
from shared.models import Chatbot, Customer, KnowledgeBase, KnowledgeItem, WebhookEndpoint, WhatsappCloudAccount
from shared.webhooks import signing


def add_chatbot(name: str = "Shop", price_cents: int = 0, knowledge: Iterable[tuple[str, str]] = ()) -> Chatbot:
    """A customer's, which answers from these titles and contents."""
    customer = Customer.create(name=name, plan_price_cents=price_cents)
    items = [{"title": title, "content": content, "language": "english"} for title, content in knowledge]
    base = KnowledgeBase.create(customer=customer, name="Facts") if items else None
    for item in items:
        KnowledgeItem.create(knowledge_base=base, **item)
    return Chatbot.create(customer=customer, name="Bot", knowledge_base=base)


def connect_number(chatbot: Chatbot, number: str) -> None:
    """A number of WhatsApp Cloud."""
    WhatsappCloudAccount.create(chatbot=chatbot, phone_number_id=number, access_token=credentials.encrypt("token"))


def add_endpoint(customer: Customer | int, url: str, events: list[str] | None = None) -> None:
    """A webhook endpoint that hears of these events; of the usual ones if none are named."""
    chosen = {} if events is None else {"events": events}
    WebhookEndpoint.create(customer=customer, url=url, secret=credentials.encrypt(signing.new_secret()), **chosen)
