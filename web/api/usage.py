"""/api/v1/queues and /api/v1/usage: how a business's jobs stand, and what it used and paid, day by day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from marshmallow import fields
from peewee import CompoundSelectQuery, Select, fn

from shared import db
from shared.budgets import budgets
from shared.budgets.usage import of_days
from shared.models import Job
from shared.queue_service import STATES
from shared.queues import Queue
from web.api.api import api, customer_id
from web.api.budgets import StoredBudgetSchema
from web.api.schemas import QueuesSchema, UsageQuerySchema, stored_text
from web.parameters import BodySchema


class DayUsageSchema(BodySchema):
    """What was used on one day, by kind."""

    day = fields.Date(required=True)
    kind = stored_text()
    quantity = fields.Integer(required=True)
    prompt_tokens = fields.Integer(required=True)
    completion_tokens = fields.Integer(required=True)
    cost = fields.Float(
        required=True, allow_none=True, metadata={"description": "Of models that have a price; null: none of them has."}
    )


class UsageSchema(BodySchema):
    """Usage by day and kind, and what is left of the budgets."""

    data = fields.List(fields.Nested(DayUsageSchema), required=True)
    budgets = fields.List(fields.Nested(StoredBudgetSchema), required=True)


@api.get("/queues")
@api.response(200, QueuesSchema)
def queue_stats() -> dict[str, dict[str, int]]:
    """Count your jobs by queue and state

    Closed jobs are counted until they are pruned.
    """
    stats = {queue.value: dict.fromkeys(STATES, 0) for queue in Queue}
    with db.patient(db.REPORT):
        counts = db.rows(job_counts(customer_id()))
    for row in counts:
        stats[row["queue"]][row["state"]] = row["jobs"]
    return stats


def job_counts(customer: int) -> Select:
    """A customer's jobs by queue and state.

    Closed ones by job_customer_idx; of the open ones everybody's are looked through: they are few beside them.
    """
    own = Job.select(Job.queue, Job.state).where(Job.customer_id == customer)
    jobs: CompoundSelectQuery = own.where(Job.closed_at.is_null(False)) + own.where(Job.closed_at.is_null(), Job.id > 0)
    return jobs.select_from(jobs.c.queue, jobs.c.state, fn.COUNT(jobs.c.queue).alias("jobs")).group_by(jobs.c.queue, jobs.c.state)


@api.get("/usage")
@api.query(UsageQuerySchema)
@api.response(200, UsageSchema)
def usage(query: dict[str, Any]) -> dict[str, Any]:
    """Show your usage by day (UTC) and kind, and your budgets

    `cost` adds up the calls of models that have a price.
    """
    first_day = query.get("first_day") or datetime.now(UTC).date() - timedelta(query["days"] - 1)
    with db.patient(db.REPORT):
        used = of_days(customer_id(), first_day, query["days"])
        return {"data": used.days, "budgets": budgets.budgets(customer_id())}
