"""A Redis Cluster and a Sentinel answer, and cannot be worked with: no process starts there, and each says where to go."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from scripts.local.ports import free_port
from scripts.local.programs import redis_server
from shared.broker import suitability
from shared.broker.connection import connect_redis
from shared.config import settings
from tests.waiting import until

Start = Callable[..., str]
STARTS = {
    "a worker": [sys.executable, "-m", "dramatiq", "workers.incoming", "--processes", "1", "--threads", "1"],
    "the scheduler": [
        sys.executable,
        "-c",
        "from periodiq import entrypoint; entrypoint()",
        "shared.jobs.scheduled:start",
        "workers.maintenance",
    ],
    "the front door": [sys.executable, "-c", "from web.app import create_app; create_app()"],
    "scripts/server": [sys.executable, "-m", "scripts.commands.server"],
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a redis-server with a configuration and options, and returns its address."""
    servers: list[subprocess.Popen[bytes]] = []

    def one(configuration: str, *options: str) -> str:
        for _attempt in range(20):  # a cluster's server wants the port 10,000 above its own as well
            port, file = free_port(), tmp_path / "redis.conf"
            file.write_text(f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\n{configuration}\n", encoding="utf-8")
            server = subprocess.Popen([redis_server(), str(file), *options], stdout=subprocess.DEVNULL)
            servers.append(server)
            address = f"redis://127.0.0.1:{port}/0"
            if _is_up(server, address):
                return address
        raise AssertionError("no redis-server has started")

    yield one
    for server in servers:
        server.kill()
        server.wait()


def _is_up(server: subprocess.Popen[bytes], address: str) -> bool:
    """Waits until it answers, or has ended."""
    until(lambda: server.poll() is not None or _answers(address))
    return server.poll() is None


def _answers(address: str) -> bool:
    with suppress(redis.ConnectionError):
        return bool(redis.Redis.from_url(address).ping())
    return False


@pytest.fixture(params=["a cluster", "a Sentinel"])
def refusal(request: pytest.FixtureRequest, environment: dict[str, str], start: Start, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is said of REDIS_URL, which leads to one of them."""
    if request.param == "a cluster":
        address, said = start("cluster-enabled yes"), "leads to a Redis Cluster"
    else:
        address, said = start("sentinel monitor shop 127.0.0.1 1 1", "--sentinel"), "leads to a Sentinel"
    monkeypatch.setenv("REDIS_URL", address)
    return said


@pytest.mark.parametrize("command", STARTS)
def test_nothing_starts_there(refusal: str, command: str, root: Path) -> None:
    done = subprocess.run(STARTS[command], cwd=root, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert refusal in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_so_is_valkeys_sentinel(environment: dict[str, str], start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another word for its mode."""
    with monkeypatch.context() as without_redis:
        without_redis.setenv("PATH", "")
        address = start("sentinel monitor shop 127.0.0.1 1 1", "--sentinel")
    reason = suitability.why_not(redis.Redis.from_url(address), "s")
    assert reason is not None
    assert "leads to a Sentinel" in reason


def test_any_other_is_taken(environment: dict[str, str]) -> None:
    assert suitability.why_not(connect_redis(settings()), settings().redis_namespace) is None
