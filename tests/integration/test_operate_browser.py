"""An operator ticks failures by keyboard alone. How a reason is repaired is played in tests/pipeline/test_the_whole_play.py."""

from __future__ import annotations

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.operations import pauses
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import person
from tests.integration.test_dead_letters import CLOUD_QUEUE, fail_sends
from tests.integration.test_desk_browser import log_in
from tests.site import Site

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")


def press(browser: Browser, keys: str, until: str) -> None:
    """Types keys into the page, and waits for what they lead to."""
    browser.run("document.activeElement?.blur()")
    browser.type(keys)
    browser.until(f"document.readyState === 'complete' && typeof deskKeys === 'object' && {until}")


def test_rows_are_ticked_by_keys_and_the_page_waits_meanwhile(
    browser: Browser,
    site: Site,
    world: World,
    simulator: Simulator,
) -> None:
    fail_sends(world, simulator, 3)
    log_in(browser, site, person("operator", None, "Olga"))
    browser.open(f"{site.url}/desk/operate/failures/list?queue={CLOUD_QUEUE}")
    press(browser, "j", "document.querySelector('.is-current-row')")
    press(browser, "x", "document.getElementById('ticked').textContent === '1'")
    press(browser, "jx", "document.getElementById('ticked').textContent === '2'")
    assert browser.run("return document.querySelector('[name=which]:checked').value") == "ticked"
    press(browser, "p", "location.pathname === '/desk/operate/replays/new'")
    assert browser.texts("#outcome-title") == ["2 failures match"]
    browser.open(f"{site.url}/desk/operate/search?q=message+{world.messages(status='FAILED')[0]['id']}")
    browser.until("document.querySelector('.journey')")
    assert browser.texts(".step.failed h2") != []
    assert "do you ship" not in browser.texts("body")[0], "an operator without the grant reads no texts"


@pytest.mark.parametrize("page", ["/desk/operate/pauses", "/desk/operate/search?q=WWW"])
def test_a_long_word_pushes_nothing_out_of_a_table(
    browser: Browser,
    site: Site,
    world: World,
    page: str,
) -> None:
    pauses.pause(pauses.subject(queue="knowledge-import"), "ops@example.com", f"https://status.example/{'incident' * 50}")
    db.rows("update customer set name = %s", ["W" * 200])
    log_in(browser, site, person("operator", None, "Olga"))
    browser.driver.set_window_size(1440, 900)
    browser.open(site.url + page)
    ends = "document.querySelector('.table-scroll').getBoundingClientRect().right"
    cells = "[...document.querySelectorAll('.table td')].map(cell => cell.getBoundingClientRect().right)"
    assert browser.run(f"return {cells}.length > 0 && {cells}.every(right => right <= {ends} + 1)")


def test_refreshes_of_a_page_do_not_overlap(
    browser: Browser,
    site: Site,
    world: World,
) -> None:
    log_in(browser, site, person("operator", None, "Olga"))
    browser.open(f"{site.url}/desk/operate")
    browser.until("document.readyState === 'complete' && typeof refresh === 'function'")
    browser.driver.execute_cdp_cmd("Network.enable", {})
    slow = {"offline": False, "latency": 700, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", slow)
    browser.run(
        "const real = window.fetch; window.calls = window.underWay = window.most = 0;"
        "window.fetch = (...args) => { calls += 1; most = Math.max(most, ++window.underWay);"
        " return real(...args).finally(() => { window.underWay -= 1; }); };"
        "for (const wait of [0, 150, 300]) setTimeout(() => refreshIn(0.01), wait);"
    )
    browser.until("window.calls >= 2 && window.underWay === 0")
    assert browser.run("return window.most") == 1
