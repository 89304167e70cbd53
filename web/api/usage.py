"""/api/v1/queues and /api/v1/usage: how a business's jobs stand, and what it used, day by day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flask import Response, jsonify

from shared import db
from shared.queue_service import STATES
from shared.queues import Queue
from web.api.api import api, customer_id, to_json
from web.parameters import day, number

#: Days of one answer at most.
MAX_DAYS = 366

# Closed jobs by job_customer_idx; of those that are open, everybody's are looked through: they are few beside them.
STATS = """
    select queue, state, count(*)::int as jobs from (
        select queue, state from job where customer_id = %(customer_id)s and closed_at is not null
        union all
        select queue, state from job where customer_id = %(customer_id)s and closed_at is null and id > 0) j
    group by queue, state
"""
_USAGE = """
    select (created_at at time zone 'utc')::date as day, kind, sum(quantity)::bigint as quantity,
        sum(prompt_tokens)::bigint as prompt_tokens, sum(completion_tokens)::bigint as completion_tokens
    from usage_log
    where customer_id = %(customer_id)s and created_at >= %(begin)s::date::timestamp at time zone 'utc'
      and created_at < (%(begin)s::date + %(days)s)::timestamp at time zone 'utc'
    group by 1, 2 order by 1, 2
"""


@api.get("/queues")
def queues() -> Response:
    """Jobs of this business by queue and state; closed ones until they are pruned."""
    stats = {queue.value: dict.fromkeys(STATES, 0) for queue in Queue}
    for found in db.rows(STATS, {"customer_id": customer_id()}):
        stats[found["queue"]][found["state"]] = found["jobs"]
    return jsonify(stats)


@api.get("/usage")
def usage() -> Response:
    """Usage by day (UTC) and kind: `days` days from `from` on; the last 30 days if they are not said."""
    count = number("days", 30, most=MAX_DAYS) or 30
    begin = day("from", datetime.now(UTC).date() - timedelta(count - 1))
    params = {"customer_id": customer_id(), "begin": begin, "days": count}
    return jsonify(data=[to_json(row) for row in db.rows(_USAGE, params)])
