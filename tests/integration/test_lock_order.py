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
from shared.channels import changes
from shared.channels.inbound import InboundAccount, InboundEdit
from shared.channels.registry import channel
from shared.db import sql
from shared.jobs.ledger import leases
from shared.knowledge import sources
from shared.knowledge.sources import Page
from shared.operations import replays
from shared.operations.dead_letters import Filter
from shared.privacy import retention
from tests.builders import World
from tests.integration.test_dead_letters import run_to_end
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
        session.connection.rollback()
    assert retention.prune()["conversations"] == 1


def test_an_edit_gives_way_to_whoever_ends_the_reply_in_front(world: World) -> None:
    for number, text in enumerate(("One", "Two")):
        world.say(text, channel="whatsapp_qr", user="491234567", external_id=f"e{number}")
    for queue in ("incoming-messages", "ai-processing", "outgoing-messages"):
        for job in world.jobs(queue=queue):
            world.run(job["id"])
    head, in_line = world.jobs(queue="whatsapp-qr-send")
    assert in_line["held"]
    # PostgreSQL ends nobody for a deadlock here: who gave way is seen by who goes on.
    db.rows(f"alter database {db.scalar('select current_database()')} set deadlock_timeout = '1h'")
    db.reset()
    account, edited = InboundAccount(0, "session", world.chatbot), InboundEdit(raw={}, original_id="e1", content="Three")
    with another_session() as sending, ThreadPoolExecutor(1) as pool:
        sending.execute("set lock_timeout = '30s'")
        sending.execute("select job_lock('whatsapp-qr-send', %s)", [[head["ordering_key"]]])
        editing = pool.submit(changes.edit, channel("whatsapp_qr"), account, edited)
        until_waiting(1)
        sending.execute("select from job where id = %s for no key update", [in_line["id"]])
        sending.connection.commit()
        assert editing.result(45) == "changed"
    assert world.messages(role="user")[1]["content"] == "Three"
    assert [reply["status"] for reply in world.messages(role="assistant")] == ["PENDING", "SUPERSEDED"]


def test_a_renewal_of_leases_waits_for_no_job(world: World) -> None:
    ids = [answer["job_id"] for answer in claimed_answers(world)]
    db.rows("update job set lease_until = '2000-01-01' where state = 'active'")
    with another_session() as session, ThreadPoolExecutor(1) as pool:
        session.execute(*lock("job", ids[0]))
        pool.submit(leases.renew).result(45)
        kept = db.rows("select id, lease_until > '2000-01-02' as is_renewed from job where state = 'active' order by id")
        assert [row["is_renewed"] for row in kept] == [False, True]
        session.connection.rollback()
    leases.renew()
    assert db.scalar("select bool_and(lease_until > '2000-01-02') from job where state = 'active'")


def test_a_replay_has_one_conversation_at_a_time(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "status", "status": 400}])
    for user in ("v-a", "v-b"):
        world.say(user=user)
    world.drain()
    world.dead_letters()
    simulator.clear_faults()
    first, second = (row["id"] for row in db.rows("select id from conversation order by external_user_id"))
    action = replays.begin(Filter(), "ops@example.com")
    with waiting_for(lock("conversation", second), lambda: run_to_end(action)) as arrival:
        arrival.execute(*lock("conversation", first))
    assert {row["state"] for row in db.rows("select state from dead_letter")} == {"replayed"}
