"""URLs as platforms give them lead everywhere: the pool, the listener, scripts/migrate; and no lock stays on a connection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from shared import config, db
from shared.broker.redis_broker import get_broker
from shared.jobs.sweep import sweep_if_alone
from tests.builders import World


def _url(database_url: str, hosts: str = "{host}", query: str = "") -> str:
    """The test's database under another spelling of its address."""
    parts = urlsplit(database_url)
    credentials, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{credentials}@{hosts.format(host=host)}", query=query))


@pytest.mark.parametrize(
    ("hosts", "query"),
    [
        ("127.0.0.1:1,{host}", "target_session_attrs=read-write"),
        ("{host},127.0.0.1:1", ""),
        ("{host}", "sslmode=prefer&connect_timeout=3"),
        ("{host}", "options=-c%20search_path%3Dpublic"),
    ],
)
def test_every_way_to_postgres_takes_the_url(
    world: World, database_url: str, hosts: str, query: str, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", _url(database_url, hosts, query))
    config.reset()
    db.reset()
    world.say()
    world.drain()
    assert [message["status"] for message in world.messages(role="assistant")] == ["SENT"]
    assert db.scalar("show plan_cache_mode") == "force_generic_plan"
    db.listener("widget").close()
    migrate = [sys.executable, "-m", "scripts.commands.migrate"]
    done = subprocess.run(migrate, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("query", ["schema=public", "pgbouncer=true", "sslmode=prefered"])
def test_migrate_names_a_wrong_url_as_such(
    environment: dict[str, str], database_url: str, query: str, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", _url(database_url, query=query))
    migrate = [sys.executable, "-m", "scripts.commands.migrate"]
    done = subprocess.run(migrate, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("migrate: DATABASE_URL: ")
    assert query.split("=")[0] in done.stderr
    assert "rolled back" not in done.stderr


def test_two_sweeps_take_turns_and_no_lock_stays_on_a_connection(world: World) -> None:
    client = get_broker().client
    with client.lock(f"{config.settings().redis_namespace}:sweeping", timeout=10):
        assert not sweep_if_alone()
    assert sweep_if_alone()
    assert db.scalar("select count(*) from pg_locks where locktype = 'advisory'") == 0
