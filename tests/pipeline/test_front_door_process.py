"""The Procfile's own web process: gunicorn, its threads, and a message from the hook to WhatsApp."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
from collections.abc import Iterator

import psutil
import pytest
import requests

from scripts.local.simulator.client import Simulator
from scripts.local.simulator.hooks import signed_by_meta
from tests.builders import World
from tests.integration.front_door import change, webhook, written
from tests.pipeline.processes import front_door, idle, status
from tests.waiting import until

SECRET, METRICS = "app-secret-2", "metrics-token-2"


@pytest.fixture
def url(environment: dict[str, str]) -> Iterator[str]:
    """Web, and the stages of a WhatsApp message."""
    chosen = {"WHATSAPP_APP_SECRET": SECRET, "METRICS_TOKEN": METRICS, "WEB_PROCESSES": "2"}
    with front_door("incoming", "ai", "outgoing", "whatsapp_cloud", **chosen) as (address, _):
        yield address


def test_a_message_goes_from_the_hook_to_whatsapp(world: World, url: str, simulator: Simulator) -> None:
    body = json.dumps(webhook(change(str(777000 + world.chatbot), messages=[written("wamid.1")]))).encode()
    hook = f"{url}/webhooks/whatsapp/cloud"
    assert requests.post(hook, body, headers=signed_by_meta(body, SECRET), timeout=60).status_code == 200
    assert requests.post(hook, body, headers=signed_by_meta(body, "wrong"), timeout=60).status_code == 401
    chunked = requests.post(hook, iter([body[:100], body[100:]]), headers=signed_by_meta(body, SECRET), timeout=60)
    assert chunked.status_code == 200
    until(lambda: world.messages(role="assistant", status="SENT") and idle())
    assert [sent["key"] for sent in simulator.record("graph")] == ["5511912345678"]
    until(lambda: 'switchboard_attempts_total{outcome="completed",queue="ai-processing"} 1.0' in _text(f"{url}/metrics"))


def test_clients_that_drip_keep_no_thread(world: World) -> None:
    with front_door(WEB_THREADS="1", WIDGET_MAX_STREAMS="1") as (address, _):
        url = f"{address}/healthz"
        drips = [
            _dripping(_port_of(address), head)
            for head in (b"GET /healthz HTTP/1.1\r\nX-a: ", b"POST /webhooks/whatsapp/cloud HTTP/1.1\r\n") * 2
        ]
        ended = threading.Event()
        threading.Thread(target=_drip, args=(drips, ended), daemon=True).start()
        until(lambda: status(url) == 200)
        answers = [requests.get(url, timeout=60).status_code for _ in range(5)]
        assert answers == [200] * 5, "and stays so"
        ended.set()


def test_a_quick_stop_ends_an_idle_process_as_a_slow_one_does(environment: dict[str, str]) -> None:
    """At SIGINT gunicorn's master sends its workers SIGQUIT, which they took and went on, to be killed 20 s later."""
    with front_door(ready_at="/healthz", WEB_PROCESSES="1") as (address, processes):
        [worker] = psutil.Process(processes.pids("web")[0]).children()
        with socket.create_connection(("127.0.0.1", _port_of(address)), timeout=60) as idle_client:
            idle_client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle_client.recv(100).startswith(b"HTTP/1.1 200")
            worker.send_signal(signal.SIGQUIT)
            worker.wait(60)


def _port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def _dripping(port: int, head: bytes) -> socket.socket:
    """A request that has begun."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(head + b"Host: x\r\nContent-Length: 1000\r\n\r\n{" if head.startswith(b"POST") else head)
    return connection


def _drip(connections: list[socket.socket], ended: threading.Event) -> None:
    while not ended.wait(0.2):
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.sendall(b" ")


def _text(url: str) -> str:
    return requests.get(url, headers={"Authorization": f"Bearer {METRICS}"}, timeout=60).text
