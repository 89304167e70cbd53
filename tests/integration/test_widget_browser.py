"""The widget's page in a browser, as far as it needs no workers: what is written, however it is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.proxy import Mode, Proxy
from shared import db
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.test_inbox_browser import network
from tests.integration.widget_page import key_of
from tests.site import serving
from web.app import create_app

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

LAST = "[...document.querySelectorAll('#messages > .{role} .bubble')].at(-1)"
#: As from the clipboard.
PASTE = "document.execCommand('insertText', false, arguments[0])"

#: Safari's keydown of the Enter that takes a word: it ends the word first.
TAKES_A_WORD = {"key": "Enter", "keyCode": 229, "isComposing": False, "bubbles": True, "cancelable": True}


@pytest.fixture
def page(tmp_path: Path, world: World) -> Iterator[Browser]:
    with serving(create_app()) as site, browsers.chromium(tmp_path / "profile") as browser:
        browser.open(f"{site.url}/widget/{key_of(world.chatbot)}")
        browser.run("document.getElementById('text').focus()")
        yield browser


def test_the_page_is_accessible(page: Browser, root: Path) -> None:
    page.run((root / "tests/vendor/axe.min.js").read_text(encoding="utf-8"))
    found = page.driver.execute_async_script(
        "const done = arguments[0]; axe.run(document).then(found => done(found.violations.map(one => one.id)))"
    )
    assert found == []


def test_a_text_that_is_too_long_is_kept_and_not_cut(page: Browser) -> None:
    page.run(PASTE, "0123456789" * 401)
    assert page.run("return document.getElementById('text').value.length") == 4_010, "nothing is cut off without a word"
    assert page.texts("#notice") == ["A message has at most 4000 characters; this one has 4010. Please shorten it."]
    assert page.run("return document.getElementById('send').disabled")
    page.type("\ue007")  # Enter
    assert page.run("return document.getElementById('text').value.length") == 4_010
    page.type("\ue003" * 10)  # Backspace
    assert not page.shown("#notice")
    page.type("\ue007")
    page.until(f"{LAST.format(role='user')}?.textContent.endsWith('0123456789')")
    page.until("document.querySelector('#messages > .user .sent, #messages > .user .delivered') !== null")
    [sent] = db.rows("select payload ->> 'content' as content from job where queue = 'incoming-messages'")
    assert sent["content"] == "0123456789" * 400


@pytest.mark.parametrize(
    ("text", "direction"), [("מתי אתם שולחים? 3 days", "rtl"), ("متى تشحنون؟", "rtl"), ("Do you ship to תל אביב?", "ltr")]
)
def test_a_text_runs_in_its_own_direction(page: Browser, text: str, direction: str) -> None:
    page.run(PASTE, text)
    assert page.run("return getComputedStyle(document.getElementById('text')).direction") == direction
    page.type("\ue007")
    page.until(f"{LAST.format(role='user')}?.textContent.includes(arguments[0])", text)
    assert page.run(f"return getComputedStyle({LAST.format(role='user')}).direction") == direction
    html = f"<p>{text}</p><ul><li>{text}</li></ul>"
    reply = {
        "id": "m_1",
        "role": "assistant",
        "content": "",
        "html": html,
        "status": "SENT",
        "created_at": "2026-11-27T12:00:00Z",
    }
    page.run("receive(arguments[0], 1)", reply)
    shown = f"[...{LAST.format(role='assistant')}.querySelectorAll('p, li')].map(element => getComputedStyle(element).direction)"
    assert page.run(f"return {shown}") == [direction, direction]


def test_a_message_leaves_over_another_connection_when_one_died_without_a_word(tmp_path: Path, world: World) -> None:
    sent = "document.querySelectorAll('.user .sent, .user .delivered').length === arguments[0]"
    with serving(create_app()) as site, Proxy.to(site.url) as proxy, browsers.chromium(tmp_path / "profile") as browser:
        browser.open(f"{proxy.url}/widget/{key_of(world.chatbot)}")
        browser.run("document.getElementById('text').focus()")
        browser.type("Hello\ue007")
        browser.until(sent, 1)
        proxy.treat(Mode.LOSE, new=False)
        browser.type("Is anybody there?\ue007")
        browser.until(sent, 2)
    assert db.scalar("select count(*) from job where queue = 'incoming-messages'") == 2, "each once"


def test_what_is_begun_is_in_the_field_again_after_a_reload(page: Browser) -> None:
    written = "return document.getElementById('text').value"
    page.type("Do you ship")
    page.driver.refresh()
    assert page.run(written) == "Do you ship"
    assert page.run("return document.getElementById('send').disabled") is False
    page.run("document.getElementById('text').focus()")
    page.type(" to Norway?\ue007")
    page.until("document.querySelector('#messages > .user .sent, #messages > .user .delivered') !== null")
    page.driver.refresh()
    assert page.run(written) == ""
    [sent] = db.rows("select payload ->> 'content' as content from job where queue = 'incoming-messages'")
    assert sent["content"] == "Do you ship to Norway?"


def test_who_writes_at_once_writes_in_the_field(page: Browser) -> None:
    page.run("document.activeElement.blur()")  # as Safari opens the chat in a frame: its script may focus nothing yet
    page.type("Do you ship?")
    assert page.run("return document.getElementById('text').value") == "Do you ship?"


def test_enter_that_takes_a_word_of_an_input_method_sends_nothing(page: Browser) -> None:
    page.run(PASTE, "こんにちは")
    page.run("document.getElementById('text').dispatchEvent(new KeyboardEvent('keydown', arguments[0]))", TAKES_A_WORD)
    assert page.run("return document.getElementById('text').value") == "こんにちは"
    page.type("\ue007")
    page.until("document.querySelectorAll('#messages > .user').length === 1")


def test_earlier_messages_come_above_what_is_read(page: Browser, world: World) -> None:
    page.type("When do you ship?\ue007")
    page.until("document.querySelector('#messages > .user .sent, #messages > .user .delivered') !== null")
    world.drain()
    db.rows("update message set created_at = created_at - interval '2 days'")
    db.rows(
        """
        insert into message (conversation_id, chatbot_id, channel, role, content, status, created_at, revision)
        select id, chatbot_id, channel, 'agent', 'Message ' || number, 'SENT', now() - (200 - number) * interval '1 s', 1
        from conversation, generate_series(1, 190) as number
        """
    )
    page.driver.refresh()
    shown = "document.querySelectorAll('#messages > [data-id]')"
    for scrolled in (0, 300):
        page.until(f"{shown}.length")
        page.run("document.getElementById('log').scrollTop = arguments[0]", scrolled)
        read = page.run(f"window.read = {shown}[9]; return read.getBoundingClientRect().top")
        count = page.run(f"return {shown}.length")
        page.run("document.getElementById('older').click()")
        page.until(f"{shown}.length > arguments[0]", count)
        assert page.run("return window.read.getBoundingClientRect().top") == pytest.approx(read, abs=2)


def test_what_grows_below_the_end_leaves_a_reader_at_the_end(page: Browser) -> None:
    page.type("When do you ship?\ue007")
    page.until("document.querySelector('#messages > .user .sent, #messages > .user .delivered') !== null")
    page.scroll("log", 2_000, 2_000)
    for by, below, is_at_end in [(-10, 2_000, True), (10, 2_500, True), (-300, 2_500, False)]:
        page.scroll("log", by, below)
        assert page.run("return atEnd") is is_at_end


def test_a_page_says_that_its_network_is_gone_and_hears_what_came_meanwhile(page: Browser, world: World) -> None:
    page.type("When do you ship?\ue007")
    page.until("streaming && document.querySelector('#messages > .user .sent, #messages > .user .delivered') !== null")
    network(page, offline=True)
    page.until("document.getElementById('presence').textContent === 'Connecting again…'")
    world.drain()
    network(page)
    page.until("document.getElementById('presence').textContent === 'Here to help'")
    page.until("document.querySelectorAll('#messages > .assistant').length === 2")


def test_what_another_tab_has_sent_has_not_failed_here(page: Browser) -> None:
    network(page, offline=True)
    page.type("When do you ship?\ue007")
    page.until("document.querySelector('#messages > .failed') !== null")
    first, address = page.driver.current_window_handle, page.driver.current_url
    page.driver.switch_to.new_window("tab")
    page.open(address)
    page.until("document.querySelector('#messages > .user .sent, #messages > .user .delivered') !== null")
    page.driver.switch_to.window(first)
    network(page)
    page.until("document.querySelector('#messages > .failed') === null")
    page.until("document.querySelectorAll('#messages > .user').length === 1")
    assert db.scalar("select count(*) from job where queue = 'incoming-messages'") == 1


def test_what_was_written_without_a_network_is_sent_in_its_order_when_that_is_back(page: Browser) -> None:
    network(page, offline=True)
    page.type("When do you ship?\ue007")
    page.until("document.querySelectorAll('#messages > .failed').length === 1")
    page.type("To Norway?\ue007")
    page.until("document.querySelectorAll('#messages > .failed').length === 2")
    page.press("Try again")
    page.until("document.querySelectorAll('#messages > .failed').length === 2")
    network(page)
    page.until("document.querySelectorAll('#messages > .user .sent, #messages > .user .delivered').length === 2")
    assert page.texts(".failed") == []
    sent = db.rows("select payload ->> 'content' as content from job where queue = 'incoming-messages' order by id")
    assert [message["content"] for message in sent] == ["When do you ship?", "To Norway?"]


def test_what_could_not_be_sent_yesterday_is_sent_only_by_a_press(page: Browser) -> None:
    left = "{key: 'of-yesterday', content: 'When do you ship?', state: 'failed', waits: true, why: 'Not sent yet.', created_at}"
    page.run(f"const created_at = new Date(Date.now() - 25 * 3600_000).toISOString(); keep('outbox', [{left}])")
    page.driver.refresh()
    assert page.texts("#messages > .failed .meta") == ["Not sent.Try again"]
    page.press("Try again")
    page.until("document.querySelectorAll('#messages > .user .sent, #messages > .user .delivered').length === 1")


def test_a_size_is_written_as_the_pages_language_does(page: Browser) -> None:
    sizes = "document.documentElement.lang = arguments[0]; return [400, 90_000, 2_500_000].map(sizeOf)"
    assert page.run(sizes, "en") == ["1 kB", "90 kB", "2.5 MB"]
    assert page.run(sizes, "de") == ["1 kB", "90 kB", "2,5 MB"]


def test_what_the_visitor_writes_is_added_once_and_its_marks_are_not_read_out(page: Browser) -> None:
    added = "changes.flatMap(({ addedNodes }) => [...addedNodes])"
    note = f"new MutationObserver((changes) => window.added.push(...{added}))"
    page.run(f"window.added = []; {note}.observe(document.getElementById('messages'), {{ childList: true }})")
    page.type("When do you ship?\ue007")
    page.until("document.querySelector('#messages > .user .sent, #messages > .user .delivered') !== null")
    assert page.run("return added.map((element) => [element.isConnected, element.getAttribute('aria-live')])") == [[True, "off"]]
    page.run("Object.assign([...messages.values()][0], { status: 'FAILED' }); draw()")
    assert page.run("return added[0].getAttribute('aria-live')") is None, "that it failed is told"


def test_a_file_that_cannot_be_sent_says_why(page: Browser) -> None:
    page.run("attach([new File([], 'empty.txt')])")
    assert page.texts("#attached .size") == ["This file is empty"]
    page.run("attached = []; drawAttached()")
    db.rows("update chatbot set public_key = 'pk_' || repeat('0', 32)")
    page.run("attach([new File(['%PDF-1.4'], 'prices.pdf')])")
    page.until("document.querySelector('#attached .size').textContent !== 'Uploading…'")
    assert page.texts("#attached .size") == ["Not sent."], "its visitor is online"


@pytest.mark.parametrize(("name", "why"), [("folder", "A folder cannot be sent; choose its files"), ("file.txt", "")])
def test_a_folder_is_known_when_it_is_dropped(page: Browser, tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("Prices", encoding="utf-8")
    data = {"items": [], "files": [str(tmp_path / name)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.driver.execute_cdp_cmd("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 200, "data": data})
    page.until("attached.length === 1 && (attached[0].why || attached[0].file)")
    assert page.run("return attached[0].why ?? ''") == why
