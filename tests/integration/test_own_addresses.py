"""Addresses that tenants give: stored in one form, called through the guarded door, and never with the platform's key."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import peewee
import psycopg2
import pytest

from scripts.commands.migrate import RECORD, migrate, migrations
from shared import config, db
from shared.db.credentials import encrypt
from shared.models import Chatbot, WebhookEndpoint
from tests.builders import World
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business
from tests.unit.test_urls import NORMALIZED, REFUSED


@pytest.fixture
def mine(door: FrontDoor) -> Business:
    """The world's customer."""
    return Business(door, door.world.customer)


def test_an_endpoint_is_stored_as_it_is_called(mine: Business) -> None:
    for url, stored in NORMALIZED.items():
        made: Any = mine("POST", "/webhook-endpoints", {"url": url})
        assert (made.status_code, made.json["url"]) == (201, stored)
        path = f"/webhook-endpoints/{made.json['id']}"
        for changed, kept in (("https://other.example", "https://other.example"), (url, stored)):
            assert mine("PATCH", path, {"url": changed}).json["url"] == kept  # type: ignore[index]
            assert mine("GET", path).json["url"] == kept  # type: ignore[index]
        assert mine("DELETE", path).status_code == 204


def test_a_refused_address_says_why(mine: Business) -> None:
    made: Any = mine("POST", "/webhook-endpoints", {"url": "https://shop.example"})
    path = f"/webhook-endpoints/{made.json['id']}"
    for url, why in REFUSED.items():
        for answer in (mine("POST", "/webhook-endpoints", {"url": url}), mine("PATCH", path, {"url": url})):
            assert answer.status_code == 422, url
            assert why in answer.json["errors"]["url"]  # type: ignore[index]
    assert mine("GET", path).json["url"] == "https://shop.example"  # type: ignore[index]


def test_a_private_address_is_refused_where_it_would_not_be_called(mine: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    assert mine("POST", "/webhook-endpoints", {"url": "http://10.0.0.1/"}).status_code == 201, "a local system"
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "0")
    config.reset()
    answer = mine("POST", "/webhook-endpoints", {"url": "http://10.0.0.1/"})
    assert answer.status_code == 422
    assert "must have a public address; 10.0.0.1 is none" in answer.text
    assert mine("POST", "/webhook-endpoints", {"url": "http://intern.example/"}).status_code == 201, "no name is looked up"


@pytest.mark.parametrize(
    "url",
    ["HTTP://shop.example", "http://Shop.example", "http://u:p@shop.example", "http://shop.example/ü", "http://a b", "ftp://a.b"],
)
def test_the_schema_takes_no_other_form(world: World, url: str) -> None:
    for change in (
        WebhookEndpoint.insert(customer=world.customer, url=url, secret="x"),
        Chatbot.update(provider_base_url=url, provider_api_key="x").where(Chatbot.id == world.chatbot),
    ):
        with pytest.raises(peewee.IntegrityError, match="check constraint"):
            db.rows(change)


@pytest.mark.parametrize("half", [{"provider_base_url": "https://llm.example"}, {"provider_api_key": "x"}])
def test_a_chatbot_has_a_provider_of_its_own_or_none(world: World, half: dict[str, str]) -> None:
    with pytest.raises(peewee.IntegrityError, match="chatbot_own_provider"):
        db.rows(Chatbot.update(half).where(Chatbot.id == world.chatbot))


def test_older_rows_get_the_new_form_and_what_cannot_stays(empty_database_url: str) -> None:
    first, *_ = migrations()
    urls = ["https://Shop.Example/Path?Q=A", "http://shop.example#part", "http://shop.example/a\\b", "http://Shop.example/ü"]
    with closing(psycopg2.connect(empty_database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(first.read_text(encoding="utf-8"))
        cursor.execute(f"{RECORD}; insert into schema_migration (name) values (%s)", [first.name])
        cursor.execute("insert into customer (name) values ('Shop')")
        for url in urls:
            cursor.execute("insert into webhook_endpoint (customer_id, url, secret) values (1, %s, 'x')", [url])
        cursor.execute("insert into chatbot (customer_id, name, provider_base_url) values (1, 'Half', 'http://Llm.example/v1')")
        migrate(empty_database_url, post=True)
        cursor.execute("select url from webhook_endpoint order by id")
        assert [url for (url,) in cursor.fetchall()] == [
            "https://shop.example/Path?Q=A",
            "http://shop.example",
            "http://shop.example/a%5Cb",
            "http://shop.example/ü",
        ]
        cursor.execute("select provider_base_url, provider_api_key from chatbot")
        assert cursor.fetchall() == [("http://llm.example/v1", None)]
        with pytest.raises(psycopg2.errors.CheckViolation):
            cursor.execute("insert into chatbot (customer_id, name, provider_base_url) values (1, 'New', 'http://llm.example')")


class Provider(BaseHTTPRequestHandler):
    """A provider that keeps the headers of what it is asked."""

    asked: list[dict[str, str]]

    def do_POST(self) -> None:
        """Answers as OpenAI does."""
        self.asked.append({name.lower(): value for name, value in self.headers.items()})
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"choices": [{"message": {"content": "From my own."}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def provider() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The base URL of a provider of its own, and the headers of what it was asked."""
    handler: Any = type("Asked", (Provider,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", handler.asked
        server.shutdown()


def _set(world: World, **columns: str | None) -> None:
    db.rows(Chatbot.update(columns).where(Chatbot.id == world.chatbot))


def test_a_chatbots_own_provider_gets_its_own_key_and_nothing_of_the_platform(
    world: World, provider: tuple[str, list[dict[str, str]]]
) -> None:
    url, asked = provider
    _set(world, provider_base_url=url, provider_api_key=encrypt("sk-own"))
    world.say()
    world.drain()
    assert world.messages(role="assistant")[0]["content"] == "From my own."
    [headers] = asked
    assert headers["authorization"] == "Bearer sk-own"
    assert headers["user-agent"] == "Switchboard/1"
    assert not [name for name in headers if name.startswith("x-stainless") or name in ("baggage", "sentry-trace")]
    assert config.settings().openai_api_key not in str(headers)


@pytest.mark.parametrize("missing", ["provider_api_key", "provider_base_url"])
def test_half_a_provider_is_not_asked(world: World, provider: tuple[str, list[dict[str, str]]], missing: str) -> None:
    url, asked = provider
    db.rows("alter table chatbot drop constraint chatbot_own_provider")  # a row of an older release
    try:
        _set(world, **{"provider_base_url": url, "provider_api_key": encrypt("sk-own"), missing: None})
        world.say()
        world.drain()
        [job] = world.jobs(queue="ai-processing")
        assert (job["state"], job["attempts"]) == ("failed", 1)
        assert "has one of provider_base_url and provider_api_key; set both, or none" in job["last_error"]
        assert asked == []
        assert world.simulator.record("ai") == []
    finally:
        _set(world, provider_base_url=None, provider_api_key=None)
        db.rows(
            "alter table chatbot add constraint chatbot_own_provider"
            " check ((provider_base_url is null) = (provider_api_key is null))"
        )


def test_a_chatbots_own_provider_is_called_through_the_guarded_door(
    world: World, provider: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "0")
    config.reset()
    url, asked = provider
    for base in (url, url.replace("127.0.0.1", "localhost"), "http://169.254.169.254/latest"):
        _set(world, provider_base_url=base, provider_api_key=encrypt("sk-own"))
        world.say(user=base)
        world.drain()
    assert asked == []
    first, second, third = (job["last_error"] for job in world.jobs(queue="ai-processing"))
    assert "is not a public address" in first
    assert "cannot be reached: DNS knows no public address" in second
    assert "is not a public address" in third
    assert socket.gethostbyname("localhost") not in second
