"""PgBouncer between the workers and PostgreSQL, as many platforms have it: its own defaults, but for the mode and the size."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

from scripts.local.embedded import Services
from scripts.local.ports import free_port
from scripts.local.programs import as_postgres_user

#: Seconds for it to listen after its start.
START_TIMEOUT = 10.0

_CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
"""


def installed() -> str | None:
    """Where the program is, None if it is not."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


class PgBouncer:
    """The program `pgbouncer`, which has to be installed. It knows the server's password and trusts this machine."""

    def __init__(self, services: Services, mode: str = "session", size: int = 100) -> None:
        self._program = installed()
        if self._program is None:
            raise RuntimeError("The scenario pgbouncer needs the program pgbouncer; apt-get install pgbouncer, or leave it out.")
        parts = urlsplit(services.database_url)
        self._port = free_port(0)
        self.url = urlunsplit(parts._replace(netloc=f"{parts.username}@127.0.0.1:{self._port}"))
        # Beside PostgreSQL's files: the user that runs it may read them, and neither server runs as root.
        self._file = services.postgres_log.with_name("pgbouncer.ini")
        where = {"host": parts.hostname, "port": parts.port}
        who = {"user": parts.username, "password": parts.password}
        self._file.write_text(_CONFIGURATION.format(**where, **who, own_port=self._port, mode=mode, size=size), encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, and waits until it listens."""
        with self._file.with_suffix(".log").open("ab") as log:
            command = [str(self._program), str(self._file)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **as_postgres_user())
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port)).close()
                return
            time.sleep(0.05)
        raise RuntimeError(f"pgbouncer did not start:\n{self._file.with_suffix('.log').read_text(encoding='utf-8')[-2000:]}")

    def kill(self) -> None:
        """kill -9: every connection through it breaks."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
