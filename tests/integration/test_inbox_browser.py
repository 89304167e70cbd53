"""An agent writes and searches in a real browser. How one steps in is played in tests/pipeline/test_the_whole_play.py."""

from __future__ import annotations

import time
from functools import partial

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder

from scripts.local.proxy import Mode, Proxy
from shared import db
from shared.channels import ownership
from shared.inbox import lists, work
from shared.models import User, UserSession
from shared.privacy import erasure
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import PASSWORD, person
from tests.integration.test_desk_browser import log_in
from tests.integration.test_who_may_answer import conversation
from tests.site import Site
from tests.waiting import until

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")


@pytest.fixture
def browser(browser: Browser) -> Browser:
    """Wide enough for the list beside the conversation."""
    browser.driver.set_window_size(1440, 900)
    return browser


#: What is to be read in and below the field of the composer.
_COMPOSER_SAYS = """
    const foot = [...document.querySelectorAll('.composer-foot > *')];
    const words = foot.filter(one => one.checkVisibility()).map(one => one.innerText);
    return [document.getElementById('reply').placeholder, ...words]
"""
ESCAPE, ENTER = "\ue00c", "\ue007"


def until_shown(browser: Browser, selector: str, text: str) -> None:
    found = "[...document.querySelectorAll(arguments[0])].some(e => e.textContent.includes(arguments[1]))"
    browser.until(found, selector, text)


def press(browser: Browser, key: str) -> None:
    """A key of the desk; waits for the page that it leads to."""
    browser.run("window.left = true")
    browser.type(key)
    browser.until("!window.left && document.readyState === 'complete' && typeof deskKeys === 'object'")


def focused(browser: Browser) -> str:
    """The id of what has the focus, or what it says."""
    return str(browser.run("return document.activeElement.id || document.activeElement.textContent.trim()"))


def open_conversation(
    browser: Browser, site: Site, world: World, said: str = "When do you ship?", reader: User | None = None
) -> str:
    """One that a customer has begun, opened by Emma, an agent, or by another reader; its address."""
    world.say(said)
    world.drain()
    log_in(browser, site, reader or person("agent", world.customer, "Emma"))
    address = f"{site.url}/desk/c/{world.customer}/conversations/{conversation()['id']}"
    browser.open(address)
    return address


def test_who_goes_by_keys_keeps_the_place(browser: Browser, site: Site, world: World) -> None:
    open_conversation(browser, site, world)
    browser.run("document.querySelector('[data-key=e]').focus(); window.before = document.querySelector('[data-key=e]')")
    heard = "window.focused.push(document.activeElement.dataset.key)"  # after the page's own listener
    browser.run(f"window.focused = []; document.addEventListener('htmx:afterSwap', () => {heard})")
    browser.run("htmx.trigger('#thread', 'changed')")  # as a stream says
    browser.until("!window.before.isConnected && window.focused.length")
    assert set(browser.run("return window.focused")) == {"e"}, "a key finds it at any moment, and so does the next change"
    browser.run("document.querySelector('[data-key=t]').focus()")
    press(browser, ENTER)
    until_shown(browser, ".owner-text", "You have this conversation.")
    browser.until("document.activeElement.id === 'main'")  # the button is gone; the content is where it was


def test_who_takes_with_the_mouse_writes_next_and_presses_no_keys(browser: Browser, site: Site, world: World) -> None:
    open_conversation(browser, site, world)
    browser.run("addEventListener('beforeunload', () => dispatchEvent(new Event('gone')), {once: true})")
    leaving = "'He'.split('').forEach(key => document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true})))"
    browser.run(f"addEventListener('gone', () => {{ {leaving} }})")  # whoever writes before the next page is there
    browser.click("css selector", "[data-key=t]")
    until_shown(browser, ".owner-text", "You have this conversation.")
    browser.until("document.activeElement.id === 'reply'")
    browser.type("llo")
    browser.until("document.getElementById('reply').value === 'Hello'")
    assert conversation()["owner"] == "person", "e would have closed it"
    browser.open(browser.driver.current_url)
    browser.until("document.readyState === 'complete' && document.getElementById('reply').value === 'Hello'")
    assert focused(browser) != "reply", "only who has just taken it"
    assert browser.texts(".composer-kind kbd") == ["r", "n"]


def test_days_and_times_of_a_conversation_are_the_readers(browser: Browser, site: Site, world: World) -> None:
    for number, written in enumerate(("2026-11-26 22:30Z", "2026-11-26 23:30Z", "2026-11-27 00:30Z"), 1):
        message = world.say(f"Message {number}")
        world.drain()
        db.rows("update message set created_at = %s where %s in (id, reply_to)", [written, message])
    browser.driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/conversations/{conversation()['id']}")
    shown = ["Thursday, November 26, 2026", *["11:30 PM"] * 2, "Friday, November 27, 2026", *["12:30 AM"] * 2, *["1:30 AM"] * 2]
    texts = (
        "Array.from(document.querySelectorAll('#bubbles .day, #bubbles time'), one => one.innerText.replace(/\\s+/g, ' ').trim())"
    )
    are_shown = f"{texts}.join() === arguments[0]"
    browser.until(are_shown, ",".join(shown))
    assert browser.run("return document.querySelector('#bubbles time').title").endswith("GMT+1")
    browser.run("window.old = document.querySelector('#bubbles time'); htmx.trigger('#thread', 'changed')")
    browser.until(f"!window.old.isConnected && {are_shown}", ",".join(shown))


def test_an_open_page_says_to_whom_it_was_given_meanwhile(browser: Browser, site: Site, world: World) -> None:
    emma, ben = (person("agent", world.customer, name) for name in ("Emma", "Ben"))
    open_conversation(browser, site, world, reader=emma)
    chosen = "document.getElementById('assignee').selectedOptions[0].textContent"
    assert browser.run(f"return {chosen}") == "Assign to …"
    work.take(conversation()["id"], ben.id)
    browser.until(f"{chosen} === 'Ben'")
    browser.run("document.getElementById('assignee').value = arguments[0]", str(emma.id))
    browser.run("window.left = true; document.getElementById('assignee').dispatchEvent(new Event('change', {bubbles: true}))")
    browser.until("!window.left && document.readyState === 'complete'")
    assert conversation()["assigned_to"] == emma.id
    with db.transaction():
        ownership.assign(conversation()["id"], "bot", "api")
    browser.until(f"{chosen} === 'Assign to …'")


def test_who_listens_hears_what_is_new_in_an_open_conversation(browser: Browser, site: Site, world: World) -> None:
    open_conversation(browser, site, world)
    browser.run("window.before = document.getElementById('news')")
    for text in ("Is <b>anybody</b> there?", "It is late."):
        world.say(text)
        world.drain()
        browser.until("document.getElementById('news').textContent.includes(arguments[0])", text)
    heard = "return [...document.querySelectorAll('#news p')].filter(one => one.textContent.endsWith(arguments[0])).length"
    assert browser.run(heard, ": Is <b>anybody</b> there?") == 1, "it may not be said yet when the next one comes"
    assert browser.run("return window.before.isConnected && window.before.role") == "log", "it is not replaced"
    assert "When do you ship?" not in browser.run("return document.getElementById('news').textContent"), "only what is new"


def test_names_and_drafts_run_as_their_letters_do(browser: Browser, site: Site, world: World) -> None:
    name = "محمد " * 30
    world.say("מתי אתם פתוחים?", metadata={"profile_name": name})
    world.drain()
    open_conversation(browser, site, world)
    browser.open(browser.driver.current_url + "?view=all")
    runs = "return [...document.querySelectorAll(arguments[0])].map(one => getComputedStyle(one).direction)"
    for what in (".chat-top b", "#thread-title", ".bubble.customer .bubble-who span"):
        assert browser.run(runs, what)[0] == "rtl", f"{what}: what does not fit is its end, not its beginning"
    assert browser.run(runs, ".bubble.bot .bubble-who span")[0] == "ltr"
    browser.run("document.getElementById('reply').focus()")
    browser.type("שלום")
    assert browser.run(runs, "#reply") == ["rtl"]


def test_a_conversation_is_printed_whole_and_without_its_tools(browser: Browser, site: Site, world: World) -> None:
    world.say("One\n" * 80)
    world.drain()
    open_conversation(browser, site, world)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.run("const box = document.getElementById('bubbles'); return box.scrollHeight - box.clientHeight") == 0
    assert [browser.shown(one) for one in ("#bubbles .bubble", "#composer", ".nav", ".inbox-list")] == [True, False, False, False]


def test_quick_replies_and_notes_are_written_without_a_mouse(browser: Browser, site: Site, world: World) -> None:
    db.rows("insert into quick_reply (customer_id, shortcut, content) values (%s, 'hours', 'Nine to five.')", [world.customer])
    open_conversation(browser, site, world)
    browser.type("r")
    browser.type("/hx\n")
    browser.until("document.getElementById('reply').validationMessage.startsWith('No quick reply begins')")
    browser.type("\ue003o")  # Backspace
    browser.until("!document.getElementById('quick-replies').hidden")
    browser.type("\n")
    browser.until("document.getElementById('reply').value === 'Nine to five.'")
    press(browser, "\n")
    until_shown(browser, ".bubble.person", "Nine to five.")
    assert focused(browser) == "reply", "the next letter is one of the next message, and presses no key"
    browser.type(ESCAPE + "n")
    browser.until("document.querySelector('.composer.is-note') && document.activeElement.id === 'reply'")
    assert browser.run(_COMPOSER_SAYS) == ["Only your team reads it", "Enter saves, Shift+Enter begins a line", "Save the note"]
    browser.type("Calls back")
    press(browser, "\n")
    until_shown(browser, ".bubble.note", "Calls back")
    world.drain()
    own = [(row["content"], row["status"]) for row in world.messages(role="assistant") if row["metadata"].get("source") == "desk"]
    assert own == [("Nine to five.", "SENT")], "a note is not sent"
    assert db.rows("select author, content from conversation_note") == [{"author": "Emma", "content": "Calls back"}]
    assert conversation()["owner"] == "person"


@pytest.mark.parametrize("what", ["logged out", "of another business"])
def test_nothing_stays_on_the_screen_of_somebody_who_may_not_see_it_any_more(
    browser: Browser, site: Site, world: World, what: str
) -> None:
    agent = person("agent", world.customer, "Emma")
    open_conversation(browser, site, world, "My secret question", agent)
    until_shown(browser, ".bubble", "My secret question")
    if what == "logged out":
        db.rows(UserSession.delete().where(UserSession.user == agent.id))
        browser.until("location.pathname === '/desk/login' && document.querySelector('#email')")
    else:
        db.rows(User.update(customer=world.tenant()[0]).where(User.id == agent.id))
        browser.until("document.querySelector('h1')?.textContent === 'There is no such page'")
    assert "secret" not in browser.run("return document.documentElement.outerHTML")


def test_back_shows_nothing_to_somebody_who_may_not_see_it_any_more(browser: Browser, site: Site, world: World) -> None:
    owner = person("owner", world.customer, "Emma")
    log_in(browser, site, owner)
    for page in ("team", "keys"):
        browser.open(f"{site.url}/desk/c/{world.customer}/{page}")
    db.rows(UserSession.delete().where(UserSession.user == owner.id))
    browser.driver.back()
    browser.until("location.pathname === '/desk/login' && document.querySelector('#email')")


def test_texts_are_masked_on_the_open_page_of_an_operator_who_may_not_read_them_any_more(
    browser: Browser, site: Site, world: World
) -> None:
    operator = person("operator", None, "Olga")
    db.rows(User.update(can_read_texts=True).where(User.id == operator.id))
    open_conversation(browser, site, world, "My secret question", operator)
    until_shown(browser, ".bubble", "My secret question")
    fetched = "performance.getEntriesByType('resource').some(one => one.name.includes('/thread') && one.responseEnd)"
    browser.until(fetched)  # as a new stream says
    db.rows(User.update(can_read_texts=False).where(User.id == operator.id))
    until_shown(browser, ".bubble", "•••••")
    assert "secret" not in browser.run("return document.documentElement.outerHTML")


def writing(browser: Browser, site: Site, world: World) -> str:
    """The address of a conversation in which an agent writes."""
    address = open_conversation(browser, site, world)
    browser.type("r")
    return address


def composed(browser: Browser) -> list[str]:
    """What the composer has, and what that is."""
    return list(browser.run("return [document.getElementById('reply').value, document.getElementById('composer').kind.value]"))


def test_a_text_outlives_a_session_that_ended_while_it_was_written(browser: Browser, site: Site, world: World) -> None:
    address = writing(browser, site, world)
    browser.type("It leaves tomorrow.")
    db.rows("delete from user_session")
    browser.run("document.getElementById('composer')?.requestSubmit()")  # unless the page has left by itself
    browser.until("location.pathname === '/desk/login' && document.readyState === 'complete'")
    browser.run("document.querySelector('#email').value = 'emma.agent.' + arguments[0] + '@example.com'", world.customer)
    browser.run("document.querySelector('#password').focus()")
    browser.type(PASSWORD + "\n")
    browser.until("!location.pathname.startsWith('/desk/login') && document.readyState === 'complete'")
    browser.open(address)
    assert composed(browser) == ["It leaves tomorrow.", "message"]
    browser.run("document.getElementById('reply').focus()")
    press(browser, "\n")
    until_shown(browser, ".bubble.person", "It leaves tomorrow.")
    browser.open(address)
    assert composed(browser) == ["", "message"], "what was sent is no draft any more"


def test_the_answer_to_a_form_that_is_refused_is_loaded_anew_and_led_back_to(browser: Browser, site: Site, world: World) -> None:
    """It had the form's address, at which nothing can be opened: after a login "There is no such page"."""
    address = open_conversation(browser, site, world)
    colleague = person("agent", world.customer, "Bernd")
    work.take(conversation()["id"], colleague.id, None, lambda: None)
    browser.run("document.querySelector('.owner-bar [name=from]')?.remove(); document.querySelector('.owner-bar form').submit()")
    until_shown(browser, ".thread .notice.bad", "Bernd has taken it already.")
    browser.until("location.href === arguments[0]", address)
    browser.run("location.reload()")
    browser.until("!document.querySelector('.thread .notice.bad') && document.getElementById('composer')")
    browser.run("document.querySelector('.owner-bar [name=from]')?.remove(); document.querySelector('.owner-bar form').submit()")
    until_shown(browser, ".thread .notice.bad", "Bernd has taken it already.")
    db.rows("delete from user_session")
    browser.until("location.pathname === '/desk/login' && document.readyState === 'complete'")
    browser.run("document.querySelector('#email').value = 'emma.agent.' + arguments[0] + '@example.com'", world.customer)
    browser.run("document.querySelector('#password').focus()")
    browser.type(PASSWORD + "\n")
    browser.until("location.href === arguments[0] && document.getElementById('composer')", address)


def test_what_is_erased_leaves_the_open_pages(browser: Browser, site: Site, world: World) -> None:
    open_conversation(browser, site, world, "My number is 4711")
    until_shown(browser, ".bubble", "My number is 4711")
    erasure.erase(world.customer, conversation()["contact_id"])
    browser.until("document.body && !document.body.textContent.includes('4711')")


def test_a_draft_is_shown_to_nobody_else_at_the_same_tab(browser: Browser, site: Site, world: World) -> None:
    address = writing(browser, site, world)
    browser.type("It leaves tomorrow.")
    db.rows("delete from user_session")
    log_in(browser, site, person("agent", world.customer, "Jonas"))
    browser.open(address)
    assert composed(browser) == ["", "message"]
    browser.type("r")
    browser.type("I shall ask.")
    browser.open(f"{site.url}/desk/c/{world.customer}/inbox")
    drafts = "return Object.keys(sessionStorage).filter(name => name.startsWith('composer')).length"
    assert browser.run(drafts) == 2
    browser.run("localStorage['switchboard:pk_a:test:token'] = localStorage['switchboard:pk_a:token'] = '1'")
    browser.run("document.querySelector('form[data-leaves] button').click()")
    browser.until("location.pathname === '/desk/login' && document.readyState === 'complete'")
    assert browser.run(drafts) == 0
    assert browser.run("return Object.keys(localStorage)") == ["switchboard:pk_a:token"], "no test chat, but a visitor's own"


def test_a_text_whose_answer_was_lost_is_not_written_a_second_time(browser: Browser, site: Site, world: World) -> None:
    address = writing(browser, site, world)
    browser.type("It leaves tomorrow.")
    sent = browser.run(
        "const form = document.getElementById('composer');"
        "form.dispatchEvent(new Event('submit', {cancelable: true, bubbles: true}));"
        "return fetch(form.action, {method: 'POST', body: new FormData(form), redirect: 'manual'}).then(answer => answer.type)"
    )
    assert sent == "opaqueredirect"
    browser.open(address)
    assert composed(browser) == ["", "message"], "it is in the thread"
    until_shown(browser, ".bubble.person", "It leaves tomorrow.")


#: Enter, then, while it is on its way, Enter and a line. The form goes where `arguments[0]` says, and nothing comes back.
_SEND_AND_WRITE = """
    const [arrives] = arguments, text = document.getElementById('reply'), form = document.getElementById('composer');
    const enter = () => text.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true, cancelable: true}));
    let sent;
    form.requestSubmit = () => {
        form.dispatchEvent(new Event('submit', {bubbles: true, cancelable: true}));
        sent = new FormData(form);
    };
    enter();
    return new Promise(done => setTimeout(async () => {
        const isLine = enter();
        text.value += 'Two';
        text.dispatchEvent(new Event('input', {bubbles: true}));
        if (arrives) await fetch(form.action, {method: 'POST', body: sent, redirect: 'manual'});
        done([isLine, text.value]);
    }))
"""


def test_what_is_written_while_a_reply_is_on_its_way_is_the_next_one(browser: Browser, site: Site, world: World) -> None:
    address = writing(browser, site, world)
    browser.type("One.")
    assert browser.run(_SEND_AND_WRITE, True) == [True, "Two"], "a second Enter sends nothing"
    browser.open(address)
    until_shown(browser, ".bubble.person", "One.")
    assert composed(browser) == ["Two", "message"]
    press(browser, ENTER)
    until_shown(browser, ".bubble.person", "Two")
    assert composed(browser) == ["", "message"]
    replies = db.rows("select content from message where role = 'assistant' order by id")
    assert [row["content"] for row in replies][1:] == ["One.", "Two"]


def test_a_reply_that_did_not_arrive_is_before_what_was_written_meanwhile(browser: Browser, site: Site, world: World) -> None:
    address = writing(browser, site, world)
    browser.type("One.")
    assert browser.run(_SEND_AND_WRITE, False) == [True, "Two"]
    browser.open(address)
    assert composed(browser) == ["One.\nTwo", "message"]
    assert browser.run(_SEND_AND_WRITE, False) == [True, "Two"]
    browser.run("dispatchEvent(new Event('pageshow'))")  # the browser came back to it, as it was
    assert composed(browser) == ["One.\nTwo\nTwo", "message"]


def test_a_reply_that_met_no_server_is_there_when_its_writer_goes_back(browser: Browser, site: Site, world: World) -> None:
    address = open_conversation(browser, site, world)
    with Proxy.to(site.url) as proxy:
        browser.open(address.replace(site.url, proxy.url))
        fetched = "performance.getEntriesByType('resource').some(one => one.name.includes(arguments[0]) && one.responseEnd)"
        browser.until(fetched, "/thread")  # as its stream said
        browser.until(fetched, "/inbox?")  # and nothing of the page notices what comes now
        proxy.treat(Mode.RESET, only=lambda connection: not connection.said(b"/events"))
        browser.run("document.getElementById('reply').focus()")
        browser.type("It leaves tomorrow." + ENTER)
        browser.until("location.protocol === 'chrome-error:'")
        proxy.treat(Mode.PASS)
        browser.driver.back()
        browser.until("location.protocol === 'http:' && document.readyState === 'complete' && typeof deskKeys === 'object'")
        assert composed(browser) == ["It leaves tomorrow.", "message"]


def test_who_goes_on_writing_while_the_page_loads_presses_no_key_of_it(browser: Browser, site: Site, world: World) -> None:
    writing(browser, site, world)
    browser.type("One.")
    source = (
        "document.addEventListener('readystatechange', () => {"
        " if (document.readyState === 'interactive' && typeof deskKeys === 'undefined')"
        " for (const key of 'be') document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true})) })"
    )
    browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
    press(browser, ENTER)
    until_shown(browser, ".bubble.person", "One.")
    assert composed(browser) == ["be", "message"]
    assert conversation()["owner"] == "person", "neither given back nor closed"


def test_a_draft_of_a_note_stays_a_note(browser: Browser, site: Site, world: World) -> None:
    address = writing(browser, site, world)
    browser.run("document.getElementById('reply').blur()")
    browser.type("n")
    browser.type("Do not give him a refund")
    browser.open(f"{site.url}/desk/c/{world.customer}/inbox")
    browser.open(address)
    assert composed(browser) == ["Do not give him a refund", "note"]


def test_a_form_that_is_pressed_twice_is_sent_once(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("owner", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/keys")
    prevented = browser.run(
        "const form = document.querySelector('#main form[method=post]'), prevented = [];"
        "form.elements.name.value = 'order system';"
        "document.addEventListener('submit', event => { prevented.push(event.defaultPrevented); event.preventDefault(); });"
        "form.requestSubmit(); form.requestSubmit(); dispatchEvent(new Event('pageshow')); form.requestSubmit();"
        "return prevented"
    )
    assert prevented == [False, True, False], "pressed, pressed again, and pressed after the browser came back to the page"


def test_what_is_sent_without_a_connection_stays_in_its_place(browser: Browser, site: Site, world: World) -> None:
    open_conversation(browser, site, world)
    network(browser, offline=True)
    browser.until("!navigator.onLine && document.getElementById('connection').checkVisibility()")
    browser.run("document.getElementById('reply').focus()")
    browser.type("We open at nine." + ENTER)
    browser.until("document.getElementById('connection').textContent.includes('nothing was sent')")
    assert browser.run("return document.getElementById('reply').value") == "We open at nine."
    network(browser)
    browser.until("document.getElementById('connection').hidden")
    press(browser, ENTER)
    until_shown(browser, "#bubbles .bubble", "We open at nine.")
    assert db.scalar("select count(*) from message where content = 'We open at nine.'") == 1


def test_a_connection_that_died_without_a_word_is_told_and_replaced(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("agent", world.customer, "Emma"))
    with Proxy.to(site.url) as proxy:
        browser.open(f"{proxy.url}/desk/c/{world.customer}/inbox?view=all")
        until(lambda: any(connection.said(b"/events") for connection in proxy.connections()))
        proxy.treat(Mode.LOSE, only=lambda connection: connection.said(b"/events"), new=False)
        browser.until("document.getElementById('connection').checkVisibility()")
        browser.until("document.getElementById('connection').hidden")
        world.say("Are you open?")
        world.drain()
        until_shown(browser, "#chats > li", "Visitor")


def fill(world: World, conversations: int) -> None:
    """Conversations with a message each, one a day; the oldest one asks for a teapot."""
    db.rows(
        "with talks as (insert into conversation (chatbot_id, channel, external_user_id, active_at)"
        " select %s, 'widget', 'v-' || n, now() - make_interval(days => n) from generate_series(1, %s) n returning *)"
        " insert into message (conversation_id, chatbot_id, channel, role, content, status)"
        " select id, chatbot_id, channel, 'user', case external_user_id when 'v-' || %s then 'A teapot' else 'A cup' end,"
        " 'DELIVERED' from talks",
        [world.chatbot, conversations, conversations],
    )


def network(browser: Browser, *, offline: bool = False, latency: int = 0) -> None:
    """From now on a request of the page takes so many milliseconds, or gets nowhere."""
    browser.driver.execute_cdp_cmd("Network.enable", {})
    throughput = {"downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": offline, "latency": latency, **throughput})


def until_with_changes(browser: Browser, script: str) -> None:
    """Waits for it in the page, while the lists change again and again."""

    def is_so_or_changes() -> bool:
        if is_so := browser.run(f"return {script}"):
            return bool(is_so)
        db.rows("update conversation set updated_at = clock_timestamp() where external_user_id = 'v-1'")
        time.sleep(0.2)
        return False

    until(is_so_or_changes, script)


def test_enter_that_takes_a_word_of_an_input_method_sends_nothing(browser: Browser, site: Site, world: World) -> None:
    open_conversation(browser, site, world)
    browser.run("document.getElementById('reply').focus()")
    browser.type("こんにちは")
    safari = {"key": "Enter", "keyCode": 229, "isComposing": False, "bubbles": True, "cancelable": True}  # it ends the word first
    browser.run("document.getElementById('reply').dispatchEvent(new KeyboardEvent('keydown', arguments[0]))", safari)
    assert browser.run("return document.getElementById('composer').ariaBusy") is None
    assert browser.run("return document.getElementById('reply').value") == "こんにちは"


def test_a_filter_says_what_is_shown_when_the_browser_comes_back(browser: Browser, site: Site, world: World) -> None:
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/inbox?view=all")
    chosen = "document.querySelector('.inbox-filter [name=channel]')"
    browser.run(f"{chosen}.value = 'widget'; {chosen}.dispatchEvent(new Event('change', {{bubbles: true}}))")
    browser.until(f"location.search.includes('channel=widget') && {chosen}?.value === 'widget'")
    browser.driver.back()
    browser.until(f"!location.search.includes('channel=') && document.readyState === 'complete' && {chosen}?.value === ''")


def test_a_search_goes_further_back_while_the_lists_change(
    browser: Browser, site: Site, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "AT_ONCE", 4)
    monkeypatch.setattr(lists, "page", partial(lists.page, seconds=0.0))
    fill(world, 30)
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/inbox?view=all&q=teapot")
    browser.until("document.querySelector('[data-more]')")
    network(browser, latency=500)
    browser.run("document.querySelector('[data-more]').click()")
    until_with_changes(browser, "document.querySelectorAll('#chats > li').length === 1")
    browser.until("!document.querySelector('[aria-disabled]')")
    browser.run("window.found = document.querySelector('#chats > li')")
    world.say("Another one", user="w_new")
    world.drain()
    until_shown(browser, ".inbox-tabs a", "31")
    assert browser.run("return window.found.isConnected")


def test_a_list_that_shows_more_is_fetched_anew_with_all_of_its_rows(browser: Browser, site: Site, world: World) -> None:
    fill(world, lists.PAGE + 12)
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/inbox?view=all")
    browser.until("document.querySelector('[data-more]')")
    network(browser, latency=500)
    browser.run("document.querySelector('[data-more]').click()")
    until_with_changes(browser, f"document.querySelectorAll('#chats > li').length === {lists.PAGE + 12}")
    world.say("Another one", user="w_new")
    world.drain()
    until_shown(browser, ".inbox-tabs a", str(lists.PAGE + 13))
    assert browser.run("return document.querySelectorAll('#chats > li').length") == lists.PAGE + 12
    assert browser.texts("[data-more]") != []


def test_a_list_that_changes_stays_where_its_reader_is(browser: Browser, site: Site, world: World) -> None:
    fill(world, 30)
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/inbox?view=all")
    browser.run("window.drawn = 0; document.addEventListener('htmx:afterSwap', () => { window.drawn += 1 })")
    browser.run("htmx.trigger('#list', 'changed')")
    browser.until("window.drawn")
    browser.run("document.getElementById('chats').scrollTop = 700")
    in_view = (
        "return [...document.querySelectorAll('#chats > li')].filter(row => row.getBoundingClientRect().top > 300)"
        ".slice(0, 3).map(row => [row.firstElementChild.id, Math.round(row.getBoundingClientRect().top)])"
    )
    before = browser.run(in_view)
    world.say("Are you open?", user="somebody new")
    world.drain()
    browser.until("document.querySelectorAll('#chats > li').length === 31")
    after = browser.run(in_view)
    assert [row for row, _ in after] == [row for row, _ in before], "what came is above them"
    assert all(abs(now - then) <= 1 for (_, now), (_, then) in zip(after, before, strict=True)), "by a part of a pixel"
    browser.run("document.getElementById('chats').scrollTop = 0")
    world.say("Hello?", user="somebody else")
    world.drain()
    browser.until("document.querySelectorAll('#chats > li').length === 32")
    assert browser.run("return document.getElementById('chats').scrollTop") == 0, "it shows what is new"


def test_a_list_is_live_where_a_browser_has_no_notifications_of_pages(browser: Browser, site: Site, world: World) -> None:
    fill(world, 1)
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/inbox?view=waiting")
    assert not browser.run("return document.title").startswith("(")
    refused = "throw new TypeError('Illegal constructor')"  # as Chrome on Android does
    browser.run(f"window.Notification = class {{ static permission = 'granted'; constructor() {{ {refused} }} }}")
    browser.until("performance.getEntriesByType('resource').some(one => one.name.includes('/inbox?') && one.responseEnd)")
    db.rows("update conversation set owner = 'person', handed_over_at = now(), handover_reason = 'asked'")
    until_shown(browser, "#chats > li", "asks for a person")
    assert browser.run("return document.title").startswith("(1) ")


def test_who_goes_by_keys_goes_on_where_a_row_has_left_the_list(browser: Browser, site: Site, world: World) -> None:
    fill(world, 6)
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/inbox?view=bot")
    rows = browser.run("return [...document.querySelectorAll('#chats a')].map(row => row.id)")
    browser.type("jjj")
    browser.until("document.activeElement.id === arguments[0]", rows[2])
    for key, row in (("j", rows[3]), ("k", rows[1])):
        left = browser.run("return document.activeElement.id")
        db.rows("update conversation set owner = 'closed' where 'chat-' || id = %s", [left])
        browser.until("!document.getElementById(arguments[0])", left)
        browser.type(key)
        assert focused(browser) == row


def test_a_voice_note_plays_on_while_its_thread_is_drawn_anew(browser: Browser, site: Site, world: World) -> None:
    address = open_conversation(browser, site, world)
    note = "insert into media (customer_id, message_id, position, kind, mime, state, storage_key)"
    db.rows(note + " select %s, id, 0, 'voice', 'audio/ogg', 'stored', 'none' from message where role = 'user'", [world.customer])
    browser.open(address)
    browser.run("window.note = document.querySelector('audio')")
    is_drawn = "event => { window.drawn ||= event.detail.target.id === 'thread' }"
    browser.run(f"document.addEventListener('htmx:afterSettle', {is_drawn})")
    browser.run("htmx.trigger('#thread', 'changed')")
    browser.until("window.drawn")
    assert browser.run("return window.note?.isConnected")


def test_words_that_are_selected_stay_so_while_messages_arrive(browser: Browser, site: Site, world: World) -> None:
    open_conversation(browser, site, world, "My order is\nA-4711, sent on Monday.")
    text = "document.querySelector('.bubble-text').firstChild"
    browser.run(
        f"const text = {text}; getSelection().setBaseAndExtent(text, text.data.indexOf('A'), text, text.data.indexOf(','))"
    )
    for news in ("Are you there?", "Hello?"):
        world.say(news)
        world.drain()
        until_shown(browser, ".bubble-text", news)
        assert browser.run("return String(getSelection())") == "A-4711"
    db.rows("update message set content = 'Never mind.' where content like 'My order%%'")
    browser.run("htmx.trigger('#thread', 'changed')")
    until_shown(browser, ".bubble-text", "Never mind.")
    assert browser.run("return String(getSelection())") == "", "nothing else is selected in its place"


def test_a_row_that_is_pressed_while_the_list_changes_opens(browser: Browser, site: Site, world: World) -> None:
    fill(world, 3)
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/inbox?view=all")
    row = "document.querySelector('#chats > li:nth-child(2) a').getBoundingClientRect()"
    at = browser.run(f"const row = {row}; return [row.x + 20, row.y + 20].map(Math.round)")
    press = ActionBuilder(browser.driver)  # of a place: what is there may be drawn anew before it
    press.pointer_action.move_to_location(*at).pointer_down()
    press.perform()
    browser.run("document.addEventListener('htmx:beforeSwap', () => { window.heard = true })")
    browser.run("htmx.trigger('#list', 'changed')")
    browser.until("window.heard")
    ActionChains(browser.driver).release().perform()
    browser.until("/conversations\\/\\d+$/.test(location.pathname)")
