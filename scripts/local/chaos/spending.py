"""Budgets under kill -9: what models cost is known to the token, and no budget is exceeded by more than one reservation.

In the scenario `budget` one customer's month is used up on the way, another's chatbot has plenty, and the third has no budget. A
trigger keeps every reservation that was ever made, so that each can be accounted for.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

from scripts.local.chaos.disruptions import Target, workers_of
from scripts.local.chaos.producer import retry_until_up
from shared import db
from shared.budgets import budgets, meter, prices
from shared.budgets.budgets import BudgetSchema
from shared.config import settings
from shared.payloads import check as checked

#: Seconds between two kills, at least.
PAUSE = 3.0
#: Seconds between two looks whether a call is under way: some of them in each call.
LOOK = 0.05
#: Seconds until no reservation is left once no job is open; a sweep takes milliseconds.
SWEPT_WITHIN = 30.0
#: Tokens of the small budget for each message of the load: some half of what the answers of one of three customers cost.
TOKENS_PER_MESSAGE = 35
#: What a customer reads whose month is used up.
USED_UP = "We answer again next month."

_KEEP_RESERVATIONS = """
    create table chaos_reservation (like budget_reservation);
    create function chaos_reservation() returns trigger language plpgsql as $$
    begin
        insert into chaos_reservation values (new.*);
        return null;
    end $$;
    create trigger chaos_reservation after insert on budget_reservation for each row execute function chaos_reservation();
"""
_OF_CUSTOMER = """
    select budget.*,
        (select count(*) from budget_reservation r where r.customer_id = budget.customer_id)              as open_reservations,
        (select count(*) from chaos_reservation r where r.customer_id = budget.customer_id)               as reservations,
        (select max(prompt_tokens + completion_tokens) from chaos_reservation r
            where r.customer_id = budget.customer_id)                                                     as largest,
        (select coalesce(sum(counted_tokens), 0) from usage_log u where u.customer_id = budget.customer_id) as used_tokens,
        (select coalesce(sum(cost), 0) from usage_log u where u.customer_id = budget.customer_id)         as used_money,
        (select coalesce(sum(quantity), 0) from usage_log u
            where u.customer_id = budget.customer_id and kind in ('ai', 'unknown'))                       as calls,
        (select coalesce(sum(quantity), 0) from usage_log u
            where u.customer_id = budget.customer_id and kind = 'unknown')                                as unknown_calls,
        (select coalesce(sum(counted_tokens), 0) from usage_log u
            where u.customer_id = budget.customer_id and kind = 'unknown')                                as unknown_tokens
    from budget order by customer_id
"""
_HEARD = """
    select metadata ->> 'request_id' as id from message where role = 'assistant' and metadata ? 'request_id'
"""
#: The questions of a load differ in their numbers.
_ASKED_BY = """
    select content, customer_id from message join chatbot on chatbot.id = chatbot_id where role = 'user'
"""


def prepare(messages: int) -> None:
    """Sets prices and budgets before the load."""
    customers = [row["id"] for row in db.rows("select id from customer order by id")]
    bots = [row["id"] for row in db.rows("select id from chatbot order by customer_id")]
    db.rows(_KEEP_RESERVATIONS)
    prices.set_price(settings().openai_base_url, "gpt-4o-mini", Decimal("0.15"), Decimal("0.6"))
    small = {"tokens": messages * TOKENS_PER_MESSAGE, "at_limit": "text", "text": USED_UP}
    budgets.set_budget(customers[0], checked(BudgetSchema, "budget", small))
    large = {"chatbot_id": bots[1], "tokens": 10**9, "money": 1_000.0}
    budgets.set_budget(customers[1], checked(BudgetSchema, "budget", large))


def kill_ai(target: Target) -> None:
    """kill -9 of a worker process that asks models, once somebody was answered since the last one and a call is reserved

    A kill after so many seconds would hit a worker that only starts, again and again, where the machine is slow. The calls that
    the killed had reserved stay until a sweep counts them, and show no worker that works.
    """
    name = "ai" if "ai" in target.workers else target.workers[0]
    answered, lost = 0.0, set[str]()
    while not target.stopping.wait(PAUSE):
        while target.progress() <= answered or not (reserved := _reserved()) - lost:
            if target.stopping.wait(LOOK):
                return
        if pids := workers_of(target, name):
            victim = target.choice.choice(pids)
            with suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                target.report(f"kill -9 {name} ({victim}), {len(reserved - lost)} calls were reserved")
                answered, lost = target.progress(), reserved


def _reserved() -> set[str]:
    """The calls whose outcome nobody knows yet."""
    rows = retry_until_up(lambda: db.rows("select id::text as id from budget_reservation"))
    return {row["id"] for row in rows}


def check(record: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is wrong in the end. `record`: the requests that the simulator received."""
    _sweep()
    answers = [request for request in record if request["kind"] == "ai" and request["accepted"]]
    heard = {row["id"] for row in db.rows(_HEARD)}
    cost = sum(request["tokens"] for request in answers if request["answered_id"] in heard)
    booked = db.scalar("select sum(prompt_tokens + completion_tokens) from usage_log where kind = 'ai'")
    if booked != cost:
        yield f"{booked} tokens are booked for replies that cost {cost} at the provider"
    asked_by = {row["content"]: row["customer_id"] for row in db.rows(_ASKED_BY)}
    rows = db.rows(_OF_CUSTOMER)
    for row in rows:
        own = [answer for answer in answers if asked_by.get(answer["text"]) == row["customer_id"]]
        yield from _wrong_with(row, [answer for answer in own if answer["answered_id"] not in heard])
    if rows[0]["exhausted_at"] is None or not db.scalar("select count(*) from message where content = %s", [USED_UP]):
        yield "the small budget was not used up; take more --messages"
    if not sum(row["unknown_calls"] for row in rows):
        yield "no call was lost; take more --messages"
    with_budget = [row["customer_id"] for row in rows]
    if others := db.scalar("select count(*) from chaos_reservation where customer_id <> all (%s)", [with_budget]):
        yield f"{others} reservations were made for the customer without a budget"


def _sweep() -> None:
    """Until nothing is reserved: what the maintenance process has in hand, and has not committed, another sweep skips."""
    deadline = time.monotonic() + SWEPT_WITHIN
    meter.sweep()
    while _reserved() and time.monotonic() < deadline:
        time.sleep(LOOK)
        meter.sweep()


def _wrong_with(row: dict[str, Any], lost: Sequence[dict[str, Any]]) -> Iterator[str]:
    """`lost`: the answers of the provider that nobody heard."""
    whose = f"customer {row['customer_id']}"
    if row["open_reservations"]:
        yield f"{whose}: {row['open_reservations']} reservations are left after the sweep"
    if (spent := (row["spent_tokens"], row["spent_money"])) != (used := (row["used_tokens"], row["used_money"])):
        yield f"{whose}: {spent} tokens and money are spent, and {used} are used"
    if row["calls"] != row["reservations"]:
        yield f"{whose}: {row['calls']} calls are booked, of {row['reservations']} that were reserved"
    tokens = sum(one["tokens"] for one in lost)
    if len(lost) > row["unknown_calls"] or tokens > row["unknown_tokens"]:
        yield f"{whose}: {len(lost)} lost answers cost {tokens} tokens, but only {row['unknown_tokens']} count for them"
    if row["spent_tokens"] >= row["tokens"] + (row["largest"] or 0):
        yield f"{whose}: {row['spent_tokens']} of {row['tokens']} tokens are spent; the largest reservation was {row['largest']}"
