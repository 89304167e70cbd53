"""What customers say and where they are called stays out of logs, Sentry, Redis and jobs, whatever fails."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis

from scripts.local.simulator.client import Simulator
from shared import db
from shared.models import WebhookEndpoint
from tests.builders import World
from tests.pipeline.processes import running
from tests.waiting import until

#: Words of a message, of a customer's URL, and of a provider that repeats what it was asked.
PLANTED = ("PERSONALWORDS", "SECRETPATH", "QUERYTOKEN", "PROVIDERWORDS")
REPEATED = {"error": {"message": "PROVIDERWORDS: PERSONALWORDS", "code": "PROVIDERWORDS not a code", "type": "PROVIDERWORDS"}}


class Outside(BaseHTTPRequestHandler):
    """Sentry, at /api/…; anything else is an endpoint that repeats what it is told, with a 500 and a header that is none."""

    events: list[dict[str, Any]]
    received: list[str]
    headers_seen: set[str]

    def do_POST(self) -> None:
        """Keeps what came."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/api/"):
            text = (gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body).decode()
            self.received.append(text)
            lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            self.events.extend(line for line in lines if "level" in line and "event_id" in line)
            body = b"{}"
        else:
            self.headers_seen.update(name.lower() for name in self.headers)
        status = 200 if self.path.startswith("/api/") else 500
        head = f"HTTP/1.0 {status} Repeated\r\nno colon here\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def outside() -> Iterator[tuple[str, Any]]:
    """Where it listens, and what came."""
    handler: Any = type("Seen", (Outside,), {"events": [], "received": [], "headers_seen": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", handler
        server.shutdown()


def endpoint(world: World, url: str) -> None:
    """An endpoint of the world's customer at any address."""
    made = world.endpoint(world.customer)
    db.rows(WebhookEndpoint.update(url=url).where(WebhookEndpoint.id == made))


def everything_in_redis() -> str:
    """Each key with its value."""
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    return str({key: client.dump(key) for key in client.scan_iter()})


def test_no_failure_tells_what_customers_said(
    world: World, simulator: Simulator, outside: tuple[str, Any], environment: dict[str, str]
) -> None:
    address, seen = outside
    for url in (f"http://{address}", "http://127.0.0.1:1", "https://nobody.invalid", f"https://{address}"):
        endpoint(world, f"{url}/SECRETPATH?token=QUERYTOKEN")
    simulator.faults(
        [
            {"kind": "ai", "fault": "status", "status": 400, "body": REPEATED, "times": 1},
            {"kind": "graph", "fault": "status", "status": 400, "body": {"error": {**REPEATED["error"], "code": 100}}},
            {"kind": "waha", "fault": "status", "status": 500, "body": {"message": "PROVIDERWORDS"}},
        ]
    )
    for channel, user in (("widget", "v-1"), ("whatsapp_cloud", "4912345"), ("whatsapp_qr", "4912346"), ("widget", "v-2")):
        world.say("PERSONALWORDS my iban is DE89", channel=channel, user=user)
    db.rows("update job set payload = '{\"nonsense\": 1}' where id = (select max(id) from job)")
    lines: list[str] = []
    with running("worker", on_line=lambda _name, line: lines.append(line), SENTRY_DSN=f"http://public@{address}/1"):
        until(lambda: db.scalar("select count(*) > 12 and bool_and(closed_at is not null) from job"))
        until(lambda: seen.events)

    errors = str(db.rows("select last_error, last_traceback from job"))
    for place, text in (
        ("logs", "\n".join(lines)),
        ("Sentry", "\n".join(seen.received)),
        ("Redis", everything_in_redis()),
        ("jobs", errors),
    ):
        assert text, place
        assert [word for word in PLANTED if word in text] == [], place
    # What an endpoint or a provider said is where its customer finds it.
    assert "PERSONALWORDS" in db.scalar("select string_agg(error, ' ') from webhook_event where response_status = 500")
    assert "PROVIDERWORDS" in db.scalar("select string_agg(error, ' ') from message where role = 'user'")
    assert db.scalar("select count(*) from message where role = 'assistant' and error like '%%PROVIDERWORDS%%'") >= 2
    # A customer's endpoint is no error of ours; a payload that makes no sense is, and told once.
    of_jobs = [queue for event in seen.events if (queue := event["extra"].get("queue"))]  # a server may have been slow
    assert sorted(of_jobs) == ["ai-processing", "incoming-messages"]
    assert seen.headers_seen.isdisjoint({"sentry-trace", "baggage", "traceparent"})
    told = [json.loads(line) for line in lines if '"job_' in line or '"attempt_failed"' in line]
    assert {line["customer"] for line in told} == {world.customer}
    assert not [line for line in told if "traceback" in line]
    assert max(len(line) for line in lines) < 1_000


TRACE = "0123456789abcdef0123456789abcdef"
_FAULTY_DOOR = """
import sentry_sdk
from web.app import create_app
app = create_app()
def fail(): raise KeyError("broken")
app.add_url_rule("/fail", view_func=fail)
token, trace = input().split()  # a traceback quotes lines of this text, from Python 3.13 on
headers = {"sentry-trace": trace + "-0123456789abcdef-1", "baggage": "sentry-trace_id=" + trace}
headers |= {"Authorization": "Bearer " + token, "Cookie": "session=" + token}
assert app.test_client().get("/fail?token=" + token, headers=headers).status_code == 500
sentry_sdk.flush()
"""


def test_a_request_that_fails_is_told_without_what_it_brought(
    environment: dict[str, str], outside: tuple[str, Any], root: Path
) -> None:
    address, seen = outside
    chosen = {**os.environ, "SENTRY_DSN": f"http://public@{address}/1"}
    command, said = [sys.executable, "-c", _FAULTY_DOOR], f"QUERYTOKEN {TRACE}\n"
    done = subprocess.run(command, env=chosen, cwd=root, input=said, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    [event] = seen.events
    assert event["request"]["url"].endswith("/fail")
    assert "QUERYTOKEN" not in "".join(seen.received) + done.stderr
    assert TRACE not in "".join(seen.received), "a stranger's trace"
