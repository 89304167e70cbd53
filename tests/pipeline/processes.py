"""The Procfile's own command lines as real processes, for the length of a block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from scripts.local.ports import free_port
from scripts.local.processes import STOP_TIMEOUT, OnLine, ProcessManager
from shared import db
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@contextmanager
def running(
    *names: str, on_line: OnLine | None = None, stop_within: float = STOP_TIMEOUT, **settings: str
) -> Iterator[ProcessManager]:
    """These process types, under these settings. What has not ended so many seconds after the block is killed."""
    manager = ProcessManager(ROOT / "Procfile", {**os.environ, **settings}, ROOT, list(names), on_line)
    manager.start()
    try:
        yield manager
    finally:
        manager.stop(stop_within)


@contextmanager
def front_door(*others: str, ready_at: str = "/readyz", **settings: str) -> Iterator[tuple[str, ProcessManager]]:
    """`web` and other process types: the address, once it answers, and who runs them."""
    port = free_port(0)
    with running("web", *others, PORT=str(port), WEB_HOST="127.0.0.1", **settings) as manager:
        url = f"http://127.0.0.1:{port}"
        until(lambda: status(url + ready_at) == 200)
        yield url, manager


def status(url: str) -> int:
    """Of an answer; 0 if there is none."""
    try:
        return requests.get(url, timeout=10).status_code
    except (requests.ConnectionError, requests.Timeout):
        return 0


def idle() -> bool:
    """Whether nothing is left to do."""
    return bool(db.scalar("select count(*) = 0 from job where closed_at is null"))
