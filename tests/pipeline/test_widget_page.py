"""A visitor in a real browser: the page, the web process, the workers, and the simulated AI behind them."""

from __future__ import annotations

import functools
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import db
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.pipeline.processes import front_door, status
from tests.waiting import until

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

NEWEST = "[...document.querySelectorAll('#messages > .assistant .bubble')].at(-1).innerText"
TYPING = "document.getElementById('typing').checkVisibility()"


class Site:
    """The web process and the workers behind it."""

    def __init__(self, url: str, manager: ProcessManager, key: str) -> None:
        self.url, self.manager, self.key = url, manager, key

    @property
    def page(self) -> str:
        """The widget's address."""
        return f"{self.url}/widget/{self.key}"


@contextmanager
def serving(world: World, **settings: str) -> Iterator[Site]:
    """The front door of a small system, under these settings."""
    key = db.scalar("update chatbot set name = 'Emma' where id = %s returning public_key", [world.chatbot])
    with front_door("worker", **settings) as (url, processes):
        yield Site(url, processes, str(key))


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with serving(world) as running:
        yield running


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Without what phones of 2023 do not have: visitors choose their browser, not we."""
    older = {"source": "delete AbortSignal.any"}
    with browsers.chromium(tmp_path / "profile") as running:
        running.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", older)
        yield running


def say(browser: Browser, text: str) -> None:
    browser.run("document.getElementById('text').focus()")
    browser.type(text + "\ue007")  # Enter


def test_a_visitor_asks_sees_the_ai_at_work_is_answered_and_comes_back(
    browser: Browser, site: Site, simulator: Simulator
) -> None:
    simulator.faults([{"kind": "ai", "fault": "hold"}])
    browser.open(site.page)
    assert browser.texts("#messages .bubble") == ["Emma: Hello! How can we help you?"]
    say(browser, "When do you ship?")
    named = "document.getElementById('typing-text').textContent === 'Emma is typing'"
    browser.until(f"{TYPING} && {named} && document.querySelector('.user .delivered')")
    simulator.clear_faults()
    browser.until(f"{NEWEST}.includes('within two days')")
    assert not browser.run(f"return {TYPING}")
    assert browser.log() == [], "nothing in the console"
    browser.open(site.page)
    browser.until("document.querySelectorAll('#messages .bubble').length === 3")
    assert browser.texts("#messages .bubble")[1:] == [
        "You: When do you ship?",
        "Emma: Thanks for asking! We ship within two days.",
    ]
    title, url = "Returns <b>& refunds</b>", "https://shop.example/returns?a=1&b=2"
    db.rows("update knowledge_item set title = %s, url = %s where title = 'Returns'", [title, url])
    say(browser, "Can I return it?")
    browser.until(f"{NEWEST}.includes('thirty days')")
    link = "const link = document.querySelector('#messages > .assistant:last-child .bubble + .sources a');"
    members = "[link.textContent, link.href, link.target, link.rel, link.matches(':focus-visible')]"
    for _ in range(2):  # as it comes by the stream, and after a reload
        browser.until("document.querySelector('.sources a')")
        seen = browser.run(f"{link} link.focus(); return {members}")
        assert seen == [title, url, "_blank", "noopener noreferrer nofollow", True]
        assert len(browser.texts(".sources a")) == 1, "the answer without a source has no links"
        browser.open(site.page)


CHIPS = "#messages > :last-child .choices button"


def offer(*titles: str) -> None:
    """A reply with choices, in the only conversation."""
    choices = [{"id": title, "title": title} for title in titles]
    db.rows(
        "insert into message (conversation_id, chatbot_id, channel, role, content, status, data)"
        " select id, chatbot_id, channel, 'assistant', 'What is it about?', 'SENT', %s::jsonb from conversation",
        [json.dumps({"choices": choices})],
    )


def test_choices_are_chips_that_say_their_title_once(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    say(browser, "When do you ship?")
    browser.until(f"{NEWEST}.includes('within two days')")
    offer("Delivery", "<b>Return</b>", "A person")
    browser.until(f"document.querySelectorAll({CHIPS!r}).length === 3")
    assert browser.texts(CHIPS) == ["Delivery", "<b>Return</b>", "A person"]
    group = "const group = document.querySelector('.choices'); return [group.role, group.ariaLabel]"
    assert browser.run(group) == ["group", "Answers to choose from"]
    browser.open(site.page)  # they are still there
    browser.until(f"document.querySelectorAll({CHIPS!r}).length === 3")
    browser.run(f"document.querySelectorAll({CHIPS!r})[1].focus()")
    assert browser.run(f"return document.activeElement.matches({CHIPS!r})"), "by keyboard"
    browser.type("\ue007")  # Enter
    browser.until("[...document.querySelectorAll('#messages > .user .bubble')].at(-1).innerText.includes('<b>Return</b>')")
    assert not browser.shown(".choices"), "they are answered"
    assert browser.run("return document.activeElement.id") == "text"
    until(
        lambda: (
            db.scalar("select data -> 'choice' ->> 'id' from message where role = 'user' order by id desc limit 1") is not None
        )
    )
    assert browser.log() == [], "nothing in the console"


ANSWER = "Thanks for asking! We ship within two days."
DRAFT = "document.querySelector('#messages > .assistant.draft')"


def test_a_reply_grows_in_the_bubble_that_it_stays_in(browser: Browser, site: Site, simulator: Simulator) -> None:
    pace = {"kind": "ai", "fault": "pace", "ms": 1_500}
    simulator.faults([pace, {"kind": "ai", "fault": "cut", "by": "reset", "times": 1}])
    browser.open(site.page)
    say(browser, "When do you ship?")
    # Words are better than dots, and it is read out once, when it is whole.
    browser.until(f"{DRAFT} && !{TYPING} && {DRAFT}.ariaLive === 'off' && {DRAFT}.ariaBusy === 'true'")
    browser.until(f"{NEWEST}.split(' ').length >= 3")
    browser.open(site.page)  # and it goes on there, also when the provider is asked again
    until(lambda: len(simulator.record("ai")) == 2)
    browser.until(f"(window.growing = {DRAFT})")
    simulator.clear_faults()
    browser.until(f"!{DRAFT} && {NEWEST}.endsWith({ANSWER!r})")
    newest = "[...document.querySelectorAll('#messages > .assistant')].at(-1)"
    assert browser.run(f"return [window.growing === {newest}, {newest}.ariaLive, {newest}.ariaBusy]") == [True, None, None]
    assert browser.texts("#messages .bubble")[1:] == ["You: When do you ship?", f"Emma: {ANSWER}"]
    assert browser.log() == [], "nothing in the console"


def test_a_message_that_cannot_be_sent_is_sent_again_by_hand_and_once(browser: Browser, site: Site, world: World) -> None:
    browser.open(site.page)
    browser.run(
        "const real = fetch; window.fetch = (url, options) => window.down && options.method === 'POST'"
        " ? Promise.reject(new TypeError('offline')) : real(url, options); window.down = true"
    )
    say(browser, "When do you ship?")
    browser.until("document.querySelector('.failed.user button')?.innerText === 'Try again'")
    browser.open(site.page)
    browser.until("document.querySelector('.failed.user button')")  # kept on the device
    browser.run("document.querySelector('.failed.user button').click()")
    browser.until(f"{NEWEST}.includes('within two days')")
    assert not browser.shown(".failed")
    assert len(world.messages(role="user")) == 1


def test_the_page_stays_live_when_the_web_process_is_replaced(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    say(browser, "When do you ship?")
    browser.until(f"{NEWEST}.includes('within two days')")
    before = set(site.manager.pids("web"))
    site.manager.terminate("web")
    until(lambda: not before & set(site.manager.pids("web")))
    until(lambda: status(site.page) == 200)
    say(browser, "Can I return it?")
    browser.until(f"{NEWEST}.includes('thirty days')")
    assert not browser.shown(".failed")


def test_a_page_without_a_stream_polls(browser: Browser, world: World) -> None:
    with serving(world, WIDGET_MAX_STREAMS="1") as site:
        api = f"{site.url}/api/v1/chatbots/{site.key}"
        token = requests.post(f"{api}/sessions", timeout=60).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        with requests.get(f"{api}/events", headers=bearer, stream=True, timeout=60) as taken:
            assert taken.ok
            browser.open(site.page)
            say(browser, "When do you ship?")
            browser.until(f"{NEWEST}.includes('within two days')")


def test_a_page_renews_its_token_and_goes_on_without_one(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    say(browser, "When do you ship?")
    browser.until(f"{NEWEST}.includes('within two days')")
    item = f"switchboard:{site.key}"
    first = browser.run("return JSON.parse(localStorage.getItem(arguments[0] + ':token'))", item)
    time.sleep(1.1)  # a token's time has seconds
    browser.run("localStorage.removeItem(arguments[0] + ':renewed')", item)
    browser.open(site.page)
    browser.until(f"{NEWEST}.includes('within two days')")
    second = browser.run("return JSON.parse(localStorage.getItem(arguments[0] + ':token'))", item)
    assert second != first, "a new token"
    assert second.split(".")[0] == first.split(".")[0], "of the same visitor"
    browser.run("localStorage.setItem(arguments[0] + ':token', JSON.stringify(arguments[1]))", item, second[:-1] + "!")
    browser.open(site.page)
    say(browser, "Can I return it?")
    browser.until(f"{NEWEST}.includes('thirty days')")
    assert not browser.shown(".failed")


@contextmanager
def another_tab(browser: Browser, url: str) -> Iterator[None]:
    """A second page of the same browser; afterwards the first one again."""
    first = browser.driver.current_window_handle
    browser.driver.switch_to.new_window("tab")
    browser.open(url)
    yield
    browser.driver.switch_to.window(first)


def test_two_tabs_are_one_visitor(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    with another_tab(browser, site.page):
        say(browser, "When do you ship?")
        browser.until(f"{NEWEST}.includes('within two days')")
    browser.until(f"{NEWEST}.includes('within two days')")
    say(browser, "Can I return it?")
    browser.until(f"{NEWEST}.includes('thirty days')")
    assert db.scalar("select count(*) from conversation") == 1


def test_what_two_tabs_could_not_send_is_kept_of_both(browser: Browser, site: Site) -> None:
    offline = "window.fetch = () => Promise.reject(new TypeError('offline'))"
    browser.open(site.page)
    with another_tab(browser, site.page):
        browser.run(offline)
        say(browser, "Can I return it?")
        browser.until("document.querySelector('.failed')")
    browser.run(offline)
    say(browser, "When do you ship?")
    browser.until("document.querySelector('.failed')")
    kept = browser.run("return JSON.parse(localStorage.getItem(arguments[0] + ':outbox'))", f"switchboard:{site.key}")
    assert sorted(item["content"] for item in kept) == ["Can I return it?", "When do you ship?"]


def test_a_browser_that_forbids_storage_has_a_chat_as_long_as_the_page(browser: Browser, site: Site) -> None:
    browser.open(site.page)
    browser.run(
        "const forbid = () => { throw new DOMException('denied', 'SecurityError') };"
        "Object.assign(Storage.prototype, {getItem: forbid, setItem: forbid, removeItem: forbid});"
        "Object.defineProperty(navigator, 'locks', {value: {request: async () => forbid()}});"
    )
    say(browser, "When do you ship?")
    browser.until(f"{NEWEST}.includes('within two days')")
    say(browser, "Can I return it?")
    browser.until(f"{NEWEST}.includes('thirty days')")


#: What would run a script if a page took it for more than text.
HOSTILE = """</script>"'><img src=x onerror="document.title='owned'"><svg onload="document.title='owned'"> javascript:alert(1)"""


def test_nobodys_words_are_more_than_text(browser: Browser, site: Site, world: World, simulator: Simulator) -> None:
    completion = {"choices": [{"message": {"content": f'{HOSTILE} http://x.example/"onmouseover=alert(1)'}}]}
    simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": completion}])
    db.rows("update chatbot set name = %s where id = %s", [HOSTILE, world.chatbot])
    browser.open(site.page)
    say(browser, HOSTILE)
    browser.until(f"{NEWEST}.includes('x.example')")
    assert HOSTILE in browser.texts("#messages .user .bubble")[0]
    assert HOSTILE in browser.run(f"return {NEWEST}")
    assert "owned" not in browser.run("return document.title").replace(HOSTILE, "")
    assert (
        browser.run("return document.querySelectorAll('img, [onerror], [onload], [onmouseover], script:not([src])').length") == 0
    )
    assert browser.log() == [], "not even the policy was needed"


#: Marks, and what would be more than that in a page which took it for HTML; whole, and at any word of it.
MARKED = """We **ship** within *two days* [see](https://shop.example/a_b?c=1&d=2):

- `<b>` <img src=x onerror="document.title='owned'">
- [bad](javascript:document.title='owned') <javascript:alert(1)>

```
<script>document.title = "owned"</script>
```

End **of <svg/onload=document.title='owned'> it**"""


#: Keeps the marks that a draft showed at some time: the next look may come when it is a draft no more.
_KEEP_MARKS = f"""
    window.marks = new Set();
    const texts = {{"strong": "ship", "pre code": "document.title"}};
    new MutationObserver(() => {{
        for (const [mark, text] of Object.entries(texts))
            if ({DRAFT}?.querySelector(`.formatted ${{mark}}`)?.innerText.includes(text)) window.marks.add(mark);
    }}).observe(document.body, {{subtree: true, childList: true, characterData: true}});
"""


def test_a_reply_shows_its_marks_while_it_is_written_and_afterwards(browser: Browser, site: Site, simulator: Simulator) -> None:
    db.rows("update knowledge_item set content = %s where title = 'Shipping'", [MARKED])
    simulator.faults([{"kind": "ai", "fault": "pace", "ms": 250}])
    browser.open(site.page)
    browser.run(_KEEP_MARKS)
    say(browser, "When do you ship?")
    browser.until("window.marks.has('strong') && window.marks.has('pre code')")
    bubble = "document.querySelector('#messages > .assistant:last-child:not(.draft) .bubble')"
    browser.until(f"{bubble}?.innerText.trim().endsWith('it')")
    for _ in range(2):  # as it comes, and after a reload
        tags = browser.run(f"return [...{bubble}.querySelectorAll('*')].map(one => one.localName).join(' ')")
        assert tags == "span p strong em a ul li code li pre code p strong"
        link = browser.run(f"const a = {bubble}.querySelector('a'); return [a.innerText, a.href, a.target, a.rel]")
        assert link == ["see", "https://shop.example/a_b?c=1&d=2", "_blank", "noopener noreferrer nofollow"]
        assert "javascript:document.title='owned'" in browser.run(f"return {bubble}.innerText")
        assert "owned" not in browser.run("return document.title")
        assert browser.log() == [], "not even the policy was needed"
        browser.open(site.page)
        browser.until(f"{bubble}?.querySelector('pre')")


@pytest.fixture
def shop(tmp_path: Path, site: Site, world: World) -> Iterator[str]:
    """A business's page on another origin, which embeds the chat by its one line and forbids everything else."""
    policy = f"default-src 'none'; script-src {site.url}; frame-src {site.url}; require-trusted-types-for 'script'"
    csp = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    tag = f'<script src="{site.url}/widget.js" data-chatbot="{site.key}" data-color="#0b7a75" async></script>'
    (tmp_path / "index.html").write_text(f"<!doctype html>{csp}<title>Shop</title><h1>Teahouse</h1>{tag}", encoding="utf-8")
    handler = functools.partial(Quiet, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


LAUNCHER = "document.querySelector('switchboard-chat')?.shadowRoot.querySelector('button')"
FRAME = "document.querySelector('switchboard-chat').shadowRoot.querySelector('iframe')"


def test_a_business_embeds_it_by_one_line(browser: Browser, site: Site, world: World, shop: str) -> None:
    db.rows("update chatbot set allowed_origins = %s where id = %s", [[shop], world.chatbot])
    browser.open(shop)
    browser.until(LAUNCHER)
    assert browser.run(f"return {LAUNCHER}.getAttribute('aria-label')") == "Chat with us"
    assert browser.run(f"return {FRAME}") is None, "who never opens it costs nothing"
    browser.run(f"{LAUNCHER}.click()")
    browser.frame_in_shadow("switchboard-chat")
    browser.until("document.activeElement.id === 'text'")
    say(browser, "When do you ship?")
    browser.until(f"{NEWEST}.includes('within two days')")
    browser.type("\ue00c")  # Escape
    browser.leave_frames()
    browser.until(f"{FRAME}.hidden && {LAUNCHER}.getAttribute('aria-expanded') === 'false'")
    browser.driver.set_window_size(800, 400)  # a phone that lies on its side
    browser.run(f"{LAUNCHER}.click()")
    browser.until(f"{FRAME}.getBoundingClientRect().height === innerHeight")
    assert not any("postMessage" in line for line in browser.log()), "the launcher speaks to a page that is there"


def test_a_site_that_is_not_listed_cannot_frame_it(browser: Browser, site: Site, shop: str) -> None:
    browser.open(shop)
    browser.until(LAUNCHER)
    browser.run(f"{LAUNCHER}.click()")
    browser.frame_in_shadow("switchboard-chat")
    browser.until("!document.getElementById('form')")
    assert not browser.run("return document.getElementById('log')"), "nothing of the chat is there"
    browser.leave_frames()
    lines: list[str] = []
    until(lambda: lines.extend(browser.log()) or any("add it: at the desk" in line for line in lines))
    assert any("frame-ancestors" in line for line in lines), lines
