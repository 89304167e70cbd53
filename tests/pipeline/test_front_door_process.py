"""The Procfile's own web process: gunicorn, its threads, and a message from the hook to WhatsApp."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests

from scripts.local.ports import free_port
from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from scripts.local.simulator.hooks import signed_by_meta
from shared import queues
from tests.builders import World
from tests.integration.front_door import change, webhook, written
from tests.pipeline.test_workers import idle
from tests.waiting import until

SECRET, METRICS = "app-secret-2", "metrics-token-2"


@pytest.fixture
def url(environment: dict[str, str], root: Path) -> Iterator[str]:
    """Web and workers."""
    port = free_port(0)
    chosen = {**os.environ, "PORT": str(port), "WHATSAPP_APP_SECRET": SECRET, "WEB_HOST": "127.0.0.1", "WEB_PROCESSES": "2"}
    chosen["METRICS_TOKEN"] = METRICS
    manager = ProcessManager(root / "Procfile", env=chosen, cwd=root, names=["web", *queues.MESSAGE_PROCESSES, "maintenance"])
    manager.start()
    url = f"http://127.0.0.1:{port}"
    until(lambda: status(f"{url}/readyz") == 200)
    yield url
    manager.stop()


def status(url: str) -> int:
    """Of an answer; 0 if there is none."""
    try:
        return requests.get(url, timeout=10).status_code
    except (requests.ConnectionError, requests.Timeout):
        return 0


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


def test_clients_that_drip_keep_no_thread(world: World, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_THREADS", "1")
    port = free_port(0)
    chosen = {**os.environ, "PORT": str(port), "WEB_HOST": "127.0.0.1", "WIDGET_MAX_STREAMS": "1"}
    manager = ProcessManager(root / "Procfile", env=chosen, cwd=root, names=["web"])
    manager.start()
    url = f"http://127.0.0.1:{port}/healthz"
    try:
        until(lambda: status(url) == 200)
        drips = [
            _dripping(port, head)
            for head in (b"GET /healthz HTTP/1.1\r\nX-a: ", b"POST /webhooks/whatsapp/cloud HTTP/1.1\r\n") * 2
        ]
        ended = threading.Event()
        threading.Thread(target=_drip, args=(drips, ended), daemon=True).start()
        until(lambda: status(url) == 200)
        answers = [requests.get(url, timeout=60).status_code for _ in range(5)]
        assert answers == [200] * 5, "and stays so"
        ended.set()
    finally:
        manager.stop()


def test_a_quick_stop_ends_an_idle_process_as_a_slow_one_does(environment: dict[str, str], root: Path) -> None:
    """At SIGINT gunicorn's master sends its workers SIGQUIT, which they took and went on, to be killed 20 s later."""
    port = free_port(0)
    chosen = {**os.environ, "PORT": str(port), "WEB_HOST": "127.0.0.1", "WEB_PROCESSES": "1"}
    manager = ProcessManager(root / "Procfile", env=chosen, cwd=root, names=["web"])
    manager.start()
    try:
        until(lambda: status(f"http://127.0.0.1:{port}/healthz") == 200)
        [worker] = psutil.Process(manager.pids("web")[0]).children()
        with socket.create_connection(("127.0.0.1", port), timeout=60) as idle_client:
            idle_client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert idle_client.recv(100).startswith(b"HTTP/1.1 200")
            worker.send_signal(signal.SIGQUIT)
            worker.wait(60)
    finally:
        manager.stop()


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
