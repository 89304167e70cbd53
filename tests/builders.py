"""Makes tenants, and runs jobs in this process: the real stages, without the real workers around them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from peewee import Value

from scripts.local.simulator.client import Simulator
from shared import db, queues
from shared.db import credentials
from shared.jobs import stage
from shared.jobs.completion import Ending
from shared.jobs.ledger import Claim, Claiming
from shared.models import (
    Chatbot,
    Customer,
    Job,
    KnowledgeBase,
    KnowledgeItem,
    Message,
    WebhookEndpoint,
    WhatsappCloudAccount,
    WhatsappQrSession,
)
from shared.queue_service import QueueService
from shared.queues import Queue
from shared.webhooks import signing

_WORK = {
    Queue.INCOMING: "receive",
    Queue.AI: "answer",
    Queue.OUTGOING: "route",
    Queue.WHATSAPP_CLOUD: "send",
    Queue.WHATSAPP_QR: "send",
    Queue.WEBHOOKS: "deliver",
}


def work_of(queue: Queue) -> Callable[[Claim], None]:
    """A stage's function."""
    module = importlib.import_module(f"workers.{queues.MODULES[queue]}")
    return getattr(module, _WORK[queue])  # type: ignore[no-any-return]


def claim_of(queue: Queue) -> Claiming:
    """How a stage takes its jobs."""
    return importlib.import_module(f"workers.{queues.MODULES[queue]}").claim  # type: ignore[no-any-return]


def whole_of(queue: Queue) -> Ending | None:
    """The one statement of a stage that only talks to PostgreSQL."""
    module = importlib.import_module(f"workers.{queues.MODULES[queue]}")
    return getattr(module, "whole", None)


def _rows_of(model: type[Job | Message], where: dict[str, Any]) -> list[dict[str, Any]]:
    rows = model.select().order_by(model.id)
    for column, value in where.items():
        rows = rows.where(getattr(model, column) == value)
    return db.rows(rows)


class World:
    """A customer with a chatbot on every channel."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.service = QueueService()
        self.customer, self.chatbot = self.tenant()

    def tenant(self, price: int = 12_000, webhook: bool = False, **bot: Any) -> tuple[int, int]:
        """A customer and its chatbot; returns both ids."""
        with db.transaction():
            customer = Customer.create(name="Shop", plan_price_cents=price).id
            base = KnowledgeBase.create(customer=customer, name="Facts").id
            chatbot = Chatbot.create(
                customer=customer,
                name="Bot",
                knowledge_base=base,
                fallback_message="We are busy.",
                **{"debounce_seconds": 0, **bot},
            ).id
            self.know(base, "Shipping", "We ship within two days.")
            self.know(base, "Returns", "You can return goods for thirty days.")
            token, number = credentials.encrypt("token"), str(777000 + chatbot)
            WhatsappCloudAccount.create(chatbot=chatbot, phone_number_id=number, access_token=token)
            WhatsappQrSession.create(chatbot=chatbot, session_name=f"s{chatbot}")
        if webhook:
            self.endpoint(customer)
        return customer, chatbot

    def know(self, base: int, title: str, content: str) -> int:
        """Adds an item to a knowledge base."""
        source = KnowledgeBase.select(KnowledgeBase.id, KnowledgeBase.language, Value(title), Value(content))
        columns = [KnowledgeItem.knowledge_base, KnowledgeItem.language, KnowledgeItem.title, KnowledgeItem.content]
        item = KnowledgeItem.insert_from(source.where(KnowledgeBase.id == base), columns)
        return int(db.scalar(item.returning(KnowledgeItem.id)))

    def endpoint(self, customer: int, path: str = "hook") -> int:
        """A webhook endpoint of a customer at the simulator; its secret is in `self.secret`."""
        self.secret = signing.new_secret()
        url, secret = f"{self.simulator.url}/customer/{path}", credentials.encrypt(self.secret)
        return int(db.scalar(WebhookEndpoint.insert(customer=customer, url=url, secret=secret).returning(WebhookEndpoint.id)))

    def say(self, content: str = "When do you ship?", channel: str = "widget", user: str = "v-1", **more: Any) -> int:
        """An inbound message; returns its id."""
        return self.service.enqueue_incoming_message(
            chatbot_id=more.pop("chatbot_id", self.chatbot), channel=channel, external_user_id=user, content=content, **more
        )

    def jobs(self, **where: Any) -> list[dict[str, Any]]:
        """Rows of the ledger, oldest first."""
        return _rows_of(Job, where)

    def messages(self, **where: Any) -> list[dict[str, Any]]:
        """Messages, oldest first."""
        return _rows_of(Message, where)

    def run(self, job_id: int) -> Exception | None:
        """One delivery of a job; returns what the wrapper raised for Dramatiq."""
        queue = Queue(db.scalar("select queue from job where id = %s", [job_id]))
        try:
            stage.run(job_id, work_of(queue), claim_of(queue), whole_of(queue))
        except Exception as raised:
            return raised
        return None

    def claim(self, job_id: int) -> Claim:
        """Claims a job as a worker would."""
        claimed = claim_of(Queue(db.scalar("select queue from job where id = %s", [job_id])))(job_id)
        assert isinstance(claimed, Claim), claimed
        return claimed

    def drain(self, rounds: int = 50) -> None:
        """Runs whatever may run now, until nothing may."""
        for _ in range(rounds):
            ready = db.rows("select id from job where state = 'waiting' and not held order by id")
            if not ready:
                return
            for row in ready:
                self.run(row["id"])
