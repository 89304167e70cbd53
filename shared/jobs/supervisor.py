"""Starts worker processes and replaces each one that dies: python -m shared.jobs.supervisor, with the arguments of `dramatiq`.

Dramatiq's own master ends with the first of its workers, and leaves it to the platform to start everything again. Platforms
wait for that, from some seconds to many minutes if it happens repeatedly; a stage would be down meanwhile. Here a worker that
a signal killed is replaced at once, and the new one takes over what its predecessor had in hand. A worker that ends by itself,
because a setting is wrong or a module cannot be imported, still ends everything.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any

from dramatiq import canteen, cli

from shared.broker import identity

#: As Dramatiq's own master starts its workers. This process has no threads.
FORK = multiprocessing.get_context("fork")
#: Seconds between two starts of the same worker, at first, and at most if it dies again and again while it starts.
RESTART_PAUSE = (0.0, 5.0)
#: Seconds after which a worker that lives has started.
STARTED_AFTER = 5.0
#: Dramatiq's options that need its own master.
UNSUPPORTED = ("watch", "pid_file", "log_file", "use_spawn", "forks")


@dataclass
class _Slot:
    """A place for a worker process, and who has it."""

    number: int
    name: str = ""
    process: Any = None
    started: float = 0.0
    pause: float = field(default=RESTART_PAUSE[0])


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
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        for slot in self._slots:
            self._start(slot, died=None)
        while living := [slot.process.sentinel for slot in self._slots if slot.process.exitcode is None]:
            wait(living)
            for slot in self._slots:
                if slot.process.exitcode is not None and not self._stopping:
                    self._after_end(slot)
        return self._return_code

    def _stop(self, *_: object) -> None:
        """SIGTERM to the workers: they finish what they can. A second one makes them end at once."""
        self._stopping = True
        for slot in self._slots:
            if slot.process is not None and slot.process.exitcode is None:
                os.kill(slot.process.pid, signal.SIGTERM)

    def _after_end(self, slot: _Slot) -> None:
        """Replaces a worker that a signal killed; one that ended by itself ends everything."""
        if slot.process.exitcode >= 0:
            self._return_code = slot.process.exitcode
            self._stop()
            return
        has_started = time.monotonic() - slot.started > STARTED_AFTER
        slot.pause = RESTART_PAUSE[0] if has_started else min(RESTART_PAUSE[1], slot.pause * 2 + 0.1)
        time.sleep(slot.pause)
        if not self._stopping:
            self._start(slot, died=slot.name)

    def _start(self, slot: _Slot, died: str | None) -> None:
        slot.name, slot.started = identity.new_name(), time.monotonic()
        slot.process = FORK.Process(target=_work, args=(self._arguments, slot.number, slot.name, died, self._canteen))
        cli.try_block_signals()  # until the worker has handlers of its own
        slot.process.start()
        cli.try_unblock_signals()


def _work(arguments: argparse.Namespace, number: int, name: str, died: str | None, forks: Any) -> None:
    identity.become(name, died)
    output = os.fdopen(os.dup(2), "w", buffering=1, errors="replace")
    cli.worker_process(arguments, number, output, forks, threading.Event())


def main() -> int:
    """For the Procfile."""
    parser = cli.make_argument_parser()
    parser.prog = "python -m shared.jobs.supervisor"
    arguments = parser.parse_args()
    for name in UNSUPPORTED:
        if getattr(arguments, name, None):
            parser.error(f"--{name.replace('_', '-')} is not for this program; use dramatiq itself")
    for path in arguments.path:
        sys.path.insert(0, path)
    return Supervisor(arguments).run()


if __name__ == "__main__":
    sys.exit(main())
