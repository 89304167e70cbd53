"""PostgreSQL that answers and cannot do: after a failover, without its prepared statements, read only, ended under our hands.

Warm connections heal by themselves; until something works the front door says 503 and when to come again, never 500.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg2
import pytest

from scripts.local.embedded import Services
from shared import config, db
from shared.errors import ServiceDown
from shared.jobs.outcome import AttemptEnded
from tests.builders import World
from tests.integration.front_door import FrontDoor, change, waha_message, webhook, written
from tests.waiting import until
from web.ops.write_check import postgres_write

#: Connections that are open when it happens.
WARM = 4


class Server:
    """The server's own administrator, whom none of it concerns."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.autocommit = True
        self.run("set default_transaction_read_only = off")

    def run(self, statement: str) -> None:
        """One statement."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def close(self) -> None:
        """Puts everything back."""
        self.run("alter system reset default_transaction_read_only")
        self.run("alter role shop reset all")
        self.run("select pg_reload_conf()")
        self._connection.close()


@pytest.fixture
def server(services: Services) -> Iterator[Server]:
    """The server, with a role `shop` to be ours."""
    running = Server(services.database_url)
    running.run("drop role if exists shop")
    running.run(f"create role shop superuser login password '{urlsplit(services.database_url).password}'")
    yield running
    running.close()


@pytest.fixture
def warm_door(door: FrontDoor, server: Server, database_url: str, monkeypatch: pytest.MonkeyPatch) -> FrontDoor:
    """The front door with several connections that have prepared their statements."""
    monkeypatch.setenv("DATABASE_URL", database_url.replace("//postgres:", "//shop:"))
    config.reset()
    db.reset()
    db.use(db.WEB)
    for number in range(WARM):
        assert _post(door, f"wamid.warm{number}") == 200
    _on_each_connection(lambda: db.rows("select 1"))
    return door


def _on_each_connection(work: Callable[[], object]) -> None:
    """Does it on WARM connections at the same time, so that there are so many."""
    together = threading.Barrier(WARM)

    def one() -> None:
        with db.connection():
            together.wait(45)
            work()
            together.wait(45)

    with ThreadPoolExecutor(WARM) as pool:
        for done in [pool.submit(one) for _ in range(WARM)]:
            done.result()


def _post(door: FrontDoor, external_id: str) -> int:
    return door.meta(webhook(change(door.number, messages=[written(external_id)]))).status_code


@contextmanager
def _read_only(server: Server) -> Iterator[None]:
    """Open sessions are read only from now on, as those to the old primary after a failover are."""
    _set_read_only(server, "on")
    yield
    _set_read_only(server, "off")


def _set_read_only(server: Server, word: str) -> None:
    """Returns when each connection has heard of it: a session reads its settings anew when the server's signal has come."""
    server.run(f"alter system set default_transaction_read_only = {word}")
    server.run("select pg_reload_conf()")
    _on_each_connection(lambda: until(lambda: db.scalar("show default_transaction_read_only") == word))


def _lose_statements() -> None:
    _on_each_connection(lambda: db.rows("discard all"))


def _prepare_twice() -> None:
    _on_each_connection(lambda: db.connect().session.prepared.clear())


def _end_backends(server: Server) -> None:
    server.run("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'shop'")


@pytest.mark.parametrize(
    "happens",
    [lambda _: _lose_statements(), lambda _: _prepare_twice(), _end_backends],
    ids=["prepared statements lost", "prepared statements there twice", "backends ended"],
)
def test_warm_connections_heal(warm_door: FrontDoor, server: Server, happens: Callable[[Server], None]) -> None:
    happens(server)
    assert [_post(warm_door, f"wamid.{number}") for number in range(2 * WARM)] == [200] * 2 * WARM
    assert len(warm_door.world.jobs(queue="incoming-messages")) == 3 * WARM


def test_after_a_failover_warm_connections_go_to_the_new_primary(warm_door: FrontDoor, server: Server) -> None:
    server.run("alter role shop set default_transaction_read_only = off")  # new sessions may write
    with _read_only(server):
        assert [_post(warm_door, f"wamid.{number}") for number in range(2 * WARM)] == [200] * 2 * WARM
        assert warm_door.client.get("/readyz").json["checks"]["postgres"] == "ok"  # type: ignore[index]
        assert postgres_write() == "ok"
    assert len(warm_door.world.jobs(queue="incoming-messages")) == 3 * WARM


def test_while_nothing_can_be_written_the_door_says_when_to_come_again(
    warm_door: FrontDoor, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with _read_only(server):
        answers = [warm_door.meta(webhook(change(warm_door.number, messages=[written(f"wamid.{n}")]))) for n in range(WARM)]
        assert [answer.status_code for answer in answers] == [503] * WARM
        assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
        assert warm_door.waha(waha_message("A1")).status_code == 503
        with pytest.raises(ServiceDown, match="PostgreSQL: read only"):
            postgres_write()
        assert {record.reason for record in caplog.records if record.msg == "service_unavailable"} == {"read only"}  # type: ignore[attr-defined]  # an extra
    assert _post(warm_door, "wamid.1") == 200
    assert postgres_write() == "ok"


@contextmanager
def _refusing(table: str, state: str) -> Iterator[None]:
    """PostgreSQL takes no new rows of a table, for a reason that tests cannot bring about."""
    db.rows(
        f"create function refuse() returns trigger language plpgsql as "
        f"$$ begin raise exception 'so it is' using errcode = '{state}'; end $$;"
        f"create trigger refuse before insert on {table} for each row execute function refuse()"
    )
    yield
    db.rows(f"drop trigger refuse on {table}; drop function refuse()")


@pytest.mark.parametrize(
    ("state", "word"),
    [
        ("53100", "disk full"),
        ("53200", "out of memory"),
        ("53400", "a limit of its settings is used up, most likely temp_file_limit"),
        ("57014", "statement too slow"),
        ("58030", "input/output error"),
        ("57P03", "starting up or shutting down"),
        ("40P01", "lost against another transaction"),
        ("42501", "permission denied"),
    ],
)
def test_whatever_postgres_lacks_the_door_says_503(
    warm_door: FrontDoor, state: str, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    with _refusing("job", state):
        assert _post(warm_door, "wamid.1") == 503
        assert warm_door.waha(waha_message("A1")).status_code == 503
        assert {record.reason for record in caplog.records if record.msg == "service_unavailable"} == {word}  # type: ignore[attr-defined]  # an extra
    assert _post(warm_door, "wamid.1") == 200
    assert len(warm_door.world.jobs(queue="incoming-messages")) == WARM + 1


@pytest.mark.parametrize("state", ["53100", "57014", "42501"])
def test_work_waits_for_what_postgres_lacks_and_costs_no_attempt(
    world: World, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_LEASE_SECONDS", "1")
    config.reset()
    world.say()
    [job] = world.jobs()
    with _refusing("message", state):
        raised = world.run(job["id"])
        assert isinstance(raised, AttemptEnded)
        assert raised.delay is not None, "it is delivered again"
    world.run(job["id"])
    [job] = world.jobs(id=job["id"])
    assert (job["state"], job["attempts"], job["lost_claims"]) == ("completed", 1, 0)
