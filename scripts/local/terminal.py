"""What the commands share of a terminal: arguments with clear errors, tables, refusals, and a database that does not answer.

A platform installs requirements.txt only, so nothing here needs the packages of the `local` extra.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import peewee

from scripts.local.environment import use_running_services
from shared.db.outage import Unsuitable
from shared.errors import Refused, ServiceDown
from shared.payloads import id_in

#: What the database is called that a setting names.
OF_URL = "the database of DATABASE_URL"
#: Seconds after which a lost end is tried again: by then Python is out of the hook that lost it.
_AGAIN = 0.05
#: Seconds between two looks whether a signal has come.
_LOOK = 0.5
#: The exit code of a program whose reader has gone, as SIGPIPE gives it to others.
CLOSED = 128 + signal.SIGPIPE


def wait_for_signal() -> NoReturn:
    """Until a signal's handler raises something. signal.pause() would sleep on where the signal came a moment before it, or to
    another thread."""
    while True:
        time.sleep(_LOOK)


def stop_on_signals(program: str) -> None:
    """Lets Ctrl-C and SIGTERM end this process with all that it started; a second one does not cut that short.

    A handler may run where Python ignores what is raised, as in a hook of the fork of a new process: then it ends a moment later.
    """

    def stop(*_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        sys.exit(f"{program}: stopped")

    def ignored(what: sys.UnraisableHookArgs) -> None:
        if isinstance(what.exc_value, SystemExit):
            signal.signal(signal.SIGALRM, stop)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        else:
            sys.__unraisablehook__(what)

    sys.unraisablehook = ignored
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def count(text: str) -> int:
    """An argument that is a whole number from 1, as PostgreSQL has them."""
    if (number := id_in(text)) is None:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return number


def file_to_write(text: str) -> Path:
    """An argument that names a file which the command writes at its end: better refused now than after an hour."""
    path = Path(text).absolute()
    if path.is_dir() or not path.parent.is_dir():
        reason = "is a folder" if path.is_dir() else f"the folder {path.parent} does not exist"
        raise argparse.ArgumentTypeError(f"must be a file to write, and {reason}, got {text!r}")
    return path


def cell(value: object) -> str:
    """A value of a table: nothing for null, times to the second."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return "" if value is None else str(value)


def print_table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Prints rows in columns that are as wide as their widest cell; the last one may be a sentence."""
    lines = [list(columns), *([" ".join(cell(value).split()) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def with_database(program: str, arguments: argparse.Namespace, *refusals: type[Exception]) -> int:
    """Runs the command of these arguments on DATABASE_URL or the services that another script runs.

    1, and a line that says why, if it raises Refused or one of `refusals`, or the database does not answer. CLOSED if whoever
    reads its output, like `head`, has read enough.
    """
    expected: tuple[type[Exception], ...] = (Refused, *refusals)
    database = OF_URL
    if not os.environ.get("DATABASE_URL"):
        database = embedded(use_running_services(program, "DATABASE_URL"))
    try:
        code = int(arguments.run(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        if not _has_lost_its_reader():  # it is another pipe's
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python, which flushes it once more at its end
        return CLOSED
    except expected as refusal:
        print(f"{program}: {refusal}", file=sys.stderr)
        return 1
    except (peewee.OperationalError, peewee.InterfaceError) as problem:
        cause: Exception = problem
    except ServiceDown as problem:
        cause = problem.__cause__ if isinstance(problem.__cause__, Exception) else problem
    print(f"{program}: {unreachable(cause, database)}", file=sys.stderr)
    return 1


def _has_lost_its_reader() -> bool:
    """Whether nobody reads what this process writes."""
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def embedded(folder: Path) -> str:
    """What an embedded database is called."""
    return f"the embedded database in {folder}"


def unreachable(problem: Exception, database: str = OF_URL) -> str:
    """The error of a database that does not answer; libpq names the host, never the password."""
    if isinstance(getattr(problem, "orig", problem), Unsuitable):
        return str(problem)
    return f"{database} cannot be reached: {str(problem).strip()}"
