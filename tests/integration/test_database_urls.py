"""URLs as platforms give them lead everywhere: the pool, the listener, scripts/migrate; and no lock stays on a connection."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from shared import config, db
from shared.broker.redis_broker import get_broker
from shared.database_url import check
from shared.db.connecting import open_session
from shared.db.session import COMMAND, WORKER, Session
from shared.errors import ServiceDown
from shared.jobs.sweep import sweep_if_alone
from tests.builders import World
from tests.unit.servers import serving, wait_for_end
from tests.waiting import until
from web.ops.write_check import postgres_write

MIGRATE = [sys.executable, "-m", "scripts.commands.migrate"]


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
    done = subprocess.run(MIGRATE, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "query",
    [
        *("client_encoding=latin1", "client_encoding=SQL_ASCII", "client_encoding=nonsense", "connect_timeout=0"),
        *(f"options=-c%20{name}" for name in ("IntervalStyle%3Diso_8601", "lock_timeout%3D1", "idle_session_timeout%3D100")),
        "options=-c%20default_transaction_isolation%3Dserializable",
        "options=-c%20transaction_timeout%3D5s",
    ],
)
def test_settings_that_our_statements_rely_on_are_ours(
    world: World, database_url: str, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", _url(database_url, query=query))
    config.reset()
    db.reset()
    world.say("Grüße 🙂 \\n 'wann'?")
    world.drain()
    assert [message["content"] for message in world.messages(role="user")] == ["Grüße 🙂 \\n 'wann'?"]
    assert [message["status"] for message in world.messages(role="assistant")] == ["SENT"]
    assert db.scalar("select interval '1 day 2 hours'") == timedelta(days=1, hours=2)
    assert db.scalar("show lock_timeout") == "0"
    assert db.scalar("show transaction_isolation") == "read committed"
    assert db.scalar("select current_setting('transaction_timeout', true)") in ("0", None), "PostgreSQL knows it since 17"


def test_a_role_that_was_made_unsuitable_meanwhile_has_a_word(
    environment: dict[str, str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a process that runs already; one that starts says the same, and ends."""
    monkeypatch.setenv("DATABASE_URL", _url(database_url, query="options=-c%20standard_conforming_strings%3Doff"))
    config.reset()
    db.reset()
    with pytest.raises(ServiceDown, match="PostgreSQL: standard_conforming_strings is off"):
        postgres_write()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGSERVICE", "nowhere"),
        ("PGSSLMODE", "nonsense"),
        ("PGTARGETSESSIONATTRS", "read-only"),
        ("PGTARGETSESSIONATTRS", "nonsense"),
        ("PGGSSENCMODE", "nonsense"),
        ("PGCHANNELBINDING", "nonsense"),
        ("PGLOADBALANCEHOSTS", "nonsense"),
        ("PGSSLMINPROTOCOLVERSION", "TLSv9"),
    ],
)
def test_a_variable_of_libpqs_is_named_as_such(
    database_url: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=f"^The environment variable {variable} ") as refused:
        check(database_url)
    assert value not in str(refused.value), "it may be a secret"
    monkeypatch.delenv(variable)
    assert check(database_url) == database_url


@pytest.mark.parametrize(
    ("variable", "value", "word"),
    [
        ("PGTZ", "nonsense", "a setting was refused"),
        ("PGOPTIONS", "-c nonsense=1", "a setting was refused"),
        ("PGOPTIONS", "nonsense", "a setting was refused"),
        ("PGREQUIREAUTH", "none", "credentials refused"),
        ("PGSSLMODE", "require", "TLS failed"),
    ],
)
def test_what_a_variable_of_libpqs_breaks_has_a_word(
    database_url: str, variable: str, value: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(psycopg2.OperationalError) as refused:
        open_session(check(database_url), WORKER)
    assert db.word_for(refused.value).startswith(word)


def test_an_attempt_that_fails_hangs_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever keeps the error, the server does not wait for a password that never comes."""
    has_left = threading.Event()

    def ask_for_a_password(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"R\0\0\0\x08\0\0\0\x03")
        wait_for_end(connection)
        has_left.set()

    monkeypatch.setenv("PGREQUIREAUTH", "none")
    with serving() as serve:
        url = f"postgresql://user@{serve(ask_for_a_password)}/shop?sslmode=disable&gssencmode=disable"
        with pytest.raises(psycopg2.OperationalError) as kept:
            open_session(url, WORKER)
        assert has_left.wait(45), kept


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGHOSTADDR", "127.0.0.2"),  # where no server listens
        ("PGPORT", "1"),
        ("PGDATABASE", "nowhere"),
        ("PGCONNECT_TIMEOUT", "0"),
        ("PGCLIENTENCODING", "latin1"),
        ("PGTZ", "Asia/Kathmandu"),
        ("PGDATESTYLE", "SQL,DMY"),
        ("PGOPTIONS", "-c statement_timeout=20s -c bytea_output=escape"),
        ("PGGSSENCMODE", "prefer"),
    ],
)
def test_a_variable_for_other_programs_does_no_harm(
    world: World, database_url: str, variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    config.reset()
    db.reset()
    world.say("Grüße, wann? \U0001f600", channel="whatsapp_cloud", user="49123")
    world.drain()
    assert [message["status"] for message in world.messages(role="assistant")] == ["SENT"]
    assert [message["content"] for message in world.messages(role="user")] == ["Grüße, wann? \U0001f600"]
    assert db.scalar("show statement_timeout") != "20s"


def test_times_are_utc_whatever_the_servers_time_zone(world: World, database_url: str) -> None:
    """E-mails and events call them so; a server takes its machine's zone."""
    db.rows(f"alter database {urlsplit(database_url).path[1:]} set timezone to 'Asia/Kathmandu'")
    db.reset()
    world.say()
    [row] = db.rows("select created_at, to_jsonb(created_at) as told from job")
    assert row["created_at"].utcoffset() == timedelta(0)
    assert row["told"].endswith("+00:00")


@pytest.mark.parametrize(("said", "seconds"), [("0", "5"), ("-1", "5"), ("3600", "5"), ("7", "7")])
def test_an_attempt_to_connect_ends(database_url: str, said: str, seconds: str) -> None:
    with closing(open_session(_url(database_url, query=f"connect_timeout={said}"), WORKER)) as session:
        assert session.get_dsn_parameters()["connect_timeout"] == seconds


@pytest.mark.parametrize("command", [["workers.incoming"], ["scripts.commands.migrate"], ["scripts.commands.jobs", "stats"]])
def test_old_strings_are_refused_in_words(
    environment: dict[str, str], database_url: str, command: list[str], monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", _url(database_url, query="options=-c%20standard_conforming_strings%3Doff"))
    start = [sys.executable, "-m", *(["dramatiq", "--processes", "1"] if command[0].startswith("workers") else []), *command]
    done = subprocess.run(start, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "standard_conforming_strings is off" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("query", ["schema=public", "pgbouncer=true", "sslmode=prefered"])
def test_migrate_names_a_wrong_url_as_such(
    environment: dict[str, str], database_url: str, query: str, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", _url(database_url, query=query))
    done = subprocess.run(MIGRATE, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=120)
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


def test_a_services_file_is_enough(
    world: World, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    parts, file = urlsplit(database_url), tmp_path / "services.conf"
    named = {"host": parts.hostname, "port": parts.port, "user": parts.username, "password": parts.password}
    lines = [f"{name}={value}" for name, value in {**named, "dbname": parts.path[1:]}.items()]
    file.write_text("\n".join(["[shop]", *lines]), encoding="utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    monkeypatch.setenv("DATABASE_URL", "postgresql://?service=shop")
    config.reset()
    db.reset()
    world.say()
    world.drain()
    assert [message["status"] for message in world.messages(role="assistant")] == ["SENT"]
    db.listener("widget").close()
    done = subprocess.run(MIGRATE, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("migrate: DATABASE_URL: the service shop\n"), done.stderr


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
@pytest.mark.parametrize("command", [["workers.incoming"], ["scripts.commands.migrate"], ["scripts.commands.jobs", "stats"]])
def test_a_database_that_has_not_all_letters_is_refused(
    environment: dict[str, str], database_url: str, command: list[str], encoding: str, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    with closing(psycopg2.connect(database_url)) as administrator:
        administrator.autocommit = True
        make = f"create database odd encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0"
        administrator.cursor().execute("drop database if exists odd with (force)")
        administrator.cursor().execute(make)
    monkeypatch.setenv("DATABASE_URL", urlunsplit(urlsplit(database_url)._replace(path="/odd")))
    start = [sys.executable, "-m", *(["dramatiq", "--processes", "1"] if command[0].startswith("workers") else []), *command]
    done = subprocess.run(start, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert f"a database in the encoding {encoding}" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_role_that_may_make_no_tables_is_told_what_it_lacks(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    """Since PostgreSQL 15 that is every role but the database's owner."""
    parts = urlsplit(empty_database_url)
    with closing(psycopg2.connect(empty_database_url)) as administrator, administrator, administrator.cursor() as cursor:
        cursor.execute(f"drop role if exists tenant; create role tenant login password '{parts.password}'")
    monkeypatch.setenv("DATABASE_URL", empty_database_url.replace("//postgres:", "//tenant:"))
    done = subprocess.run(MIGRATE, cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith("migrate: the role of DATABASE_URL lacks a right: permission denied for schema public.")
    assert "grant create on schema public" in done.stderr


def test_a_long_statement_ends_soon_after_its_process(database_url: str) -> None:
    """Until it came to its own end, it kept the rows that it had locked: whoever claimed the job anew waited for them."""
    with closing(open_session(database_url, COMMAND)) as watching, watching.cursor() as cursor:
        cursor.execute("select version() like '%linux%', current_setting('client_connection_check_interval')")
        [[is_linux, interval]] = cursor.fetchall()
        assert interval == ("10s" if is_linux else "0")
        cursor.execute("set client_connection_check_interval = '100ms'")
        dying = threading.Thread(target=_sleep_on, args=[watching], daemon=True)
        dying.start()
        with closing(psycopg2.connect(database_url)) as other, other.cursor() as looking:
            running = f"select count(*) from pg_stat_activity where pid = {watching.get_backend_pid()} and state = 'active'"
            until(lambda: _count(looking, running) == 1)
            watching._socket.shutdown(socket.SHUT_RDWR)  # as the end of the process would
            until(lambda: not is_linux or _count(looking, running) == 0)


def _sleep_on(session: Session) -> None:
    with suppress(psycopg2.Error), session.cursor() as cursor:
        cursor.execute("select pg_sleep(600)")


def _count(cursor: Any, sql: str) -> int:
    cursor.connection.rollback()  # pg_stat_activity is the same for the length of a transaction
    cursor.execute(sql)
    [[count]] = cursor.fetchall()
    return int(count)
