"""An owner in a real browser makes a chatbot, teaches it, tries it, and sees what its answer is made of; with web and workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.simulator.client import Simulator
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import PASSWORD, person
from tests.pipeline.test_widget_page import NEWEST, Site, say, serving

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")


@pytest.fixture
def site(world: World, root: Path) -> Iterator[Site]:
    with serving(world, root) as running:
        yield running


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsers.chromium(tmp_path / "profile") as running:
        running.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 1400, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        )
        yield running


def fill(browser: Browser, selector: str, text: str) -> None:
    field = browser.driver.find_element("css selector", selector)
    field.clear()
    field.send_keys(text)


def submitted(browser: Browser, label: str, place: str) -> None:
    """Presses a button that leads to another page."""
    browser.press(label)
    browser.until(f"location.href.match({place!r}) && document.readyState === 'complete'", seconds=60)


def test_an_owner_makes_teaches_and_tries_a_chatbot(browser: Browser, site: Site, world: World, simulator: Simulator) -> None:
    owner = person("owner", world.customer)
    browser.open(f"{site.url}/desk/login?next=/desk/c/{world.customer}/chatbots")
    fill(browser, "#email", owner.email)
    fill(browser, "#password", PASSWORD + "\n")
    browser.until("location.pathname.endsWith('/chatbots') && document.readyState === 'complete'", seconds=60)
    browser.run("document.querySelector('[data-opens=new-chatbot]').click()")
    fill(browser, "#name", "Café Rosa")
    submitted(browser, "Make the chatbot", "/answers$")
    chatbot = browser.run("return location.href")
    browser.open(f"{site.url}/desk/c/{world.customer}/knowledge")
    browser.run("[...document.querySelectorAll('.bot-card a')].find(link => link.textContent === 'Café Rosa').click()")
    browser.until("document.readyState === 'complete' && location.pathname.match('/knowledge/[0-9]+$')", seconds=60)
    browser.open(browser.run("return location.href") + "/items/new")
    fill(browser, "#title", "Do you have gluten-free cake?")
    fill(browser, "#content", "Every Friday we bake a gluten-free almond cake.")
    submitted(browser, "Save", "/knowledge/[0-9]+$")

    browser.open(chatbot)
    submitted(browser, "Start a test chat", "/answers$")
    browser.driver.switch_to.frame(browser.driver.find_element("css selector", ".test-frame"))
    say(browser, "Do you have gluten-free cake?")
    browser.until(f"{NEWEST}.includes('almond cake')", seconds=60)
    browser.leave_frames()
    browser.until("document.querySelector('.used')?.innerText.includes('gluten-free cake')", seconds=60)

    simulator.faults([{"kind": "ai", "fault": "status", "status": 401, "times": 1}])
    browser.driver.switch_to.frame(browser.driver.find_element("css selector", ".test-frame"))
    say(browser, "And on Sundays?")
    browser.leave_frames()
    browser.until("document.querySelector('.test-answer .problem')?.innerText.includes('401')", seconds=60)
    refused = [line for line in browser.log() if "Content Security Policy" in line or "Uncaught" in line]
    assert not refused
