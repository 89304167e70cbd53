"""/api/v1/budgets: what a business, or one of its chatbots, may spend on models in a month (shared/budgets)."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import fields

from shared import db
from shared.budgets import budgets
from shared.budgets.budgets import BudgetSchema
from web.api.api import api, customer_id, existing
from web.api.schemas import stored_id, stored_time
from web.audited import audited
from web.parameters import BodySchema


class NewBudgetSchema(BudgetSchema, BodySchema):
    """A budget that is set."""


class StoredBudgetSchema(BodySchema):
    """A budget, and what is left of it in this month."""

    id = stored_id()
    chatbot_id = stored_id(allow_none=True, metadata={"description": "Null: of all chatbots together."})
    month = fields.String(required=True, metadata={"description": "The current one by the budget's clock, such as 2026-11."})
    time_zone = fields.String(required=True)
    tokens = fields.Integer(required=True, allow_none=True, metadata={"description": "The limit of a month; null: none."})
    spent_tokens = fields.Integer(required=True)
    reserved_tokens = fields.Integer(
        required=True, metadata={"description": "The most that calls may cost which are under way, or of unknown outcome."}
    )
    money = fields.Float(required=True, allow_none=True, metadata={"description": "The limit of a month; null: none."})
    spent_money = fields.Float(required=True, metadata={"description": "Of models that have a price."})
    reserved_money = fields.Float(required=True)
    at_limit = fields.String(required=True, metadata={"description": "hand_over, text or cheaper_model."})
    text = fields.String(required=True, allow_none=True)
    model = fields.String(required=True, allow_none=True)
    by_operator = fields.Boolean(required=True, metadata={"description": "Whether only the operator can change it."})
    warned_at = stored_time(allow_none=True, metadata={"description": "When 80 % of it was spent this month."})
    exhausted_at = stored_time(allow_none=True, metadata={"description": "When it was used up this month."})


class BudgetsSchema(BodySchema):
    """All budgets of a business."""

    data = fields.List(fields.Nested(StoredBudgetSchema), required=True)


@api.get("/budgets")
@api.response(200, BudgetsSchema)
def list_budgets() -> dict[str, Any]:
    """List budgets, with what is spent and reserved of them"""
    return {"data": budgets.budgets(customer_id())}


@api.put("/budgets")
@api.arguments(NewBudgetSchema)
@api.response(200, StoredBudgetSchema)
@api.alt_response(409, response="CONFLICT")
def set_budget(budget: dict[str, Any]) -> dict[str, Any]:
    """Set the budget of all chatbots, or of one

    It takes the place of the one before. What the month has cost so far counts for it. 409: it was set by the operator.
    """
    about = {name: budget[name] for name in ("chatbot_id", "tokens", "money")}
    with db.transaction():
        budget_id = budgets.store(customer_id(), budget)
        audited("budget.set", "budget", budget_id, **about)
    return budgets.counted(budget_id)


@api.delete("/budgets/<int:budget_id>")
@api.response(204)
@api.alt_response(409, response="CONFLICT")
def remove_budget(budget_id: int) -> Response:
    """Remove a budget

    What it bounded is unbounded from now on. 409: it was set by the operator.
    """
    with db.transaction():
        existing(budgets.remove_budget(customer_id(), budget_id), "budget")
        audited("budget.removed", "budget", budget_id)
    return Response(status=204)
