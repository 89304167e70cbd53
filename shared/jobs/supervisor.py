"""Runs `dramatiq workers.ai …` and replaces each worker that dies: python -m shared.jobs.supervisor dramatiq workers.ai …

Dramatiq's own master ends with the first of its workers, and leaves it to the platform to start everything again. Platforms
wait for that, from some seconds to many minutes if it happens repeatedly; a stage would be down meanwhile. Here a worker that
a signal killed is replaced at once, and the new one takes over what its predecessor had in hand. After that another one stands
by for a minute, with its modules imported, because what killed one worker may kill the next. A worker that ends by itself,
because a setting is wrong or a module cannot be imported, still ends everything.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from dramatiq import canteen, cli

from shared.broker import identity

#: As Dramatiq's own master starts its workers. This process has no threads.
FORK = multiprocessing.get_context("fork")
#: Seconds between two starts of the same worker, at first, and at most if it dies again and again while it starts.
RESTART_PAUSE = (0.0, 5.0)
#: Seconds after which a worker that lives has started.
STARTED_AFTER = 5.0
#: Seconds for which a worker waits that may have to replace another; then its memory is free again.
STANDBY = 60.0
#: Names of dead workers that the next one gets.
MAX_PREDECESSORS = 5
#: Signals that end everything. SIGQUIT too: its default would end this process alone, and leave its workers to themselves.
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
#: Dramatiq's options that need its own master.
UNSUPPORTED = ("watch", "pid_file", "log_file", "use_spawn", "forks")


class _Worker:
    """A worker process. It begins when `begin` says so; until then it stands by, with its modules imported."""

    def __init__(self, arguments: argparse.Namespace, number: int, forks: Any) -> None:
        self.name, self.begun = identity.new_name(), 0.0
        predecessors, self._send_predecessors = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=_work, args=(arguments, number, self.name, forks, predecessors))

    def start(self) -> None:
        """Starts the process, if it does not run yet."""
        if self.process.pid is None:
            self.process.start()

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self.process.exitcode is None

    def begin(self, died: Sequence[str]) -> None:
        """Lets it take jobs. `died`: the workers whose work it takes over."""
        self.begun = time.monotonic()
        with suppress(OSError):  # it has ended already, and is replaced
            self._send_predecessors.send(tuple(died))

    def kill(self, number: int) -> None:
        """Sends it a signal."""
        if self.is_alive and self.process.pid:
            os.kill(self.process.pid, number)


class _Slot:
    """A place for a worker: who has it, who had it, and who waits for it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: _Worker | None = None
        self.standby: _Worker | None = None
        #: The names of those that died, the last few: one may have died before it had taken over from the one before.
        self.died: deque[str] = deque(maxlen=MAX_PREDECESSORS)
        self.pause = RESTART_PAUSE[0]


class Supervisor:
    """The workers of one process type."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self._slots = [_Slot(number) for number in range(arguments.processes)]
        self._canteen: Any = FORK.Value(canteen.Canteen)  # where Dramatiq's workers ask for more processes; ours do not
        self._stopping = False
        self._return_code = 0

    def run(self) -> int:
        """Until a SIGTERM, or until a worker ends by itself; returns the exit code."""
        for number in STOPS:
            signal.signal(number, self._stop)
        for slot in self._slots:
            self._fill(slot)
        # Also of a worker that has ended already: it may die before anybody waits for it.
        while sentinels := {slot.worker.process.sentinel: slot for slot in self._slots if slot.worker}:
            for sentinel in wait(list(sentinels)):
                self._after_end(sentinels[sentinel])  # type: ignore[index]  # wait returns what it was given
        return self._return_code

    def _stop(self, *_: object) -> None:
        """SIGTERM to the workers: they finish what they can. Another one, 5 s later, makes them end at once, and give it back."""
        self._stopping = True
        for slot in self._slots:
            if slot.worker:
                slot.worker.kill(signal.SIGTERM)
            if slot.standby:
                slot.standby.kill(signal.SIGKILL)  # it has nothing in hand

    def _after_end(self, slot: _Slot) -> None:
        """Replaces a worker that a signal killed; one that ended by itself ends everything."""
        worker, slot.worker = slot.worker, None
        assert worker is not None
        worker.process.join()
        code = worker.process.exitcode or 0
        if self._stopping:
            return
        if code >= 0:
            self._return_code = code
            self._stop()
            return
        has_started = time.monotonic() - worker.begun > STARTED_AFTER
        slot.pause = RESTART_PAUSE[0] if has_started else min(RESTART_PAUSE[1], slot.pause * 2 + 0.1)
        time.sleep(slot.pause)
        slot.died.append(worker.name)
        self._fill(slot)

    def _fill(self, slot: _Slot) -> None:
        """Starts a worker, as soon as the machine has a process for it."""
        while not self._stopping:
            cli.try_block_signals()  # until the worker has handlers of its own, so that a SIGTERM reaches each
            try:
                self._start(slot)
                return
            except OSError as problem:
                print(f"the machine starts no worker, tried again in {RESTART_PAUSE[1]:.0f} s: {problem}", file=sys.stderr)
            finally:
                cli.try_unblock_signals()
            time.sleep(RESTART_PAUSE[1])

    def _start(self, slot: _Slot) -> None:
        """Where one died, the next one imports its modules already, for the cause may kill again. Raises OSError."""
        worker = slot.standby if slot.standby and slot.standby.is_alive else None
        worker, slot.standby = worker or _Worker(self._arguments, slot.number, self._canteen), None
        worker.begin(slot.died)
        worker.start()
        slot.worker = worker
        if slot.died:
            with suppress(OSError):  # it only saves time
                standby = _Worker(self._arguments, slot.number, self._canteen)
                standby.start()
                slot.standby = standby


def _work(arguments: argparse.Namespace, number: int, name: str, forks: Any, predecessors: Connection) -> None:
    identity.become(name)
    if not predecessors.poll():
        for module in arguments.modules:
            importlib.import_module(module)
        if not predecessors.poll(STANDBY):
            return
    identity.predecessors = predecessors.recv()
    output = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="replace")
    try:
        cli.worker_process(arguments, number, output, forks, threading.Event())
    except SystemExit as ended:
        if ended.code == cli.RET_KILLED:  # by a second signal, in the middle of its jobs
            _give_back()
        raise


def _give_back() -> None:
    from shared.jobs import worker_process  # here, because the supervisor itself needs nothing of it

    worker_process.give_back(worker_process.boot())


def _name_wrong_setting() -> None:
    """Ends with the name of the setting that the Procfile made an argument of, if that is what is wrong."""
    from shared.config import settings  # here, because otherwise each supervisor would need 7 MB more for it

    settings()


def main() -> int:
    """For the Procfile. Its arguments are a command line of Dramatiq's."""
    parser = cli.make_argument_parser()
    parser.prog = "python -m shared.jobs.supervisor dramatiq"
    try:
        if sys.argv[1:2] != ["dramatiq"]:
            parser.error("the command to supervise must begin with dramatiq, like: dramatiq workers.ai --processes 1")
        arguments = parser.parse_args(sys.argv[2:])
        if arguments.processes < 1 or arguments.threads < 1:
            parser.error("--processes and --threads must be at least 1")
    except SystemExit as refusal:
        if refusal.code:
            _name_wrong_setting()
        raise
    for name in UNSUPPORTED:
        if getattr(arguments, name, None):
            parser.error(f"--{name.replace('_', '-')} is not for this program; use dramatiq itself")
    for path in arguments.path:
        sys.path.insert(0, path)
    return Supervisor(arguments).run()


if __name__ == "__main__":
    sys.exit(main())
