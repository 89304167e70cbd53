"""Budgets: how they are set, listed and removed, and what is left of them.

Each verb is given the customer that it is for, and sees no other's rows: None is "there is no such row". What the operator has
set no customer can change.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from marshmallow import ValidationError, validates_schema
from peewee import Case, fn

from shared import db
from shared.errors import InvalidPayload, Refused
from shared.models import Budget, BudgetReservation, Chatbot
from shared.payloads import Schema
from shared.teaching import fields
from shared.teaching.hours import time_zones

AT_LIMIT = ("hand_over", "text", "cheaper_model")
MAX_TOKENS, MAX_MONEY = 10**12, 10**9
#: Characters of what a customer is told, and of a model's name.
MAX_REPLY, MAX_MODEL = 4_000, 200
#: Seconds after which a budget that was set is counted once more: longer than any statement that saves what a call has cost.
RECOUNTED_AFTER = 60
#: What only this way of ending needs.
_NEEDED = {"text": "text", "cheaper_model": "model"}

_IS_CURRENT = Budget.month >= fn.budget_month(Budget.time_zone)
_PAYS_FOR = (BudgetReservation.customer == Budget.customer) & (
    Budget.chatbot.is_null() | (BudgetReservation.chatbot_id == Budget.chatbot)
)
_RESERVED_TOKENS = fn.SUM(BudgetReservation.prompt_tokens.cast("bigint") + BudgetReservation.completion_tokens)

BUDGET = (
    Budget.id,
    Budget.customer,
    Budget.chatbot,
    Budget.tokens,
    Budget.money,
    Budget.time_zone,
    Budget.at_limit,
    Budget.text,
    Budget.model,
    Budget.by_operator,
    fn.to_char(fn.budget_month(Budget.time_zone), "YYYY-MM").alias("month"),
    Case(None, [(_IS_CURRENT, Budget.spent_tokens)], 0).alias("spent_tokens"),
    Case(None, [(_IS_CURRENT, Budget.spent_money)], 0).alias("spent_money"),
    fn.COALESCE(BudgetReservation.select(_RESERVED_TOKENS).where(_PAYS_FOR), 0).alias("reserved_tokens"),
    fn.COALESCE(BudgetReservation.select(fn.SUM(BudgetReservation.money)).where(_PAYS_FOR), 0).alias("reserved_money"),
    Case(None, [(_IS_CURRENT, Budget.warned_at)]).alias("warned_at"),
    Case(None, [(_IS_CURRENT, Budget.exhausted_at)]).alias("exhausted_at"),
)


class BudgetSchema(Schema):
    """A budget as it is given; what is not named has its default."""

    what = "budget"
    chatbot_id = fields.row_id(
        allow_none=True, load_default=None, metadata={"description": "Whose it is; null: of all your chatbots together."}
    )
    tokens = fields.whole(
        0, MAX_TOKENS, allow_none=True, load_default=None, metadata={"description": "Of a month; null: any number."}
    )
    money = fields.decimal(
        0,
        MAX_MONEY,
        allow_none=True,
        load_default=None,
        metadata={"description": "Of a month, in the currency of the models' prices; null: any amount."},
    )
    time_zone = fields.text(
        64, load_default="UTC", metadata={"description": "By whose clock a month begins, such as Europe/Berlin."}
    )
    at_limit = fields.choice(
        *AT_LIMIT,
        load_default="hand_over",
        metadata={"description": "What a customer gets when it is used up: a person, `text`, or an answer of `model`."},
    )
    text = fields.text(MAX_REPLY, allow_none=True, load_default=None, metadata={"description": "For at_limit text."})
    model = fields.text(
        MAX_MODEL,
        allow_none=True,
        load_default=None,
        metadata={"description": "For at_limit cheaper_model; it is asked at the chatbot's first provider."},
    )

    @validates_schema(skip_on_field_errors=True)
    def _check(self, budget: dict[str, Any], **_: Any) -> None:
        if budget["tokens"] is None and budget["money"] is None:
            raise ValidationError("give tokens, money, or both", "tokens")
        for at_limit, needed in _NEEDED.items():
            if (budget["at_limit"] == at_limit) != (budget[needed] is not None):
                raise ValidationError(f"must be given with at_limit {at_limit}, and only then", needed)


def budgets(customer_id: int | None = None) -> list[dict[str, Any]]:
    """A customer's budgets, its own first; None: everybody's."""
    chosen = Budget.select(*BUDGET).order_by(Budget.customer, Budget.chatbot.asc(nulls="first"))
    return db.rows(chosen if customer_id is None else chosen.where(Budget.customer == customer_id))


def set_budget(customer_id: int, budget: dict[str, Any], *, by_operator: bool = False) -> dict[str, Any]:
    """Sets the budget of a customer, or of one of its chatbots, in place of the one before.

    `by_operator`: the operator sets it, and no customer can change it. Raises InvalidPayload for a foreign chatbot or an unknown
    time zone, and Refused if the operator has set the one before.
    """
    with db.transaction():
        budget_id = store(customer_id, budget, by_operator=by_operator)
    return counted(budget_id)


def store(customer_id: int, budget: dict[str, Any], *, by_operator: bool = False, is_open: bool = False) -> int:
    """As `set_budget`, in a transaction of the caller's, who has it `counted` afterwards; returns its id.

    `is_open`: customers may change what the operator sets.
    """
    _check_values(customer_id, budget)
    scope = {"customer": customer_id, "chatbot": budget["chatbot_id"]}
    values = {name: value for name, value in budget.items() if name != "chatbot_id"}
    values["by_operator"] = by_operator and not is_open
    is_it = (Budget.customer == customer_id) & Budget.chatbot.is_null(budget["chatbot_id"] is None)
    if budget["chatbot_id"] is not None:
        is_it &= Budget.chatbot == budget["chatbot_id"]
    month = fn.budget_month(budget["time_zone"])
    db.rows(Budget.insert(**scope, **values, month=month).on_conflict_ignore())
    stored = db.rows(Budget.select(Budget.id, Budget.by_operator).where(is_it).for_update())[0]
    if stored["by_operator"] and not by_operator:
        raise _is_the_operators()
    again = fn.clock_timestamp() + timedelta(seconds=RECOUNTED_AFTER)
    db.rows(Budget.update(**values, updated_at=fn.clock_timestamp(), recount_at=again).where(Budget.id == stored["id"]))
    return int(stored["id"])


def counted(budget_id: int) -> dict[str, Any]:
    """The budget, with what its month has cost so far.

    By itself, after the commit: from then on every call that is saved is counted, and what was saved before is seen. What a
    statement saves that began before the commit is counted by `recount_due`.
    """
    db.rows("select budget_recount_v1(%s)", [budget_id])
    return db.rows(Budget.select(*BUDGET).where(Budget.id == budget_id))[0]


def recount_due() -> int:
    """Counts once more what budgets have cost that were set a minute ago; returns how many."""
    due = db.rows(Budget.select(Budget.id, Budget.recount_at).where(Budget.recount_at <= fn.clock_timestamp()))
    for budget in due:
        db.rows("select budget_recount_v1(%s)", [budget["id"]])
        counted_now = (Budget.id == budget["id"]) & (Budget.recount_at == budget["recount_at"])
        db.rows(Budget.update(recount_at=None).where(counted_now))
    return len(due)


def remove_budget(customer_id: int, budget_id: int, *, by_operator: bool = False) -> bool | None:
    """Removes a budget: from now on nothing is bounded by it. Raises Refused if the operator has set it."""
    with db.transaction():
        own = (Budget.customer == customer_id) & (Budget.id == budget_id)
        stored = db.row(Budget.select(Budget.by_operator).where(own).for_update())
        if stored is None:
            return None
        if stored["by_operator"] and not by_operator:
            raise _is_the_operators()
        db.rows(Budget.delete().where(own))
    return True


def _check_values(customer_id: int, budget: dict[str, Any]) -> None:
    chatbot_id, zone = budget["chatbot_id"], budget["time_zone"]
    if chatbot_id is not None:
        own = (Chatbot.customer == customer_id) & (Chatbot.id == chatbot_id)
        if db.row(Chatbot.select(Chatbot.id).where(own)) is None:
            raise InvalidPayload("budget", {"chatbot_id": "there is no such chatbot; use the id of one of yours"})
    if zone not in time_zones():
        raise InvalidPayload("budget", {"time_zone": "must be UTC or the name of a time zone, such as America/Sao_Paulo"})


def _is_the_operators() -> Refused:
    return Refused("This budget was set by whoever runs the service; ask them to change it.")
