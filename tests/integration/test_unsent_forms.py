"""What is written into a form of the desk is not lost with its session; nor are keys that are pressed while a page loads."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By

from shared import db
from shared.models import KnowledgeItem, User, UserSession
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import PASSWORD, furnish, person
from tests.integration.test_desk_browser import log_in
from tests.site import Site

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

_KEPT = "return sessionStorage.getItem('desk unsent')"


def write(browser: Browser, selector: str, text: str) -> None:
    field = browser.driver.find_element(By.CSS_SELECTOR, selector)
    field.clear()
    field.send_keys(text)


def value(browser: Browser, selector: str) -> str:
    return str(browser.run("return document.querySelector(arguments[0]).value", selector))


def send_after_the_session(browser: Browser, selector: str) -> None:
    """Sends the field's form once nobody is logged in any more."""
    db.rows(UserSession.delete())
    browser.run("document.querySelector(arguments[0]).form.requestSubmit()", selector)
    browser.until("location.pathname === '/desk/login' && document.readyState === 'complete'")
    assert browser.shown("#unsent")


def come_back(browser: Browser, user: User) -> None:
    write(browser, "#email", user.email)
    write(browser, "#password", PASSWORD + "\n")
    browser.until("location.pathname !== '/desk/login' && document.readyState === 'complete'")


def test_a_new_item_is_written_once_though_the_session_ended(
    browser: Browser,
    site: Site,
    world: World,
) -> None:
    ids, owner = furnish(world), person("owner", world.customer)
    log_in(browser, site, owner)
    page = f"{site.url}/desk/c/{world.customer}/knowledge/{ids['base']}/items/new"
    browser.open(page)
    write(browser, "#title", "Do you ship to Norway?")
    write(browser, "#content", "Yes. It takes\na week.")
    send_after_the_session(browser, "#title")
    come_back(browser, owner)
    assert browser.driver.current_url == page
    assert value(browser, "#content") == "Yes. It takes\na week."
    assert browser.shown("form .notice")
    browser.run("document.querySelector('#title').form.requestSubmit()")
    browser.until("location.href !== arguments[0] && document.readyState === 'complete'", page)
    [item] = db.rows(KnowledgeItem.select(KnowledgeItem.content).where(KnowledgeItem.title == "Do you ship to Norway?"))
    assert item["content"] == "Yes. It takes\na week."
    browser.open(page)
    assert value(browser, "#title") == ""


def test_a_secret_is_not_kept(browser: Browser, site: Site, world: World) -> None:
    owner = person("owner", world.customer)
    log_in(browser, site, owner)
    page = f"{site.url}/desk/c/{world.customer}/chatbots/{world.chatbot}/model"
    browser.open(page)
    write(browser, "#fallback_message", "We write to you on Monday.")
    write(browser, ".secret", "sk-very-secret")
    send_after_the_session(browser, "#fallback_message")
    assert "on Monday" in browser.run(_KEPT)
    assert "sk-very-secret" not in browser.run("return JSON.stringify({...sessionStorage, ...localStorage})")
    come_back(browser, owner)
    assert value(browser, "#fallback_message") == "We write to you on Monday."
    assert value(browser, ".secret") == ""


def test_another_person_does_not_see_what_was_written(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("owner", world.customer))
    browser.open(f"{site.url}/desk/c/{world.customer}/quick-replies")
    write(browser, "#shortcut", "hours")
    write(browser, "#content", "Mine alone")
    send_after_the_session(browser, "#content")
    come_back(browser, person("agent", world.customer))
    browser.open(f"{site.url}/desk/c/{world.customer}/quick-replies")
    assert value(browser, "#content") == ""
    assert browser.run(_KEPT) is None


def test_who_changed_it_meanwhile_is_told_of(browser: Browser, site: Site, world: World) -> None:
    ids, owner = furnish(world), person("owner", world.customer)
    log_in(browser, site, owner)
    browser.open(f"{site.url}/desk/c/{world.customer}/knowledge/{ids['base']}/items/{ids['item']}")
    write(browser, "#content", "My words")
    db.rows(KnowledgeItem.update(content="Their words").where(KnowledgeItem.id == ids["item"]))
    send_after_the_session(browser, "#content")
    come_back(browser, owner)
    assert value(browser, "#content") == "My words"
    browser.run("window.left = true; document.querySelector('#content').form.requestSubmit()")
    browser.until("!window.left && document.readyState === 'complete'")
    assert browser.shown(".notice.warn, .notice.bad")
    assert db.scalar(KnowledgeItem.select(KnowledgeItem.content).where(KnowledgeItem.id == ids["item"])) == "Their words"


def test_what_is_written_in_a_dialog_is_there_again_in_its_dialog(
    browser: Browser,
    site: Site,
    world: World,
) -> None:
    world.say("Where do you grow it?")
    world.drain()
    agent = person("agent", world.customer)
    log_in(browser, site, agent)
    browser.open(f"{site.url}/desk/c/{world.customer}/conversations/{world.messages()[0]['conversation_id']}")
    browser.run("document.querySelector('[data-improve]').click()")  # at once: the thread may be replaced at any moment
    write(browser, "#improve [name=content]", "In Darjeeling.")
    action = browser.run("return document.querySelector('#improve form').action")
    db.rows(UserSession.delete())  # the page hears of it, and goes by itself
    browser.until("location.pathname === '/desk/login' && document.readyState === 'complete'")
    come_back(browser, agent)
    browser.until("document.querySelector('#improve')?.open")
    assert value(browser, "#improve [name=content]") == "In Darjeeling."
    assert browser.run("return document.querySelector('#improve form').action") == action


def test_a_page_that_has_to_go_goes_also_with_more_than_the_tab_keeps(
    browser: Browser,
    site: Site,
    world: World,
) -> None:
    world.say()
    world.drain()
    log_in(browser, site, person("agent", world.customer))
    browser.open(f"{site.url}/desk/c/{world.customer}/quick-replies")
    browser.run("window.before = true; document.querySelector('[name=content]').value = 'x'.repeat(12_000_000); leave()")
    browser.until("!window.before && document.readyState === 'complete'")
    assert browser.run(_KEPT) is None


def test_keys_of_a_page_that_is_left_are_the_next_one_s(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("owner", world.customer))
    browser.open(f"{site.url}/desk/c/{world.customer}/keys")
    browser.run("dispatchEvent(new Event('beforeunload'))")
    browser.type("gt")
    browser.open(f"{site.url}/desk/c/{world.customer}/usage")
    browser.until("location.pathname.endsWith('/team') && document.readyState === 'complete'")


def test_keys_of_a_page_that_is_loading_are_heard(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("owner", world.customer))
    source = (
        "if (location.pathname.endsWith('/usage')) document.addEventListener('readystatechange', () => {"
        " if (document.readyState === 'interactive' && typeof deskKeys === 'undefined')"
        " for (const key of 'gt') document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true})) })"
    )
    browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
    browser.open(f"{site.url}/desk/c/{world.customer}/usage")
    browser.until("location.pathname.endsWith('/team') && document.readyState === 'complete'")
