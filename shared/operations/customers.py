"""Businesses, as operators see and make them."""

from __future__ import annotations

from typing import Any

from peewee import JOIN, fn

from shared import db
from shared.errors import InvalidPayload
from shared.models import Chatbot, Customer
from shared.payloads import id_in

#: Characters of a name; dollars of a plan.
LONGEST_NAME, DEAREST = 200, 1_000_000


def page(text: str = "", limit: int = 50, after: int = 0) -> list[dict[str, Any]]:
    """Businesses whose name has this text, or whose id it is, by id, each with how many chatbots it has."""
    rows = (
        Customer.select(Customer, fn.count(Chatbot.id).alias("chatbots"))
        .join(Chatbot, JOIN.LEFT_OUTER, on=Chatbot.customer == Customer.id)
        .where(Customer.id > after)
        .group_by(Customer.id)
        .order_by(Customer.id)
        .limit(limit)
    )
    if text:
        rows = rows.where(Customer.name.contains(text) | (Customer.id == (id_in(text) or 0)))
    return db.rows(rows)


def create(name: str, plan: str) -> int:
    """A new business; returns its id. Raises InvalidPayload."""
    customer = Customer.insert(name=_name(name), plan_price_cents=_cents(plan))
    return int(db.scalar(customer.returning(Customer.id)))


def change(customer_id: int, name: str, plan: str) -> bool:
    """Renames it, or gives it another plan, which changes the lane of its AI jobs; False if there is none. Raises
    InvalidPayload."""
    changed = Customer.update(name=_name(name), plan_price_cents=_cents(plan)).where(Customer.id == customer_id)
    return bool(db.rows(changed.returning(Customer.id)))


def stored(customer_id: int) -> dict[str, Any] | None:
    """Its name and plan, locked for a change; None if there is none."""
    return db.row(Customer.select(Customer.name, Customer.plan_price_cents).where(Customer.id == customer_id).for_update())


def _name(text: str) -> str:
    name = " ".join(text.replace("\x00", "").split())
    if not 0 < len(name) <= LONGEST_NAME:
        raise InvalidPayload("business", {"name": f"must have 1 to {LONGEST_NAME} characters"})
    return name


def _cents(text: str) -> int:
    try:
        dollars = float(text.strip() or "0")
    except ValueError:
        dollars = -1
    if not 0 <= dollars <= DEAREST:
        raise InvalidPayload("business", {"plan": f"must be a number from 0 to {DEAREST:,}, in dollars a month"})
    return round(dollars * 100)
