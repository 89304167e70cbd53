"""A business's first day and an operator's night, in a real browser with web and workers: by mouse, and again by keyboard alone.

An owner signs up by a link, makes a chatbot, teaches it, tries it and puts it on the shop's page. A customer wants a person, and
an agent steps in, also while the AI writes. Then 400 jobs have failed for three reasons; one is repaired and replayed.
"""

from __future__ import annotations

import functools
import http.server
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from selenium.webdriver import ActionChains, Keys

from scripts.local.simulator.client import Simulator
from scripts.local.simulator.hooks import signed_by_meta
from shared import db
from shared.models import DeadLetter
from shared.operations import dead_letters
from shared.operations.dead_letters import Filter
from shared.people import links
from shared.people import users as people
from shared.queue_service import enqueue_incoming_message
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import PASSWORD, person
from tests.integration.front_door import change, webhook, written
from tests.integration.test_honesty import PERSON
from tests.pipeline.processes import front_door, idle
from tests.pipeline.test_front_door_process import SECRET
from tests.pipeline.test_widget_page import LAUNCHER, NEWEST, Quiet, say
from tests.waiting import until

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

#: Replies that an expired token stops, events that an endpoint refuses (of so many messages, three of each), and broken jobs.
STOPPED, REFUSED, BROKEN = 320, 60, 20
SENDS, WEBHOOKS = "whatsapp-cloud-send", "webhook-delivery"
MARKUP = "<img src=x onerror=hacked=1>"
WRAPPING = "Yes, in paper of pressed tea leaves, with a ribbon of your choice and a card that we write by hand for you."
TAUGHT = f'question,answer\nDo you ship to Austria?,"Yes, within three working days."\nDo you wrap presents?,"{WRAPPING}"\n'
REVOKED = {"kind": "graph", "fault": "revoked", "token": "Bearer token"}
DOWN = {"kind": "webhook", "fault": "status", "status": 503}
#: Where a page is open, the AI writes a word every three seconds, and would need longer than it may: nobody steps in too late.
#: Elsewhere its answer comes whole.
SLOW, LATE = {"kind": "ai", "fault": "pace", "ms": 3_000}, {"kind": "ai", "fault": "latency", "ms": 25_000}
#: Counts presses of a mouse in all pages of a window.
WATCH_THE_MOUSE = "addEventListener('pointerdown', () => sessionStorage.setItem('mouse', 'was used'), true)"


class Shop:
    """The business's own page, on an origin of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        handler = functools.partial(Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def embed(self, line: str) -> None:
        """Puts the chat's line into the page."""
        (self.folder / "index.html").write_text(f"<!doctype html><title>Shop</title><h1>Teahouse</h1>{line}", encoding="utf-8")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    (tmp_path / "shop").mkdir()
    running = Shop(tmp_path / "shop")
    yield running
    running.server.shutdown()


@pytest.fixture
def url(world: World, simulator: Simulator) -> Iterator[str]:
    """Web and workers, to whom messages come that will fail; what is given up is so after the first attempts."""
    simulator.faults([REVOKED, DOWN])
    break_jobs(world)
    refuse_events(world)
    more = {"WHATSAPP_APP_SECRET": SECRET, "WEBHOOK_REDELIVERY_SCHEDULE": "", "SWEEP_INTERVAL_SECONDS": "1"}
    with front_door("worker", **more) as (url, _):
        write_by_whatsapp(world, url)
        yield url


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsers.chromium(tmp_path / "profile") as running:
        running.driver.set_window_size(1440, 900)
        yield running


# ---- What fails


def break_jobs(world: World) -> None:
    """Poison: jobs in a form that no worker understands."""
    for number in range(BROKEN):
        world.say(user=f"poison-{number}")
    db.rows("update job set payload = payload - 'content'")


def refuse_events(world: World) -> None:
    """Another business, whose endpoint is down."""
    customer, chatbot = world.tenant(webhook=True)
    db.rows("update customer set name = 'Bakery' where id = %s", [customer])
    for number in range(REFUSED // 3):
        world.say(user=f"guest-{number}", chatbot_id=chatbot)


def write_by_whatsapp(world: World, url: str) -> None:
    """Meta brings a message of each customer; the token with which they would be answered has expired."""
    for begin in range(0, STOPPED, 80):
        messages = [written(f"wamid.{number}", **{"from": f"49170{number:07}"}) for number in range(begin, begin + 80)]
        body = json.dumps(webhook(change(str(777000 + world.chatbot), messages=messages))).encode()
        assert requests.post(f"{url}/webhooks/whatsapp/cloud", body, headers=signed_by_meta(body, SECRET), timeout=60).ok


HELD = "queue = %s and state = 'delayed' and waits_for is not null"


def all_are_held() -> bool:
    """Whether each reply by WhatsApp waits for a new token: nothing else is under way."""
    return bool(db.scalar(f"select count(*) = {STOPPED} from job where {HELD}", [SENDS]))


def give_up() -> None:
    """A week passes for the replies that wait: then they are given up."""
    db.rows(f"update job set created_at = created_at - interval '8 days', run_at = now() where {HELD}", [SENDS])
    until(lambda: dead_letters.count(Filter()) == STOPPED + REFUSED + BROKEN)


# ---- Hands


def until_shown(browser: Browser, selector: str, text: str) -> None:
    found = "[...document.querySelectorAll(arguments[0])].some(e => e.textContent.replace(/\\s+/g, ' ').includes(arguments[1]))"
    browser.until(found, selector, text)


def leads(browser: Browser, to: str = "") -> None:
    """Waits for the page that the last press leads to, of an address that ends so; `left` was set before."""
    loaded = "!window.left && document.readyState === 'complete'"
    browser.until(f"{loaded} && new RegExp(arguments[0]).test(location.pathname)", to)


def click(browser: Browser, label: str, to: str | None = None, within: str = "main") -> None:
    """The mouse on a button or a link by its words; `to`: where it leads."""
    words = f"normalize-space()='{label}' or normalize-space(span)='{label}'"
    click_on(browser, "xpath", f"//{within}//*[self::a or self::button][{words}]", to)


def click_on(browser: Browser, by: str, what: str, to: str | None = None) -> None:
    """The mouse on an element."""
    browser.run("window.left = true")
    browser.click(by, what)
    if to is not None:
        leads(browser, to)


def fill(browser: Browser, selector: str, text: str) -> None:
    field = browser.driver.find_element("css selector", selector)
    field.clear()
    field.send_keys(text)


def keys(browser: Browser, *pressed: str) -> None:
    """Keys to whatever has the focus."""
    ActionChains(browser.driver).send_keys(*pressed).perform()


def press(browser: Browser, pressed: str, to: str = "") -> None:
    """Keys that lead to another page."""
    browser.run("window.left = true")
    keys(browser, pressed)
    leads(browser, to)
    browser.until("typeof deskKeys === 'object'")


def tab_to(browser: Browser, selector: str) -> None:
    """Tab, until what is meant has the focus."""
    for _ in range(60):
        if browser.run("return document.activeElement.matches(arguments[0])", selector):
            return
        keys(browser, Keys.TAB)
    raise AssertionError(f"Tab never comes to {selector}")


def sign_up(browser: Browser, address: str) -> None:
    """Opens a link and chooses a password, by keys."""
    browser.open(address)
    tab_to(browser, "#password")
    keys(browser, PASSWORD, Keys.TAB, PASSWORD)
    press(browser, Keys.ENTER, "/inbox$")


def log_in(browser: Browser, url: str, email: str) -> None:
    """By keys."""
    browser.open(f"{url}/desk/login")
    tab_to(browser, "#email")
    keys(browser, email, Keys.TAB, PASSWORD)
    press(browser, Keys.ENTER)


def log_out(browser: Browser) -> None:
    browser.click("css selector", ".nav-foot form button")
    browser.until("location.pathname === '/desk/login'")


# ---- By mouse


def owner_opens_shop(browser: Browser, url: str, shop: Shop, tmp_path: Path) -> str:
    """From the invitation to the line on the shop's page; returns the link that invites an agent."""
    customer = db.scalar("insert into customer (name, plan_price_cents) values ('Teahouse', 12000) returning id")
    sign_up(browser, url + links.for_user(people.create("olivia@tea.example", "Olivia", "owner", customer)))
    click(browser, "Chatbots", "/chatbots$", within="nav")
    click(browser, "New chatbot")
    fill(browser, "#name", "Teahouse")
    click(browser, "Make the chatbot", "/answers$")
    settings = browser.run("return location.href")

    click(browser, "Knowledge", "/knowledge$", within="nav")
    click(browser, "Teahouse", "/knowledge/[0-9]+$")
    click(browser, "Imports", "/sources$")
    (tmp_path / "questions.csv").write_text(TAUGHT, encoding="utf-8")
    browser.driver.find_element("css selector", "#file").send_keys(str(tmp_path / "questions.csv"))
    click(browser, "Upload", "/sources")
    until_shown(browser, "#sources .badge", "done")

    browser.open(settings)
    click(browser, "Start a test chat", "/answers$", within="aside")
    browser.driver.switch_to.frame(browser.driver.find_element("css selector", ".test-frame"))
    say(browser, "Do you ship to Austria?")
    browser.until(f"{NEWEST}.includes('three working days')")
    browser.leave_frames()
    until_shown(browser, ".used", "Do you ship to Austria?")

    click(browser, "Website", "/website$")
    fill(browser, "#allowed_origins", shop.url)
    click(browser, "Save", "/website$")
    shop.embed(browser.run("return document.querySelector('[data-embed] .copyable input').value"))

    click(browser, "Team", "/team$", within="nav")
    click(browser, "Invite")
    fill(browser, "#name", "Emma")
    fill(browser, "#email", "emma@tea.example")
    click(browser, "Invite", "/team", within="dialog[@id='invite']")
    invitation: str = browser.run("return document.querySelector('.notice .copyable input').value")
    log_out(browser)
    return invitation


class Visit:
    """The customer's tab beside the agent's."""

    def __init__(self, browser: Browser, shop: Shop) -> None:
        self.browser, self.desk = browser, browser.driver.current_window_handle
        browser.driver.switch_to.new_window("tab")
        self.tab = browser.driver.current_window_handle
        browser.open(shop.url)
        browser.until(LAUNCHER)
        browser.driver.find_element("css selector", "switchboard-chat").shadow_root.find_element("css selector", "button").click()

    def __enter__(self) -> None:
        self.browser.driver.switch_to.window(self.tab)
        self.browser.frame_in_shadow("switchboard-chat")
        self.browser.until("document.getElementById('text')")

    def __exit__(self, *_: object) -> None:
        self.browser.leave_frames()
        self.browser.driver.switch_to.window(self.desk)

    def asks(self, question: str, answer: str = "") -> None:
        """The customer writes, and sees the answer."""
        with self:
            say(self.browser, question)
            if answer:
                self.browser.until(f"{NEWEST}.includes({answer!r})")

    def sees(self, text: str) -> None:
        with self:
            self.browser.until(f"{NEWEST}.includes({text!r})")


def answer(browser: Browser, text: str) -> None:
    """An agent's reply, by mouse."""
    fill(browser, "#reply", text)
    click(browser, "Send", "/conversations/")
    until_shown(browser, ".bubble.person .status", "sent")


def agent_steps_in(browser: Browser, invitation: str, shop: Shop, simulator: Simulator) -> None:
    """Whoever asks for a person gets one, also while the AI writes; then the bot goes on."""
    sign_up(browser, invitation)
    until_shown(browser, ".chats-empty", "Nobody waits")
    visit = Visit(browser, shop)
    visit.asks("Do you ship to Austria?", "three working days")
    visit.asks(PERSON)
    until_shown(browser, ".chats", "asks for a person")
    click_on(browser, "css selector", ".chat", "/conversations/")
    until_shown(browser, ".bubble.customer", PERSON)
    click(browser, "Take over", "/conversations/")
    answer(browser, "Emma here. What can I do for you?")
    visit.sees("Emma here.")
    click(browser, "Back to the bot", "/conversations/")
    until_shown(browser, ".owner-bar", "The bot answers")

    simulator.faults([REVOKED, DOWN, SLOW])
    visit.asks("Do you wrap presents?", "Thanks")  # its first words
    until_shown(browser, ".writing", "The bot is writing")
    click(browser, "Take over", "/conversations/")
    answer(browser, "We do, in silk!")
    visit.sees("in silk!")
    until(lambda: not db.scalar("select count(*) from job where queue = 'ai-processing' and closed_at is null"))
    simulator.faults([REVOKED, DOWN])
    click(browser, "Back to the bot", "/conversations/")
    visit.asks("And do you ship to Austria?", "three working days")
    with visit:  # what it saw of the AI's words is gone
        browser.until("!/tea leaves|Thanks$/m.test(document.querySelector('#messages').innerText)")
    assert nobody_got("tea leaves")
    browser.driver.switch_to.window(visit.tab)
    browser.driver.close()
    browser.driver.switch_to.window(visit.desk)
    log_out(browser)


def nobody_got(words: str) -> bool:
    """Whether no reply with these words was sent, or will be."""
    return not db.rows(
        "select from message where role = 'assistant' and status <> 'SUPERSEDED' and content like %s", [f"%{words}%"]
    )


def operator_repairs(browser: Browser, url: str, world: World, simulator: Simulator) -> None:
    """Finds the three reasons, replaces the token, and replays what it stopped."""
    log_in(browser, url, person("operator", None, "Olga").email)
    until_shown(browser, ".tile.bad", f"{STOPPED + REFUSED + BROKEN}open failures")
    click(browser, "Failures", "/failures$", within="nav")
    until_shown(browser, "#live h3", "the token has expired or is refused")
    groups = dict(zip(browser.texts(".reason h3 a"), browser.texts(".reason h3 + p b"), strict=True))
    assert set(groups.values()) == {f"{number} failures" for number in (BROKEN, STOPPED, REFUSED)}
    [sends] = [title for title in groups if "WhatsApp ·" in title]
    click(browser, sends, "/failures/list$")
    assert f"{STOPPED} match" in browser.texts(".lead")[0]
    failures = browser.run("return location.href")
    click(browser, "Preview the replay", "/replays/new$")
    assert f"{STOPPED} will not: the channel still cannot send" in browser.texts(".outcome"), "the reason is not repaired yet"

    browser.open(f"{url}/desk/c/{world.customer}/channels")
    click_on(browser, "css selector", f"a[href$='/channels/whatsapp_cloud/{world.chatbot}']", "/channels/whatsapp_cloud/")
    click(browser, "New token or key")
    fill(browser, "#secret", "EAA-new-token")
    click(browser, "Save", "/channels/whatsapp_cloud/", within="dialog[@id='new-secret']")
    until_shown(browser, ".toast", "Replies that waited leave now")
    browser.open(failures)
    click(browser, "Preview the replay", "/replays/new$")
    assert f"{STOPPED} will be sent" in browser.texts(".outcome")
    fill(browser, "#name", "expired token")
    browser.driver.find_element("css selector", "#pace option[value='200']").click()
    click(browser, f"Replay {STOPPED} failures", "/replays/[0-9]+$")
    until_shown(browser, "#live", f"{STOPPED} sent")
    until_shown(browser, ".badge", "done")
    assert sent_by_whatsapp(simulator) == STOPPED
    left = Counter(row["queue"] for row in db.rows(DeadLetter.select(DeadLetter.queue).where(DeadLetter.state == "open")))
    assert left == {WEBHOOKS: REFUSED, "incoming-messages": BROKEN}, "the other reasons are left alone"
    log_out(browser)


def sent_by_whatsapp(simulator: Simulator) -> int:
    """How many customers have their message. Nobody has it twice."""
    taken = Counter(call["key"] for call in simulator.record("graph") if call["accepted"])
    assert set(taken.values()) == {1}, taken.most_common(3)
    return len(taken)


# ---- By keyboard


def agent_works_by_keys(browser: Browser, url: str, simulator: Simulator) -> None:
    """Two people wait. The first is taken while the AI writes; then the next conversation."""
    chatbot = db.scalar("select id from chatbot where name = 'Teahouse'")

    def write(user: str, text: str) -> None:
        more = {"external_user_id": user, "metadata": {"profile_name": f"{user} {MARKUP}"}}
        enqueue_incoming_message(chatbot_id=chatbot, channel="widget", content=text, **more)

    log_in(browser, url, "emma@tea.example")
    until_shown(browser, ".chats-empty", "Nobody waits")
    write("Zoe", f"{PERSON} {MARKUP}")
    until_shown(browser, ".chats", "Zoe")
    write("Yan", PERSON)
    until_shown(browser, ".chats", "Yan")
    keys(browser, "j")
    press(browser, Keys.ENTER, "/conversations/")
    until_shown(browser, "#thread-title", f"Zoe {MARKUP}")
    until_shown(browser, ".bubble.customer .bubble-text", MARKUP)
    press(browser, "t")
    until_shown(browser, ".owner-bar", "You have this conversation")
    press(browser, "b")
    until_shown(browser, ".owner-bar", "The bot answers")
    simulator.faults([LATE])
    write("Zoe", "Do you wrap presents?")
    until_shown(browser, ".writing", "The bot is writing")
    press(browser, "t")
    until_shown(browser, ".owner-bar", "You have this conversation")
    simulator.clear_faults()
    keys(browser, "r")
    browser.until("document.activeElement.id === 'reply'")
    keys(browser, "In silk, Zoe!")
    press(browser, Keys.ENTER)
    until_shown(browser, ".bubble.person .status", "sent")
    keys(browser, Keys.ESCAPE)  # the field has the focus again, for the next message
    press(browser, "b")
    until_shown(browser, ".owner-bar", "The bot answers")
    keys(browser, "j")
    press(browser, Keys.ENTER, "/conversations/")
    until_shown(browser, "#thread-title", "Yan")
    press(browser, "t")
    keys(browser, "r")
    browser.until("document.activeElement.id === 'reply'")
    keys(browser, "In silk, Yan!")
    press(browser, Keys.ENTER)
    until_shown(browser, ".bubble.person .status", "sent")
    keys(browser, Keys.ESCAPE)  # the field has the focus again, for the next message
    press(browser, "e")
    until_shown(browser, ".owner-bar", "Closed.")
    tab_to(browser, ".nav-foot form button")
    keys(browser, Keys.ENTER)
    browser.until("location.pathname === '/desk/login'")


def operator_replays_by_keys(browser: Browser, url: str, simulator: Simulator) -> None:
    """The endpoint is well again, and its events are replayed."""
    log_in(browser, url, "olga.operator.0@example.com")
    press(browser, "of", "/failures$")
    for _ in range(3):
        keys(browser, "j")
        if "503" in browser.texts("[data-rows] > :focus-within h3")[0]:
            break
    press(browser, Keys.ENTER, "/failures/list$")
    assert f"{REFUSED} match" in browser.texts(".lead")[0]
    press(browser, "p", "/replays/new$")
    press(browser, "b", "/replays/[0-9]+$")
    until_shown(browser, "#live", f"{REFUSED} sent")
    arrived = Counter(call["headers"]["webhook-id"] for call in simulator.record("webhook") if call["accepted"])
    assert (len(arrived), set(arrived.values())) == (REFUSED, {1})


@pytest.mark.timeout(900)  # the machine may be busy
def test_the_whole_play(browser: Browser, url: str, world: World, shop: Shop, simulator: Simulator, tmp_path: Path) -> None:
    began = time.monotonic()
    invitation = owner_opens_shop(browser, url, shop, tmp_path)
    until(all_are_held)
    agent_steps_in(browser, invitation, shop, simulator)
    give_up()
    operator_repairs(browser, url, world, simulator)
    by_mouse = time.monotonic()
    browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH_THE_MOUSE})
    agent_works_by_keys(browser, url, simulator)
    operator_replays_by_keys(browser, url, simulator)
    assert browser.run("return sessionStorage.getItem('mouse')") is None
    until(idle)
    assert nobody_got("tea leaves"), "the AI's answer came, and was not sent"
    print(f"the whole play: {by_mouse - began:.0f} s by mouse, {time.monotonic() - by_mouse:.0f} s by keyboard")
    assert sent_by_whatsapp(simulator) == STOPPED, "nobody got a message twice"
    assert browser.run("return typeof hacked") == "undefined", "names and texts are text"
    refused = [line for line in browser.log() if "Content Security Policy" in line or "Uncaught" in line]
    assert not refused
