"""The people of the demo's desk, and what its operator has done: prices, replays and pauses have something to show."""

from __future__ import annotations

from decimal import Decimal

from scripts.local.demo.script import Scenario, Tenant
from shared import db
from shared.budgets import prices
from shared.config import settings
from shared.models import Chatbot, User
from shared.operations import pauses, replays
from shared.operations.dead_letters import Filter
from shared.people import audit, links, users
from web.api import keys

MODEL = "gpt-4o-mini"
#: Dollars for a million tokens that the model reads, and writes.
READS, WRITES = Decimal("0.15"), Decimal("0.60")


def set_prices() -> None:
    """Says what the shops' model costs; it counts for answers from now on."""
    prices.set_price(settings().openai_base_url, MODEL, READS, WRITES)


def links_to_the_desk(scenario: Scenario) -> list[tuple[str, str]]:
    """An operator, who may read messages, and an owner and an agent of the first shop: who they are, and a link for each."""
    shop = scenario.tenants[0]
    customer = _customer_of(shop)
    with db.transaction():
        operator = users.create("olga@desk.example", "Olga Petrova", "operator")
        users.allow_texts(operator.id, True)
        owner = users.create("bernd@desk.example", "Bernd Hartmann", "owner", customer)
        agent = users.create("emma@desk.example", "Emma Klein", "agent", customer)
        keys.create(customer, "order system")
        for user in (operator, owner, agent):
            audit.record("user.created", "user", user.id, {"name": user.name}, user=None, customer_id=user.customer_id)
        _replay_and_pause(_customer_of(scenario.tenants[1]), operator)
        people = {"the operator": operator, f"an owner of {shop.name}": owner, f"an agent of {shop.name}": agent}
        return [(f"as {who}", links.for_user(user)) for who, user in people.items()]


def _customer_of(shop: Tenant) -> int:
    return int(db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == shop.chatbot_id)))


def _replay_and_pause(customer: int, operator: User) -> None:
    """Replays what failed of a shop: the AI is well again, a mistyped number is not. Pauses a channel without use."""
    telegram = pauses.subject(channel="telegram")
    replay = replays.begin(Filter(customer_id=customer), operator.name)
    audit.record("replay.begun", "replay", replay, {}, user=operator, customer_id=customer)
    pause = pauses.pause(telegram, operator.name, "Telegram announced maintenance for tonight")
    audit.record("pause.begun", "pause", pause, {"queue": telegram.queue}, user=operator, customer_id=None)
