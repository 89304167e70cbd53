"""An operator in a real browser: the dashboard's buttons act on jobs that really failed, in front of the real workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.simulator.client import Simulator
from shared.broker.redis_broker import get_broker
from shared.jobs import operator
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.pipeline.processes import front_door
from tests.waiting import until

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

SEND = "whatsapp-cloud-send"
NO_JOBS = "document.querySelector('.table__empty')?.textContent.includes('There are no jobs in this queue')"
REFUSED = {"kind": "graph", "fault": "status", "status": 400, "times": 1}


@pytest.fixture
def dashboard(world: World) -> Iterator[str]:
    """The dashboard's address, with its login, and the workers behind it."""
    login = {"DASHBOARD_USER": "operator", "DASHBOARD_PASSWORD": "secret"}
    with front_door("worker", **login) as (url, _):
        yield f"{url.replace('://', '://operator:secret@')}/dashboard"


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsers.chromium(tmp_path / "profile") as running:
        yield running


def dead_letters() -> int:
    """Messages that Dramatiq keeps as failed."""
    return int(get_broker().client.hlen(f"dramatiq:{SEND}.XQ.msgs"))


def test_requeue_sends_what_failed(browser: Browser, dashboard: str, world: World, simulator: Simulator) -> None:
    simulator.faults([REFUSED])
    world.say(channel="whatsapp_cloud", user="4912345")
    until(lambda: world.messages(role="assistant", status="FAILED") and dead_letters() == 1)
    browser.open(f"{dashboard}/queues/{SEND}/failed")
    browser.press("Requeue")
    until(lambda: world.messages(role="assistant", status="SENT"))
    [job] = world.jobs(queue=SEND)
    assert (job["state"], job["attempts"], job["last_error"]) == ("completed", 1, None)
    assert simulator.counts()["graph"]["accepted"] == 1
    browser.until(NO_JOBS)  # it is back at the list
    assert dead_letters() == 0


def test_delete_gives_up_what_failed_and_what_is_delayed(
    browser: Browser, dashboard: str, world: World, simulator: Simulator
) -> None:
    simulator.faults([REFUSED, {"kind": "graph", "fault": "rate_limit", "retry_after": 600, "times": 1}])
    world.say(channel="whatsapp_cloud", user="4912345")
    until(lambda: world.messages(role="assistant", status="FAILED") and dead_letters() == 1)
    world.say(channel="whatsapp_cloud", user="4954321")
    until(lambda: world.jobs(queue=SEND, state="delayed"))
    for tab in ("failed", "delayed"):
        browser.open(f"{dashboard}/queues/{SEND}/{tab}")
        browser.press("Delete")
        browser.until(NO_JOBS)
    until(lambda: not world.jobs(queue=SEND, closed_at=None))  # the worker writes the dead letter
    failed, delayed = world.jobs(queue=SEND)
    assert failed["last_error"].startswith(operator.REASON)
    assert (delayed["state"], delayed["last_error"], delayed["closed_at"] is not None) == ("failed", operator.REASON, True)
    assert [message["status"] for message in world.messages(role="assistant")] == ["FAILED", "FAILED"]
    assert dead_letters() == 0
