"""Whether the front door says 503 while a service is away, instead of hanging or failing.

Meta reports messages to a number that nobody has connected. They are kept for inspection and answered by 200, which takes a
write in PostgreSQL; the pipeline does not see them, so they do not change the audit's counts.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import requests

from scripts.local.simulator.hooks import meta_message, signed_by_meta

#: A phone number id that no tenant has.
NOBODY = "999000"
#: Seconds between two requests of a watch.
INTERVAL = 0.5
#: Seconds within which each request is answered, whatever is away: a channel's own patience is 10 to 20.
PATIENCE = 10.0
#: Seconds after which an answer does not come any more.
TIMEOUT = 60.0
#: Seconds after an outage within which a request is answered by 200.
RECOVERY = 30.0


@dataclass(frozen=True)
class Answer:
    """`status` 0: none came."""

    status: int
    seconds: float
    retry_after: bool


class Door:
    """A channel in front of a web process."""

    def __init__(self, port: int, app_secret: str) -> None:
        self._url, self._secret = f"http://127.0.0.1:{port}/webhooks/whatsapp/cloud", app_secret
        self._numbers = itertools.count(1)
        #: What was wrong with the answers, in words.
        self.wrong: list[str] = []

    def wait_until_open(self) -> None:
        """Until the web process answers."""
        deadline = time.monotonic() + RECOVERY
        while self._ask().status != 200:
            if time.monotonic() > deadline:
                raise RuntimeError(f"The web process does not accept a message within {RECOVERY:.0f} s of its start.")
            time.sleep(INTERVAL)

    @contextmanager
    def watch(self, outage: str, refuses: bool) -> Iterator[None]:
        """Asks for the length of an outage, and after it until 200 comes. `refuses`: nothing can be accepted meanwhile."""
        answers: list[Answer] = []
        threads: list[threading.Thread] = []
        over = threading.Event()

        def keep_asking() -> None:
            while not over.wait(INTERVAL):
                threads.append(threading.Thread(target=lambda: answers.append(self._ask()), daemon=True))
                threads[-1].start()

        asking = threading.Thread(target=keep_asking, daemon=True)
        asking.start()
        yield
        over.set()
        for thread in (asking, *threads):
            thread.join(TIMEOUT)
        self._judge(outage, refuses, answers)
        self._judge_recovery(outage)

    def _judge(self, outage: str, refuses: bool, answers: list[Answer]) -> None:
        statuses = Counter(answer.status for answer in answers)
        slowest = max((answer.seconds for answer in answers), default=0.0)
        counts = ", ".join(f"{count} × {status or 'no answer'}" for status, count in sorted(statuses.items()))
        if statuses.keys() - {200, 503}:
            self.wrong.append(f"door, {outage}: answered {counts}; only 200 and 503 are right")
        if slowest > PATIENCE:
            self.wrong.append(f"door, {outage}: the slowest answer took {slowest:.1f} s instead of {PATIENCE:.0f}")
        if any(answer.status == 503 and not answer.retry_after for answer in answers):
            self.wrong.append(f"door, {outage}: a 503 has no Retry-After")
        if refuses and 503 not in statuses:
            self.wrong.append(f"door, {outage}: never said 503 ({counts})")

    def _judge_recovery(self, outage: str) -> None:
        deadline = time.monotonic() + RECOVERY
        while (answer := self._ask()).status != 200:
            if time.monotonic() > deadline:
                self.wrong.append(f"door, {outage}: still answers {answer.status} {RECOVERY:.0f} s after its end")
                return
            time.sleep(INTERVAL)

    def _ask(self) -> Answer:
        report = meta_message(NOBODY, "4915100000001", "Chaos", "Is anybody there?", f"door-{next(self._numbers)}")
        body = json.dumps(report).encode()
        headers = {"Content-Type": "application/json", **signed_by_meta(body, self._secret)}
        begun = time.monotonic()
        try:
            answer = requests.post(self._url, body, headers=headers, timeout=TIMEOUT)
        except requests.RequestException:
            return Answer(0, time.monotonic() - begun, False)
        return Answer(answer.status_code, time.monotonic() - begun, "Retry-After" in answer.headers)
