"""scripts/server and scripts/migrate: what is wrong is named before anything runs, one server a folder, running means ready."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import IO

import psutil
import pytest
import requests

from scripts.commands import demo
from scripts.local.front_door import bind_problem, readiness
from scripts.local.occupied import Occupied, is_occupied, occupy
from scripts.local.ports import free_port
from shared import db
from tests.integration.front_door import FrontDoor
from tests.unit.servers import serving
from tests.waiting import until

SERVER = [sys.executable, "-m", "scripts.commands.server", "--small", "--data"]


def typed(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """scripts/server as it is typed; it has to end by itself."""
    environment = {**os.environ, "WEB_HOST": "127.0.0.1", **settings}
    return subprocess.run([*SERVER, str(folder)], env=environment, capture_output=True, text=True, timeout=120)


@contextlib.contextmanager
def running(folder: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """scripts/server, once it says that it runs; yields its lines, to which later ones are added."""
    environment = {**os.environ, "WEB_HOST": "127.0.0.1", **settings}
    process = subprocess.Popen(
        [*SERVER, str(folder)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lines: list[str] = []
    try:
        for line in process.stdout:
            lines.append(line.strip())
            if line.startswith("server: running"):
                break
        else:
            pytest.fail("it ended: " + "\n".join(lines))
        threading.Thread(target=_add_lines, args=(process.stdout, lines), daemon=True).start()
        yield process, lines
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(40)
        psutil.wait_procs(children, timeout=40)


def _add_lines(stdout: IO[str], lines: list[str]) -> None:
    for line in stdout:
        lines.append(line.strip())


def terminate_beside(pid: int) -> None:
    """SIGTERM to another thread than the main one: as a signal that comes a moment too early, it cuts no system call short."""
    beside = next(thread.id for thread in psutil.Process(pid).threads() if thread.id != pid)
    assert ctypes.CDLL(None).tgkill(pid, beside, signal.SIGTERM) == 0


@pytest.fixture
def taken() -> Iterator[int]:
    """A port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"PORT": "abc"}, "PORT: Must be a port, a whole number from 1 to 65535"),
        ({"PORT": "0"}, "PORT: Must be a port"),
        ({"PORT": "99999"}, "PORT: Must be a port"),
        ({"PORT": "-1"}, "PORT: Must be a port"),
        ({"AI_THREADS": "abc"}, "AI_THREADS: Must be a whole number from 1"),
        ({"WORKER_THREADS": "0"}, "WORKER_THREADS: Must be a whole number from 1"),
        ({"WEB_CONCURRENCY": "-2"}, "WEB_CONCURRENCY: Must be a whole number from 1"),
        ({"WEBHOOKS_PROCESSES": "1.5"}, "WEBHOOKS_PROCESSES: Must be a whole number from 1"),
        ({"RATE_LIMIT_AI_PROCESSING": "10"}, "RATE_LIMIT_AI_PROCESSING: Must be a count and a time, like 10/1s"),
        ({"CREDENTIALS_KEY": "hunter2"}, "CREDENTIALS_KEY: Must be a Fernet key"),
        ({"MEDIA_FOLDER": __file__}, "MEDIA_FOLDER: Must be a folder, or a place where one can be made"),
        ({"WEB_HOST": "192.0.2.1"}, "WEB_HOST=192.0.2.1 is not an address of this machine"),
        ({"WEB_HOST": "192.0.2.1", "PORT": "8099"}, "Use 127.0.0.1 for this machine only, or 0.0.0.0 for all.\n"),
        ({"WEB_HOST": "no.such.host.invalid"}, "WEB_HOST=no.such.host.invalid is not an address of this machine"),
        ({"REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}, "the Redis of REDIS_URL or REDIS_HOST cannot be used: Error 111"),
        ({"REDIS_URL": "redis://no.such.host.invalid"}, "the Redis of REDIS_URL or REDIS_HOST cannot be used: "),
        ({"DATABASE_URL": "postgresql://nobody:hunter2@127.0.0.1:1/x"}, "the database of DATABASE_URL cannot be reached:"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_runs(door: FrontDoor, tmp_path: Path, settings: dict[str, str], said: str) -> None:
    done = typed(tmp_path, **settings)
    assert done.returncode == 1
    assert said in done.stderr
    for never in ("Traceback", "hunter2"):
        assert never not in done.stderr
    assert "server: starting" not in done.stdout


#: As the kernel answers beyond a limit, which is not for every user who runs the tests.
NO_THREAD = """
import threading

def refuse(*_, **__):
    raise RuntimeError("can't start new thread")

threading.Thread.start = refuse
"""
NO_PROCESS = """
import itertools, os, subprocess

start, numbers = subprocess.Popen.__init__, itertools.count()

def refuse(self, arguments, *rest, **options):
    if "shared.jobs.supervisor" in str(arguments) and next(numbers) == 0:
        raise BlockingIOError(11, os.strerror(11))
    start(self, arguments, *rest, **options)

subprocess.Popen.__init__ = refuse
"""


def test_a_machine_that_starts_no_more_threads_is_named(door: FrontDoor, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_THREAD, encoding="utf-8")
    done = typed(tmp_path / "data", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "server: this machine starts no more processes or threads" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_process_that_cannot_be_started_now_is_started_later(door: FrontDoor, tmp_path: Path) -> None:
    """The thread that starts them ended, and nothing was started again."""
    (tmp_path / "sitecustomize.py").write_text(NO_PROCESS, encoding="utf-8")
    with running(tmp_path / "data", PYTHONPATH=str(tmp_path)) as (_, lines):
        assert any("cannot be started ([Errno 11] " in line for line in lines)


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_data_folder_where_a_file_stands_is_named(door: FrontDoor, tmp_path: Path, below: str) -> None:
    (tmp_path / "data").write_text("", encoding="utf-8")
    done = typed(tmp_path / "data" / below)
    assert done.returncode == 1
    assert f"server: {tmp_path / 'data' / below} cannot be a data folder: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_redis_that_wants_another_password_is_named(door: FrontDoor, tmp_path: Path) -> None:
    wrong = os.environ["REDIS_URL"].replace("@", "x@")
    done = typed(tmp_path, REDIS_URL=wrong)
    assert done.returncode == 1
    assert "the Redis of REDIS_URL or REDIS_HOST cannot be used: invalid username-password pair" in done.stderr


def test_a_redis_that_does_not_greet_is_named_with_the_way_out(door: FrontDoor, tmp_path: Path) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(b"-ERR unknown command 'HELLO', with args beginning with: '3'\r\n")

    with serving() as serve:
        done = typed(tmp_path, REDIS_URL=f"redis://{serve(refuse)}/0")
    assert done.returncode == 1
    assert "add the option protocol=2 to its URL" in done.stderr


def test_a_port_that_is_taken_is_named(door: FrontDoor, tmp_path: Path, taken: int) -> None:
    done = typed(tmp_path, PORT=str(taken))
    assert done.returncode == 1
    assert done.stderr == f"server: port {taken} is taken by another program. Free it, or choose another with PORT.\n"


def test_running_means_ready_and_a_second_one_in_the_folder_is_refused(door: FrontDoor, tmp_path: Path) -> None:
    port = str(free_port())
    url = f"http://127.0.0.1:{port}"
    with running(tmp_path, PORT=port) as (first, lines):
        assert requests.get(f"{url}/readyz", timeout=60).json()["status"] == "ok"
        assert "server: starting" in lines
        until(lambda: any("/desk/link/" in line for line in lines))
        [link] = [re.search(r"http\S+/desk/link/\S+", line) for line in lines if "/desk/link/" in line]
        assert link
        assert "first operator" in requests.get(link[0], timeout=60).text
        second = typed(tmp_path, PORT=str(free_port()), OPENAI_API_KEY="sk-another")
        assert second.returncode == 1
        assert second.stderr.startswith(f"server: already runs here (process {first.pid}, {url}).")
        assert not second.stdout
        children = psutil.Process(first.pid).children(recursive=True)
        first.send_signal(signal.SIGKILL)
        first.wait(45)
        psutil.wait_procs(children, timeout=40)
    with running(tmp_path, PORT=port):  # what the killed one left behind does not block
        assert requests.get(f"{url}/readyz", timeout=60).json()["status"] == "ok"


def test_a_signal_that_cuts_no_call_short_ends_it_with_all_that_it_started(door: FrontDoor, tmp_path: Path) -> None:
    with running(tmp_path / "my shop's", PORT=str(free_port())) as (server, lines):
        [command] = [line.partition("with: ")[2] for line in lines if "commands in other terminals" in line]
        found = subprocess.run(f"{command}; printenv SWITCHBOARD_DATA", shell=True, capture_output=True, text=True, check=True)
        assert found.stdout == f"{tmp_path}/my shop's\n", "as it is typed"
        until(lambda: any("/desk/link/" in line for line in lines))  # the last line: it waits for nothing but a signal now
        children = psutil.Process(server.pid).children(recursive=True)
        terminate_beside(server.pid)
        assert server.wait(45) == 0
        assert not psutil.wait_procs(children, timeout=40)[1]


def test_without_port_it_says_which_one_it_took_in_place_of_8000(door: FrontDoor, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # somebody else has it: as good
            stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
        with running(tmp_path, PORT="") as (_, lines):
            assert lines[0].startswith("server: port 8000 is taken by another program. This one takes port ")


def test_the_demo_listens_on_port_too(taken: int) -> None:
    free = str(free_port())
    assert demo.port({"PORT": free, "WEB_HOST": "127.0.0.1"}) == free
    assert int(demo.port({"PORT": ""})) > 0
    command = [sys.executable, "-m", "scripts.commands.demo"]
    for port, said in (
        (str(taken), f"demo: port {taken} is taken by another program. Free it, or choose another with PORT."),
        ("70000", "demo: PORT=70000 is not a port. Use a number from 1 to 65535."),
    ):
        environment = {**os.environ, "PORT": port, "WEB_HOST": "127.0.0.1"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr.strip().splitlines()[-1]) == (1, said)


def test_a_lock_says_who_holds_it_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "some.lock"
    assert not is_occupied(path)
    path.write_text("{", encoding="utf-8")  # what a process that died while it wrote left behind
    with occupy(path) as mine:
        mine.say(address="http://127.0.0.1:8000")
        assert is_occupied(path)
        with pytest.raises(Occupied, match=rf"^process {os.getpid()}, http://127\.0\.0\.1:8000$"), occupy(path):
            pass
    assert not is_occupied(path)


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("127.0.0.1", 0, None),
        ("", 0, None),
        ("[::1]", 0, None),
        ("192.0.2.1", 0, "WEB_HOST=192.0.2.1 is not an address of this machine."),
    ],
)
def test_an_address_that_cannot_be_listened_at_is_explained(host: str, port: int, said: str | None) -> None:
    found = bind_problem(host, port)
    assert found == said or str(found).startswith(str(said))


def test_what_readyz_misses_is_told() -> None:
    class Degraded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "degraded", "checks": {"postgres": "ok", "redis": "failed: ConnectionError"}}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Degraded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        assert readiness(url) == "redis: failed: ConnectionError"
        server.shutdown()
    assert readiness(url) == f"{url}/readyz does not answer (ConnectionError)"


def migrated(**settings: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "scripts.commands.migrate"]
    return subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120)


def test_migrate_says_which_database_it_took(door: FrontDoor) -> None:
    db.rows("truncate knowledge_common_word, knowledge_common_word_list")
    done = migrated()
    where, found = done.stdout.splitlines()
    assert where.startswith("migrate: DATABASE_URL: database test_")
    assert " at 127.0.0.1, " in where
    assert os.environ["DATABASE_URL"].partition("@")[0].rpartition(":")[2] not in done.stdout, "the password"
    assert found == "migrate: applied common words: 17 languages"
    assert migrated().stdout.splitlines()[1] == "migrate: the schema is up to date"


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/x", "postgresql://u:hunter2@h:port/x", "postgres://u:hunter2%zz@h/x"])
def test_migrate_refuses_what_is_no_database_url_and_shows_no_password(door: FrontDoor, url: str) -> None:
    done = migrated(DATABASE_URL=url)
    assert done.returncode == 1
    assert done.stderr.startswith("migrate: DATABASE_URL: ")
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["HONCHO_PROCESS_NAME", "PS"])
def test_release_stays_beside_the_other_lines_of_honcho_and_foreman(door: FrontDoor, name: str) -> None:
    environment = {**os.environ, name: "release.1"}
    with subprocess.Popen([sys.executable, "-m", "scripts.commands.migrate"], env=environment, stdout=subprocess.PIPE) as release:
        assert release.stdout is not None
        while line := release.stdout.readline():
            if b"waits" in line:
                break
        assert line.startswith(b"migrate: waits, because honcho and foreman stop all processes when one ends")
        assert release.poll() is None
        try:
            terminate_beside(release.pid)
            assert release.wait(45) == 0
        finally:
            release.kill()


@pytest.mark.parametrize(
    "settings", [{"DYNO": "release.1234", "PS": "release.1"}, {"HONCHO_PROCESS_NAME": "web.1"}, {"PS": "web.1"}]
)
def test_release_ends_everywhere_else(door: FrontDoor, settings: dict[str, str]) -> None:
    assert migrated(**settings).returncode == 0
