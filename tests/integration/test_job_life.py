"""Whatever order deliveries, crashes and sweeps come in: one reply for each message, never two, never none."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import db
from shared.broker.consumer import read
from shared.broker.redis_broker import get_broker
from shared.channels.delivery_status import apply_delivery_status
from shared.jobs import sweep as sweeping
from shared.jobs.prune import prune_recent_jobs
from shared.jobs.sweep import sweep
from shared.queues import Queue, lanes
from tests.builders import World, prune

STEPS = st.lists(
    st.tuples(st.sampled_from(["deliver", "crash", "crash alone", "sweep", "again"]), st.integers(0, 5)), max_size=25
)
_users = itertools.count()


def _step(world: World, what: str, number: int, external_ids: list[str], user: str) -> None:
    open_jobs = [row["id"] for row in db.rows("select id from job order by id")]
    chosen = open_jobs[number % len(open_jobs)]
    if what == "deliver":
        world.run(chosen)  # the same id as often as you like
    elif what == "crash":
        world.stage(chosen).claim(chosen)
        world.vanish()
    elif what == "crash alone":
        world.stage(chosen).claim(chosen)
        world.vanish(alone=True)
    elif what == "sweep":
        sweep()
        world.dead_letters()
    else:
        world.say(external_id=external_ids[number % len(external_ids)], user=user)


def _finish(world: World) -> None:
    for _ in range(60):
        world.vanish()
        db.rows("update job set run_at = clock_timestamp() - interval '1 second' where state = 'delayed'")
        ready = db.rows("select id from job where closed_at is null and not held and state <> 'failed' order by id")
        for row in ready:
            world.run(row["id"])
        sweep()
        world.dead_letters()
        if db.scalar("select count(*) from job where closed_at is null") == 0:
            return
    raise AssertionError(f"still open: {world.jobs(closed_at=None)}")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_interleaving_ends_with_one_reply_each(world: World, steps: list[tuple[str, int]]) -> None:
    user = f"v-{next(_users)}"
    external_ids = [f"{user}-{number}" for number in range(2)]
    for external_id in external_ids:
        world.say(external_id=external_id, user=user)
    for what, number in steps:
        _step(world, what, number, external_ids, user)
    _finish(world)
    found: dict[str, Any] = (
        db.row(
            "select count(*) filter (where m.role = 'user') as asked, count(*) filter (where m.role = 'assistant') as replies,"
            " count(distinct m.reply_to) as answered, count(*) filter (where m.status = 'PENDING') as pending"
            " from message m join conversation c on c.id = m.conversation_id where c.external_user_id = %s",
            [user],
        )
        or {}
    )
    poisoned = db.scalar(
        "select count(*) from job where queue = 'incoming-messages' and state = 'failed' and payload ->> 'external_user_id' = %s",
        [user],
    )
    assert found["asked"] == 2 - poisoned  # poison before it was saved: the job is the record
    assert found["replies"] == found["answered"] == found["asked"]
    outgoing = db.scalar("select count(*) from job where queue = 'outgoing-messages' and state = 'failed'")
    assert found["pending"] == 0 or outgoing
    assert db.scalar("select count(*) from usage_log where kind = 'message'") == db.scalar(
        "select count(*) from message where role = 'user'"
    )


def test_a_job_that_redis_lost_is_put_back(world: World) -> None:
    world.say()
    get_broker().client.flushall()
    db.rows("update job set created_at = created_at - interval '1 minute'")
    assert sweep()["enqueued"] == 1
    assert sweep()["enqueued"] == 0, "it is carried now"


def test_jobs_behind_one_that_was_deleted_go_on(world: World) -> None:
    first = world.say(user="v-1") and world.jobs()[-1]["id"]
    world.say(user="v-1", external_id="m-2")
    assert world.jobs()[-1]["held"]
    assert sweeping.release_orphans() == 0
    db.rows("delete from job where id = %s", [first])
    assert sweeping.release_orphans() == 1
    world.drain()
    assert [reply["status"] for reply in world.messages(role="assistant")] == ["SENT"]


def test_dead_letters_that_nobody_can_write_keep_no_later_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "PAGE", 2)
    jobs = [world.say(user=f"v-{number}") and world.jobs()[-1]["id"] for number in range(5)]
    db.rows("update job set state = 'failed', last_error = 'broken' where id = any (%s)", [jobs])
    broker, lane = get_broker(), lanes(Queue.INCOMING)[5]
    broker.client.flushall()
    assert sweep()["dead_letters"] == 5
    asked = broker.take(lane, 10).messages
    assert {read(message).message_id for message in asked} == {f"dead-letter-{job}" for job in jobs}  # type: ignore[union-attr]
    for message in asked[1:]:  # these could not be written, and are tried again later, as Dramatiq's Retries does
        failed = read(message)
        assert failed is not None
        broker.enqueue(failed, delay=60_000)
        broker.put([], [(lane, failed.message_id)])
    assert sweep()["dead_letters"] == 0, "one is being written, the others wait for their next attempt"


def test_failed_jobs_are_not_read_each_minute(world: World) -> None:
    add = """
        insert into job (queue, state, payload, last_error, closed_at)
        select 'ai-processing', %s, '{}', 'HTTP 500', now() - make_interval(hours => %s) from generate_series(1, %s)
    """
    for state, hours, count in (("failed", 20, 20_000), ("completed", 2, 700), ("failed", 25, 700)):
        db.rows(add, [state, hours, count])
    db.rows("analyze job")
    before = _jobs_read()
    assert prune_recent_jobs() == {"completed": 700, "failed": 700}
    assert _jobs_read() - before < 10_000


def _jobs_read() -> int:
    db.rows("select pg_stat_force_next_flush()")
    return int(db.scalar("select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'job'"))


def test_old_records_are_pruned_and_open_ones_stay(world: World) -> None:
    world.say()
    world.drain()
    open_message = world.say(user="v-2")
    db.rows("update job set closed_at = closed_at - interval '59 minutes'")
    prune()
    assert len(world.jobs(state="completed")) == 3
    db.rows("update job set closed_at = closed_at - interval '2 minutes'")
    prune()
    assert [job["message_id"] for job in world.jobs()] == [open_message]


def test_a_status_that_nobody_waits_for_is_dropped_after_an_hour(world: World) -> None:
    apply_delivery_status("SENT", provider_id="wamid.of-nobody")
    prune()
    assert db.scalar("select count(*) from parked_status") == 1
    db.rows("update parked_status set received_at = received_at - interval '61 minutes'")
    assert prune()["parked_statuses"] == 1


def test_messages_of_one_conversation_are_numbered_as_they_stand_in_line(world: World) -> None:
    ready = threading.Barrier(16)

    def say(number: int) -> None:
        ready.wait()
        for again in range(6):
            world.say(f"question {number}.{again}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(say, range(16)))
    in_line = [job["message_id"] for job in world.jobs(queue="incoming-messages")]
    assert len(in_line) == 96
    assert in_line == sorted(in_line)
