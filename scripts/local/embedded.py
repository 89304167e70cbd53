"""Embedded PostgreSQL and Redis for a machine that has neither: data in one folder, ports on loopback, passwords.

`Services` starts and stops them, and crashes them for scripts/chaos. `resolved_environment` is what the other scripts
use: the servers that the environment names, or embedded ones.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import redis

from scripts.local import leftovers
from scripts.local.environment import announcement, local_settings, provider_addresses, running_services, services_lock
from scripts.local.folders import filling, private_folder, write_private
from scripts.local.occupied import Occupied, occupy
from scripts.local.ports import free_port
from scripts.local.programs import (
    ServiceFailed,
    as_postgres_user,
    hand_over,
    make_postgres_data,
    postgres_home,
    postgres_programs,
    redis_server,
)
from shared import database_url
from shared.telemetry import machine

#: Seconds for a server to answer after its start, including crash recovery from a large log.
START_TIMEOUT = 60.0
#: Seconds between two looks whether they run.
_LOOK = 2.0

_POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "unix_socket_directories": "",
    "log_min_messages": "log",  # above ERROR: failed statements, which contain customers' texts, are not logged
}
#: MB of memory that PostgreSQL keeps pages in, and of how many parts of a machine's memory that is one: it gives none of it back.
_PAGES, _SHARE = 256, 8
#: For the test suite only: a crash of the machine may lose data, a crash of the server does not.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
#: Loopback is open to every user of the machine, so a password decides.
_PG_HBA = "host all all 127.0.0.1/32 scram-sha-256\n"


class ServicesBusy(ServiceFailed):
    """Another process runs these servers."""


class Services:
    """PostgreSQL and Redis under one folder. Ports and passwords stay the same across restarts."""

    def __init__(self, data_dir: Path, fast: bool = False) -> None:
        self.data_dir = data_dir.resolve()
        self._fast = fast
        self._postgres: subprocess.Popen[bytes] | None = None
        self._redis: subprocess.Popen[bytes] | None = None
        self._postgres_port, self._redis_port = free_port(), free_port()
        self._postgres_password, self._redis_password = "", secrets.token_hex(16)
        self._held = ExitStack()

    @property
    def database_url(self) -> str:
        """The URL of the database `switchboard`."""
        return f"postgresql://postgres:{self._postgres_password}@127.0.0.1:{self._postgres_port}/switchboard"

    @property
    def redis_url(self) -> str:
        """The URL of database 0."""
        return f"redis://:{self._redis_password}@127.0.0.1:{self._redis_port}/0"

    @property
    def postgres_log(self) -> Path:
        """PostgreSQL's log file."""
        return self._home / "postgres" / "server.log"

    def environment(self) -> dict[str, str]:
        """The settings of a process that uses these services."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, **local_settings(self.data_dir)}

    def start(self, announce: bool = True) -> None:
        """Starts both on the existing data. Ends servers that a killed script left running. Raises ServicesBusy.

        `announce`: other scripts may use them, because they last.
        """
        private_folder(self.data_dir)
        with filling(self.data_dir):
            self._start_and_tell(announce)

    def _start_and_tell(self, announce: bool) -> None:
        try:
            self._held.enter_context(occupy(services_lock(self.data_dir)))
        except Occupied as holder:
            raise ServicesBusy(f"The servers in {self.data_dir} belong to {holder}. Wait until it ends, or stop it.") from None
        self._held.callback(self._stop)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        if announce:
            write_private(announcement(self.data_dir), json.dumps({**self.environment(), **provider_addresses()}))

    def _start(self) -> None:
        self._home = postgres_home(self.data_dir)
        self.postgres_start()
        try:
            self.redis_start()
        except ServiceFailed:  # another server's version wrote this data; PostgreSQL knows all that it had
            self.redis_start(empty=True)

    def stop(self) -> None:
        """Stops both cleanly."""
        self._held.close()

    def _stop(self) -> None:
        announcement(self.data_dir).unlink(missing_ok=True)
        _end(self._redis, signal.SIGTERM)
        _end(self._postgres, signal.SIGINT)  # "fast" shutdown: ends connections, flushes everything
        self._redis = self._postgres = None

    def keep(self, ending: threading.Event) -> None:
        """Until `ending`, starts what ended by itself again, as PostgreSQL does on a full disk; says once why it cannot."""
        told: set[str] = set()
        while not ending.wait(_LOOK):
            if self._postgres is not None and self._postgres.poll() is not None:
                self._start_again("PostgreSQL", self.postgres_start, told)
            if self._redis is not None and self._redis.poll() is not None:
                self._start_again("Redis", self.redis_start, told)

    def _start_again(self, name: str, start: Callable[[], None], told: set[str]) -> None:
        try:
            with filling(self.data_dir):
                start()
        except (ServiceFailed, OSError, psycopg2.Error, redis.RedisError) as problem:
            if name not in told:
                told.add(name)
                print(f"the embedded {name} has ended, and is tried again: {problem}", file=sys.stderr, flush=True)
        else:
            told.discard(name)
            print(f"the embedded {name} had ended, and runs again", file=sys.stderr, flush=True)

    def postgres_start(self) -> None:
        """Starts PostgreSQL and waits until it answers."""
        data = self._home / "postgres"
        leftovers.end_server(data / "postmaster.pid", signal.SIGINT)
        if not (data / "PG_VERSION").exists():
            make_postgres_data(data, postgres_programs(self.data_dir) / "initdb")
        hand_over(data)
        pages = min(_PAGES, machine.memory() // _SHARE // 1024 // 1024)
        own = {"shared_buffers": f"{pages}MB", "port": str(self._postgres_port)}
        settings = {**_POSTGRES_SETTINGS, **own, **(_FAST if self._fast else {})}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = data / "server.log"
        command = [str(postgres_programs(self.data_dir) / "postgres"), "-D", str(data), *options]
        self._postgres = _spawn(command, log, as_postgres_user())
        self._postgres_password = _password(data / "switchboard.password")
        _wait_for(self._postgres, log, lambda: self._connect().close())
        self._protect(data / "pg_hba.conf")
        self._create_database()

    def postgres_crash(self) -> None:
        """As `pg_ctl stop -m immediate`: no clean shutdown, recovery at the next start."""
        _end(self._postgres, signal.SIGQUIT)

    def redis_start(self, empty: bool = False) -> None:
        """Starts Redis and waits until it answers; `empty` deletes its data first."""
        data = self.data_dir / "redis"
        leftovers.end_server(data / "redis.pid", signal.SIGTERM)
        if empty:
            shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {
            "port": str(self._redis_port),
            "bind": "127.0.0.1",
            "dir": str(data),
            "pidfile": str(data / "redis.pid"),
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        log, private = data / "server.log", data / "redis.conf"
        write_private(private, f"requirepass {self._redis_password}\n")  # an option would be shown to everybody by ps
        self._redis = _spawn([redis_server(), str(private), *options], log)
        (data / "redis.pid").write_text(str(self._redis.pid), encoding="utf-8")
        _wait_for(self._redis, log, lambda: redis.Redis.from_url(self.redis_url).ping())

    def redis_kill(self) -> None:
        """kill -9."""
        _end(self._redis, signal.SIGKILL)

    def _connect(self) -> Any:
        """What libpq's variables say of another server (PGHOSTADDR, PGOPTIONS) is not for this one."""
        parameters: dict[str, Any] = database_url.parse(self.database_url.replace("/switchboard", "/postgres"))
        return psycopg2.connect(**parameters, options="", sslmode="disable", connect_timeout=5)

    def _protect(self, access: Path) -> None:
        """Requires the password, once: new data, and that of an earlier release, let everybody in."""
        if access.read_text(encoding="utf-8") == _PG_HBA:
            return
        with closing(self._connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute("alter role postgres password %s", [self._postgres_password])
            access.write_text(_PG_HBA, encoding="utf-8")
            cursor.execute("select pg_reload_conf()")

    def _create_database(self) -> None:
        with closing(self._connect()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("select 1 from pg_database where datname = 'switchboard'")
                if cursor.fetchone() is None:
                    cursor.execute("create database switchboard")


@contextmanager
def resolved_environment(data_dir: Path, announce: bool = True) -> Iterator[dict[str, str]]:
    """The environment for child processes, with DATABASE_URL and REDIS_URL (or REDIS_HOST) as set or of embedded services.

    Embedded services that another script announced in this folder are used. What is started here is stopped at the end of the
    block.
    """
    configured = {name: value for name, value in os.environ.items() if value}
    if "DATABASE_URL" in configured and ("REDIS_URL" in configured or "REDIS_HOST" in configured):
        yield configured
        return
    services, deadline, ending = Services(data_dir), time.monotonic() + START_TIMEOUT, threading.Event()
    keeper = threading.Thread(target=lambda: services.keep(ending), name="services-keeper", daemon=True)
    while (environment := running_services(data_dir)) is None:
        try:
            services.start(announce)
            environment = services.environment()
            keeper.start()
            break
        except ServicesBusy:  # they will be announced, or stopped
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    try:
        yield {**environment, **configured}
    finally:
        ending.set()
        try:
            if keeper.is_alive():
                keeper.join()
        finally:  # also if somebody is tired of waiting
            services.stop()


def _password(path: Path) -> str:
    """The password that is kept in this file; a new one if there is none."""
    if not path.exists():
        write_private(path, secrets.token_hex(16))
    return path.read_text(encoding="utf-8")


def _spawn(command: list[str], log: Path, identity: Mapping[str, Any] | None = None) -> subprocess.Popen[bytes]:
    """Starts a server in its own session: Ctrl-C reaches only the script, which then stops its servers in order."""
    with log.open("ab") as output:
        streams: dict[str, Any] = {"stdout": output, "stderr": output, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(command, **streams, start_new_session=True, cwd="/", **(identity or {}))


def _wait_for(server: subprocess.Popen[bytes], log: Path, answers: Any) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        with suppress(psycopg2.OperationalError, redis.RedisError):
            answers()
            return
        if server.poll() is not None:
            break
        time.sleep(0.03)
    end = log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise ServiceFailed(f"{Path(str(server.args[0])).name} did not start:\n{end}")  # type: ignore[index]  # args is our list


def _end(server: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    if server is None or server.poll() is not None:
        return
    server.send_signal(how)
    try:
        server.wait(leftovers.STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
