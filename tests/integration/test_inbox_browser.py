"""An agent writes in a real browser, by keyboard only. How one steps in is played in tests/pipeline/test_the_whole_play.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import db
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import person
from tests.integration.test_desk_browser import log_in
from tests.integration.test_who_may_answer import conversation
from tests.site import Site, serving
from web.app import create_app

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with serving(create_app()) as running:
        yield running


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsers.chromium(tmp_path / "profile") as running:
        running.driver.set_window_size(1440, 900)
        yield running


def until_shown(browser: Browser, selector: str, text: str) -> None:
    found = "[...document.querySelectorAll(arguments[0])].some(e => e.textContent.includes(arguments[1]))"
    browser.until(found, selector, text, seconds=60)


def press(browser: Browser, key: str) -> None:
    """A key of the desk; waits for the page that it leads to."""
    browser.run("window.left = true")
    browser.type(key)
    browser.until("!window.left && document.readyState === 'complete' && typeof deskKeys === 'object'", seconds=60)


def test_quick_replies_and_notes_are_written_without_a_mouse(browser: Browser, site: Site, world: World) -> None:
    world.say()
    world.drain()
    db.rows("insert into quick_reply (customer_id, shortcut, content) values (%s, 'hours', 'Nine to five.')", [world.customer])
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/conversations/{conversation()['id']}")
    browser.type("r")
    browser.type("/hx\n")
    browser.until("document.getElementById('reply').validationMessage.startsWith('No quick reply begins')")
    browser.type("\ue003o")  # Backspace
    browser.until("!document.getElementById('quick-replies').hidden")
    browser.type("\n")
    browser.until("document.getElementById('reply').value === 'Nine to five.'")
    press(browser, "\n")
    until_shown(browser, ".bubble.person", "Nine to five.")
    browser.type("n")
    browser.until("document.querySelector('.composer.is-note') && document.activeElement.id === 'reply'")
    browser.type("Calls back")
    press(browser, "\n")
    until_shown(browser, ".bubble.note", "Calls back")
    world.drain()
    own = [(row["content"], row["status"]) for row in world.messages(role="assistant") if row["metadata"].get("source") == "desk"]
    assert own == [("Nine to five.", "SENT")], "a note is not sent"
    assert db.rows("select author, content from conversation_note") == [{"author": "Emma", "content": "Calls back"}]
    assert conversation()["owner"] == "person"
