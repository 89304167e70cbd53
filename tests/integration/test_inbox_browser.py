"""An agent at work in a real browser, by keyboard only: hears of who waits, steps in while the AI writes, answers, gives back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import db
from shared.queues import Queue
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World, stage_of_queue
from tests.integration.desk_pages import person
from tests.integration.test_desk_browser import log_in
from tests.integration.test_honesty import PERSON
from tests.integration.test_who_may_answer import conversation, run, statuses
from tests.site import Site, serving
from web.app import create_app

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

MARKUP = "<img src=x onerror=hacked=1>"


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


def press(browser: Browser, key: str, leads: bool = True) -> None:
    """A key of the desk; waits for the page that it leads to."""
    browser.run("window.left = true")
    browser.type(key)
    if leads:
        browser.until("!window.left && document.readyState === 'complete' && typeof deskKeys === 'object'", seconds=60)


def test_an_agent_steps_in_while_the_ai_writes_by_keyboard_only(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("agent", world.customer, "Emma"))
    assert browser.run("return location.pathname") == f"/desk/c/{world.customer}/inbox"
    until_shown(browser, ".chats-empty", "Nobody waits")
    # Who asks for a person comes onto the open page.
    world.say(f"{PERSON} {MARKUP}", user="v-1", metadata={"profile_name": f"Zoe {MARKUP}"})
    world.drain()
    until_shown(browser, ".chats", "asks for a person")
    browser.type("j")
    press(browser, "\n")
    until_shown(browser, ".bubble.customer .bubble-text", MARKUP)
    until_shown(browser, "#thread-title", MARKUP)
    press(browser, "t")
    until_shown(browser, ".owner-bar", "You have this conversation")
    press(browser, "b")
    until_shown(browser, ".owner-bar", "The bot answers")
    # The AI is asked, and the agent is faster.
    world.say("When do you ship?", user="v-1")
    run(world, Queue.INCOMING)
    until_shown(browser, ".bubble.customer", "When do you ship?")
    until_shown(browser, ".writing", "The bot is writing")
    writing = world.claim(world.jobs(queue=Queue.AI, state="waiting")[-1]["id"])
    press(browser, "t")
    stage_of_queue(Queue.AI)(writing)
    world.drain()
    assert statuses(world)[-1] == "SUPERSEDED"
    browser.type("r")
    browser.until("document.activeElement.id === 'reply'")
    browser.type("Emma here: on Friday.")
    press(browser, "\n")
    until_shown(browser, ".bubble.person", "Emma here: on Friday.")
    world.drain()
    until_shown(browser, ".bubble.person .status", "sent")
    assert statuses(world)[-2:] == ["SUPERSEDED", "SENT"]
    press(browser, "e")
    until_shown(browser, ".owner-bar", "Closed.")
    assert conversation()["owner"] == "closed"
    assert browser.run("return typeof hacked") == "undefined", "names and texts are text"


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
