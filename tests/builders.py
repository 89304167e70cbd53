"""Makes tenants, and runs jobs in this process: the real stages, without the real workers around them."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from typing import Any

from scripts.local.simulator.client import Simulator
from shared import db, queues
from shared.channels.delivery_status import prune_inbound
from shared.channels.widget import drafts
from shared.db import credentials
from shared.jobs import ledger
from shared.jobs.ledger import leases
from shared.jobs.prune import prune_jobs
from shared.jobs.stage import Stage
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


def stage_of_queue(queue: Queue) -> Stage:
    """The stage of a queue, as its worker module declares it."""
    module = importlib.import_module(f"workers.{queues.MODULES[queue]}")
    [stage] = [value for value in vars(module).values() if isinstance(value, Stage)]
    return stage


def prune() -> dict[str, int]:
    """What workers.maintenance prunes."""
    return prune_jobs() | prune_inbound() | drafts.prune()


def times_claimed(job: Mapping[str, Any]) -> int:
    """How often a job was claimed: each claim adds so much to its number (job_claim_v3)."""
    return int(job["claims"]) // 4096


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

    def know(self, base: int, title: str, content: str, **more: Any) -> int:
        """Adds an item to a knowledge base."""
        item = KnowledgeItem.insert(knowledge_base=base, title=title, content=content, **more)
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

    def say_too_late(self, external_id: str, seconds: float) -> int:
        """A message that came so long after it was written that nobody answers it; returns its id."""
        message = {"chatbot_id": self.chatbot, "channel": "widget", "external_user_id": f"v-{external_id}", "content": "Hello?"}
        late = {"external_id": external_id, "sent_at": time.time() - seconds, "may_answer": False}
        return self.service.accept_message({**message, **late}).message_id

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
            stage_of_queue(queue).run(job_id)
        except Exception as raised:
            return raised
        return None

    def claim(self, job_id: int) -> ledger.Job:
        """Claims a job as a worker would."""
        claimed = self.stage(job_id).claim(job_id)
        assert isinstance(claimed, ledger.Job), claimed
        return claimed

    def vanish(self, alone: bool = False) -> None:
        """This process is dead, as far as PostgreSQL is concerned: its leases end, and whoever claims next is another worker.

        `alone`: what it had in hand ran alone in processes of their own, and they are dead as well.
        """
        leases.clear()
        claimed_by = "alone:worker-that-died" if alone else "worker-that-died"
        ended = "lease_until = clock_timestamp() - interval '1 second'"
        db.rows(f"update job set claimed_by = %s, {ended} where state = 'active'", [claimed_by])

    def stage(self, job_id: int) -> Stage:
        """The stage of a job."""
        return stage_of_queue(Queue(db.scalar("select queue from job where id = %s", [job_id])))

    def dead_letter(self, job_id: int) -> bool:
        """What the dead_letter actor of a job's stage does; False if that was done before."""
        return self.stage(job_id).dead_letter.process(job_id)

    def dead_letters(self) -> None:
        """Processes all that are due."""
        for row in db.rows("select id from job where state = 'failed' and closed_at is null order by id"):
            self.dead_letter(row["id"])

    def drain(self, rounds: int = 50) -> None:
        """Runs whatever may run now, until nothing may."""
        for _ in range(rounds):
            ready = db.rows("select id from job where state = 'waiting' and not held order by id")
            if not ready:
                return
            for row in ready:
                self.run(row["id"])
