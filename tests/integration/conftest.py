"""The front door as its callers see it, Flask's test client on a fresh system; and a Redis that refuses."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from shared import config
from shared.broker.connection import DOOR
from shared.broker.redis_broker import get_broker
from shared.telemetry.outage import Outage
from tests.browser import Browser, chromium
from tests.builders import World
from tests.integration.front_door import APP_SECRET, DASHBOARD, METRICS, QR_SECRET, VERIFY_TOKEN, FrontDoor
from tests.integration.widget_page import Page, key_of
from tests.site import Site, serving
from web.app import create_app
from web.ops import health

RedisRefusing = Callable[..., AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """The front door waits for a Redis that stands still, as a busy machine has it for seconds: it would do without.

    By a patch of its own: what a test sets by `monkeypatch` is to be undone before its database is dropped.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("web.app.DOOR", replace(DOOR, timeout=60.0))
        yield


@pytest.fixture
def log_of(
    environment: dict[str, str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Outage, str], Callable[[], list[str]]]:
    """What the log says, from now on, of a service whose outages these are."""
    importlib.import_module("workers.maintenance")  # now, for the first time it sets up the log

    def events(outage: Outage, service: str) -> Callable[[], list[str]]:
        monkeypatch.setattr(outage, "calm", 0.0)
        return lambda: [record.getMessage() for record in caplog.records if getattr(record, "service", "") == service]

    return events


@pytest.fixture
def own_folder(tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files of this test alone are kept."""
    monkeypatch.setenv("MEDIA_FOLDER", str(tmp_path / "media"))
    config.reset()
    return tmp_path / "media"


@pytest.fixture
def door(world: World, monkeypatch: pytest.MonkeyPatch) -> FrontDoor:
    """The application with every secret set."""
    monkeypatch.setenv("WHATSAPP_APP_SECRET", APP_SECRET)
    monkeypatch.setenv("WHATSAPP_VERIFY_TOKEN", VERIFY_TOKEN)
    monkeypatch.setenv("WHATSAPP_QR_WEBHOOK_SECRET", QR_SECRET)
    monkeypatch.setenv("DASHBOARD_USER", DASHBOARD[0])
    monkeypatch.setenv("DASHBOARD_PASSWORD", DASHBOARD[1])
    monkeypatch.setenv("METRICS_TOKEN", METRICS)
    monkeypatch.setattr(health, "FRESH", 0.0)
    monkeypatch.setattr(health, "SELDOM", 0.0)
    config.reset()
    app = create_app()
    return FrontDoor(app, app.test_client(), world)


@pytest.fixture
def redis_refusing() -> RedisRefusing:
    """For the length of a block Redis answers, and takes no writes: it is full, or became a replica, by this command."""
    return _redis_refusing


@contextmanager
def _redis_refusing(*command: str) -> Iterator[None]:
    client = get_broker().client
    client.execute_command(*command)
    try:
        yield
    finally:
        client.execute_command("replicaof", "no", "one")
        client.config_set("maxmemory", "0")


@pytest.fixture
def client(world: World) -> Iterator[FlaskClient]:
    app = create_app()
    client = app.test_client()
    with serving(app) as site:
        client.site = site  # type: ignore[attr-defined]  # where it is served over HTTP
        yield client


@pytest.fixture
def page(client: FlaskClient, world: World) -> Page:
    return Page(client, key_of(world.chatbot))


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    """The application over HTTP, for a browser."""
    with serving(create_app()) as running:
        yield running


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser; its tests are skipped where there is none (tests/browser.py, missing)."""
    with chromium(tmp_path / "profile") as running:
        running.driver.set_script_timeout(60)
        yield running
