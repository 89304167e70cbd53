"""A headless Chromium, driven by its own chromedriver over W3C WebDriver: no client library, and no network but loopback."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's own name of a reference
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-device-scale-factor=1"
)


def missing() -> str:
    """Why there is no browser here; "" if there is one."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"{' and '.join(absent)} not on PATH" if absent else ""


class Browser:
    """One window."""

    def __init__(self, driver: str, profile: Path) -> None:
        self._http = requests.Session()
        self._http.trust_env = False
        options = {"binary": shutil.which("chromium"), "args": [*_FLAGS.split(), f"--user-data-dir={profile}"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._session = driver
        self._session = f"{driver}/session/{self._do('POST', '/session', capabilities={'alwaysMatch': wanted})['sessionId']}"

    def _do(self, method: str, path: str, **body: Any) -> Any:
        answer = self._http.request(method, self._session + path, json=body if method == "POST" else None, timeout=60)
        value = answer.json()["value"]
        if not answer.ok:
            raise RuntimeError(f"{path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def open(self, url: str) -> None:
        """Goes there and waits until the page is loaded."""
        self._do("POST", "/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Runs a function's body in the page; returns its value."""
        return self._do("POST", "/execute/sync", script=script, args=list(arguments))

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

    def until(self, script: str, *arguments: Any, seconds: float = 20) -> Any:
        """Waits until an expression is true in the page; fails with what the page says if it does not come true."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(f"return {script}", *arguments)):
            assert time.monotonic() < deadline, f"{script} did not come true; the page: {self.texts('body')}; {self.log()}"
            time.sleep(0.03)
        return value

    def type(self, text: str) -> None:
        """Keys to the element that has the focus."""
        active = self._do("GET", "/element/active")[_ELEMENT]
        self._do("POST", f"/element/{active}/value", text=text)

    def frame(self, index: int | None) -> None:
        """Into the page's frame of that number; None: back to the top."""
        self._do("POST", "/frame", id=index)

    def frame_in_shadow(self, host: str) -> None:
        """Into the iframe inside an element's shadow root."""
        self._do(
            "POST", "/frame", id=self.run("return document.querySelector(arguments[0]).shadowRoot.querySelector('iframe')", host)
        )

    def cdp(self, command: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._do("POST", "/goog/cdp/execute", cmd=command, params=parameters)

    def look(self, width: int, height: int, scheme: str = "light", mobile: bool = False, scale: float = 1) -> None:
        """The window's size, and what its visitor prefers."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile}
        self.cdp("Emulation.setDeviceMetricsOverride", **metrics)
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path: Path) -> None:
        """What is to be seen, as PNG."""
        path.write_bytes(base64.b64decode(self._do("GET", "/screenshot")))

    def log(self) -> list[str]:
        """What the console got since the last time."""
        return [entry["message"] for entry in self._do("POST", "/se/log", type="browser")]

    def close(self) -> None:
        """Ends the window."""
        self._do("DELETE", "")


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with a fresh profile, for the length of the block."""
    driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert driver.stdout is not None
    try:
        port = next(found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
        browser = Browser(f"http://127.0.0.1:{port}", profile)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait(10)
