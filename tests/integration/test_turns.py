"""Fewer connections than processes and threads want: they take turns, give back what they do not need, and nobody starves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from urllib.parse import urlsplit

import psycopg2
import pytest

from scripts.commands import server
from scripts.local.embedded import Services
from shared import config, db
from shared.db import sessions as turns
from shared.db.connecting import free_connections, open_session
from shared.db.session import WORKER, Limits, watchdog
from shared.db.sessions import Sessions
from shared.errors import ServiceDown
from tests.builders import World
from tests.waiting import until
from web.ops.write_check import CROWDED, postgres_write

#: Connections that the role has.
CONNECTIONS = 2


@pytest.fixture
def few(services: Services, database_url: str) -> Iterator[str]:
    """The database for a role that may have few connections."""
    with closing(psycopg2.connect(services.database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        password = urlsplit(services.database_url).password
        cursor.execute("drop role if exists small_plan")
        cursor.execute(f"create role small_plan login connection limit {CONNECTIONS} password '{password}'")
        cursor.execute("grant pg_read_all_data, pg_write_all_data to small_plan")
        yield database_url.replace("//postgres:", "//small_plan:")


@pytest.fixture
def process(few: str) -> Iterator[Callable[..., Sessions]]:
    """Makes the sessions of another process."""
    made: list[Sessions] = []

    def make(size: int = 4, limits: Limits = WORKER) -> Sessions:
        sessions = Sessions(partial(open_session, few, limits), free_connections, size, limits)
        watchdog.chores.append(sessions.tidy)
        made.append(sessions)
        return sessions

    yield make
    for sessions in made:
        watchdog.chores.remove(sessions.tidy)
        sessions.close_all()


class Busy:
    """A process whose threads always want a connection; `uses` counts how often they had one."""

    def __init__(self, sessions: Sessions, threads: int = 3) -> None:
        self.uses = 0
        self._sessions, self._stop = sessions, threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                session = self._sessions.take()
            except ServiceDown:  # a job would be delivered again
                continue
            with session.cursor() as cursor:
                cursor.execute("select pg_sleep(0.01)")
            self._sessions.give_back(session)
            self.uses += 1

    def end(self) -> None:
        """Its threads end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(40)


def test_processes_that_are_always_busy_take_turns(process: Callable[..., Sessions]) -> None:
    busy = [Busy(process()) for _ in range(2 * CONNECTIONS)]
    try:
        until(lambda: all(one.uses for one in busy), "the turn of each")
    finally:
        for one in busy:
            one.end()


def test_what_is_not_needed_is_given_to_others(process: Callable[..., Sessions], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SURPLUS_IDLE", 0.2)
    monkeypatch.setattr(turns, "LAST_IDLE", 0.5)
    first, second = process(), process()
    held = [first.take() for _ in range(CONNECTIONS)]
    for session in held:
        first.give_back(session)
    session = second.take()
    assert not session.has_ended()
    second.give_back(session)


def test_threads_that_outnumber_the_pool_are_served_in_the_order_of_asking(process: Callable[..., Sessions]) -> None:
    sessions = process(size=1)
    held, order = sessions.take(), []

    def ask(number: int) -> None:
        session = sessions.take()
        order.append(number)
        sessions.give_back(session)

    asking = []
    for number in range(6):
        asking.append(threading.Thread(target=ask, args=(number,)))
        asking[-1].start()
        while len(sessions._queue) <= number:
            time.sleep(0.001)
    sessions.give_back(held)
    for thread in asking:
        thread.join(45)
    assert order == list(range(6))


def test_who_waits_in_vain_is_told_why(process: Callable[..., Sessions], few: str) -> None:
    hasty = Limits(statement=WORKER.statement, connect=WORKER.connect, turn=1)
    alone = process(size=1, limits=hasty)
    held = alone.take()
    with pytest.raises(ServiceDown, match="none of DB_POOL_SIZE=1 connections was free for 1 s"):
        alone.take()
    others = [psycopg2.connect(few) for _ in range(CONNECTIONS - 1)]
    with pytest.raises(ServiceDown, match="PostgreSQL: too many connections"):
        process(limits=hasty).take()
    alone.give_back(held)
    for other in others:
        other.close()


def test_readiness_says_that_connections_are_short(world: World, few: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", few)
    config.reset()
    db.reset()
    others = [psycopg2.connect(few) for _ in range(CONNECTIONS - 1)]
    assert postgres_write() == CROWDED, "this process has the last one"
    db.connect().sessions._crowded_until = 0.0
    for other in others:
        other.close()
    db.reset()

    def finds_a_place() -> bool:
        db.reset()
        return postgres_write() == "ok"

    until(finds_a_place, "a place for this process")


def test_the_local_server_introduces_itself_as_soon_as_it_can(
    world: World, few: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", few)
    db.reset()
    config.reset()
    stopping, lines = threading.Event(), list[str]()
    environment = {"DATABASE_URL": few, "PORT": "8000"}
    others = [psycopg2.connect(few) for _ in range(CONNECTIONS)]
    asking = threading.Thread(target=lambda: lines.extend(server.introduction(environment, {}, stopping)))
    asking.start()
    try:
        until(lambda: "(too many connections)" in capsys.readouterr().out)
        for other in others:
            other.close()
        asking.join(60)
        assert lines[0] == "running; Ctrl-C stops it"
        assert lines[-1].startswith("the desk's first operator: http://127.0.0.1:8000/desk/link/")
    finally:
        stopping.set()
        asking.join(60)


def test_a_pipeline_goes_on_with_one_connection(world: World, few: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", few)
    config.reset()
    db.reset()
    other = psycopg2.connect(few)
    threads = [threading.Thread(target=world.say, kwargs={"user": f"v-{number}"}) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    world.drain()
    assert len(world.messages(role="assistant", status="SENT")) == 12
    other.close()
