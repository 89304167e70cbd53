"""Those who did not write it verify what we sign: the standard's libraries in Python and in Node, and its text by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import pytest
import requests
from standardwebhooks import Webhook

from scripts.local.ports import free_port
from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.webhooks import endpoints, signing
from tests.builders import World
from tests.integration.test_clocks import clock_off

NODE = shutil.which("node")
VENDORED = Path(__file__).parents[1] / "vendor_node"
#: Where npm would put the vendored files.
PLACES = {
    "standardwebhooks.js": "standardwebhooks/index.js",
    "timing_safe_equal.js": "standardwebhooks/timing_safe_equal.js",
    "base64.js": "@stablelib/base64/index.js",
    "sha256.js": "fast-sha256/index.js",
}
#: The example of the standard's own tests (github.com/standard-webhooks/standard-webhooks).
SECRET, ID, TIMESTAMP = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
BODY = '{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
TEXT = "Wann liefert ihr? 🍵 naïve ❤️ \u2028"


def by_hand(secret: str, identity: str, timestamp: str, body: str) -> str:
    """The signature as the standard describes it."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{identity}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def test_a_hand_makes_the_standards_vector_and_our_signatures(world: World, simulator: Simulator) -> None:
    assert by_hand(SECRET, ID, TIMESTAMP, BODY) == SIGNATURE
    endpoint = world.endpoint(world.customer)
    rotated = endpoints.change(world.customer, endpoint, {}, rotates=True)
    assert rotated is not None
    world.say(TEXT)
    world.drain()
    deliveries = simulator.record("webhook")
    assert len(deliveries) >= 3
    for delivery in deliveries:
        headers, body = delivery["headers"], delivery["body"]
        signatures = headers["webhook-signature"].split(" ")
        for secret in (rotated["secret"], world.secret):
            assert Webhook(secret).verify(body, headers)["id"] == headers["webhook-id"]
            assert by_hand(secret, headers["webhook-id"], headers["webhook-timestamp"], body) in signatures
        assert len(signatures) == 2


@pytest.mark.parametrize("wrong", [3600, -3600], ids=["ahead", "behind"])
def test_a_receiver_takes_what_a_worker_signs_whose_clock_is_wrong(world: World, simulator: Simulator, wrong: int) -> None:
    world.endpoint(world.customer)
    world.say()
    with wrong_clock(wrong):
        world.drain()
    [delivery, *_] = simulator.record("webhook")
    assert Webhook(world.secret).verify(delivery["body"], delivery["headers"])["id"] == delivery["headers"]["webhook-id"]


@contextmanager
def wrong_clock(seconds: int) -> Iterator[None]:
    """Whatever the worker's modules read of this machine's clock is wrong."""

    class Clock(datetime):
        """datetime's clock is C's, which `time` does not lead to."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=seconds)

    with clock_off(seconds), pytest.MonkeyPatch.context() as patch:
        for module in (signing, importlib.import_module("workers.webhooks")):
            if hasattr(module, "datetime"):
                patch.setattr(module, "datetime", Clock)
        yield


def install(folder: Path) -> None:
    """As `npm install standardwebhooks` in this folder."""
    for name, place in PLACES.items():
        (folder / "node_modules" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(VENDORED / name, folder / "node_modules" / place)


@contextmanager
def receiver(secret: str, folder: Path) -> Iterator[str]:
    """A receiver in Node that knows this secret; its URL."""
    install(folder)
    script = shutil.copy(Path(__file__).with_name("receiver.cjs"), folder)
    process = subprocess.Popen([NODE or "", script, secret], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/hook"
        finally:
            process.kill()


@pytest.mark.skipif(NODE is None, reason="Node is not installed here")
def test_a_receiver_in_node_takes_what_is_ours_and_nothing_else(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "true")
    config.reset()
    endpoint = world.endpoint(world.customer)
    with receiver(world.secret, tmp_path) as url:
        db.rows("update webhook_endpoint set url = %s, events = '{message.received,message.sent}'", [url])
        world.say(TEXT)
        world.drain()
        endpoints.change(world.customer, endpoint, {}, rotates=True)
        world.say("And to Austria?")
        world.drain()
        assert answers() == [(200, "message.received"), (200, "message.sent")] * 2
        db.rows("update webhook_endpoint set old_secret_until = now() - interval '1 s'")
        world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={})
        world.drain()
        assert answers()[-1][0] == 401, "it does not know the new secret"


def answers() -> list[tuple[int, str]]:
    rows = db.rows("select status, answer from webhook_attempt order by event_id, number")
    return [(row["status"], json.loads(row["answer"]).get("verified", "")) for row in rows]


@pytest.mark.parametrize(
    "language", ["python", pytest.param("js", marks=pytest.mark.skipif(NODE is None, reason="Node is not installed here"))]
)
def test_the_receivers_of_the_readme_verify_as_they_stand_there(
    root: Path, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "true")
    config.reset()
    endpoint = world.endpoint(world.customer)
    with following(root, language, world.secret, tmp_path) as port:
        db.rows("update webhook_endpoint set url = %s", [f"http://127.0.0.1:{port}/hook"])
        endpoints.send_test(world.customer, endpoint, "message.received")
        world.drain()
        forged = requests.post(f"http://127.0.0.1:{port}/hook", "{}", headers={"webhook-id": "evt_1"}, timeout=30)
    assert db.rows("select status from webhook_attempt") == [{"status": 204}]
    assert forged.status_code == 400


@contextmanager
def following(root: Path, language: str, secret: str, folder: Path) -> Iterator[int]:
    """The code of workers/README.md in this language, run as it stands there, but for its port; which is given."""
    examples = re.findall(rf"```{language}\n(.*?)```", (root / "workers" / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    [code] = [example for example in examples if "standardwebhooks" in example]
    port = free_port()
    assert code.count("9001") == 1
    script = folder / {"python": "receiver.py", "js": "receiver.mjs"}[language]
    script.write_text(code.replace("9001", str(port)), encoding="utf-8")
    install(folder)
    environment = {**os.environ, "WEBHOOK_SECRET": secret}
    command = [sys.executable if language == "python" else NODE or "", str(script)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            while not answers_on(port):
                assert process.poll() is None, "it ended"
            yield port
        finally:
            process.kill()


def answers_on(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
