"""A database that this code's migrations have not reached, or a later release's have: nothing is refused for good meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import peewee
import pytest
from werkzeug.test import TestResponse

from shared import config, db
from shared.db import schema_age
from tests.builders import World
from tests.integration.front_door import FrontDoor, change, waha_message, webhook, written
from tests.integration.test_front_door_api import API, Business, mine
from tests.integration.test_readiness import ready
from tests.integration.widget_page import Page, key_of

__all__ = ["mine"]  # a fixture

NEWEST = max(path.name for path in schema_age._MIGRATIONS.glob("*.pre.sql"))
ACCEPT = "message_accept_v4(bigint, text, text, text, jsonb, text[])"


@pytest.fixture(autouse=True)
def always_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_age, "FRESH", 0.0)


@contextmanager
def _behind(function: str = ACCEPT, record: str = "delete from schema_migration where name = %s") -> Iterator[None]:
    """A function is missing, by what is recorded of migrations; afterwards somebody has migrated."""
    name, _, parameters = function.partition("(")
    recorded = db.rows("select * from schema_migration")
    db.rows(f"alter function {function} rename to later")
    db.rows(record, [NEWEST])
    yield
    db.rows(f"alter function later({parameters} rename to {name}")
    db.rows("delete from schema_migration")
    for row in recorded:
        db.rows("insert into schema_migration values (%s, %s)", list(row.values()))


def _is_told_to_come_again(answer: TestResponse) -> bool:
    return answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0


def _reasons(caplog: pytest.LogCaptureFixture) -> set[str]:
    return {getattr(record, "reason") for record in caplog.records if record.message == "service_unavailable"}  # noqa: B009


def test_what_comes_before_the_migration_comes_again(door: FrontDoor, caplog: pytest.LogCaptureFixture, world: World) -> None:
    page = Page(door.client, key_of(world.chatbot))
    requests: list[Callable[[], TestResponse]] = [
        lambda: door.meta(webhook(change(door.number, messages=[written("wamid.1"), written("wamid.2")]))),
        lambda: door.waha(waha_message("A1")),
        lambda: page.say("When?"),
    ]
    with _behind():
        assert [_is_told_to_come_again(request()) for request in requests] == [True] * 3
        assert ready(door)[1]["checks"]["postgres"].endswith("; run scripts/migrate")
        assert ready(door)[0] == 503
    [reason] = _reasons(caplog)
    assert reason == f"the database's schema is older than this code, it lacks {NEWEST}; run scripts/migrate"
    assert not db.rows("select from inbound_reject"), "nothing was set aside"
    assert [request().status_code for request in requests] == [200, 200, 202]
    assert len(world.jobs(queue="incoming-messages")) == 4
    assert ready(door)[1]["checks"]["postgres"] == "ok"


@pytest.mark.parametrize("path", [f"{API}/conversations", "/webhooks/whatsapp/cloud"])
def test_a_database_without_our_tables_is_an_outage(
    door: FrontDoor,
    mine: Business,
    empty_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    path: str,
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    config.reset()
    db.reset()
    body = webhook(change(door.number, messages=[written("wamid.1")]))
    answer: Any = mine("GET", path.removeprefix(API)) if path.startswith(API) else door.meta(body)
    assert _is_told_to_come_again(answer)
    assert _reasons(caplog) == {"the database has no tables of Switchboard; run scripts/migrate"}
    db.reset()


def test_jobs_wait_for_the_migration(world: World) -> None:
    job = world.say(channel="widget")
    with _behind("job_lock_runnable_v2(text, jsonb)"):
        config.reset()
        assert "waits for" in str(world.run(job))
    [row] = world.jobs(queue="incoming-messages")
    assert (row["state"], row["attempts"]) == ("waiting", 0)
    world.drain()
    assert [message["status"] for message in world.messages(role="assistant")] == ["SENT"]


def test_a_database_that_a_later_release_has_migrated_is_said(door: FrontDoor, caplog: pytest.LogCaptureFixture) -> None:
    message = webhook(change(door.number, messages=[written("wamid.1")]))
    newer = "the database's schema is newer than this code, it has 9999_later.post.sql; run the release that migrated it"
    with _behind(record="insert into schema_migration (name) select '9999_later.post.sql' where %s <> ''"):
        assert _is_told_to_come_again(door.meta(message))
        assert (ready(door)[0], ready(door)[1]["checks"]["postgres"]) == (200, newer), "others of its release may do better"
    assert _reasons(caplog) == {newer}


def test_a_later_release_that_has_not_cleaned_up_is_as_in_every_deployment(door: FrontDoor) -> None:
    db.rows("insert into schema_migration (name) values ('9999_later.pre.sql')")
    assert ready(door)[1]["checks"]["postgres"] == "ok"


def test_a_wrong_statement_is_not_excused(world: World) -> None:
    with pytest.raises(Exception, match="SQLSTATE 42883") as raised:
        db.rows("select nonsense_v1()")
    assert not db.is_outage(raised.value)
    with _behind(), pytest.raises(Exception, match="run scripts/migrate"), db.transaction():
        db.rows("select nonsense_v1()")


def test_who_looks_into_another_schema_is_told_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c search_path=nowhere")
    config.reset()
    db.reset()
    with pytest.raises(peewee.OperationalError, match=r"are in the schema public, and search_path is nowhere; .* PGOPTIONS"):
        db.rows("select 1 from message")
