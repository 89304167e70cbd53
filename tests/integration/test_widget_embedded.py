"""The widget in other people's pages: their style sheets, policies and ways to load a page do not take the chat away."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared import db
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.widget_page import key_of
from tests.site import serving
from tests.waiting import until
from web.app import create_app

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

CHAT = "document.querySelector('switchboard-chat')"
LAUNCHER = f"{CHAT}?.shadowRoot?.querySelector('button')"
FRAME = f"{CHAT}?.shadowRoot?.querySelector('iframe')"
PROBLEM = f"{CHAT}.shadowRoot.querySelector('.problem')"
#: What a press in the middle of the launcher meets.
IS_PRESSED = f"""(() => {{
    const {{ x, y, width, height }} = {LAUNCHER}.getBoundingClientRect();
    return width > 0 && document.elementFromPoint(x + width / 2, y + height / 2) === {CHAT};
}})()"""


class Shop:
    """A business's site on another origin; its pages, by their paths, and the headers of all."""

    def __init__(self, chat: str, key: str) -> None:
        self.chat, self.tag = chat, f'<script src="{chat}/widget.js" data-chatbot="{key}" async></script>'
        self.pages: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.url = ""

    def page(self, head: str = "", body: str = "", tag: str = "") -> str:
        """The address of a page with the chat's one line."""
        path = f"/{len(self.pages)}"
        viewport = '<meta name="viewport" content="width=device-width">'
        self.pages[path] = f"<!doctype html>{viewport}<title>Shop</title>{head}<h1>Teahouse</h1>{body}{tag or self.tag}"
        return self.url + path


@pytest.fixture
def shop(world: World) -> Iterator[Shop]:
    with serving(create_app()) as site:
        shop = Shop(site.url, key_of(world.chatbot))

        class Pages(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if self.path in shop.pages else 404)
                for name, value in {"Content-Type": "text/html", **shop.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(shop.pages.get(self.path, "").encode())

            def log_message(self, *_: object) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shop.url = f"http://127.0.0.1:{server.server_port}"
        db.rows("update chatbot set allowed_origins = %s where id = %s", [[shop.url], world.chatbot])
        yield shop
        server.shutdown()
        server.server_close()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with browsers.chromium(tmp_path / "profile") as running:
        yield running


def opens(browser: Browser) -> None:
    """Presses the launcher, and waits until the visitor may write."""
    browser.until(LAUNCHER)
    browser.run(f"{LAUNCHER}.click()")
    browser.until(f"{LAUNCHER}.matches('.open')")
    browser.frame_in_shadow("switchboard-chat")
    browser.until("document.activeElement?.id === 'text'")
    browser.leave_frames()


STYLES = {
    "everything is unset": "* { all: unset }",
    "nothing undefined is seen": ":not(:defined) { visibility: hidden }",
    "nothing undefined is there": ":not(:defined) { display: none }",
    "a bar is before all else": "body > * { position: relative; z-index: 1 } body > h1 { position: fixed; inset: 0; z-index: 2 }",
    "everything moves": "body > * { transform: translateZ(0); filter: grayscale(1); will-change: transform; contain: paint }",
    "nothing is pressed": "body, body * { pointer-events: none }",
}


@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_a_pages_styles_do_not_reach_the_button(browser: Browser, shop: Shop, style: str) -> None:
    browser.open(shop.page(f"<style>{style}</style>"))
    browser.until(LAUNCHER)
    assert browser.run(f"return {IS_PRESSED}")
    assert browser.run(
        f"const {{ right, bottom }} = {LAUNCHER}.getBoundingClientRect(); return [innerWidth - right, innerHeight - bottom]"
    ) == [20, 20]
    assert browser.run(f"return {LAUNCHER}.checkVisibility({{ visibilityProperty: true }})")


def test_a_page_may_hide_the_chat(browser: Browser, shop: Shop) -> None:
    browser.open(shop.page("<style>switchboard-chat { display: none }</style>"))
    browser.until(LAUNCHER)
    assert not browser.run(f"return {LAUNCHER}.checkVisibility()")


@pytest.mark.parametrize("how", ["async", "defer", 'type="module"', ""])
def test_a_tag_may_load_the_script_as_it_likes(browser: Browser, shop: Shop, how: str) -> None:
    browser.open(shop.page(tag=shop.tag.replace(" async>", f" {how}>")))
    opens(browser)


#: As Turbo and htmx show the next page; the third is Turbo's copy of a page that it has kept.
NEXT = {
    "another body": "const next = document.createElement('body'); next.append('Next'); document.body.replaceWith(next)",
    "another content": "document.body.innerHTML = '<h1>Next</h1>'",
    "a copy": "document.body.replaceWith(document.body.cloneNode(true))",
}


@pytest.mark.parametrize("change", NEXT.values(), ids=NEXT)
def test_the_chat_goes_on_where_a_page_loads_the_next_one_into_itself(browser: Browser, shop: Shop, change: str) -> None:
    browser.open(shop.page())
    opens(browser)
    browser.type("Do you ship")
    browser.run(change)
    browser.until(f"{LAUNCHER}?.matches('.open')")
    assert browser.run("return document.querySelectorAll('switchboard-chat').length") == 1
    browser.frame_in_shadow("switchboard-chat")
    browser.until("document.getElementById('text')?.value === 'Do you ship'")


def test_who_removes_the_chat_has_none_until_the_script_comes_again(browser: Browser, shop: Shop) -> None:
    address = shop.page()
    browser.open(address)
    opens(browser)
    browser.run(f"{CHAT}.remove()")
    again = "const { src, dataset } = document.querySelector('script'); const tag = document.createElement('script');"
    browser.driver.execute_async_script(
        f"{again} tag.onload = arguments[0]; Object.assign(tag.dataset, dataset); tag.src = src; document.body.append(tag)"
    )
    assert browser.run(f"return {CHAT}.isConnected && !{FRAME}"), "one that nobody has opened"
    opens(browser)


def test_a_page_that_is_isolated_from_others_shows_the_chat(browser: Browser, shop: Shop) -> None:
    shop.headers = {"Cross-Origin-Embedder-Policy": "require-corp", "Cross-Origin-Opener-Policy": "same-origin"}
    browser.open(shop.page())
    opens(browser)


def test_the_policy_that_the_readme_names_is_enough_and_a_lack_is_told(browser: Browser, shop: Shop, root: Path) -> None:
    named = "script-src https://switchboard.example; frame-src https://switchboard.example"
    assert named in (root / "web/README.md").read_text(encoding="utf-8")
    policy = f"default-src 'none'; require-trusted-types-for 'script'; {named.replace('https://switchboard.example', shop.chat)}"
    shop.headers = {"Content-Security-Policy": policy}
    browser.open(shop.page())
    opens(browser)
    shop.headers = {"Content-Security-Policy": f"default-src 'none'; script-src {shop.chat}"}
    browser.open(shop.page())
    browser.until(LAUNCHER)
    browser.run(f"{LAUNCHER}.click()")
    lines: list[str] = []
    until(lambda: lines.extend(browser.log()) or any(f"Add to it: frame-src {shop.chat}" in line for line in lines))


def test_a_frame_that_stays_empty_covers_no_phone(browser: Browser, shop: Shop, world: World) -> None:
    db.rows("update chatbot set allowed_origins = '{}' where id = %s", [world.chatbot])
    browser.driver.set_window_size(390, 800)
    browser.open(shop.page())
    browser.until(LAUNCHER)
    browser.run(f"{LAUNCHER}.click()")
    assert browser.run(f"return {IS_PRESSED}"), "it can be closed"
    browser.until(f"!{PROBLEM}.hidden && !{FRAME}")
    assert browser.run(f"return {PROBLEM}.textContent") == "The chat cannot be opened here right now. Please try again later."
    db.rows("update chatbot set allowed_origins = %s where id = %s", [[shop.url], world.chatbot])
    opens(browser)
    assert browser.run(f"return {PROBLEM}.hidden && !{LAUNCHER}.checkVisibility()")


def test_on_a_phone_the_chat_ends_above_the_keyboard(browser: Browser, shop: Shop) -> None:
    browser.driver.set_window_size(390, 800)
    browser.open(shop.page(body="<p>Tea</p>" * 100))
    opens(browser)
    area = f"const {{ top, height }} = {FRAME}.getBoundingClientRect(); return [top, height]"
    whole = browser.run(area)
    browser.run(  # no browser without a screen has such a keyboard
        """
        Object.defineProperty(visualViewport, "height", { value: 400, configurable: true });
        Object.defineProperty(visualViewport, "offsetTop", { value: 60, configurable: true });
        visualViewport.dispatchEvent(new Event("resize"));
        """
    )
    assert browser.run(area) == [60, 400]
    browser.run(
        "delete visualViewport.height; delete visualViewport.offsetTop; visualViewport.dispatchEvent(new Event('resize'))"
    )
    assert browser.run(area) == whole


def test_escape_closes_and_the_chat_is_not_printed(browser: Browser, shop: Shop) -> None:
    browser.open(shop.page())
    opens(browser)
    browser.run(f"{LAUNCHER}.focus()")
    browser.type("\ue00c")  # Escape
    browser.until(f"{FRAME}.hidden && {LAUNCHER}.getAttribute('aria-expanded') === 'false'")
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not browser.run(f"return {LAUNCHER}.checkVisibility()")


def test_who_does_not_see_the_number_on_the_button_hears_of_it(browser: Browser, shop: Shop) -> None:
    browser.open(shop.page())
    opens(browser)
    browser.run(f"{LAUNCHER}.click()")
    browser.frame_in_shadow("switchboard-chat")
    browser.until("!open")
    browser.run("arrived()")
    browser.leave_frames()
    browser.until(f"{CHAT}.shadowRoot.querySelector('[role=status]').textContent === 'Chat with us, 1 unread'")
