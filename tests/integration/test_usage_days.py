"""Days that are over are counted once, and say the same as the rows that they are made of, whoever changes one meanwhile."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from peewee import IntegrityError

from shared import db
from shared.budgets import usage
from shared.models import Chatbot
from tests.builders import World

_ADD = """
    insert into usage_log (customer_id, chatbot_id, kind, quantity, prompt_tokens, completion_tokens, model, cost, created_at)
    select %(customer)s, case when n %% 7 > 0 then %(chatbot)s end, case n %% 3 when 0 then 'message' else 'ai' end, 1 + n %% 2,
        case when n %% 3 > 0 then n else 0 end, case when n %% 3 > 0 then 7 else 0 end,
        case when n %% 3 > 0 then (array['small', 'large'])[1 + n %% 2] end, case when n %% 4 = 1 then n / 1000.0 end,
        now() - make_interval(hours => n + %(hours)s)
    from generate_series(0, 1200, 5) n
"""
_OVER = """
    select count(*) from usage_log join usage_counted on usage_counted.customer_id = usage_log.customer_id
    where usage_log.customer_id = %s and (created_at at time zone 'utc')::date < until
"""
_CHANGE = (
    "update usage_log set quantity = quantity + 1, prompt_tokens = prompt_tokens + 100, model = 'other', cost = 5 where id = %s"
)


#: The groups of the page, added up from the rows themselves.
_BY_HAND = {
    "days": "(created_at at time zone 'utc')::date as day, kind, null::bigint as chatbot_id, null as model",
    "chatbots": "null::date as day, null as kind, chatbot_id, null as model",
    "models": "null::date as day, null as kind, null::bigint as chatbot_id, model",
}
_SUMS = """
    select {}, count(*) filter (where kind = 'ai') as answers, sum(quantity) as quantity, sum(prompt_tokens) as prompt_tokens,
        sum(completion_tokens) as completion_tokens, sum(cost) as cost
    from usage_log where customer_id = %s and ({} or model is not null) group by 1, 2, 3, 4
"""


def _same(customer: int) -> bool:
    used = usage.of_days(customer, datetime.now(UTC).date() - timedelta(80), 90)
    for group, columns in _BY_HAND.items():
        by_hand = db.rows(_SUMS.format(columns, group == "days"), [customer])
        shown = [row for row in getattr(used, group) if row["quantity"]]  # what was changed may leave a row of nothing
        if len(by_hand) < 2 or not _are_same(shown, by_hand):
            return False
    return True


def _are_same(*lists: list[dict[str, Any]]) -> bool:
    first, second = (sorted(map(str, map(tuple, map(dict.values, rows)))) for rows in lists)
    return first == second


@pytest.mark.parametrize("hours", [0, 5, 10, 15, 20])  # which entries share a day depends on the time of day
def test_days_are_counted_once_and_a_late_change_is_in_them(world: World, hours: int) -> None:
    db.rows(_ADD, {"customer": world.customer, "chatbot": world.chatbot, "hours": hours})
    other, _ = world.tenant()
    assert _same(world.customer)
    assert usage.count_days() > 45
    assert usage.count_days() == 0
    assert db.scalar("select count(*) from usage_day where customer_id = %s", [other]) == 0
    counted = db.scalar("select sum(entries) from usage_day")
    assert counted == db.scalar(_OVER, [world.customer]) > 200
    assert _same(world.customer)
    for position in (3, 40, 200):
        row = db.row("select id from usage_log order by created_at offset %s limit 1", [position]) or {}
        db.rows(_CHANGE, [row["id"]])
        db.rows(_CHANGE, [row["id"]])
        assert _same(world.customer)
    db.rows(Chatbot.delete().where(Chatbot.customer == other))
    db.rows("delete from customer where id = %s", [world.customer])
    assert db.scalar("select count(*) from usage_day") == 0


def test_a_change_that_meets_the_counting_is_counted(world: World) -> None:
    """Whoever is first, the other one waits."""
    db.rows(_ADD, {"customer": world.customer, "chatbot": world.chatbot, "hours": 0})
    row = db.row("select id from usage_log order by created_at offset 50 limit 1") or {}
    counting = threading.Thread(target=usage.count_days)
    with db.transaction():
        db.rows(_CHANGE, [row["id"]])
        counting.start()
        counting.join(0.5)
        assert counting.is_alive()
    counting.join(30)
    assert _same(world.customer)
    assert db.scalar("select count(*) from usage_day where model = 'other'") == 1


def test_a_customer_whose_days_cannot_be_counted_keeps_nobody_elses_from_it(world: World) -> None:
    second, chatbot = world.tenant()
    for customer, bot in ((world.customer, world.chatbot), (second, chatbot)):
        db.rows(_ADD, {"customer": customer, "chatbot": bot, "hours": 60})
    db.rows(
        "insert into usage_day select customer_id, (created_at at time zone 'utc')::date, kind, coalesce(chatbot_id, 0),"
        " coalesce(model, ''), 1, 1, 0, 0, 0, 0 from usage_log where customer_id = %s limit 1",
        [world.customer],
    )
    with pytest.raises(IntegrityError):
        usage.count_days()
    assert [row["customer_id"] for row in db.rows("select customer_id from usage_counted")] == [second]
    assert _same(second)
