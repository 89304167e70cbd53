"""What a killed script leaves (kill -9 lets it end nothing): servers that still run on its data folder, and the folder."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from scripts.local.environment import services_lock
from scripts.local.occupied import Occupied, occupy

#: Seconds for a server to end by itself.
STOP_TIMEOUT = 30.0
#: Where the servers of a data folder keep their pids: PostgreSQL's files may be elsewhere, linked from there.
_PID_FILES = {
    "postgres/postmaster.pid": signal.SIGINT,
    "postgres-is-in/postgres/postmaster.pid": signal.SIGINT,
    "redis/redis.pid": signal.SIGTERM,
}


def empty_folder(path: Path) -> None:
    """Deletes what an earlier run left in a folder. Exits, and deletes nothing, if another process runs servers there."""
    try:
        _clear(path)
    except Occupied as holder:
        sys.exit(f"{path} is in use ({holder}). Stop that one first, or wait until it ends.")


def clear_abandoned(folders: Path, pattern: str) -> None:
    """Deletes the data folders of this pattern whose process has ended, with what still runs on them."""
    for lock in folders.glob(f"{pattern}/services.lock"):
        with suppress(Occupied, PermissionError):
            _clear(lock.parent)


def _clear(path: Path) -> None:
    """Raises Occupied, and deletes nothing, if another process runs servers there."""
    with suppress(FileNotFoundError, NotADirectoryError), occupy(services_lock(path)):
        for name, how in _PID_FILES.items():
            end_server(path / name, how)
    shutil.rmtree(path, ignore_errors=True)


def end_server(pid_file: Path, how: signal.Signals) -> None:
    """Ends a server that a killed script left running on this data: it works in the folder of its pid file."""
    try:
        pid = int(pid_file.read_text(encoding="utf-8").split()[0])
        if not Path(f"/proc/{pid}/cwd").samefile(pid_file.parent):
            return  # the pid belongs to another program by now
    except (OSError, ValueError, IndexError):
        return
    deadline = time.monotonic() + STOP_TIMEOUT
    with suppress(ProcessLookupError):
        os.kill(pid, how)
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.05)
