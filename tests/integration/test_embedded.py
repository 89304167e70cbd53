"""The embedded servers: which program plays Redis, and that nobody else on the machine gets at them or at their files."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest
import redis

from scripts.local import programs
from scripts.local.embedded import Services, ServicesBusy, resolved_environment
from scripts.local.environment import running_services
from scripts.local.leftovers import empty_folder
from tests.waiting import until


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that PostgreSQL's user may enter; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory(prefix="switchboard-test-") as place:
        yield Path(place)


@pytest.fixture
def fresh(folder: Path) -> Iterator[Services]:
    """Servers of their own, with a row."""
    running = Services(folder)
    running.start()
    with closing(psycopg2.connect(running.database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("create table kept (name text); insert into kept values ('kept')")
    yield running
    running.stop()


def test_commands_beside_a_server_call_the_providers_that_it_calls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_API_URL", "http://127.0.0.1:8088")
    running = Services(folder)
    running.start()
    monkeypatch.delenv("TELEGRAM_API_URL")
    told = running_services(folder)
    running.stop()
    assert told is not None
    assert (told["TELEGRAM_API_URL"], told["DATABASE_URL"]) == ("http://127.0.0.1:8088", running.database_url)


def rows(url: str) -> list[tuple[str]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("select name from kept")
        return list(cursor.fetchall())


def without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    user, _, where = rest.partition("@")
    return f"{scheme}://{user.partition(':')[0]}@{where}"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_operators_environment_is_for_other_servers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {"PGHOSTADDR": "127.0.0.2", "PGPORT": "1", "PGDATABASE": "x", "PGUSER": "x", "PGDATA": "/nowhere"}
    odd = {"PGOPTIONS": "nonsense", "PGSSLMODE": "require", "LC_ALL": "xx_YY.UTF-8", "LANG": "tr_TR.UTF-8"}
    for name, value in {**elsewhere, **odd}.items():
        monkeypatch.setenv(name, value)
    running = Services(folder)
    try:
        running.start()
        assert "/switchboard" in running.database_url
    finally:
        running.stop()


def test_only_who_knows_the_passwords_gets_in(fresh: Services) -> None:
    assert rows(fresh.database_url) == [("kept",)]
    with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
        psycopg2.connect(without_password(fresh.database_url))
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(fresh.database_url.replace("@", "x@"))
    assert redis.Redis.from_url(fresh.redis_url).ping()
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(without_password(fresh.redis_url)).ping()


def test_the_files_are_private(fresh: Services, folder: Path) -> None:
    assert mode(folder) == 0o700
    for name in ("services.json", "credentials.key", "redis/redis.conf", "postgres/switchboard.password"):
        assert mode(folder / name) == 0o600, name


def test_ps_shows_no_password(fresh: Services) -> None:
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in _pids(fresh)]
    assert len(lines) == 2
    for url in (fresh.database_url, fresh.redis_url):
        password = url.partition("@")[0].rpartition(":")[2]
        assert not any(password.encode() in line for line in lines)


def _pids(running: Services) -> list[int]:
    assert running._postgres is not None
    assert running._redis is not None
    return [running._postgres.pid, running._redis.pid]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_not_even_the_user_nobody_reads_the_files(fresh: Services, folder: Path) -> None:
    look = [sys.executable, "-c", f"import os; os.setuid(65534); os.listdir({str(folder)!r})"]
    assert b"PermissionError" in subprocess.run(look, capture_output=True, timeout=120).stderr
    assert (folder / "postgres").stat().st_uid == programs.POSTGRES_UID


def test_servers_that_end_by_themselves_run_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    pids = (folder / "postgres" / "postmaster.pid", folder / "redis" / "redis.pid")
    with resolved_environment(folder) as environment:
        ended = [int(path.read_text(encoding="utf-8").split()[0]) for path in pids]
        for pid in ended:
            os.kill(pid, signal.SIGKILL)

        def both_answer() -> bool:
            with suppress(psycopg2.OperationalError, redis.RedisError), closing(psycopg2.connect(environment["DATABASE_URL"])):
                return bool(redis.Redis.from_url(environment["REDIS_URL"]).ping())
            return False

        until(both_answer)
        assert ended != [int(path.read_text(encoding="utf-8").split()[0]) for path in pids]
    assert not both_answer()


def test_why_a_server_that_ended_does_not_start_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("scripts.local.embedded._LOOK", 0.05)
    said = ""

    def says(words: str) -> bool:
        nonlocal said
        said += capsys.readouterr().err
        return words in said

    with resolved_environment(folder):
        settings, pid = folder / "postgres" / "postgresql.conf", folder / "postgres" / "postmaster.pid"
        right = settings.read_text(encoding="utf-8")
        settings.write_text(f"{right}\nno_such_setting = 1\n", encoding="utf-8")
        log, attempts = folder / "postgres" / "server.log", "no_such_setting"
        os.kill(int(pid.read_text(encoding="utf-8").split()[0]), signal.SIGKILL)
        until(lambda: says('unrecognized configuration parameter "no_such_setting"'))
        until(lambda: log.read_text(encoding="utf-8").count(attempts) > 2)
        settings.write_text(right, encoding="utf-8")
        until(lambda: says("the embedded PostgreSQL had ended, and runs again"))
    assert said.count("the embedded PostgreSQL has ended, and is tried again: postgres did not start:") == 1


def test_passwords_stay_the_same_while_servers_restart(fresh: Services) -> None:
    urls = (fresh.database_url, fresh.redis_url)
    fresh.postgres_crash()
    fresh.postgres_start()
    fresh.redis_kill()
    fresh.redis_start(empty=True)
    assert (fresh.database_url, fresh.redis_url) == urls
    assert rows(fresh.database_url) == [("kept",)]


def test_data_of_an_earlier_release_is_kept_and_gets_a_password(fresh: Services, folder: Path) -> None:
    fresh.stop()
    folder.chmod(0o755)
    data = folder / "postgres"
    (data / "switchboard.password").unlink()
    (data / "pg_hba.conf").write_text("host all all 127.0.0.1/32 trust\n", encoding="utf-8")
    if os.geteuid() == 0:
        for path in (*data.rglob("*"), data):
            shutil.chown(path, programs.NAMED_USER)
    fresh.start()
    assert rows(fresh.database_url) == [("kept",)]
    with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
        psycopg2.connect(without_password(fresh.database_url))
    assert mode(folder) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's data may be where PostgreSQL's user has no access")
def test_data_that_went_elsewhere_stays_there_until_the_folder_is_deleted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "REACHABLE", folder)
    folder.chmod(0o755)
    data = folder / "closed" / "data"
    data.parent.mkdir()
    for mode_of_parent, is_deleted, has_row in ((0o700, False, False), (0o711, False, True), (0o700, True, False)):
        data.parent.chmod(mode_of_parent)
        if is_deleted:
            shutil.rmtree(data)
        running = Services(data)
        running.start()
        try:
            with closing(psycopg2.connect(running.database_url)) as connection, connection, connection.cursor() as cursor:
                cursor.execute("select to_regclass('kept') is not null")
                assert cursor.fetchall() == [(has_row,)]
                cursor.execute("create table if not exists kept (name text)")
        finally:
            running.stop()


def test_a_second_process_neither_empties_nor_shares_the_folder(fresh: Services, folder: Path) -> None:
    with pytest.raises(SystemExit, match=rf"^{folder} is in use \(process {os.getpid()}\)\. Stop that one first"):
        empty_folder(folder)
    with pytest.raises(ServicesBusy, match=f"belong to process {os.getpid()}"):
        Services(folder).start()
    assert rows(fresh.database_url) == [("kept",)]
    fresh.stop()
    empty_folder(folder)
    assert not folder.exists()
    fresh.start()


def test_redis_data_that_this_server_cannot_read_is_given_up(fresh: Services, folder: Path) -> None:
    fresh.stop()
    (folder / "redis" / "dump.rdb").write_bytes(b"REDIS9999 of a later version")
    for path in (folder / "redis" / "appendonlydir").glob("*.rdb"):
        path.write_bytes(b"REDIS9999 of a later version")
    fresh.start()
    assert redis.Redis.from_url(fresh.redis_url).dbsize() == 0


def test_a_machine_without_redis_gets_valkey(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    running = Services(folder, fast=True)
    running.start()
    try:
        assert redis.Redis.from_url(running.redis_url).info("server")["server_name"] == "valkey"
    finally:
        running.stop()


@pytest.mark.parametrize(
    ("printed", "is_used"),
    [
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64", True),
        ("Redis server v=6.2.0 sha=00000000:0", True),
        ("Valkey server v=8.0.1 sha=00000000:0", True),
        ("Redis server v=6.0.16 sha=00000000:0", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_a_server_of_path_is_used_if_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, printed: str, is_used: bool
) -> None:
    program = tmp_path / name
    program.write_text(f"#!/bin/sh\necho '{printed}'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    assert (programs.redis_server() == str(program)) is is_used
    assert os.access(programs.redis_server(), os.X_OK)
