"""The front door as its callers see it: Flask's test client on a fresh system."""

from __future__ import annotations

import pytest

from shared import config
from tests.builders import World
from tests.integration.front_door import APP_SECRET, DASHBOARD, METRICS, QR_SECRET, VERIFY_TOKEN, FrontDoor
from web.app import create_app
from web.ops import health


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
    config.reset()
    app = create_app()
    return FrontDoor(app, app.test_client(), world)
