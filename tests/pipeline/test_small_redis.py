"""Redis as a small plan gives it: 20 connections, TLS with a self-signed certificate, a user with few rights; all processes."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import redis
import requests

from scripts.local.ports import free_port
from scripts.local.processes import parse_procfile
from scripts.local.programs import redis_server
from shared import config
from shared.broker import redis_broker
from tests.builders import World
from tests.pipeline.processes import front_door, idle
from tests.tls import TlsProxy, self_signed
from tests.waiting import until

#: What the smallest plans have.
CONNECTIONS = 20
#: With those of this test: its administrator's, and as it accepts messages itself, one for that.
MAX_CLIENTS = CONNECTIONS + 2
MESSAGES = 40


@pytest.fixture
def plan(root: Path, tmp_path: Path) -> Iterator[tuple[str, redis.Redis]]:
    """The plan's URL, and its administrator."""
    port = free_port(0)
    options = {"port": str(port), "bind": "127.0.0.1", "dir": str(tmp_path), "save": "", "maxclients": str(MAX_CLIENTS)}
    command = [redis_server(), *(part for name, value in options.items() for part in (f"--{name}", value))]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    admin = redis.Redis(port=port)
    until(lambda: _answers(admin))
    [line] = re.findall(r"^ACL SETUSER (switchboard .*)$", (root / "workers" / "README.md").read_text(encoding="utf-8"), re.M)
    admin.execute_command("ACL", "SETUSER", *line.replace("PASSWORD", "secret-1").split())
    proxy = TlsProxy(self_signed(tmp_path), ("127.0.0.1", port))
    yield f"rediss://switchboard:secret-1@localhost:{proxy.port}/0", admin
    proxy.shutdown()
    proxy.server_close()
    server.terminate()
    server.wait()


def _answers(admin: redis.Redis) -> bool:
    try:
        return bool(admin.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture
def processes(
    environment: dict[str, str], plan: tuple[str, redis.Redis], root: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The processes of the Procfile but for those of a channel that is not used; yields the front door's URL."""
    monkeypatch.setenv("REDIS_URL", plan[0])
    monkeypatch.setenv("REDIS_TLS_VERIFY", "false")
    config.reset()
    redis_broker.reset()
    names = [
        name
        for name in parse_procfile((root / "Procfile").read_text(encoding="utf-8"))
        if name not in ("release", "worker", "web", "telegram")
    ]
    with front_door(*names, ready_at="/healthz") as (url, manager):
        yield url
    assert not any(manager.restarts().values()), "they wait"


def test_all_processes_share_twenty_connections(world: World, processes: str, plan: tuple[str, redis.Redis]) -> None:
    admin, most = plan[1], 0
    until(lambda: _is_well(processes))
    for number in range(MESSAGES):
        world.say(channel=("widget", "whatsapp_cloud", "whatsapp_qr")[number % 3], user=f"4912{number:06d}")
        most = max(most, int(admin.info("clients")["connected_clients"]))
    until(lambda: len(world.messages(role="assistant", status="SENT")) == MESSAGES and idle())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        most = max(most, int(admin.info("clients")["connected_clients"]))
        time.sleep(0.1)
    assert most <= MAX_CLIENTS
    assert admin.info("stats")["rejected_connections"] == 0
    assert admin.acl_log() == []


def _is_well(url: str) -> bool:
    return bool(_readiness(url)["status"] == "ok")


def _readiness(url: str) -> dict[str, Any]:
    """What /readyz says; nothing is well where nobody answers."""
    try:
        return cast(dict[str, Any], requests.get(f"{url}/readyz", timeout=20).json())
    except (requests.RequestException, ValueError):
        return {"status": "", "checks": {"redis": ""}}


def test_what_redis_refuses_comes_when_it_takes_it(world: World, processes: str, plan: tuple[str, redis.Redis]) -> None:
    until(lambda: _is_well(processes))
    faults = (
        (["replicaof", "127.0.0.1", "1"], ["replicaof", "no", "one"], "failed: read only"),
        (["config", "set", "maxmemory", "1"], ["config", "set", "maxmemory", "0"], "failed: full"),
        (["config", "set", "maxclients", "1"], ["config", "set", "maxclients", str(MAX_CLIENTS)], "failed: too many connections"),
    )
    for number, (fault, repair, says) in enumerate(faults):
        _refused_meanwhile(world, processes, plan[1], number, fault, says)
        plan[1].execute_command(*repair)
        answered = 3 * (number + 1)
        until(lambda count=answered: _sent(world) == count and idle())  # type: ignore[misc]  # a default of a lambda
    assert len(world.messages(role="assistant")) == 9


def _refused_meanwhile(world: World, url: str, admin: redis.Redis, number: int, fault: list[str], says: str) -> None:
    """Three messages are accepted while Redis refuses; /readyz says why it does."""
    admin.execute_command(*fault)
    for kind in ("normal", "pubsub"):
        admin.client_kill_filter(_type=kind, skipme=True)
    for user in range(3):
        world.say(user=f"v-{number}-{user}")
    until(lambda: _readiness(url)["checks"]["redis"] == says)


def _sent(world: World) -> int:
    return len(world.messages(role="assistant", status="SENT"))
