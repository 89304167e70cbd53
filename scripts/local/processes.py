"""A process manager for one machine: runs the Procfile's lines and restarts each one that ends, as a platform does.

Foreman and honcho stop everything when one process ends. This one also reports each line's pids, so that tests can kill them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

#: Seconds before a process that ended is restarted, at first and at most; back to the first once it ran for STABLE_AFTER.
BACKOFF = (0.2, 5.0)
STABLE_AFTER = 10.0
#: Seconds a process has to end after SIGTERM: a platform's 30 less a margin.
STOP_TIMEOUT = 27.0
#: Niceness of workers that share a machine with the front door.
BEHIND_WEB = 10
_PR_SET_PDEATHSIG = 1

#: Lines that do not run beside the others: `release` runs once, before them, and `worker` does what all of them but web do.
_NOT_BESIDE = {"release", "worker"}
#: What a small system runs.
SMALL = ["web", "worker"]

OnLine = Callable[[str, str], object]


def into_file(path: Path) -> OnLine:
    """Appends the processes' lines to a file, each behind its process's name."""
    log = path.open("a", buffering=1, encoding="utf-8")
    return lambda name, line: print(name, line.rstrip(), file=log)


def parse_procfile(text: str) -> dict[str, str]:
    """The commands of a Procfile by name."""
    lines = (line.partition(":") for line in text.splitlines() if ":" in line and not line.startswith("#"))
    return {name.strip(): command.strip() for name, _, command in lines}


@dataclass
class _Process:
    name: str
    command: str
    popen: subprocess.Popen[str] | None = None
    wanted: bool = True
    started: float = 0.0
    backoff: float = BACKOFF[0]
    next_start: float = 0.0
    restarts: int = field(default=0)

    def wait_longer(self, now: float, ran_for: float = 0.0) -> None:
        """Before the next start."""
        self.backoff = BACKOFF[0] if ran_for > STABLE_AFTER else min(self.backoff * 2, BACKOFF[1])
        self.next_start = now + self.backoff


class ProcessManager:
    """Runs lines of a Procfile, by default those of a process per stage. `behind_web` is the niceness of all but `web`."""

    def __init__(
        self,
        procfile: Path,
        env: Mapping[str, str],
        cwd: Path,
        names: list[str] | None = None,
        on_line: OnLine | None = None,
        behind_web: int = 0,
    ) -> None:
        commands = parse_procfile(procfile.read_text(encoding="utf-8"))
        chosen = names if names is not None else [name for name in commands if name not in _NOT_BESIDE]
        # On one machine the front door goes first: a message that waits in the database is safe, one that waits outside is not.
        nice = f"nice -n {behind_web} " if behind_web else ""
        self._processes = {name: _Process(name, commands[name] if name == "web" else nice + commands[name]) for name in chosen}
        self._env = {
            **env,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{env.get('PATH', os.defpath)}",
            "PYTHONUNBUFFERED": "1",
        }
        self._cwd, self._on_line = cwd, on_line or (lambda _name, _line: None)
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._stop_timeout = STOP_TIMEOUT
        self._keeper = threading.Thread(target=self._keep, name="process-keeper", daemon=True)

    def start(self) -> None:
        """Starts everything and keeps it running."""
        self._keeper.start()

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """SIGTERM to all, SIGKILL to what is left after `timeout` seconds."""
        self._stop_timeout = timeout
        self._stopping.set()
        self._keeper.join()

    def restarts(self) -> dict[str, int]:
        """How often each line was restarted."""
        return {name: process.restarts for name, process in self._processes.items()}

    def pids(self, name: str) -> list[int]:
        """All processes of one line, including its workers."""
        popen = self._processes[name].popen
        if popen is None or popen.poll() is not None:
            return []
        try:
            leader = psutil.Process(popen.pid)
            return [popen.pid, *(child.pid for child in leader.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Sends a signal to every process of one line."""
        for pid in self.pids(name):
            _kill(pid, how)

    def lose(self, name: str) -> None:
        """kill -9 of every process of one line, which is not restarted: its machine is gone."""
        self._processes[name].wanted = False
        self.kill(name)

    def terminate(self, name: str) -> None:
        """Sends SIGTERM to a line, as a platform does; it is restarted when it has ended."""
        _signal_leader(self._processes[name], signal.SIGTERM)

    def stop_one(self, name: str) -> None:
        """Ends one line without restarting it."""
        with self._lock:
            process = self._processes[name]
            process.wanted = False
            _signal_leader(process, signal.SIGTERM)
            _reap(process, time.monotonic() + STOP_TIMEOUT)

    def start_one(self, name: str) -> None:
        """Starts it again after stop_one."""
        self._processes[name].wanted = True

    def _keep(self) -> None:
        # Only this thread starts processes, and it outlives them: the kernel sends a child a SIGTERM when the *thread* that
        # started it ends, and a second SIGTERM, some seconds after the first, ends workers in the middle of their jobs.
        while not self._stopping.is_set():
            with self._lock:
                for process in self._processes.values():
                    self._look_after(process)
            self._stopping.wait(0.05)
        with self._lock:
            for process in self._processes.values():
                _signal_leader(process, signal.SIGTERM)
            deadline = time.monotonic() + self._stop_timeout
            for process in self._processes.values():
                _reap(process, deadline)

    def _look_after(self, process: _Process) -> None:
        now = time.monotonic()
        if process.popen is not None and process.popen.poll() is not None:
            self._after_exit(process, now)
        if process.popen is None and process.wanted and now >= process.next_start:
            self._start(process, now)

    def _start(self, process: _Process, now: float) -> None:
        try:
            process.popen, process.started = self._spawn(process), now
        except (OSError, RuntimeError) as problem:  # the machine has no process left, or no thread
            process.wait_longer(now)
            self._on_line(process.name, f"cannot be started ({problem}); trying again in {process.backoff:.1f} s")

    def _after_exit(self, process: _Process, now: float) -> None:
        assert process.popen is not None
        code = process.popen.returncode
        _kill_group(process.popen.pid)  # workers may outlive a killed leader
        process.popen = None
        if process.wanted:
            process.restarts += 1
            process.wait_longer(now, ran_for=now - process.started)
            self._on_line(process.name, f"ended with {code}; restarting in {process.backoff:.1f} s")

    def _spawn(self, process: _Process) -> subprocess.Popen[str]:
        popen = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {process.command}"],
            env=self._env,
            cwd=self._cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",  # as our logs are
            errors="replace",
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        try:
            threading.Thread(target=self._read, args=(process.name, popen), daemon=True).start()
        except RuntimeError:
            _kill_group(popen.pid)
            raise
        return popen

    def _read(self, name: str, popen: subprocess.Popen[str]) -> None:
        assert popen.stdout is not None
        for line in popen.stdout:
            self._on_line(name, line)


def die_with_parent() -> None:
    """Lets no workers outlive a killed script (on Linux; elsewhere it does nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_leader(process: _Process, how: signal.Signals) -> None:
    if process.popen is not None and process.popen.poll() is None:
        _kill(process.popen.pid, how)


def _reap(process: _Process, deadline: float) -> None:
    if process.popen is None:
        return
    try:
        process.popen.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
    _kill_group(process.popen.pid)
    process.popen.wait()
    process.popen = None


def _kill_group(pgid: int) -> None:
    try:
        os.killpg(pgid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _kill(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        pass
