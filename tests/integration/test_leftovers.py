"""What scripts and test runs leave: nothing if they are stopped, and after kill -9 nothing once the next one has begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg2
import pytest

from scripts.local.embedded import Services
from scripts.local.environment import announcement
from scripts.local.leftovers import clear_abandoned, empty_folder
from tests.waiting import until

_SERVERS = """
import sys, time
from pathlib import Path
from scripts.local.embedded import Services
Services(Path(sys.argv[1]), fast=True).start()
time.sleep(600)
"""
_TEST = """
import os, time
from pathlib import Path

def test_that_does_not_end(services):
    Path(os.environ["SIGN"]).write_text(str(services.data_dir))
    time.sleep(600)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for data folders that PostgreSQL's user may enter; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@contextmanager
def started(
    root: Path, command: list[str], sign: Path, **settings: str
) -> Iterator[tuple[subprocess.Popen[str], list[psutil.Process]]]:
    """A process once it has made this file, and what it has started by then; in the end all of them are gone."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen([sys.executable, *command], cwd=root, env={**os.environ, **settings}, **streams)  # type: ignore[call-overload]
    children: list[psutil.Process] = []
    try:
        until(lambda: sign.exists() or process.poll() is not None, "it did not start")
        assert process.poll() is None, process.communicate()[0]
        children += psutil.Process(process.pid).children(recursive=True)
        yield process, children
    finally:
        for each in (process, *children):
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def killed_with_servers(root: Path, data: Path) -> Iterator[list[psutil.Process]]:
    """The servers of a script that was killed, which still run."""
    with started(root, ["-c", _SERVERS, str(data)], announcement(data)) as (process, servers):
        process.kill()
        process.wait()
        assert len(left(servers)) >= 2
        yield servers


def left(processes: list[psutil.Process]) -> list[str]:
    """The names of those that still run."""
    names = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                names.append(process.name())
    return names


def test_servers_of_a_killed_script_end_when_its_folder_is_emptied(root: Path, place: Path) -> None:
    with killed_with_servers(root, place / "data") as servers:
        empty_folder(place / "data")
        assert left(servers) == []
        assert not (place / "data").exists()


def test_only_folders_whose_process_has_ended_are_cleared_away(root: Path, place: Path) -> None:
    running = Services(place / "run-2", fast=True)
    running.start()
    try:
        with killed_with_servers(root, place / "run-1") as servers:
            clear_abandoned(place, "run-*")
            assert left(servers) == []
        assert [folder.name for folder in place.iterdir()] == ["run-2"]
        psycopg2.connect(running.database_url).close()
    finally:
        running.stop()


def test_a_server_that_has_the_pid_by_now_and_works_elsewhere_goes_on(root: Path, place: Path) -> None:
    with killed_with_servers(root, place / "elsewhere") as servers:
        before = left(servers)
        data = place / "data"
        (data / "postgres").mkdir(parents=True)
        (data / "services.lock").touch()
        (data / "postgres" / "postmaster.pid").write_bytes((place / "elsewhere/postgres/postmaster.pid").read_bytes())
        empty_folder(data)
        assert left(servers) == before


@pytest.mark.parametrize("options", [[], ["--numprocesses", "2"]], ids=["one process", "two"])
def test_a_test_run_that_is_stopped_ends_its_servers(root: Path, place: Path, options: list[str]) -> None:
    (place / "test_that_does_not_end.py").write_text(_TEST, encoding="utf-8")
    command = ["-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", *options, str(place)]
    with started(root, command, place / "sign", SIGN=str(place / "sign"), PYTHONPATH=str(root)) as (process, children):
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate()
        assert process.returncode == pytest.ExitCode.INTERRUPTED, said
        assert left(children) == []
        assert not Path((place / "sign").read_text(encoding="utf-8")).exists()
