"""An operator is paged: failures of three causes. One is found, repaired, and what it stopped is replayed, by keyboard alone."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.channels import accounts, health
from shared.models import AuditEntry
from shared.operations import bulk_actions, dead_letters, replays
from shared.operations.dead_letters import Filter
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import person
from tests.integration.test_dead_letters import CLOUD, CLOUD_QUEUE
from tests.integration.test_desk_browser import browser, log_in, site  # noqa: F401 - fixtures
from tests.site import Site

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

#: Replies that an expired token stopped for so long that they were given up.
STOPPED = 12
#: Seconds for what a busy machine does.
PATIENCE = 60


def fail_three_ways(world: World, simulator: Simulator) -> None:
    """A number whose token has expired a week ago, an endpoint that is down, and a job that is broken."""
    world.endpoint(world.customer)
    db.rows("update webhook_endpoint set redelivery_schedule = '{}'")  # it is given up after the first four attempts
    simulator.faults([{"kind": "graph", "fault": "revoked"}, {"kind": "webhook", "fault": "status", "status": 503}])
    for user in range(STOPPED):
        world.say(channel=CLOUD, user=f"49{user:08}", external_id=f"in-{user}")
    for _ in range(5):
        world.drain()
        db.rows("update job set state = 'waiting', run_at = null where state = 'delayed' and waits_for is null")
    db.rows("update job set created_at = created_at - interval '8 days', run_at = now() where waits_for is not null")
    db.rows("update job set state = 'waiting', run_at = null, waits_for = null where waits_for is not null")
    world.say("poison", external_id="poison")
    db.rows("update job set payload = payload - 'content' where queue = 'incoming-messages' and closed_at is null")
    for _ in range(6):
        world.drain()
        db.rows("update job set state = 'waiting', run_at = null where state = 'delayed' and waits_for is null")
    world.dead_letters()
    simulator.clear_faults()


@contextmanager
def working(world: World) -> Iterator[None]:
    """The runner and the stages work, as fast as they can."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.2):
            bulk_actions.run({replays.KIND: replays.step})
            world.drain()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(PATIENCE)


def press(browser: Browser, keys: str, until: str) -> None:  # noqa: F811 - the fixture
    """Types keys into the page, and waits for what they lead to."""
    browser.run("document.activeElement?.blur()")
    browser.driver.find_element("css selector", "body").send_keys(keys)
    browser.until(f"document.readyState === 'complete' && typeof deskKeys === 'object' && {until}", seconds=PATIENCE)


def test_an_expired_token_is_found_replaced_and_what_it_stopped_replayed(
    browser: Browser,  # noqa: F811 - the fixture
    site: Site,  # noqa: F811 - the fixture
    world: World,
    simulator: Simulator,
) -> None:
    fail_three_ways(world, simulator)
    reasons = {(group["queue"], group["error_code"]) for group in dead_letters.groups()}
    assert reasons == {(CLOUD_QUEUE, "held_too_long"), ("webhook-delivery", "http_503"), ("incoming-messages", "bad_payload")}
    log_in(browser, site, person("operator", None, "Olga"))
    press(browser, "of", "location.pathname === '/desk/operate/failures'")
    assert "the token has expired or is refused" in browser.texts("#live h3")[0]
    for _ in range(3):  # to the reason that is meant
        press(browser, "j", "document.querySelector('.is-current-row')")
        if "WhatsApp Cloud" in browser.texts(".is-current-row h3")[0]:
            break
    browser.run("document.querySelector('.is-current-row a').focus()")
    browser.type("\n")
    browser.until("location.pathname === '/desk/operate/failures/list' && document.readyState === 'complete'", seconds=PATIENCE)
    assert f"{STOPPED} match" in browser.texts(".lead")[0]
    press(browser, "p", "location.pathname === '/desk/operate/replays/new'")
    assert f"{STOPPED} will not: the channel still cannot send" in browser.texts(".outcome"), "the reason is not repaired yet"

    account = accounts.find(world.customer, CLOUD, world.chatbot)
    assert account is not None
    accounts.replace_secret(account, "a new token")
    health.connected(account)
    browser.driver.refresh()
    browser.until("document.querySelector('[data-key=b]') && typeof deskKeys === 'object'", seconds=PATIENCE)
    assert f"{STOPPED} will be sent" in browser.texts(".outcome")
    with working(world):
        press(browser, "b", "/replays\\/[0-9]+$/.test(location.pathname)")
        browser.until(f"document.body.textContent.replace(/\\s+/g, ' ').includes('{STOPPED} have left')", seconds=PATIENCE)
    assert browser.texts(".badge") == ["done"]
    graph = [sent for sent in simulator.record("graph") if sent["status"] == 200]
    assert len(graph) == len({sent["key"] for sent in graph}) == STOPPED, "each customer has one message"
    assert dead_letters.count(Filter()) == len(reasons) - 1 + dead_letters.count(Filter(queue="webhook-delivery")) - 1
    number = int(re.findall(r"\d+$", browser.driver.current_url)[0])
    assert db.scalar(AuditEntry.select(AuditEntry.subject_id).where(AuditEntry.action == "replay.begun")) == number


def test_rows_are_ticked_by_keys_and_the_page_waits_meanwhile(
    browser: Browser,  # noqa: F811 - the fixture
    site: Site,  # noqa: F811 - the fixture
    world: World,
    simulator: Simulator,
) -> None:
    fail_three_ways(world, simulator)
    log_in(browser, site, person("operator", None, "Olga"))
    browser.open(f"{site.url}/desk/operate/failures/list?queue={CLOUD_QUEUE}")
    press(browser, "j", "document.querySelector('.is-current-row')")
    press(browser, "x", "document.getElementById('ticked').textContent === '1'")
    press(browser, "jx", "document.getElementById('ticked').textContent === '2'")
    assert browser.run("return document.querySelector('[name=which]:checked').value") == "ticked"
    press(browser, "p", "location.pathname === '/desk/operate/replays/new'")
    assert browser.texts("#outcome-title") == ["2 failures match"]
    browser.open(f"{site.url}/desk/operate/search?q=message+{world.messages(status='FAILED')[0]['id']}")
    browser.until("document.querySelector('.journey')", seconds=PATIENCE)
    assert browser.texts(".step.failed h2") != []
    assert "do you ship" not in browser.texts("body")[0], "an operator without the grant reads no texts"
