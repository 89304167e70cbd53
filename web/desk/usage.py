"""What a business used: by day, chatbot and model, tokens, and money where models have a price; and its budgets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from flask import Response, g, make_response, render_template, request
from flask_babel import gettext as _

from shared import db
from shared.budgets import budgets
from shared.budgets.usage import of_days
from shared.teaching import chatbots
from web.desk import charts, desk, silences
from web.desk.access import allowed
from web.desk.budgets import AT_LIMIT

#: What the page offers, in days.
SPANS = (7, 30, 90)
_COUNTS = ("quantity", "prompt_tokens", "completion_tokens", "answers")


@desk.get("/c/<int:customer_id>/usage")
@allowed("owner")
def usage() -> Response:
    """The page; `days` says how many."""
    days = request.args.get("days", type=int)
    days = days if days in SPANS else 30
    first = datetime.now(UTC).date() - timedelta(days - 1)
    with db.patient(db.REPORT):
        used = of_days(g.customer.id, first, days)
    of_budgets = budgets.budgets(g.customer.id)
    bots = chatbots.names(g.customer.id)
    names = {bot["id"]: bot["name"] for bot in bots}
    by_day = _sums(used.days, "day")
    bars, most = charts.bars(_each_day(by_day, first, days), "prompt_tokens", "completion_tokens")
    page = render_template(
        "desk/usage.html",
        days=days,
        spans=SPANS,
        bars=bars,
        most=most,
        total=_total(by_day),
        kinds={row["kind"]: row["quantity"] for row in _sums(used.days, "kind")},
        by_chatbot=[{**row, "name": names.get(row["chatbot_id"])} for row in used.chatbots],
        by_model=used.models,
        budgets=of_budgets,
        names=names,
        without_budget=_without_budget(of_budgets, bots),
        at_limit=AT_LIMIT,
        silences=any(one.is_urgent for one in silences.of_business(g.customer.id)),
        width=charts.WIDTH,
        height=charts.HEIGHT,
    )
    return make_response(page)


def _each_day(by_day: Sequence[dict[str, Any]], first: date, days: int) -> list[dict[str, Any]]:
    """Also those on which nothing was used."""
    known = {row["day"]: row for row in by_day}
    return [known.get(day) or {"day": day, **dict.fromkeys(_COUNTS, 0)} for day in (first + timedelta(n) for n in range(days))]


def _without_budget(stored: Sequence[dict[str, Any]], bots: Sequence[dict[str, Any]]) -> list[tuple[object, str]]:
    """For whom a budget can be set: the value and the name of each choice."""
    bounded = {row["chatbot_id"] for row in stored}
    everybody = [] if None in bounded else [("", _("all chatbots together"))]
    return everybody + [(bot["id"], bot["name"]) for bot in bots if bot["id"] not in bounded]


def _sums(rows: Iterable[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    """Rows with the same value added up; the cost of what has none is not known."""
    sums: dict[Any, dict[str, Any]] = {}
    for row in rows:
        total = sums.setdefault(row[by], {by: row[by], "cost": None, **dict.fromkeys(_COUNTS, 0)})
        for name in _COUNTS:
            total[name] += row[name]
        if row["cost"] is not None:
            total["cost"] = (total["cost"] or 0) + row["cost"]
    return list(sums.values())


def _tokens(row: dict[str, Any]) -> int:
    return int(row["prompt_tokens"]) + int(row["completion_tokens"])


def _total(by_day: Sequence[dict[str, Any]]) -> dict[str, Any]:
    costs = [row["cost"] for row in by_day if row["cost"] is not None]
    return {
        "tokens": sum(map(_tokens, by_day)),
        "answers": sum(row["answers"] for row in by_day),
        "cost": sum(costs) if costs else None,
    }
