"""What a page says of a press goes with the state that it speaks of, where the page changes by itself."""

from __future__ import annotations

import pytest
from flask import Flask

from shared import db
from shared.knowledge import sources
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.test_desk_browser import log_in
from tests.site import Site
from web.app import create_app

needs_browser = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")
TOAST = "document.querySelector('.toast')"


def source_id() -> int:
    return int(db.scalar("select max(id) from knowledge_source"))


def import_site(browser: Browser, site: Site, world: World) -> str:
    """Begins an import at the desk; returns the address of its page."""
    log_in(browser, site, person("owner", world.customer))
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot])
    browser.open(f"{site.url}/desk/c/{world.customer}/knowledge/{base}/sources")
    browser.run("document.getElementById('url').focus()")
    browser.type("shop.example\n")
    browser.until(f"{TOAST} !== null")
    return f"{browser.driver.current_url}/{source_id()}"


@needs_browser
def test_that_an_import_has_begun_is_not_said_when_it_is_over(browser: Browser, site: Site, world: World) -> None:
    import_site(browser, site, world)
    assert "The import has begun" in browser.texts(".toast")[0]
    browser.until("document.querySelector('#sources .spinner') !== null")
    sources.stop(source_id())
    browser.until(f"document.querySelector('#sources .spinner') === null && {TOAST} === null", seconds=40)


@needs_browser
def test_the_page_of_an_import_goes_on_by_itself(browser: Browser, site: Site, world: World) -> None:
    browser.open(import_site(browser, site, world))
    browser.until("document.querySelector('#main .spinner') !== null")
    assert browser.texts("#main .page-head button")[0] == "Stop"
    sources.stop(source_id())
    browser.until("document.querySelector('#main .spinner') === null", seconds=40)
    assert browser.texts("#main .page-head button")[0] == "Read again"


@needs_browser
def test_that_a_conversation_is_closed_is_not_said_when_its_customer_writes(browser: Browser, site: Site, world: World) -> None:
    world.say()
    world.drain()
    log_in(browser, site, person("agent", world.customer))
    browser.open(f"{site.url}/desk/c/{world.customer}/conversations/{db.scalar('select id from conversation')}?view=all")
    browser.run("document.querySelector('[action$=\"/closed\"] button').click()")
    browser.until(f"{TOAST}?.textContent.includes('Closed.')")
    world.say("Are you there?", external_id="m-2")
    world.drain()
    browser.until(f"document.getElementById('thread').textContent.includes('Are you there?') && {TOAST} === null", seconds=40)


def test_each_press_on_an_import_says_what_it_did(world: World) -> None:
    app: Flask = create_app()
    owner = Visitor(app, person("owner", world.customer))
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot])
    page = f"/desk/c/{world.customer}/knowledge/{base}/sources"
    owner.post(f"{page}/address", url="shop.example", sync_hours="")
    one = f"{page}/{source_id()}"
    for verb, said in (("stop", "Stopped."), ("stop", "It had ended by then."), ("sync", "It is read again.")):
        assert owner.post(f"{one}/{verb}").status_code == 303
        assert said in owner.get(page).text, verb
