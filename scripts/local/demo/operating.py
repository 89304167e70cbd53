"""What the operator of the demo has done, so that the desk's pages of prices, replays and pauses have something to show."""

from __future__ import annotations

from decimal import Decimal

from scripts.local.demo.script import Scenario
from shared import db
from shared.budgets import prices
from shared.config import settings
from shared.models import Chatbot, User
from shared.operations import pauses, replays
from shared.operations.dead_letters import Filter
from shared.people import audit

MODEL = "gpt-4o-mini"
#: Dollars for a million tokens that the model reads, and writes.
READS, WRITES = Decimal("0.15"), Decimal("0.60")


def set_prices() -> None:
    """Says what the shops' model costs; it counts for answers from now on."""
    prices.set_price(settings().openai_base_url, MODEL, READS, WRITES)


def replay_and_pause(scenario: Scenario, operator: User) -> None:
    """Replays what failed of the second shop: the AI is well again, a mistyped number is not. Pauses a channel without use."""
    shop = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == scenario.tenants[1].chatbot_id))
    telegram = pauses.subject(channel="telegram")
    with db.transaction():
        replay = replays.begin(Filter(customer_id=shop), operator.name)
        audit.record("replay.begun", "replay", replay, {}, user=operator, customer_id=shop)
        pause = pauses.pause(telegram, operator.name, "Telegram announced maintenance for tonight")
        audit.record("pause.begun", "pause", pause, {"queue": telegram.queue}, user=operator, customer_id=None)
