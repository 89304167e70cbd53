"""PgBouncer between us and PostgreSQL: session mode works as if it were not there; others are refused, with the way out."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from scripts.local.chaos import pooler
from scripts.local.chaos.pooler import PgBouncer
from scripts.local.embedded import Services
from shared import config, db
from shared.db.connecting import free_connections, open_session
from shared.db.session import Limits
from shared.db.sessions import Sessions
from tests.builders import World
from tests.integration.test_turns import Busy
from tests.waiting import until

pytestmark = pytest.mark.skipif(pooler.installed() is None, reason="the program pgbouncer is not installed")

WAY_OUT = "Use the pooler's session mode"


@pytest.fixture
def pooled_url(
    services: Services, database_url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The database through PgBouncer, in the mode and with the number of connections that the test asks for."""
    mode, size = getattr(request, "param", ("session", 20))
    bouncer = PgBouncer(services, mode, size)
    bouncer.start()
    url = urlunsplit(urlsplit(bouncer.url)._replace(path=urlsplit(database_url).path))
    _warm(url, min(size, 4))
    monkeypatch.setenv("DATABASE_URL", url)
    config.reset()
    db.reset()
    yield url
    db.reset()
    bouncer.kill()


def _warm(url: str, connections: int) -> None:
    """Others use the pooler as well, so it has connections to choose from."""
    open_ones = [psycopg2.connect(url) for _ in range(connections)]
    for connection in open_ones:
        connection.autocommit = True  # statement mode knows no transactions
        connection.cursor().execute("select 1")
    for connection in open_ones:
        connection.close()


def test_session_mode_works_and_plans_as_we_do(world: World, pooled_url: str) -> None:
    world.say(channel="whatsapp_cloud", user="49123")
    world.drain()
    assert [message["status"] for message in world.messages(role="assistant")] == ["SENT"]
    assert db.scalar("show plan_cache_mode") == "force_generic_plan"
    listening = db.listener("widget")
    world.say()
    world.drain()
    assert select.select([listening], [], [], 20)[0]
    listening.poll()
    assert listening.notifies
    listening.close()


@pytest.mark.parametrize("pooled_url", [("session", 1)], indirect=True)
def test_a_pool_of_one_is_enough(world: World, pooled_url: str) -> None:
    world.say()
    world.drain()
    assert [message["status"] for message in world.messages(role="assistant")] == ["SENT"]


def _have_both(busy: list[Busy], uses: int) -> bool:
    return all(process.uses > uses for process in busy)


@pytest.mark.parametrize("pooled_url", [("session", 2)], indirect=True)
def test_a_pool_that_is_too_small_is_shared_in_turns(pooled_url: str) -> None:
    limits = Limits(statement=2, connect=5, turn=30)
    open_one = partial(open_session, pooled_url, limits)
    open_one().close()  # as each process does at its start: it has seen the pooler
    processes = [Sessions(open_one, free_connections, 4, limits) for _ in range(2)]
    busy = [Busy(sessions, threads=4) for sessions in processes]
    try:
        for uses in (20, 40, 60):  # nobody has it for good
            until(partial(_have_both, busy, uses))
        until(lambda: any(sessions.is_crowded for sessions in processes), "now and then one finds no connection")
    finally:
        for process in busy:
            process.end()
        for sessions in processes:
            sessions.close_all()


def test_user_options_in_the_url_keep_our_plans(world: World, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{database_url}?options=-c%20work_mem%3D7MB&application_name=mine")
    config.reset()
    db.reset()
    settings = [db.scalar(f"show {name}") for name in ("work_mem", "application_name", "plan_cache_mode", "enable_seqscan")]
    assert settings == ["7MB", "mine", "force_generic_plan", "off"]


#: Each mode that hands transactions or statements to any connection, with many connections and with one.
REFUSED = [(mode, size) for mode in ("transaction", "statement") for size in (20, 1)]
STARTS = {
    "a worker": [sys.executable, "-m", "dramatiq", "workers.incoming", "--processes", "1", "--threads", "1"],
    "the front door": [sys.executable, "-c", "from web.app import create_app; create_app()"],
    "scripts/migrate": [sys.executable, "-m", "scripts.commands.migrate"],
    "scripts/jobs": [sys.executable, "-m", "scripts.commands.jobs", "stats"],
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("pooled_url", REFUSED, indirect=True)
def test_other_modes_are_refused_at_the_start(environment: dict[str, str], pooled_url: str, start: str, root: Path) -> None:
    done = subprocess.run(STARTS[start], cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert WAY_OUT in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("pooled_url", [("transaction", 20)], indirect=True)
def test_what_was_refused_leaves_no_setting_behind(environment: dict[str, str], pooled_url: str) -> None:
    with pytest.raises(Exception, match=WAY_OUT):
        db.rows("select 1")
    for _ in range(8):
        connection = psycopg2.connect(pooled_url)
        with connection, connection.cursor() as cursor:
            cursor.execute("select current_setting('enable_seqscan'), current_setting('statement_timeout')")
            assert cursor.fetchall() == [("on", "0")]
        connection.close()
