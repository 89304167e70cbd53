"""Files of the business in a real browser: a person attaches and sends one at the desk, and the visitor sees it."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import pytest
import requests
from selenium.webdriver.common.by import By

from scripts.local.simulator.files import content
from shared import db
from shared.models import Media
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import person
from tests.integration.test_desk_browser import log_in
from tests.integration.test_who_may_answer import conversation
from tests.integration.widget_page import key_of
from tests.site import Site
from tests.waiting import until
from web.api import keys

pytestmark = [
    pytest.mark.usefixtures("own_folder"),
    pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}"),
]

#: Puts a file into a drop, or what is pasted.
_BRINGS = """
    const [kind, target, size] = arguments;
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(size)], 'dropped.png', {type: 'image/png'}));
    const event = kind === 'paste' ? new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true})
        : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true});
    document.querySelector(target).dispatchEvent(event);
"""
#: A picture as a telephone takes it, in base64.
#: As when a picture has loaded. Returns whether the end of the conversation is in view.
_LOADS = """
    const box = document.getElementById("bubbles");
    box.dispatchEvent(new Event("load"));
    return box.scrollHeight - box.scrollTop - box.clientHeight < 2;
"""
_LARGE = """
    const canvas = Object.assign(document.createElement('canvas'), {width: 1600, height: 1200});
    canvas.getContext('2d').fillRect(0, 0, 1600, 1200);
    return canvas.toDataURL('image/png').split(',')[1];
"""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "price list.png"
    path.write_bytes(content("visitor.png")[1])
    return path


@pytest.fixture
def emma(browser: Browser, site: Site, world: World) -> Browser:
    """At a conversation, with its page open."""
    world.say()
    world.drain()
    browser.driver.set_window_size(1440, 900)
    log_in(browser, site, person("agent", world.customer, "Emma"))
    browser.open(f"{site.url}/desk/c/{world.customer}/conversations/{conversation()['id']}")
    return browser


def choose(browser: Browser, path: Path) -> None:
    browser.driver.find_element(By.ID, "file").send_keys(str(path))
    browser.until("!document.getElementById('attached').hidden")


def attached(browser: Browser) -> str:
    return " ".join(browser.texts("#attached span"))


def test_a_chosen_picture_is_sent_with_its_caption(emma: Browser, world: World, picture: Path) -> None:
    emma.run("window.here = true")
    choose(emma, picture)
    assert attached(emma).startswith("price list.png ")
    assert emma.run("return document.activeElement.id") == "reply", "who has chosen it writes next"
    emma.type("Our prices\n")
    emma.until("document.querySelector('.bubble.person img.picture')?.complete")
    assert emma.run("return window.here"), "the page stays"
    assert emma.run("return document.getElementById('attached').hidden && !document.getElementById('reply').value")
    world.drain()
    [sent] = [message for message in world.messages(role="assistant") if message["kind"] == "media"]
    assert (sent["content"], sent["status"], sent["metadata"]["author"]) == ("Our prices", "SENT", "Emma")
    emma.type("And a text\n")
    emma.until("document.body.textContent.includes('And a text') && document.readyState === 'complete'")
    assert sorted(one["content"] for one in world.messages(role="assistant"))[0] == "And a text"


def test_a_picture_that_was_opened_is_not_behind_the_log_in(emma: Browser, site: Site, world: World, picture: Path) -> None:
    choose(emma, picture)
    emma.type("Our prices\n")
    emma.until("document.querySelector('.bubble.person img.picture')?.complete")
    emma.open(emma.run("return document.querySelector('img.picture').src"))
    assert emma.run("return document.images.length"), "it is a page of its own now"
    emma.open(f"{site.url}/desk/c/{world.customer}/inbox")
    emma.run("document.querySelector('form[action$=\"/logout\"]').requestSubmit()")
    emma.until("document.querySelector('#email')")
    emma.driver.back()
    emma.until("document.querySelector('#email')")
    emma.driver.back()
    emma.until("document.querySelector('#email')")


def test_a_large_picture_is_shown_small_and_whole(emma: Browser, world: World, tmp_path: Path) -> None:
    world.say("Which one is it?\n" * 40)
    world.drain()
    emma.driver.refresh()
    emma.until("document.querySelectorAll('.bubble').length >= 4")
    (tmp_path / "pot.png").write_bytes(b64decode(emma.run(_LARGE)))
    choose(emma, tmp_path / "pot.png")
    emma.press("Send")
    emma.until("document.querySelector('.bubble.person img.picture')?.complete")
    emma.until("(box => box.scrollHeight - box.scrollTop - box.clientHeight < 2)(document.getElementById('bubbles'))")
    assert emma.run("return document.querySelector('.bubble.person').offsetWidth") <= 344, "as wide as what it shows"


def test_a_picture_that_grows_before_it_has_loaded_is_scrolled_to(emma: Browser) -> None:
    for by, below, is_at_end in [(2_000, 2_000, True), (-10, 2_000, True), (10, 2_500, True), (-300, 2_500, False)]:
        emma.scroll("bubbles", by, below)
        assert emma.run(_LOADS) is is_at_end


def test_it_is_taken_back_and_a_note_takes_none(emma: Browser, picture: Path) -> None:
    choose(emma, picture)
    assert not emma.run("return document.getElementById('reply').required"), "it needs no words"
    emma.click(By.CSS_SELECTOR, "#attached button")
    assert emma.run("return document.getElementById('attached').hidden && document.getElementById('reply').required")
    choose(emma, picture)
    emma.run("document.querySelector('[name=kind][value=note]').click()")
    assert not emma.shown("#attached")
    assert emma.run("return document.getElementById('reply').required && document.getElementById('file').disabled")
    emma.run("document.querySelector('[name=kind][value=message]').click()")
    assert emma.shown("#attached"), "it is still there"


def test_one_is_dropped_and_one_is_pasted(emma: Browser) -> None:
    emma.run(_BRINGS, "dragover", "#bubbles", 10)
    assert emma.run("return document.querySelector('.thread').classList.contains('is-target')")
    emma.run(_BRINGS, "drop", "#bubbles", 10)
    assert attached(emma).startswith("dropped.png")
    emma.click(By.CSS_SELECTOR, "#attached button")
    emma.run(_BRINGS, "paste", "#reply", 10)
    assert attached(emma).startswith("dropped.png")


def test_what_cannot_be_sent_says_so_and_loses_no_words(emma: Browser, world: World, picture: Path) -> None:
    emma.run(_BRINGS, "drop", "#bubbles", 11 * 1024 * 1024)
    assert attached(emma) == "dropped.png Too large: 10 MB at most"
    emma.type("Look")
    emma.run(_BRINGS, "drop", "#bubbles", 10)  # no picture, by its bytes
    emma.press("Send")
    emma.until("document.getElementById('attached').textContent.includes('This kind of file cannot be sent.')")
    assert emma.run("return document.getElementById('reply').value") == "Look"
    emma.click(By.CSS_SELECTOR, "#attached button")
    choose(emma, picture)
    emma.driver.set_network_conditions(offline=True, latency=0, throughput=0)
    emma.press("Send")
    emma.until("document.getElementById('attached').textContent.includes('Not sent. Try again.')")
    emma.driver.set_network_conditions(offline=False, latency=0, throughput=-1)
    emma.until("navigator.onLine")
    emma.press("Send")
    emma.until("document.querySelector('.bubble.person img.picture')?.complete")
    assert len(db.rows(Media.select())) == 1
    assert [message["content"] for message in world.messages(role="assistant")][1:] == ["Look"]


def upload_slowly(browser: Browser, site: Site) -> None:
    """From now on a file of megabytes takes minutes, and the front door waits a second for it."""
    site.front.request_seconds = 1.0
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 20_000}
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", slow)


def test_a_slow_connection_is_said_to_be_the_reason(emma: Browser, site: Site) -> None:
    emma.run(_BRINGS, "drop", "#bubbles", 5 * 1024 * 1024)
    upload_slowly(emma, site)
    emma.press("Send")
    emma.until("document.getElementById('attached').textContent.includes('too slow for this file')")
    assert emma.run("return document.getElementById('file').files.length") == 1


def test_a_visitor_is_told_that_the_connection_is_too_slow_for_a_file(browser: Browser, site: Site, world: World) -> None:
    browser.open(f"{site.url}/widget/{key_of(world.chatbot)}")
    browser.until("document.readyState === 'complete'")
    browser.run("return visitorToken()")
    upload_slowly(browser, site)
    browser.run(_BRINGS, "paste", "#text", 5 * 1024 * 1024)
    browser.until("document.getElementById('attached').textContent.includes('too slow for this file')")


def test_the_visitor_sees_the_picture_live_and_after_a_reload(browser: Browser, site: Site, world: World, picture: Path) -> None:
    browser.open(f"{site.url}/widget/{key_of(world.chatbot)}")
    browser.run("document.getElementById('text').focus()")
    browser.type("What does it cost?\n")
    until(lambda: world.jobs(), "the question has arrived")
    world.drain()
    key = {"Authorization": f"Bearer {keys.create(world.customer, 'test')}"}
    url = f"{site.url}/api/v1/conversations/{conversation()['id']}/messages"
    with picture.open("rb") as file:
        sent = requests.post(url, files={"file": file}, data={"content": "Our *prices*"}, headers=key, timeout=60)
    assert sent.status_code == 202, sent.text
    world.drain()
    shown = "document.querySelector('#messages .assistant .picture img')?.naturalWidth > 0"
    browser.until(shown)
    assert any("Our prices" in text for text in browser.texts("#messages .assistant .bubble"))
    browser.open(browser.driver.current_url)
    browser.until(shown)
