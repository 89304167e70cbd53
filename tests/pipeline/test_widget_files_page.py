"""A visitor sends pictures and files in a real browser: by the button, pasted, dropped; and they are there after a reload."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from scripts.local.simulator.files import content
from shared import db
from tests import browser as browsers
from tests.browser import Browser
from tests.pipeline.test_widget_page import Site, browser, site  # noqa: F401 - fixtures

pytestmark = pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")

#: Gives the page a file as a person does: `how` is paste or drop.
_GIVE = """
    const data = new DataTransfer();
    data.items.add(new File([arguments[1]], arguments[2], { type: arguments[3] }));
    const on = arguments[0] === "paste" ? document.getElementById("text") : document.body;
    const about = { bubbles: true, cancelable: true };
    on.dispatchEvent(arguments[0] === "paste"
        ? new ClipboardEvent("paste", { clipboardData: data, ...about })
        : new DragEvent("drop", { dataTransfer: data, ...about }));
"""
PICTURE = "document.querySelector('.user .picture img')?.naturalWidth"


def test_a_visitor_sends_files_and_sees_them_again(site: Site, browser: Browser, tmp_path: Path) -> None:  # noqa: F811
    photo = tmp_path / "broken cup.png"
    photo.write_bytes(content("cup.png")[1])
    browser.open(site.page)
    browser.driver.find_element(By.ID, "file").send_keys(str(photo))
    browser.until("document.querySelector('#attached .size')?.textContent.includes('kB')")
    browser.run(_GIVE, "paste", "a line of text", "note.txt", "text/plain")
    browser.run(_GIVE, "drop", "\u0000\u0001\u0002", "program.exe", "application/octet-stream")
    browser.until("document.querySelector('#attached li.bad')")
    assert browser.texts("#attached .name") == ["broken cup.png", "note.txt", "program.exe"]
    browser.run("document.getElementById('text').focus()")
    browser.type("Can I return this?")
    assert browser.run("return document.getElementById('send').disabled"), "one of the files cannot be sent"
    browser.run("document.querySelector('#attached li.bad button').click()")  # it may be drawn anew
    browser.until("document.querySelectorAll('#attached li').length === 2 && !document.getElementById('send').disabled")
    browser.run("document.getElementById('send').click()")
    browser.until(PICTURE)
    browser.until("document.querySelector('.user .delivered') && document.querySelectorAll('.assistant .bubble').length === 2")
    assert browser.texts(".user .file .name") == ["note.txt"]
    assert not browser.shown("#attached")
    rows = db.rows("select kind, mime, filename, state from media order by position")
    assert [(row["kind"], row["filename"], row["state"]) for row in rows] == [
        ("image", "broken cup.png", "stored"),
        ("document", "note.txt", "stored"),
    ]
    browser.driver.refresh()
    browser.until(PICTURE)  # fetched with the visitor's token
    assert browser.run("return document.querySelector('.user .picture img').src").startswith("blob:")
    assert not [line for line in browser.log() if "Content Security Policy" in line]
