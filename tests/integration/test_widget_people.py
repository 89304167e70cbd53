"""A visitor sees which words are a person's, and whose: in the widget's API, live and after a reload, and on its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from shared import db
from shared.channels import ownership
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.widget_page import Page, key_of
from tests.site import Site
from web.api import keys

#: Of each bubble: who is heard to speak, and whether the name is seen.
SPEAKERS = """
    return [...document.querySelectorAll('#messages > :not(.day) .bubble')].slice(1).map(bubble =>
        [bubble.firstChild.textContent, bubble.firstChild.className === 'speaker'])
"""
in_browser = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")


def test_what_people_write_is_not_the_bots(page: Page, client: FlaskClient, world: World) -> None:
    page.say()
    world.drain()
    conversation = db.scalar("select id from conversation")
    anna = Visitor(client.application, person("agent", world.customer, "Anna"))
    thread = f"/desk/c/{world.customer}/conversations/{conversation}/messages"
    assert anna.post(thread, content="Hello, I am Anna.", key="k1").status_code == 303
    headers = {"Authorization": f"Bearer {keys.create(world.customer, 'the stock list')}"}
    client.post(f"/api/v1/conversations/{conversation}/messages", json={"content": "It has left."}, headers=headers)
    world.drain()
    expected = [("When do you ship?", None), ("Hello, I am Anna.", {"name": "Anna"}), ("It has left.", {"name": None})]
    changed = page.call("get", "/messages?after=0").get_json()["messages"]
    streamed = page.events(0, 4)
    for shown in (page.history(), changed, streamed):
        told = {message["content"]: message.get("author") for message in shown}
        assert [(words, told[words]) for words, _ in expected] == expected
        assert sum("author" in message for message in shown) == 2, "neither the visitor's words nor the bot's"


def test_a_page_knows_where_the_bot_answers_nothing(page: Page, world: World) -> None:
    def silence() -> list[list[bool]]:
        """Of what the visitor wrote: after a reload, of a page that asks for changes, and live."""
        changed = page.call("get", "/messages?after=0").get_json()["messages"]
        told = (page.history(), changed, page.events(0, len(changed)))
        return [[one.get("bot_is_silent", False) for one in shown if one["role"] == "user"] for shown in told]

    page.say()
    world.drain()
    assert silence() == [[False]] * 3
    with db.transaction():
        ownership.assign(db.scalar("select id from conversation"), "person", "desk")
    page.say("Is anybody there?")
    world.drain()
    assert [shown[-1] for shown in silence()] == [True] * 3
    db.rows("update conversation set owner = 'bot', returns_at = null, braked_until = now() + interval '1 hour'")
    assert [shown[-1] for shown in silence()] == [True] * 3
    db.rows("update conversation set braked_until = now()")
    assert [shown[-1] for shown in silence()] == [False] * 3


@pytest.mark.parametrize("how", ["takes it", "gives it to a colleague", "closes it"])
def test_a_page_hears_that_a_person_took_what_the_bot_was_about_to_answer(
    page: Page, client: FlaskClient, world: World, how: str
) -> None:
    page.say("Is it there?")
    page.say("Hello?")
    for job in world.jobs(queue="incoming-messages"):
        world.run(job["id"])
    asked = page.call("get", "/messages?after=0").get_json()
    conversation, user = db.scalar("select id from conversation"), person("agent", world.customer, "Anna")
    address = f"/desk/c/{world.customer}/conversations/{conversation}/{'closed' if how == 'closes it' else 'take'}"
    given = {"user": person("agent", world.customer, "Ben").id} if how == "gives it to a colleague" else {}
    for _ in range(2):
        assert Visitor(client.application, user).post(address, **given).status_code == 303
        changed = page.call("get", f"/messages?after={asked['cursor']}").get_json()["messages"]
        assert [(one["content"], one.get("bot_is_silent")) for one in changed] == [("Hello?", True)]
    [streamed] = page.events(asked["cursor"], 1)
    assert (streamed["content"], streamed["bot_is_silent"]) == ("Hello?", True)
    address = f"/desk/c/{world.customer}/conversations/{conversation}/bot"
    assert Visitor(client.application, user).post(address).status_code == 303
    changed = page.call("get", f"/messages?after={streamed['revision']}").get_json()["messages"]
    assert [(one["content"], one.get("bot_is_silent")) for one in changed] == [("Hello?", None)], "it answers after all"


def message(number: int, content: str, role: str = "assistant", **more: Any) -> dict[str, Any]:
    """One that the server tells of."""
    at = f"2026-11-27T12:00:0{number}Z"
    return {"id": f"m_{number}", "role": role, "content": content, "status": "SENT", "reply_to": None, "created_at": at, **more}


CONVERSATION = (
    message(1, "Is it there?", "user", status="DELIVERED"),
    message(2, "I ask a colleague.", reply_to="m_1"),
    message(3, "It is.", author={"name": "Anna <i>B"}),
    message(4, "On the left.", author={"name": "Anna <i>B"}, html="<p>On the <b>left</b>.</p>"),
    message(5, "Your order has left.", author={"name": None}),
    message(6, "Thanks!", "user", status="DELIVERED"),
    message(7, "You are welcome.", reply_to="m_6"),
)


@in_browser
@pytest.mark.parametrize(("language", "business"), [("en", "Our team"), ("de", "Unser Team")])
def test_the_page_says_who_speaks_where_that_changes(
    browser: Browser, site: Site, world: World, root: Path, language: str, business: str
) -> None:
    browser.driver.execute_cdp_cmd("Network.setUserAgentOverride", {"userAgent": "Chrome", "acceptLanguage": language})
    browser.open(f"{site.url}/widget/{key_of(world.chatbot)}")
    bot, you = browser.run("return document.body.dataset.name") + ": ", {"en": "You: ", "de": "Sie: "}[language]
    for revision, one in enumerate(CONVERSATION[:2], start=1):
        browser.run("receive(...arguments)", one, revision)
    assert browser.run(SPEAKERS) == [[you, False], [bot, False]], "nobody else is there"
    for revision, one in enumerate(CONVERSATION[2:], start=3):
        browser.run("receive(...arguments)", one, revision)
    people = [["Anna <i>B: ", True], ["Anna <i>B: ", False], [f"{business}: ", True]]
    speakers = [[you, False], [bot, False], *people, [you, False], [bot, True]]
    assert browser.run(SPEAKERS) == speakers
    assert browser.texts("#messages .speaker")[0].startswith("Anna")
    axe = (root / "tests/vendor/axe.min.js").read_text(encoding="utf-8")
    browser.run(axe)
    done = "const done = arguments[0]; axe.run(document).then(found => done(found.violations.map(one => one.id)))"
    assert browser.driver.execute_async_script(done) == []


@in_browser
def test_nobody_is_said_to_type_when_a_person_has_answered(browser: Browser, site: Site, world: World) -> None:
    browser.open(f"{site.url}/widget/{key_of(world.chatbot)}")
    browser.run("receive(...arguments)", CONVERSATION[0], 1)
    assert browser.shown("#typing")
    browser.run("receive(...arguments)", CONVERSATION[2], 2)
    assert not browser.shown("#typing")
    browser.run("receive(...arguments)", CONVERSATION[5], 3)
    assert browser.shown("#typing")


@in_browser
def test_nobody_is_said_to_type_while_the_bot_is_silent(browser: Browser, site: Site, world: World) -> None:
    browser.open(f"{site.url}/widget/{key_of(world.chatbot)}")
    browser.run("receive(...arguments)", {**CONVERSATION[0], "bot_is_silent": True}, 1)
    assert not browser.shown("#typing")
    browser.run("receive(...arguments)", {**CONVERSATION[5], "status": "ACCEPTED"}, 2)
    assert not browser.shown("#typing"), "what is not saved yet is as the one before it"
    browser.run("receive(...arguments)", CONVERSATION[5], 3)
    assert browser.shown("#typing"), "the bot has it again"
