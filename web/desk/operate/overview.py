"""How the whole system is doing: queues, the last day, workers, channels that are down, businesses by load, pauses."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import redis
from flask import Response, make_response, render_template, request

from shared import db
from shared.broker import census
from shared.broker.connection import outage
from shared.channels import accounts, health
from shared.jobs import scheduled
from shared.jobs.sweep import swept_ago
from shared.models import Chatbot, Customer
from shared.operations import dead_letters, overview, pauses
from shared.queues import Queue
from web import turned_away
from web.desk import charts, desk
from web.desk.access import allowed
from web.desk.dates import COUNTED
from web.desk.operate import words
from web.desk.operate.check_words import check_words, remedy
from web.ops import health as readiness


@desk.get("/operate/", endpoint="overview")
@allowed("operator")
def overview_page() -> Response:
    """The page."""
    queue = request.args.get("queue") if request.args.get("queue") in set(Queue) else None
    workers, swept, scheduler_silent = _workers()
    page = render_template(
        "desk/operate/overview.html",
        queues=overview.queue_depths(),
        chart=_chart(overview.throughput(queue)),
        queue=queue,
        workers=workers,
        swept=swept,
        scheduler_silent=scheduler_silent,
        problems=_problems(),
        down=down_accounts(),
        tenants=overview.tenants(),
        pauses=pauses.overview(),
        refused=refused_visitors(),
        settings_of=turned_away.REASONS,
        failures=dead_letters.count_repeatable(COUNTED + 1),
        is_new=db.row(Customer.select(Customer.id).limit(1)) is None,
        words=words,
    )
    return make_response(page)


def _problems() -> list[dict[str, Any]]:
    """What is not well: which check, what it says, since when that is known here, and what to do."""
    now = datetime.now(UTC)
    return [
        {
            "check": name,
            "said": check_words(said),
            "noticed": now - timedelta(seconds=readiness.noticed_ago(name)),
            "remedy": remedy(name, said),
        }
        for name, said in readiness.problems().items()
    ]


def _chart(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A day: bars of jobs that were done and that failed, and a line of how long they waited."""
    bars, most = charts.bars(rows, "completed", "failed")
    line, longest = charts.line([row["mean_wait"] for row in rows])
    return {"bars": bars, "most": most, "line": line, "longest": longest}


def _workers() -> tuple[list[dict[str, Any]] | None, float | None, float | None]:
    """The processes, and seconds since the last sweep; None while Redis does not answer. And the seconds for which the scheduler
    has been silent, if those are too many."""
    try:
        ago = scheduled.ran_ago()
        return census.workers(), swept_ago(), ago if ago is not None and ago > scheduled.LATE else None
    except redis.RedisError as problem:
        outage.noticed(problem)
        return None, None, None


def refused_visitors() -> list[dict[str, Any]]:
    """Chatbots whose visitors were turned away, by limit, most often first; none while Redis, which counts them, is away."""
    try:
        rows = turned_away.of_chatbots(turned_away.most_affected())
    except redis.RedisError as problem:
        outage.noticed(problem)
        return []
    names = Chatbot.select(Chatbot.id, Chatbot.name, Chatbot.customer, Customer.name.alias("business")).join(Customer)
    by_id = {row["id"]: row for row in db.rows(names.where(Chatbot.id.in_({row.chatbot_id for row in rows})))} if rows else {}
    there = [{**asdict(row), **by_id[row.chatbot_id]} for row in rows if row.chatbot_id in by_id]
    return sorted(there, key=lambda row: -row["count"])


def down_accounts() -> list[dict[str, Any]]:
    """Accounts of channels that cannot send, or somebody has to look at, with the business and the replies that wait."""
    rows = [row for row in accounts.overview() if row["active"] and row["state"] != health.OK]
    names = Customer.select(Customer.id, Customer.name).where(Customer.id.in_({row["customer_id"] for row in rows}))
    by_id = {row["id"]: row["name"] for row in db.rows(names)} if rows else {}
    return sorted(
        ({**row, "customer": by_id.get(row["customer_id"]), "is_down": row["state"] in health.DOWN} for row in rows),
        key=lambda row: (not row["is_down"], -row["held_replies"]),
    )
