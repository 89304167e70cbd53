"""What the commands share of a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local.terminal import CLOSED

PROGRAM = """
import os, signal, subprocess, time
from scripts.local.terminal import stop_on_signals
stop_on_signals("it")
"""
#: A signal that arrives while the process starts another one, and one that arrives while an object is freed.
IN_A_HOOK = """
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGTERM))
subprocess.run(["true"], preexec_fn=lambda: None)
"""
IN_A_FINALIZER = """
class Freed:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)
Freed()
"""


@pytest.mark.parametrize("arrival", [IN_A_HOOK, IN_A_FINALIZER])
def test_a_signal_is_not_lost_where_python_ignores_exceptions(root: Path, arrival: str) -> None:
    code = f"{PROGRAM}{arrival}time.sleep(60)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (1, "it: stopped\n")


def _with_database(run: str) -> str:
    """A program whose command is this function."""
    code = "import argparse, os, sys; from scripts.local.terminal import with_database as run; "
    return f"{code}sys.exit(run('it', argparse.Namespace(run={run})))"


ENVIRONMENT = {**os.environ, "DATABASE_URL": "postgresql://nobody@localhost/none"}


def test_a_reader_that_has_read_enough_is_no_error(root: Path) -> None:
    code = _with_database("lambda _: print('a line\\n' * 100_000) or 0")  # more than a pipe holds
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        writer.stdout.readline()
        writer.stdout.close()
        assert writer.stderr.read() == ""
    assert writer.returncode == CLOSED


def test_a_pipe_that_breaks_elsewhere_is_not_taken_for_the_readers(root: Path) -> None:
    a_pipe_without_reader = "lambda _: (lambda ends: os.close(ends[0]) or os.write(ends[1], b'x'))(os.pipe())"
    done = subprocess.run(
        [sys.executable, "-c", _with_database(a_pipe_without_reader)],
        cwd=root, env=ENVIRONMENT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "BrokenPipeError: [Errno 32] Broken pipe")
