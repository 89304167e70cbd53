"""A headless Chromium, driven by selenium through the chromedriver on PATH: no downloads, and no network but loopback."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.waiting import until

_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1"
)


def missing() -> str:
    """Why there is no browser here; "" if there is one."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(absent)} not on PATH" if absent else ""


class Browser:
    """One window: what the tests ask of selenium again and again."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, url: str) -> None:
        """Goes there and waits until the page is loaded."""
        self.driver.get(url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs a function's body in the page; returns its value."""
        return self.driver.execute_script(script, *arguments)

    def press(self, label: str) -> None:
        """A person's click on the first button of that label."""
        self.click(By.XPATH, f"//button[normalize-space()='{label}']")

    def click(self, by: str, what: str) -> None:
        """A person's click on the first of them; on the one in its place if the page has just drawn that anew."""
        until(lambda: self._clicks(by, what), f"{what} is drawn anew again and again")

    def _clicks(self, by: str, what: str) -> bool:
        try:
            self.driver.find_element(by, what).click()
        except StaleElementReferenceException:
            return False
        return True

    def texts(self, selector: str) -> list[str]:
        """The texts of what the selector finds, those for screen readers included."""
        return list(
            self.run(
                "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim().replace(/\\s+/g, ' '))",
                selector,
            )
        )

    def shown(self, selector: str) -> bool:
        """Whether the first of them is to be seen."""
        return bool(self.run("return document.querySelector(arguments[0])?.checkVisibility() ?? false", selector))

    def until(self, script: str, *arguments: Any, seconds: float = 150) -> Any:
        """Waits until an expression is true in the page; fails with what the page says if it does not come true."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(f"return {script}", *arguments)):
            assert time.monotonic() < deadline, f"{script} did not come true; the page: {self.texts('body')}; {self.log()}"
            time.sleep(0.03)
        return value

    def scroll(self, box: str, by: int, below: int) -> None:
        """Scrolls a box by some pixels while what stands below its content becomes as high as this; the page has seen it then."""
        script = """
            const sheet = new CSSStyleSheet();
            sheet.replaceSync(`#${arguments[0]}::after { content: ""; display: block; flex: none; height: ${arguments[2]}px }`);
            document.adoptedStyleSheets = [sheet];
            document.getElementById(arguments[0]).scrollTop += arguments[1];
            requestAnimationFrame(() => requestAnimationFrame(arguments[3]));
        """
        self.driver.execute_async_script(script, box, by, below)

    def type(self, text: str) -> None:
        """Keys as of a keyboard: each goes to what has the focus when it is pressed, not to what had it a moment before."""
        ActionChains(self.driver).send_keys(text.replace("\n", Keys.ENTER)).perform()

    def leave_frames(self) -> None:
        """Back to the page itself."""
        self.driver.switch_to.default_content()

    def frame_in_shadow(self, host: str) -> None:
        """Into the iframe inside an element's shadow root."""
        shadow = self.driver.find_element(By.CSS_SELECTOR, host).shadow_root
        self.driver.switch_to.frame(shadow.find_element(By.CSS_SELECTOR, "iframe"))

    def log(self) -> list[str]:
        """What the console got since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser")]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with a fresh profile, for the length of the block."""
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in (*_FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")  # chromedriver is on loopback
        driver = Chrome(options, Service(executable_path=shutil.which("chromedriver")))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
