"""Pages on phones, tablets and small laptops, in German, whose words are longer."""

from __future__ import annotations

import pytest
from peewee import fn

from shared import db
from shared.channels.whatsapp_cloud import template_store
from shared.models import Customer, DeadLetter, KnowledgeItem, UsageLog, User, WhatsappTemplate
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import furnish, person
from tests.integration.test_desk_browser import log_in
from tests.site import Site

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

#: The tables with the most columns.
_WIDEST = (
    *("/desk/operate/failures/list", "/desk/operate/replays", "/desk/operate/prices", "/desk/operate/pauses"),
    *("/desk/operate/customers", "/desk/c/{customer}/webhooks/{webhook}", "/desk/c/{customer}/usage"),
)
_SIDEWAYS = """
    return [...document.querySelectorAll('.table-scroll, .tabs')].filter(e => e.scrollWidth > e.clientWidth).map(e => e.className)
"""


def show(browser: Browser, width: int, height: int = 800) -> None:
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def in_german(user: User) -> User:
    db.rows(User.update(language="de").where(User.id == user.id))
    return user


@pytest.mark.parametrize("width", [390, 1024])
def test_no_table_scrolls_sideways(browser: Browser, site: Site, world: World, width: int) -> None:
    ids = furnish(world)
    error = {"error": "WhatsApp Cloud: HTTP 400, code 131026", "error_code": "recipient_unreachable"}
    db.rows(DeadLetter.update(**error, queue="whatsapp-cloud-send", failures=2))
    log_in(browser, site, in_german(person("operator", None)))
    show(browser, width)
    for path in _WIDEST:
        browser.open(site.url + path.format(**ids))
        assert browser.run("return document.querySelector('.table, .tabs') !== null"), path
        assert browser.run(_SIDEWAYS) == [], path


def test_no_table_of_the_overview_grows_out_of_its_panel(browser: Browser, site: Site, world: World) -> None:
    db.rows("update customer set name = 'Teehaus am Augustusplatz'")
    world.say()
    log_in(browser, site, in_german(person("operator", None)))
    show(browser, 1440)
    browser.open(f"{site.url}/desk/operate/")
    assert browser.texts("section[aria-labelledby=tenants-title] th") == ["Unternehmen", "Offene Aufträge", "Ältester"]
    wide = "[...document.querySelectorAll('.panel .table')].filter(e => e.offsetWidth > e.parentElement.clientWidth)"
    assert browser.run(f"return {wide}.map(e => e.textContent)") == []


@pytest.mark.parametrize(("width", "height"), [(640, 400), (844, 390)])
def test_a_conversation_is_read_on_a_low_screen(browser: Browser, site: Site, world: World, width: int, height: int) -> None:
    """A laptop's at 200 %, or a phone held sideways."""
    world.say("When do you ship?")
    world.drain()
    log_in(browser, site, in_german(person("agent", world.customer)))
    show(browser, width, height)
    browser.open(f"{site.url}/desk/c/{world.customer}/conversations/{db.scalar('select id from conversation')}")
    assert browser.run("return document.getElementById('bubbles').offsetHeight") >= height * 0.45
    browser.run("document.getElementById('reply').focus()")
    browser.until("document.querySelector('.composer').getBoundingClientRect().bottom <= innerHeight + 1")
    assert browser.run("return [document.documentElement.scrollWidth, document.documentElement.scrollHeight]") == [width, height]
    browser.run("document.querySelector('.thread').scrollTop = 0")
    browser.run("document.getElementById('reply').scrollIntoView({block: 'nearest'})")  # as Safari and Firefox do at a focus
    assert browser.run("return document.querySelector('.composer-foot .primary').getBoundingClientRect().bottom <= innerHeight")


_LONG = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichenverleihungsurkundenamt"
_WITH_NAMES = (
    *("chatbots", "knowledge", "channels", "team", "keys", "audit", "usage", "inbox"),
    *("chatbots/{chatbot}/answers", "knowledge/{base}", "usage/budget?chatbot={chatbot}", "conversations/{conversation}"),
)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_long_word_in_a_name_makes_no_page_wide(browser: Browser, site: Site, world: World, width: int) -> None:
    ids, operator = furnish(world), person("operator", None)
    for table in ("customer", "chatbot", "knowledge_base", "api_key", "app_user"):
        db.rows(f"update {table} set name = %s", [_LONG])
    log_in(browser, site, in_german(operator))
    show(browser, width)
    for path in (*(f"/desk/c/{world.customer}/{path}" for path in _WITH_NAMES), "/desk/operate/", "/desk/operate/customers"):
        browser.open(site.url + path.format(**ids))
        assert browser.run("return document.documentElement.scrollWidth") == width, path


def test_many_tokens_are_read_whole_on_a_phone(browser: Browser, site: Site, world: World) -> None:
    use = {"customer": world.customer, "kind": "ai_tokens", "quantity": 1, "completion_tokens": 0, "created_at": fn.now()}
    db.rows(UsageLog.insert_many([{**use, "prompt_tokens": 2_000_000_000}] * 3))
    log_in(browser, site, in_german(person("owner", world.customer)))
    show(browser, 390)
    browser.open(f"{site.url}/desk/c/{world.customer}/usage")
    assert "6.000.000.000" in browser.texts(".tile b")
    assert browser.run("return [...document.querySelectorAll('.tile')].every(e => e.scrollWidth <= e.clientWidth)")


@pytest.mark.parametrize("width", [390, 1280])
def test_why_a_failure_is_not_replayed_is_read_whole(browser: Browser, site: Site, world: World, width: int) -> None:
    furnish(world)
    error = "The provider at https://a-resource-of-the-shop.openai.azure.com/openai/deployments/v1 answered HTTP 500"
    db.rows(DeadLetter.update(queue="ai-processing", error=error, message_id=None))
    db.rows("update dead_letter set job_id = -id")
    log_in(browser, site, in_german(person("operator", None)))
    show(browser, width)
    for path in ("failures/list", "replays/new"):
        browser.open(f"{site.url}/desk/operate/{path}")
        assert "die Nachricht oder der Auftrag ist nicht mehr da" in browser.texts(".table td .badge")
        cut = "[...document.querySelectorAll('.table td .badge')].filter(e => e.scrollWidth > e.clientWidth)"
        assert browser.run(f"return {cut}.length") == 0, path
        assert browser.run(_SIDEWAYS) == [], path


def test_the_tabs_of_a_phone_fit(browser: Browser, site: Site, world: World) -> None:
    ids = furnish(world)
    item = KnowledgeItem.select(KnowledgeItem.knowledge_base, KnowledgeItem.title, KnowledgeItem.content).limit(1)
    db.rows(KnowledgeItem.insert_many([db.row(item)] * 1_000))  # type: ignore[list-item]
    log_in(browser, site, in_german(person("owner", world.customer)))
    show(browser, 390)
    for path in ("chatbots/{chatbot}/people", "knowledge/{base}/sources"):
        browser.open(f"{site.url}/desk/c/{world.customer}/{path.format(**ids)}")
        assert browser.run(_SIDEWAYS) == [], path


def test_the_number_of_items_grows_with_the_import_below_it(browser: Browser, site: Site, world: World) -> None:
    ids = furnish(world)
    log_in(browser, site, person("owner", world.customer))
    db.rows("update knowledge_source set state = 'listing'")
    browser.open(f"{site.url}/desk/c/{world.customer}/knowledge/{ids['base']}/sources")
    browser.run("window.before = document.getElementById('item-count').textContent")
    db.rows("insert into knowledge_item (knowledge_base_id, title, content) values (%s, 'New', 'New')", [ids["base"]])
    browser.until("+document.getElementById('item-count').textContent === +window.before + 1")


def test_the_menu_of_an_operator_fits_a_small_laptop(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("operator", None))
    show(browser, 1024, 720)
    browser.open(f"{site.url}/desk/c/{world.customer}/channels")
    last, foot = browser.run(
        "return [[...document.querySelectorAll('.nav li')].at(-1).getBoundingClientRect().bottom,"
        " document.querySelector('.nav-foot').getBoundingClientRect().top]"
    )
    assert last <= foot


def test_the_menu_stays_and_a_test_chat_begins_where_the_page_is(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("owner", world.customer))
    show(browser, 1280, 700)
    browser.open(f"{site.url}/desk/c/{world.customer}/chatbots/{world.chatbot}/answers")
    browser.run("scrollTo(0, document.documentElement.scrollHeight)")
    browser.until("scrollY > 200")
    assert -1 < browser.run("return document.querySelector('.nav').getBoundingClientRect().top") <= 0
    browser.run("scrollTo(0, 0)")
    browser.press("Start a test chat")
    browser.until("location.hash === '#test' && document.activeElement === document.querySelector('.test-frame')")
    assert browser.run("return scrollY") == 0
    browser.until("document.activeElement.contentDocument.activeElement.matches('textarea')")
    browser.type("Do you ship gifts?")
    browser.until("document.activeElement.contentDocument.activeElement.value === 'Do you ship gifts?'")
    show(browser, 390)
    browser.run("window.left = true")
    browser.press("Start over")
    browser.until("!window.left && location.hash === '#test' && document.readyState === 'complete'")
    top = browser.run("return document.querySelector('.test-chat').getBoundingClientRect().top")
    assert 52 <= top < 300, "below the bar, on the screen"


def test_a_new_owner_s_phone_says_what_to_do_first(browser: Browser, site: Site, world: World) -> None:
    with db.transaction():
        new = Customer.create(name="New", created_at=fn.now()).id
    log_in(browser, site, person("owner", new))
    show(browser, 390)
    browser.open(f"{site.url}/desk/c/{new}/inbox")
    assert browser.shown(".inbox-nothing a.primary")
    browser.open(f"{site.url}/desk/c/{new}/inbox")
    browser.click("css selector", ".inbox-nothing a.primary")
    browser.until("location.pathname.endsWith('/chatbots')")


def test_templates_fit_a_phone(browser: Browser, site: Site, world: World) -> None:
    world.say(channel="whatsapp_cloud", user="49171")
    world.drain()
    account = db.scalar("select id from whatsapp_cloud_account where chatbot_id = %s", [world.chatbot])
    template_store.learn(account, "1022")
    body = [{"type": "BODY", "text": "Hello {{1}}, your order {{2}} has left, and will be with you in some days; thank you!"}]
    one = {"name": "order_left", "language": "en", "status": "APPROVED", "components": body}
    db.rows(WhatsappTemplate.insert_many([{"waba_id": "1022", **one}, {"waba_id": "1022", **one, "language": "pt_BR"}]))
    db.rows("update conversation set window_ends_at = now() - interval '1 minute'")
    log_in(browser, site, in_german(person("agent", world.customer)))
    show(browser, 390)
    browser.open(f"{site.url}/desk/c/{world.customer}/conversations/{world.messages()[0]['conversation_id']}")
    assert browser.texts(".template summary > span:first-of-type") == ["Englisch", "Portugiesisch (Brasilien)"]
    assert browser.run("const box = document.querySelector('.window-closed'); return box.scrollWidth <= box.clientWidth")
    assert browser.run("return document.querySelector('.window-closed').getBoundingClientRect().right") <= 390
