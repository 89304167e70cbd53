"""Periodic jobs: a step that always fails stops none of those behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from peewee import IntegrityError, ProgrammingError

from scripts.local.simulator.client import Simulator
from shared import config, db, queues
from shared.broker.enqueue import message_id
from shared.broker.redis_broker import get_broker
from shared.channels import ownership
from shared.config import settings
from shared.jobs import worker_process
from shared.jobs.independent import run_each
from shared.media import files
from shared.media.folder import StorageDown
from shared.operations import dead_letters
from shared.operations.dead_letters import Filter
from shared.privacy import retention
from shared.queues import Queue
from tests.builders import World
from tests.integration.test_dead_letters import fail_sends
from tests.integration.test_inline_files import arrived


@contextmanager
def without(table: str) -> Iterator[None]:
    """A table is not where statements look for it."""
    db.rows(f"alter table {table} rename to {table}_elsewhere")
    try:
        yield
    finally:
        db.rows(f"alter table {table}_elsewhere rename to {table}")


def test_failures_settle_while_usage_cannot_be_counted(world: World, simulator: Simulator) -> None:
    from workers import maintenance

    fail_sends(world, simulator, 2)
    db.rows("update message set status = 'SENT', error = null where status = 'FAILED'")
    with without("usage_counted"), pytest.raises(ProgrammingError, match="usage_counted"):
        maintenance.count_throughput.fn()
    assert dead_letters.count(Filter(state="answered")) == 2


def test_the_first_failure_is_raised_when_all_had_their_turn(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def step(number: int) -> int:
        done.append(number)
        if number % 2:
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match="1"):
        run_each([lambda n=n: step(n) for n in range(5)])
    assert done == [0, 1, 2, 3, 4]
    assert [record.message for record in caplog.records] == ["step_failed"], "the other one"
    assert run_each([lambda: 1, lambda: 2]) == [1, 2]


def test_periodic_jobs_tell_of_an_outage_in_a_line_and_of_errors_of_ours_in_full(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from workers import maintenance

    with without("usage_counted"), pytest.raises(ProgrammingError, match="usage_counted"):
        maintenance.count_throughput()
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    config.reset()
    db.reset()
    for _ in range(2):
        maintenance.count_throughput()
        worker_process.refresh_pauses()
    told = [(record.getMessage(), getattr(record, "reason", "")) for record in caplog.records if record.levelname != "INFO"]
    assert told == [("service_unavailable", "cannot be reached")]


def test_what_cannot_be_swept_of_one_queue_keeps_nothing_else(world: World) -> None:
    from workers import maintenance

    world.endpoint(world.customer)
    world.say()
    world.run(world.jobs(queue="incoming-messages")[0]["id"])
    world.say("And what of returns?")
    db.rows("update job set created_at = created_at - interval '1 minute'")
    db.rows("update webhook_event set held = true where id = (select max(id) from webhook_event)")
    broker = get_broker()
    broker.client.flushdb()
    broker.client.set(f"{broker.namespace}:{Queue.INCOMING}.msgs", "of another type")
    with pytest.raises(redis.ResponseError):
        maintenance.sweep()
    [answer] = world.jobs(queue="ai-processing")
    assert broker.missing(queues.lane(Queue.AI, answer["priority"]), [message_id(answer["id"])]) == set()
    assert db.scalar("select count(*) from webhook_event where held") == 0


def test_a_file_that_cannot_be_deleted_keeps_no_other_one(world: World, tmp_path: Path) -> None:
    stored = [files.store(world.customer, arrived(tmp_path / name, name.encode())) for name in ("one", "two", "three")]
    db.rows("update media_file set wanted_at = '-infinity'")
    db.rows("update media_file set wanted_at = now() - interval '3 days' where sha256 <> %s", [stored[0].sha256])
    place = Path(settings().media_folder) / stored[0].key
    place.unlink()
    (place / "not empty").mkdir(parents=True)
    with pytest.raises(StorageDown):
        files.delete_unwanted()
    assert [row["sha256"] for row in db.rows("select sha256 from media_file")] == [stored[0].sha256]


def test_messages_go_while_those_of_another_business_cannot(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, other = world.tenant()
    for chatbot in (world.chatbot, other):
        world.say(chatbot_id=chatbot)
    world.drain()
    db.rows("update conversation set created_at = created_at - interval '31 days', updated_at = updated_at - interval '31 days'")
    db.rows("update message set created_at = created_at - interval '31 days'")
    db.rows("create table hold as select id from message where chatbot_id = %s", [world.chatbot])
    db.rows("alter table hold add foreign key (id) references message")
    monkeypatch.setenv("KEEP_MESSAGES_DAYS", "30")
    config.reset()
    with pytest.raises(IntegrityError):
        retention.prune()
    assert {message["chatbot_id"] for message in world.messages()} == {world.chatbot}


def test_conversations_go_back_while_another_one_cannot(world: World) -> None:
    for user in ("v-1", "v-2"):
        world.say(user=user)
    world.drain()
    stuck, other = (row["id"] for row in db.rows("select id from conversation order by id"))
    for conversation_id in (stuck, other):
        ownership.assign(conversation_id, "person", "desk", 1)
    db.rows("update conversation set returns_at = now() - make_interval(mins => (%s - id)::integer)", [other + 1])
    db.rows(f"alter table conversation add constraint refused check (id <> {stuck} or owner = 'person')")
    with pytest.raises(IntegrityError):
        ownership.return_idle()
    assert [row["owner"] for row in db.rows("select owner from conversation order by id")] == ["person", "bot"]
