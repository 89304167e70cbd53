"""Migrations: schema.sql for an empty database, files in their order for an older one, post files when they are due."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from scripts.commands import migrate as command
from scripts.commands import server
from scripts.commands.migrate import NOTHING_HALF, migrate
from shared.db import giving_way
from tests.waiting import until

#: scripts/migrate with the migrations of a small project.
MIGRATES = """
import sys
from pathlib import Path
from scripts.commands import migrate as command
folder = Path(sys.argv.pop())
command.MIGRATIONS, command.SCHEMA, command.VECTORS = folder, folder / "schema.sql", folder / "vectors.sql"
command.common_words.load = lambda cursor: []
sys.exit(command.main())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Migrations of a small project; its schema is what the first of them makes."""
    monkeypatch.setattr(command, "MIGRATIONS", tmp_path)
    monkeypatch.setattr(command, "SCHEMA", tmp_path / "schema.sql")
    monkeypatch.setattr(command, "VECTORS", tmp_path / "vectors.sql")
    (tmp_path / "vectors.sql").write_text("select 1", encoding="utf-8")
    for name in (command.SCHEMA.name, command.MIGRATIONS_BEGIN):
        (tmp_path / name).write_text("create table thing (id integer)", encoding="utf-8")
    return tmp_path


def columns(url: str) -> list[str]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("select column_name from information_schema.columns where table_name = 'thing' order by 1")
        return [name for (name,) in cursor.fetchall()]


def test_an_empty_database_gets_the_schema_and_no_migration(folder: Path, empty_database_url: str) -> None:
    (folder / "0002_name.pre.sql").write_text("alter table thing add name text", encoding="utf-8")
    assert migrate(empty_database_url) == ["schema.sql"]
    assert migrate(empty_database_url) == []
    assert columns(empty_database_url) == ["id"]


def test_post_files_wait_for_the_last_old_worker_or_the_next_release(folder: Path, empty_database_url: str) -> None:
    migrate(empty_database_url)
    (folder / "0002_name.pre.sql").write_text("alter table thing add name text", encoding="utf-8")
    (folder / "0002_name.post.sql").write_text("alter table thing drop id", encoding="utf-8")
    assert migrate(empty_database_url) == ["0002_name.pre.sql"]
    assert columns(empty_database_url) == ["id", "name"]
    (folder / "0003_size.pre.sql").write_text("alter table thing add size integer", encoding="utf-8")
    (folder / "0003_size.post.sql").write_text("alter table thing drop name", encoding="utf-8")
    assert migrate(empty_database_url) == ["0002_name.post.sql", "0003_size.pre.sql"]
    assert migrate(empty_database_url, post=True) == ["0003_size.post.sql"]
    assert columns(empty_database_url) == ["size"]


def test_a_release_may_bring_several_migrations(folder: Path, empty_database_url: str) -> None:
    migrate(empty_database_url)
    for name in ("0002_name", "0003_size"):
        (folder / f"{name}.pre.sql").write_text(f"alter table thing add {name[5:]} text", encoding="utf-8")
    (folder / "0002_name.post.sql").write_text("alter table thing drop id", encoding="utf-8")
    assert migrate(empty_database_url) == ["0002_name.pre.sql", "0003_size.pre.sql"]
    assert migrate(empty_database_url) == []  # old workers may still be there
    (folder / "0004_more.pre.sql").write_text("alter table thing add more text", encoding="utf-8")
    assert migrate(empty_database_url) == ["0002_name.post.sql", "0004_more.pre.sql"]


def test_a_migration_that_fails_leaves_nothing_behind(folder: Path, empty_database_url: str) -> None:
    migrate(empty_database_url)
    (folder / "0002_bad.pre.sql").write_text("alter table thing add name text; select 1 / 0", encoding="utf-8")
    with pytest.raises(psycopg2.Error):
        migrate(empty_database_url)
    assert columns(empty_database_url) == ["id"]


@pytest.mark.parametrize("fault", ["select 1 / 0", "set role pg_monitor; drop table thing"])
def test_scripts_server_says_that_it_is_its_own_database_where_a_migration_fails(
    folder: Path, empty_database_url: str, fault: str
) -> None:
    migrate(empty_database_url)
    (folder / "0002_bad.pre.sql").write_text(fault, encoding="utf-8")
    with pytest.raises(server._Refused, match=f"a migration of the embedded database in {folder} failed") as refused:
        server._migrate(empty_database_url, folder)
    assert "DATABASE_URL" not in str(refused.value)


def test_a_migration_that_is_cut_off_says_so_and_goes_on(
    folder: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    monkeypatch.setattr("sys.argv", ["migrate"])
    migrate(empty_database_url)
    (folder / "0002_name.pre.sql").write_text("alter table thing add name text", encoding="utf-8")
    cut_off = folder / "0003_size.pre.sql"
    cut_off.write_text("alter table thing add size integer; select pg_terminate_backend(pg_backend_pid())", encoding="utf-8")
    assert command.main() == 1
    said = capsys.readouterr().err
    assert "migrate: stopped in the middle: " in said
    assert "run it again, and it goes on" in said
    assert "cannot be reached" not in said
    assert columns(empty_database_url) == ["id", "name"], "what came before is applied"
    cut_off.write_text("alter table thing add size integer", encoding="utf-8")
    assert migrate(empty_database_url) == ["0003_size.pre.sql"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_a_migration_that_waits_for_a_lock_and_nobody_waits_behind_it(
    folder: Path, empty_database_url: str, root: Path, number: signal.Signals
) -> None:
    migrate(empty_database_url)
    (folder / "0002_name.pre.sql").write_text("alter table thing add name text", encoding="utf-8")
    words = [sys.executable, "-c", MIGRATES, str(folder)]
    environment = {**os.environ, "DATABASE_URL": empty_database_url, "PYTHONPATH": str(root)}
    with closing(psycopg2.connect(empty_database_url)) as reader, reader.cursor() as cursor:
        cursor.execute("lock table thing in access share mode")
        with subprocess.Popen(words, env=environment, cwd=root, stderr=subprocess.PIPE, text=True) as command_line:
            try:
                until(lambda: _waits_for_a_lock(cursor), "the migration to wait for the lock")
                command_line.send_signal(number)
                _, said = command_line.communicate(timeout=120)
            finally:
                command_line.kill()
        until(lambda: not _waits_for_a_lock(cursor), "PostgreSQL to end the statement")
        assert command_line.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 1)
        assert number == signal.SIGKILL or said.endswith(f"migrate: stopped by a signal. {NOTHING_HALF}\n")
    assert columns(empty_database_url) == ["id"]
    assert migrate(empty_database_url) == ["0002_name.pre.sql"]


def _waits_for_a_lock(cursor: Any) -> bool:
    cursor.execute("select exists (select from pg_locks where relation = 'thing'::regclass and not granted)")
    return bool(cursor.fetchone()[0])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gives way begins again soon."""
    monkeypatch.setattr(giving_way, "SOON", 0.5)
    monkeypatch.setattr(giving_way, "PAUSES", (0.5, 0.5))


@pytest.mark.usefixtures("quick")
def test_nobody_waits_behind_a_migration_that_waits_for_a_lock(
    folder: Path, empty_database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    migrate(empty_database_url)
    (folder / "0002_name.pre.sql").write_text("create table two (); alter table thing add name text", encoding="utf-8")
    with (
        closing(psycopg2.connect(empty_database_url, application_name="backup")) as holder,
        closing(psycopg2.connect(empty_database_url, options="-c statement_timeout=20s")) as traffic,
        holder.cursor() as holding,
        ThreadPoolExecutor(1) as pool,
    ):
        pid, traffic.autocommit = holder.info.backend_pid, True
        holding.execute("lock table thing in access share mode")
        migrating = pool.submit(migrate, empty_database_url)
        try:
            until(lambda: _waits_for_a_lock(holding), "the migration to wait for the lock")
            with traffic.cursor() as reading:
                reading.execute("select id from thing")
            assert not migrating.done()
            said = until(lambda: capsys.readouterr().err)
        finally:
            holder.rollback()
        assert migrating.result(60) == ["0002_name.pre.sql"]
    assert said.startswith("migrate: 0002_name.pre.sql: no lock within ")
    assert f"The oldest transactions: pid {pid} (backup, " in said
    assert columns(empty_database_url) == ["id", "name"]


def test_a_database_that_is_up_to_date_is_not_locked(database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as holder, holder.cursor() as holding, ThreadPoolExecutor(1) as pool:
        for table in ("knowledge_embedding", "knowledge_item"):
            holding.execute(f"lock table {table} in row exclusive mode")
        migrating = pool.submit(migrate, database_url)
        try:
            until(migrating.done, "the migration to end")
        finally:
            holder.rollback()
        assert migrating.result() == []


def test_another_schema_is_migrated_as_public_is(folder: Path, empty_database_url: str) -> None:
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("create schema chat; create table public.somebody_elses (id integer)")
    url = empty_database_url + ("&" if "?" in empty_database_url else "?") + "options=-c%20search_path%3Dchat"
    assert migrate(url) == ["schema.sql"]
    assert migrate(url) == []
    (folder / "0002_name.pre.sql").write_text("alter table thing add name text", encoding="utf-8")
    assert migrate(url) == ["0002_name.pre.sql"]
    assert columns(empty_database_url) == ["id", "name"]


def test_a_database_of_another_origin_is_refused(folder: Path, empty_database_url: str) -> None:
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("create table somebody_elses (id integer)")
    with pytest.raises(psycopg2.DatabaseError, match=r"was not made by schema\.sql"):
        migrate(empty_database_url)


#: A locale without UTF-8. Python makes UTF-8 of C unless it is told not to; LANG=de_DE is Latin-1 without being told.
ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_the_schema_is_utf8_whatever_the_machine_speaks(empty_database_url: str, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.commands.migrate"],
        cwd=root,
        env={**os.environ, **ASCII_ONLY, "DATABASE_URL": empty_database_url},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with closing(psycopg2.connect(empty_database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select prosrc from pg_proc where prosrc like '%%ß%%'")
        assert cursor.fetchall(), "its characters are what they are in schema.sql"


def test_a_migration_may_take_longer_than_the_roles_transactions(folder: Path, empty_database_url: str) -> None:
    is_unbounded = "select 1 / (current_setting('transaction_timeout') = '0')::integer"
    (folder / "schema.sql").write_text(is_unbounded, encoding="utf-8")
    assert migrate(f"{empty_database_url}?options=-c%20transaction_timeout%3D5s") == ["schema.sql"]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("default_transaction_read_only%3Don", "takes no writes"),
        ("search_path%3Dnowhere", "search_path names no schema"),
    ],
)
def test_where_nothing_can_be_made_the_setting_is_named(
    folder: Path, empty_database_url: str, setting: str, said: str, root: Path
) -> None:
    environment = {**os.environ, "DATABASE_URL": f"{empty_database_url}?options=-c%20{setting}"}
    words = [sys.executable, "-c", MIGRATES, str(folder)]
    done = subprocess.run(words, cwd=root, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert said in done.stderr
    assert "a migration failed" not in done.stderr, "nothing is wrong with one"
