"""The desk in a real browser: every page is accessible, light, dark and on a phone; keys, dialogs and menus work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared import config, db
from shared.models import User
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import PAGES, PASSWORD, furnish, person
from tests.site import Site, serving
from web.app import create_app

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

_LOOKS = {"light": (1280, 800, "light"), "dark": (1280, 800, "dark"), "phone": (390, 844, "light")}
#: WCAG 2.2, levels A and AA, and what axe-core calls best practice; in the other looks, what can differ there.
_RULES = {
    "light": {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast"]}},
    "phone": {"runOnly": {"type": "rule", "values": ["target-size"]}},
}
_AXE = """
    const done = arguments[1];
    axe.run(document, arguments[0]).then(found => done(found.violations.map(violation => ({
        rule: violation.id, help: violation.help, where: violation.nodes.slice(0, 5).map(node => node.html.slice(0, 200)) }))))
"""


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with serving(create_app()) as running:
        yield running


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsers.chromium(tmp_path / "profile") as running:
        running.driver.set_script_timeout(60)
        yield running


def look(browser: Browser, name: str) -> None:
    """As light, as dark, or as a phone."""
    width, height, scheme = _LOOKS[name]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": name == "phone"}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)


def violations(browser: Browser, name: str) -> list[dict[str, Any]]:
    """What axe-core finds in the page as it is now."""
    return list(browser.driver.execute_async_script(_AXE, _RULES[name]))


def log_in(browser: Browser, site: Site, user: User) -> None:
    browser.open(f"{site.url}/desk/login")
    browser.run("document.querySelector('#email').focus()")
    browser.type(user.email)
    browser.run("document.querySelector('#password').focus()")
    browser.type(PASSWORD + "\n")
    browser.until("!location.pathname.startsWith('/desk/login') && document.readyState === 'complete'")


@pytest.mark.timeout(900)  # there are many pages, and the machine may be busy
def test_every_page_is_accessible_in_every_look(browser: Browser, site: Site, world: World, root: Path) -> None:
    axe = (root / "tests/vendor/axe.min.js").read_text()
    browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": axe})
    ids = furnish(world)
    addresses = ["/", "/desk/login", "/desk/forgotten"]
    wrong = {}
    for role in ("", "operator"):
        if role:
            log_in(browser, site, person(role, None))
            addresses = [*(page.path.format(**ids) for page in PAGES), "/desk/nowhere"]
        for path in addresses:
            browser.open(site.url + path)
            for name in _LOOKS:
                look(browser, name)
                if found := violations(browser, name):
                    wrong[f"{path} ({name})"] = found
                assert browser.run("return document.documentElement.scrollWidth <= innerWidth"), f"{path} ({name}) is too wide"
    assert not wrong
    browser.run("document.querySelector('main').append(document.createElement('img'))")
    assert [found["rule"] for found in violations(browser, "light")] == ["image-alt"], "axe-core sees what is wrong"
    refused = [line for line in browser.log() if "Content Security Policy" in line or "Uncaught" in line]
    assert not refused


def test_the_desk_is_run_by_keys(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("owner", world.customer))
    look(browser, "light")
    browser.open(f"{site.url}/desk/c/{world.customer}/keys")
    browser.type("?")
    browser.until("document.querySelector('#keys').open")
    assert "g t Team" in " ".join(browser.texts("#keys dl > *")).replace("gt", "g t")
    browser.run("document.querySelector('#keys').close()")
    browser.type("n")
    browser.until("document.querySelector('#new-key').open")
    browser.run("document.querySelector('#name').focus()")
    browser.type("order system g t\n")  # in a field keys are letters
    browser.until("document.querySelector('.copyable input')?.value.startsWith('sk_')")
    browser.run("document.activeElement.blur()")
    browser.type("gt")
    browser.until("location.pathname.endsWith('/team')")
    browser.driver.find_element("css selector", ".menu-button").click()
    browser.until("document.querySelector('.menu-list').matches(':popover-open')")


def test_rows_that_are_shown_later_follow_those_that_are_there(browser: Browser, site: Site, world: World) -> None:
    furnish(world)
    log_in(browser, site, person("owner", world.customer))
    browser.open(f"{site.url}/desk/c/{world.customer}/audit")
    before = browser.run("return document.querySelectorAll('#rows > li').length")
    browser.driver.find_element("css selector", "a[rel=next]").click()
    browser.until("document.querySelectorAll('#rows > li').length > arguments[0]", before)
    assert not browser.shown("a[rel=next]")
    assert browser.texts("#rows b")[-1] == "A command"


@contextmanager
def no_database() -> Iterator[None]:
    """PostgreSQL is away for the length of the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        config.reset()
        db.reset()
        yield
    config.reset()
    db.reset()


def test_a_page_that_lost_the_database_says_so_and_goes_on_by_itself(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("owner", world.customer))
    browser.open(f"{site.url}/desk/c/{world.customer}/team")
    browser.run("document.body.addEventListener('desk:back', () => { window.isBack = true })")
    with no_database():
        browser.run("htmx.ajax('GET', location.pathname, {target: '#main', swap: 'none'})")
        browser.until("document.querySelector('#connection').checkVisibility()")
    browser.until("window.isBack && !document.querySelector('#connection').checkVisibility()")
    with no_database():
        browser.driver.refresh()
        assert browser.texts("h1") == ["The database does not answer"]
    browser.until("document.querySelector('h1')?.textContent === 'Team'")
