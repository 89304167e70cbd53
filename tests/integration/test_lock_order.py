"""Who locks several rows does so in one order, or waits for nobody: each pair that could wait for each other is forced here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.db import sql
from shared.knowledge import sources
from shared.knowledge.sources import Page
from shared.privacy import retention
from tests.builders import World
from tests.integration.test_ledger_races import another_session, until_waiting


@contextmanager
def waiting_for(locks: tuple[str, list[Any]], work: Callable[[], Any]) -> Iterator[Any]:
    """A session that has locked something for which the work waits; at the end it commits, and the work goes on."""
    with another_session() as session, ThreadPoolExecutor(1) as pool:
        session.execute(*locks)
        working = pool.submit(work)
        until_waiting(1)
        yield session
        session.connection.commit()
        working.result(45)


def lock(table: str, row_id: int) -> tuple[str, list[Any]]:
    return f"select from {table} where id = %s for no key update nowait", [row_id]


def execute(query: sql.Query, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return db.rows(query.text.replace("$1", "%s"), [json.dumps([row | {"n": n} for n, row in enumerate(rows)])])


def claimed_answers(world: World) -> list[dict[str, Any]]:
    """The questions of visitors v-a and v-b, whose answers are under way."""
    for user in ("v-a", "v-b"):
        world.say(user=user)
    world.run(world.jobs()[0]["id"])
    world.run(world.jobs()[1]["id"])
    claimed = [world.claim(job["id"]) for job in world.jobs(queue="ai-processing")]
    return [
        {"job_id": job.id, "claim": job.claim, "message_id": job.message_id, "customer_id": job.customer_id} for job in claimed
    ]


def replies(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    said = {"text": "Somebody comes.", "metadata": {}, "calls": [], "refused_by": None, "handover": "asked"}
    return [{**answer, **said, "gap_question": None, "gap_reason": None, "claimed_at": None} for answer in answers]


def brakes(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**answer, "reason": "pace", "seconds": 60, "most_doublings": 3} for answer in answers]


@pytest.mark.parametrize("name", ["save_reply", "brake"])
@pytest.mark.parametrize("step", [1, -1], ids=["as they came", "the other way round"])
def test_answers_go_through_conversations_as_arrivals_do(world: World, root: Path, name: str, step: int) -> None:
    query = sql.load(str(root / "workers/ai.py"))[name]
    rows = {"save_reply": replies, "brake": brakes}[name](claimed_answers(world))[::step]
    first, second = (row["id"] for row in db.rows("select id from conversation order by external_user_id"))
    with waiting_for(lock("conversation", first), lambda: execute(query, rows)) as arrival:
        arrival.execute(*lock("conversation", second))
    assert {job["state"] for job in world.jobs(queue="ai-processing")} == {"completed"}


def test_a_page_that_is_gone_and_an_owner_who_stops_the_reading_lock_in_one_order(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "1")
    config.reset()
    simulator.site(pages=1, broken={}, changed=[], gone=[])
    base = int(db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot]))
    source = sources.start_import(base, Page(f"{simulator.url}/site/page-1"))
    world.drain()
    simulator.site(gone=[1])
    assert sources.sync(source)
    world.run(world.jobs(queue="knowledge-import", state="waiting")[0]["id"])
    [reading] = world.jobs(queue="knowledge-import", state="waiting")
    [document] = db.rows("select id from knowledge_document")
    with waiting_for(lock("knowledge_source", source), lambda: world.run(reading["id"])) as owner:
        owner.execute(*lock("knowledge_document", document["id"]))
    assert (db.rows("select from knowledge_document"), db.scalar("select removed from knowledge_source")) == ([], 1)


def test_old_conversations_that_somebody_is_at_work_on_stay_for_the_next_time(world: World) -> None:
    db.rows("update customer set keep_messages_days = 30")
    for user in ("v-a", "v-b"):
        world.say(user=user)
    world.drain()
    old = "now() - interval '40 days'"
    db.rows(f"update message set created_at = {old}")
    db.rows(f"update conversation set created_at = {old}, updated_at = {old}")
    [busy, _] = db.rows("select id from conversation order by id")
    with another_session() as session, ThreadPoolExecutor(1) as pool:
        session.execute(*lock("conversation", busy["id"]))
        assert pool.submit(retention.prune).result(45)["conversations"] == 1
    assert retention.prune()["conversations"] == 1
