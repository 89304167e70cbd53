"""The desk in a real browser: every page is accessible, light, dark and on a phone; keys, dialogs and menus work."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from peewee import fn

from shared import db
from shared.models import ChannelHealth, Customer, KnowledgeBase, User
from shared.people import links, users
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import PAGES, PASSWORD, furnish, no_database, person
from tests.site import Site

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


#: What would run if a page took it for more than text, and where people, customers, providers and sites write.
_MARKUP = "<img src=x onerror=hacked=1>"
_WRITTEN = {
    **{"customer": "name", "chatbot": "name system_prompt", "knowledge_base": "name", "knowledge_item": "title content"},
    **{"knowledge_source": "location", "knowledge_document": "location error", "knowledge_gap": "question", "app_user": "name"},
    **{"contact": "name", "message": "content error", "conversation_note": "author content", "quick_reply": "content"},
    **{"webhook_endpoint": "description", "webhook_attempt": "answer error", "api_key": "name", "bulk_action": "name"},
    **{"dead_letter": "error", "pause": "reason", "job": "last_error"},
}


def write_markup(world: World, conversation: int) -> None:
    """Names, texts, knowledge, files, errors and providers' words are markup, wherever there are any."""
    for table, columns in _WRITTEN.items():
        for column in columns.split():
            db.rows(f"update {table} set {column} = %s || left({column}, 100) where {column} is not null", [_MARKUP])
    down = {"chatbot": world.chatbot, "channel": "whatsapp_cloud", "state": "held", "reason": "other", "detail": _MARKUP}
    db.rows(ChannelHealth.insert(**down, since=fn.now()))
    for position, (state, key) in enumerate((("failed", None), ("stored", "a-file"))):
        db.rows(
            "insert into media (customer_id, message_id, position, kind, filename, state, storage_key, text, error)"
            " select %s, min(id), %s, 'document', %s, %s, %s, %s, %s from message where conversation_id = %s",
            [world.customer, position, _MARKUP, state, key, _MARKUP, _MARKUP, conversation],
        )


def check(browser: Browser, state: str, wrong: dict[str, Any], looks: Iterable[str] = _LOOKS) -> None:
    """Adds to `wrong` what axe-core finds in the page as it is now, and what is too wide."""
    for name in looks:
        look(browser, name)
        if found := violations(browser, name):
            wrong[f"{state} ({name})"] = found
        if browser.run(
            "return document.documentElement.scrollWidth > arguments[0]", _LOOKS[name][0]
        ):  # a phone's innerWidth grows
            wrong[f"{state} ({name}) is too wide"] = []
    if browser.run("return document.querySelector('[onerror]') !== null"):
        wrong[f"{state} takes a text for markup"] = []


def check_what_opens(browser: Browser, path: str, wrong: dict[str, Any]) -> None:
    """Each dialog of the page, the menu of a phone, and one of those behind three dots."""
    for dialog in browser.run("return [...document.querySelectorAll('dialog:not(#keys)')].map(one => one.id)"):
        browser.run("document.getElementById(arguments[0]).showModal()", dialog)
        check(browser, f"{path} #{dialog}", wrong)
        browser.run("document.getElementById(arguments[0]).close()", dialog)
    if browser.run("return document.querySelector('.menu-list')?.showPopover() === undefined"):
        check(browser, f"{path} menu", wrong, ["light"])


@pytest.fixture
def axe(browser: Browser, root: Path) -> None:
    """Each page has axe-core."""
    source = (root / "tests/vendor/axe.min.js").read_text(encoding="utf-8")
    browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})


@pytest.mark.timeout(900)  # there are many pages, and the machine may be busy
@pytest.mark.usefixtures("axe")
def test_every_page_is_accessible_in_every_look(browser: Browser, site: Site, world: World) -> None:
    ids = furnish(world)
    write_markup(world, ids["conversation"])
    addresses = ["/", "/desk/login", "/desk/forgotten"]
    wrong: dict[str, Any] = {}
    for role in ("", "operator"):
        if role:
            log_in(browser, site, person(role, None))
            addresses = [*(page.path.format(**ids) for page in PAGES), "/desk/nowhere"]
        for path in addresses:
            browser.open(site.url + path)
            check(browser, path, wrong)
            check_what_opens(browser, path, wrong)
    browser.open(f"{site.url}/desk/profile")
    look(browser, "phone")
    browser.run("document.getElementById('nav').showPopover()")
    check(browser, "the menu of a phone", wrong, ["phone"])
    assert not wrong
    browser.run("document.querySelector('main').append(document.createElement('img'))")
    assert "image-alt" in [found["rule"] for found in violations(browser, "light")], "axe-core sees what is wrong"
    refused = [line for line in browser.log() if "Content Security Policy" in line or "Uncaught" in line or "[DOM]" in line]
    assert not refused


#: Pages of a business that has nothing yet, and of operators whose system is new.
_EMPTY = (
    *(
        "inbox",
        "chatbots",
        "knowledge",
        "knowledge/{base}",
        "knowledge/{base}?q=x",
        "knowledge/{base}/sources",
        "knowledge/{base}/gaps",
    ),
    *("quick-replies", "channels", "webhooks", "usage", "team", "keys", "audit"),
)
_EMPTY_FOR_OPERATORS = ("", "failures", "failures/list", "replays", "search", "search?q=4711", "pauses")
#: What a form refuses: the page, the form's field, and what is written into it.
_REFUSED = (
    *(("chatbots", "#name", " "), ("chatbots/{chatbot}/answers", "#name", " ")),
    *(("chatbots/{chatbot}/website", "#allowed_origins", "nonsense"), ("knowledge/{base}/sources", "#url", "ftp://x")),
    *(("knowledge/{base}/items/new", "#title", " "), ("webhooks/new", "#url", "nonsense"), ("team", "#email", "nobody")),
)


@pytest.mark.timeout(900)  # there are many pages, and the machine may be busy
@pytest.mark.usefixtures("axe")
def test_empty_pages_and_refused_forms_are_accessible(browser: Browser, site: Site, world: World) -> None:
    with db.transaction():
        empty = Customer.create(name="New").id
        base = KnowledgeBase.create(customer=empty, name="Nothing yet").id
    wrong: dict[str, Any] = {}
    browser.open(site.url + links.for_user(users.create("new@example.com", "Ines", "agent", world.customer)))
    check(browser, "an invitation", wrong)
    log_in(browser, site, person("operator", None))
    empty_pages = [f"/desk/c/{empty}/{path.format(base=base)}" for path in _EMPTY]
    for path in [*empty_pages, *(f"/desk/operate/{path}" for path in _EMPTY_FOR_OPERATORS)]:
        browser.open(site.url + path)
        check(browser, path, wrong)
    ids = {"base": db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot]), "chatbot": world.chatbot}
    for path, field, value in _REFUSED:
        browser.open(f"{site.url}/desk/c/{world.customer}/{path.format(**ids)}")
        browser.run(
            "const field = document.querySelector(arguments[0]); field.value = arguments[1]; window.left = true;"
            " field.form.noValidate = true; field.form.requestSubmit()",
            *(field, value),
        )
        browser.until("!window.left && document.readyState === 'complete'")
        assert browser.run("return document.querySelector('.notice.bad, .problem') !== null"), f"{path} takes {value!r}"
        check(browser, f"{path} refused", wrong)
    assert not wrong


def test_the_desk_is_run_by_keys(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("owner", world.customer))
    look(browser, "light")
    browser.open(f"{site.url}/desk/c/{world.customer}/keys")
    browser.type("?")
    browser.until("document.querySelector('#keys').open")
    assert "g t Team" in " ".join(browser.texts("#keys dl > *")).replace("gt", "g t")
    browser.run("document.querySelector('#keys').close(); document.activeElement.blur()")
    browser.type("n")
    browser.until("document.querySelector('#new-key').open")
    browser.run("document.querySelector('#name').focus()")
    browser.type("order system g t\n")  # in a field keys are letters
    browser.until("document.querySelector('.copyable input')?.value.startsWith('sk_')")
    browser.run("document.activeElement.blur()")
    browser.type("gt")
    browser.until("location.pathname.endsWith('/team')")
    browser.click("css selector", ".menu-button")
    browser.until("document.querySelector('.menu-list').matches(':popover-open')")


def test_the_list_of_keys_has_those_that_work_and_no_others(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("owner", world.customer))
    for path in (f"chatbots/{world.chatbot}/website", f"chatbots/{world.chatbot}/model", "knowledge", "inbox"):
        browser.open(f"{site.url}/desk/c/{world.customer}/{path}")
        browser.type("?")
        browser.until("document.querySelector('#keys').open")
        keys = "[...document.querySelectorAll('#keys dt')].map(term => [...term.children].map(key => key.textContent))"
        listed = browser.run(f"return {keys}")
        assert all(len(key) == 1 or key == "Enter" for keys in listed for key in keys), (path, listed)
        assert len(listed) == len({tuple(keys) for keys in listed}), (path, listed)


def test_keys_go_through_each_list_and_save_each_form(browser: Browser, site: Site, world: World) -> None:
    ids = furnish(world)
    log_in(browser, site, person("owner", world.customer))
    base = "knowledge/{base}"
    lists = ("chatbots", "knowledge", base, f"{base}?q=ship", f"{base}/sources", f"{base}/gaps")
    for path in lists:
        browser.open(f"{site.url}/desk/c/{world.customer}/{path.format(**ids)}")
        browser.type("j")
        assert browser.run("return document.activeElement.closest('[data-rows]') !== null"), path
    browser.open(f"{site.url}/desk/c/{world.customer}/chatbots/{world.chatbot}/answers")
    browser.run("document.querySelector('#name').focus()")
    browser.type("X\ue00c")  # Escape
    browser.run("window.left = true")
    browser.type("s")
    browser.until("!window.left && document.querySelector('.toast') !== null")
    assert str(db.scalar("select name from chatbot where id = %s", [world.chatbot])).count("X") == 1


def test_the_model_of_a_chatbot_is_no_form_of_passwords(browser: Browser, site: Site, world: World) -> None:
    """Browsers would offer to keep a provider's key as somebody's password, and fill in theirs."""
    log_in(browser, site, person("owner", world.customer))
    browser.open(f"{site.url}/desk/c/{world.customer}/chatbots/{world.chatbot}/model")
    hidden = browser.run("return [...document.querySelectorAll('[name^=key-]')].map(e => getComputedStyle(e).webkitTextSecurity)")
    assert set(hidden) == {"disc"}
    assert not [line for line in browser.log() if "[DOM]" in line]


#: A name as owners have them, with a word that is wider than a phone.
_LONG = "Donaudampfschifffahrtsgesellschaftskapitänswitwenkasse & Söhne Feinkosthandelsgesellschaft mbH"


def test_long_names_widen_no_page_and_filters_are_one_row(browser: Browser, site: Site, world: World) -> None:
    ids = furnish(world)
    for table in ("customer", "chatbot", "knowledge_base"):
        db.rows(f"update {table} set name = %s", [_LONG])
    log_in(browser, site, person("operator", None))
    narrow = {"width": 320, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    for path in ("usage", "chatbots/{chatbot}/answers", "channels/whatsapp_cloud/{chatbot}", "knowledge/{base}"):
        browser.open(f"{site.url}/desk/c/{world.customer}/{path.format(**ids)}")
        assert browser.run("return document.documentElement.scrollWidth") == 320, path
    wide = {"width": 1366, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", wide)
    browser.open(f"{site.url}/desk/operate/failures/list")
    top, bottom = browser.run(
        "return ['.filters', '.filters > .button'].map(e => document.querySelector(e).getBoundingClientRect().bottom)"
    )
    assert abs(top - bottom) < 3
    assert browser.run("return document.querySelector('.filters').offsetHeight") < 80


def test_on_a_tablet_names_are_not_broken_into_syllables(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("operator", None))
    for width in (768, 1024):
        tablet = {"width": width, "height": 1024, "deviceScaleFactor": 1, "mobile": False}
        browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", tablet)
        browser.open(f"{site.url}/desk/operate/")
        heights = browser.run("return [...document.querySelectorAll('[data-rows] a')].map(link => link.offsetHeight)")
        assert len(heights) > 5
        assert max(heights) < 30, (width, heights)


def test_rows_that_are_shown_later_follow_those_that_are_there(browser: Browser, site: Site, world: World) -> None:
    furnish(world)
    log_in(browser, site, person("owner", world.customer))
    browser.open(f"{site.url}/desk/c/{world.customer}/audit")
    before = browser.run("return document.querySelectorAll('#rows > li').length")
    browser.click("css selector", "a[rel=next]")
    browser.until("document.querySelectorAll('#rows > li').length > arguments[0]", before)
    assert not browser.shown("a[rel=next]")
    assert browser.texts("#rows b")[-1] == "A command"


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
