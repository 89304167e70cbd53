"""Who works at the desk of the demo: an operator, who may read messages, and an owner and an agent of the first shop."""

from __future__ import annotations

from scripts.local.demo.operating import replay_and_pause
from scripts.local.demo.script import Scenario
from shared import db
from shared.models import Chatbot
from shared.people import audit, links, users
from web.api import keys


def links_to_the_desk(scenario: Scenario) -> list[tuple[str, str]]:
    """Makes them; returns who they are, each with the path of a link that opens the desk once a password is chosen."""
    shop = scenario.tenants[0]
    customer = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == shop.chatbot_id))
    with db.transaction():
        operator = users.create("olga@desk.example", "Olga Petrova", "operator")
        users.allow_texts(operator.id, True)
        owner = users.create("bernd@desk.example", "Bernd Hartmann", "owner", customer)
        agent = users.create("emma@desk.example", "Emma Klein", "agent", customer)
        keys.create(customer, "order system")
        for user in (operator, owner, agent):
            audit.record("user.created", "user", user.id, {"name": user.name}, user=None, customer_id=user.customer_id)
        replay_and_pause(scenario, operator)
        return [
            ("as the operator", links.for_user(operator)),
            (f"as an owner of {shop.name}", links.for_user(owner)),
            (f"as an agent of {shop.name}", links.for_user(agent)),
        ]
