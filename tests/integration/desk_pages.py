"""The pages of the desk, for the tests that go through all of them: roles, strangers, accessibility, looks.

Whoever builds a page adds it here, and to `furnish` what it shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from flask import Flask
from flask.testing import FlaskClient
from peewee import fn
from werkzeug.test import TestResponse

from shared import config, db
from shared.budgets import budgets, prices
from shared.budgets.budgets import BudgetSchema
from shared.models import (
    Chatbot,
    Conversation,
    KnowledgeDocument,
    KnowledgeGap,
    KnowledgeItem,
    KnowledgeSource,
    Message,
    User,
    WebhookAttempt,
    WebhookEvent,
)
from shared.operations import pauses, replays, webhook_recovery
from shared.operations.dead_letters import Filter
from shared.payloads import check
from shared.people import audit, users
from shared.webhooks import endpoints
from tests.builders import World
from web import turned_away
from web.api import keys

PASSWORD = "correct horse battery"


class DeskPage(NamedTuple):
    """An address, with names in braces for ids of `furnish`, and the least role that may open it."""

    path: str
    role: str


PAGES = (
    DeskPage("/desk/profile", "agent"),
    DeskPage("/desk/c/{customer}/chatbots", "owner"),
    DeskPage("/desk/c/{customer}/chatbots/{chatbot}/answers", "owner"),
    DeskPage("/desk/c/{customer}/chatbots/{chatbot}/model", "owner"),
    DeskPage("/desk/c/{customer}/chatbots/{chatbot}/people", "owner"),
    DeskPage("/desk/c/{customer}/chatbots/{chatbot}/website", "owner"),
    DeskPage("/desk/c/{customer}/knowledge", "owner"),
    DeskPage("/desk/c/{customer}/knowledge/{base}", "owner"),
    DeskPage("/desk/c/{customer}/knowledge/{base}?q=shipping", "owner"),
    DeskPage("/desk/c/{customer}/knowledge/{base}/items/new", "owner"),
    DeskPage("/desk/c/{customer}/knowledge/{base}/items/{item}", "owner"),
    DeskPage("/desk/c/{customer}/knowledge/{base}/sources", "owner"),
    DeskPage("/desk/c/{customer}/knowledge/{base}/sources/{source}", "owner"),
    DeskPage("/desk/c/{customer}/knowledge/{base}/gaps", "owner"),
    DeskPage("/desk/c/{customer}/inbox", "agent"),
    DeskPage("/desk/c/{customer}/conversations/{conversation}", "agent"),
    DeskPage("/desk/c/{customer}/quick-replies", "agent"),
    DeskPage("/desk/c/{customer}/channels", "owner"),
    DeskPage("/desk/c/{customer}/channels/connect/whatsapp_cloud", "owner"),
    DeskPage("/desk/c/{customer}/channels/connect/whatsapp_qr", "owner"),
    DeskPage("/desk/c/{customer}/channels/connect/telegram", "owner"),
    DeskPage("/desk/c/{customer}/channels/whatsapp_cloud/{chatbot}", "owner"),
    DeskPage("/desk/c/{customer}/webhooks", "owner"),
    DeskPage("/desk/c/{customer}/webhooks/new", "owner"),
    DeskPage("/desk/c/{customer}/webhooks/{webhook}", "owner"),
    DeskPage("/desk/c/{customer}/webhooks/{webhook}?failed=1&hours=24", "owner"),
    DeskPage("/desk/c/{customer}/webhooks/{webhook}/settings", "owner"),
    DeskPage("/desk/c/{customer}/usage", "owner"),
    DeskPage("/desk/c/{customer}/usage/budget", "owner"),
    DeskPage("/desk/c/{customer}/usage/budget?chatbot={chatbot}", "owner"),
    DeskPage("/desk/c/{customer}/team", "owner"),
    DeskPage("/desk/c/{customer}/keys", "owner"),
    DeskPage("/desk/c/{customer}/audit", "owner"),
    DeskPage("/desk/operate/people", "operator"),
    DeskPage("/desk/operate/audit", "operator"),
    DeskPage("/desk/operate/", "operator"),
    DeskPage("/desk/operate/failures", "operator"),
    DeskPage("/desk/operate/failures/list", "operator"),
    DeskPage("/desk/operate/replays", "operator"),
    DeskPage("/desk/operate/replays/new", "operator"),
    DeskPage("/desk/operate/replays/{replay}", "operator"),
    DeskPage("/desk/operate/search", "operator"),
    DeskPage("/desk/operate/messages/{message}", "operator"),
    DeskPage("/desk/operate/pauses", "operator"),
    DeskPage("/desk/operate/customers", "operator"),
    DeskPage("/desk/operate/prices", "operator"),
)


def furnish(world: World) -> dict[str, int]:
    """Rows for the pages to show; their ids, by the names in the addresses."""
    users.create("invited@example.com", "Ines", "agent", world.customer)
    with db.transaction():
        keys.create(world.customer, "order system")
        for number in range(60):  # more than a page
            audit.record("user.changed", "user", number, {"name": "<b>Emma</b>"}, user=None, customer_id=world.customer)
    given = {"tokens": 100_000, "money": 20, "at_limit": "text", "text": "Call <b>us</b>."}
    budgets.set_budget(world.customer, check(BudgetSchema, "budget", given))
    turned_away.note(world.chatbot, "chatbot")
    turned_away.note(world.chatbot, "address")
    prices.set_price("https://api.openai.com/v1", "gpt-4o-mini", Decimal("0.15"), Decimal("0.6"))
    return {
        "customer": world.customer,
        "chatbot": world.chatbot,
        "conversation": conversation(world),
        **_operations(world),
        **knowledge_of(world),
        "webhook": webhook(world),
    }


def webhook(world: World) -> int:
    """An endpoint with an event that failed, whose answer is markup, one that arrived, and a recovery; its id."""
    made = endpoints.create(world.customer, {"url": "https://shop.example/hooks/chat", "description": "order <b>system</b>"})
    assert made is not None
    own = {"customer": world.customer, "endpoint": made["id"], "event": "message.sent", "payload": {}}
    failure, arrival = {"status": "FAILED", "error": "HTTP 500"}, {"status": "DELIVERED", "delivered_at": fn.now()}
    for status, state in ((500, failure), (200, arrival)):
        event = db.scalar(WebhookEvent.insert(**own, **state, attempts=1, response_status=status).returning(WebhookEvent.id))
        row = {"event": event, "endpoint_id": made["id"], "customer_id": world.customer, "number": 1, "trigger": "first"}
        answer = {"status": status, "answer": "<script>alert(1)</script> of Zoe", "ms": {"connect": 3.5, "answer": 41.2}}
        problem = {"error": state.get("error"), "error_code": "http_500" if state is failure else None}
        db.rows(WebhookAttempt.insert(**row, **answer, **problem, started_at=fn.now()))
    webhook_recovery.begin(webhook_recovery.Filter(made["id"], datetime.now(UTC) - timedelta(days=1)), 1, "emma@example.com")
    return int(made["id"])


def _operations(world: World) -> dict[str, int]:
    """A message that was answered, one that failed for good, a replay that has begun, and a pause."""
    message = world.say("When do you ship? <script>alert(1)</script>", user="v-1", external_id="desk-1")
    world.drain()
    world.say(user="v-2", external_id="desk-2")
    db.rows("update job set payload = payload - 'content' where queue = 'incoming-messages' and closed_at is null")
    world.drain()
    world.dead_letters()
    pauses.pause(pauses.subject(queue="knowledge-import"), "ops@example.com", "the sites are moved")
    return {"message": message, "replay": replays.begin(Filter(), "ops@example.com", name="bad <b>payloads</b>")}


def knowledge_of(world: World) -> dict[str, int]:
    """An import of which one page could not be read, and a question without an answer."""
    base = int(db.scalar(Chatbot.select(Chatbot.knowledge_base).where(Chatbot.id == world.chatbot)))
    item = db.scalar(KnowledgeItem.select(fn.MIN(KnowledgeItem.id)).where(KnowledgeItem.knowledge_base == base))
    source = KnowledgeSource.insert(knowledge_base=base, kind="sitemap", location="https://shop.example", sync_hours=24)
    source_id = int(db.scalar(source.returning(KnowledgeSource.id)))
    for page, state, error in (("/", "stored", None), ("/jobs", "failed", "answered 404"), ("/shop", "waiting", None)):
        location = f"https://shop.example{page}"
        db.rows(KnowledgeDocument.insert(source=source_id, location=location, state=state, error=error))
    for user, question in (("v-8", "Do you ship to Austria?"), ("v-9", "Do you ship to Austria <b>now</b>?")):
        who = {"chatbot": world.chatbot, "channel": "widget"}
        talk = db.scalar(Conversation.insert(external_user_id=user, **who).returning(Conversation.id))
        said = Message.insert(conversation=talk, role="user", content=question, status="DELIVERED", **who).returning(Message.id)
        about = {"chatbot": world.chatbot, "message": db.scalar(said), "language": "english"}
        db.rows(KnowledgeGap.insert(knowledge_base=base, question=question, words=["ship", "austria"], reason="asked", **about))
    return {"base": base, "item": int(item), "source": source_id}


def conversation(world: World) -> int:
    """One that waits for a person, with a note, and a reply that failed; the customer's name and text are markup. Its id."""
    question = world.say("<b>When</b> do you ship?", user="v-3", metadata={"profile_name": "<i>Zoe</i>"})
    for queue in ("incoming-messages", "ai-processing", "outgoing-messages"):
        for job in world.jobs(queue=queue, state="waiting"):
            world.run(job["id"])
    found = int(db.scalar("select conversation_id from message where id = %s", [question]))
    db.rows(
        "insert into message (conversation_id, chatbot_id, channel, role, content, status, error, metadata)"
        " select id, chatbot_id, channel, 'assistant', 'Tomorrow!', 'FAILED', 'gone', jsonb_build_object('author', 'Emma')"
        " from conversation where id = %s",
        [found],
    )
    db.rows("insert into conversation_note (conversation_id, author, content) values (%s, 'Emma', 'Calls back.')", [found])
    db.rows("insert into quick_reply (customer_id, shortcut, content) values (%s, 'hours', 'Nine to five.')", [world.customer])
    db.scalar("select hand_over_v1(%s, 'asked', null, false)", [found])
    return found


def person(role: str, customer: int | None, name: str = "Emma") -> User:
    """A user who can log in."""
    user = users.create(f"{name}.{role}.{customer or 0}@example.com".lower(), name, role, customer)
    users.set_password(user.id, PASSWORD)
    return user


class Visitor:
    """A browser of the desk, without its scripts."""

    def __init__(self, app: Flask, user: User | None = None) -> None:
        self.client: FlaskClient = app.test_client()
        if user is not None:
            answer = self.post("/desk/login", email=user.email, password=PASSWORD)
            assert answer.status_code == 303, answer.text

    def get(self, path: str, **headers: str) -> TestResponse:
        """Opens an address."""
        return self.client.get(path, headers=headers)

    def post(self, path: str, **form: Any) -> TestResponse:
        """Sends a form, with its token."""
        return self.client.post(path, data={"csrf_token": self.token(), **form})

    def token(self) -> str:
        """What the forms of this browser have."""
        for page in ("/desk/profile", "/desk/login"):
            if found := re.search(r'name="csrf_token" value="([^"]+)"', self.client.get(page).text):
                return found[1]
        raise AssertionError("no form has a token")


@contextmanager
def no_database() -> Iterator[None]:
    """PostgreSQL is away for the length of the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        config.reset()
        db.reset()
        yield
    config.reset()
    db.reset()


def version(page: str) -> str:
    """Of what the page's form changes, as it was when the page was made."""
    found = re.search(r'name="version" value="([^"]*)"', page)
    assert found
    return found[1]
