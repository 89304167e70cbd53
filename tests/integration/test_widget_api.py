"""The widget's API as a page uses it: who may read what, the same message once, limits, and live news that resume."""

from __future__ import annotations

import base64
import hmac
import json
import re
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared import config, db
from shared.broker import redis_broker
from shared.broker.connection import outage
from shared.errors import ServiceDown
from shared.privacy import erasure
from tests.builders import World
from tests.integration.widget_page import Page, key_of
from tests.site import read_events
from tests.waiting import until
from web.app import create_app
from web.ops import health
from web.server import streams
from web.server.stream_places import StreamLimitReached
from web.widget import conversation, sse
from web.widget import visitor as visitor_module
from web.widget.api import MAX_CURSOR
from web.widget.conversation import news
from web.widget.ids import public_id, row_id
from web.widget.keys import derived_keys
from web.widget.sse import WidgetHub, WidgetStream
from web.widget.visitor import Visitor, new_token, visitor_of

SHOP = "https://shop.example"


def problem(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.get_data(as_text=True)


def test_a_message_is_accepted_shown_and_answered(page: Page, world: World) -> None:
    answer = page.say()
    assert answer.status_code == 202
    message_id = answer.get_json()["id"]
    [waiting] = page.history()
    assert (waiting["id"], waiting["status"], waiting["content"]) == (message_id, "ACCEPTED", "When do you ship?")
    world.drain()
    question, reply = page.history()
    assert (question["id"], question["status"]) == (message_id, "DELIVERED")
    assert (reply["role"], reply["status"], reply["reply_to"]) == ("assistant", "SENT", message_id)
    assert "two days" in reply["content"]


def test_a_reply_has_the_links_that_a_page_may_draw(page: Page, world: World) -> None:
    good = [{"title": "<b>Returns</b>", "url": f"{scheme}://shop.example/r"} for scheme in ("https", "http")]
    bad = [{"title": "x", "url": url} for url in ("javascript:alert(1)", "data:text/html,x", "//shop.example/r", "")]
    page.say()
    world.drain()
    stored = json.dumps({"sources": [*bad, *good]})
    db.rows("update message set metadata = metadata || %s::jsonb, updated_at = now()", [stored])
    for question, reply in (page.history(), page.call("get", "/messages?after=0").get_json()["messages"]):
        assert ("sources" in question, reply["sources"]) == (False, good)
    db.rows("update message set metadata = metadata || %s::jsonb", [json.dumps({"sources": bad})])
    assert "sources" not in page.history()[1]


def test_what_waits_in_line_is_shown_as_well(page: Page, world: World) -> None:
    page.say("One")
    page.say("Two")
    assert [(message["content"], message["status"]) for message in page.history()] == [("One", "ACCEPTED"), ("Two", "ACCEPTED")]
    world.drain()
    assert [message["role"] for message in page.history()].count("assistant") == 2


def test_a_chatbot_is_known_by_its_public_key_only(client: FlaskClient, world: World) -> None:
    assert client.post(f"/api/v1/chatbots/{world.chatbot}/sessions").status_code == 404
    assert client.get(f"/widget/{world.chatbot}").status_code == 404
    answer = client.post("/api/v1/chatbots/pk_nobody/sessions")
    assert answer.status_code == 404
    assert "public key" in answer.get_data(as_text=True)


def test_history_comes_in_pages(page: Page, world: World) -> None:
    for number in range(3):
        page.say(f"Question {number}")
    world.drain()
    newest = page.call("get", "/messages?limit=4").get_json()
    assert (len(newest["messages"]), newest["more"]) == (4, True)
    older = page.call("get", f"/messages?limit=4&before={newest['messages'][0]['id']}").get_json()
    assert (len(older["messages"]), older["more"]) == (2, False)


# ---- ownership


def test_a_visitor_never_reads_anothers_conversation(page: Page, client: FlaskClient, world: World) -> None:
    page.say("My secret")
    world.drain()
    other = Page(client, key_of(world.chatbot))
    assert other.history() == []
    assert other.call("get", "/messages?after=0").get_json()["messages"] == []
    other.say("Hello")
    assert other.events(0, 0) == []
    world.drain()
    assert "My secret" not in json.dumps(other.history() + other.events(0, 2))


def test_a_token_of_another_chatbot_opens_nothing(page: Page, client: FlaskClient, world: World) -> None:
    page.say()
    _, foreign = world.tenant()
    routes = (("get", "/messages"), ("get", "/events"), ("post", "/messages"), ("post", "/files"), ("get", "/files/1"))
    for method, path in routes:
        answer = getattr(client, method)(
            f"/api/v1/chatbots/{key_of(foreign)}{path}",
            headers={"Authorization": f"Bearer {page.token}"},
            **({"json": {"content": "x"}} if method == "post" else {}),
        )
        assert answer.status_code == 401
        assert "valid for this chatbot" in answer.get_data(as_text=True)


FORGERIES = [
    lambda token: "",
    lambda token: "nonsense",
    lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
    lambda token: "w_" + "A" * 22 + token[24:],
]


@pytest.mark.parametrize("spoil", FORGERIES)
def test_a_forged_token_is_refused(page: Page, spoil: Any) -> None:
    page.token = spoil(page.token)
    answer = page.call("get", "/messages")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_outlives_a_new_key(page: Page, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from cryptography.fernet import Fernet

    old, new = config.settings().credentials_key, Fernet.generate_key().decode()
    visitor = visitor_of(world.chatbot, f"Bearer {page.token}")
    monkeypatch.setenv("CREDENTIALS_KEY", f"{new},{old}")
    config.reset()
    assert visitor_of(world.chatbot, f"Bearer {page.token}") == visitor
    assert new_token(world.chatbot) != new_token(world.chatbot)


# ---- origins


def test_only_listed_origins_get_in(client: FlaskClient, world: World) -> None:
    key = key_of(world.chatbot)
    db.rows("update chatbot set allowed_origins = %s where id = %s", [[SHOP], world.chatbot])
    good = Page(client, key, Origin=SHOP)
    answer = good.say()
    assert answer.status_code == 202
    assert answer.headers["Access-Control-Allow-Origin"] == SHOP
    assert "Access-Control-Allow-Credentials" not in answer.headers
    for origin in ("https://evil.example", "null", "https://shop.example.evil.example", "http://shop.example", "http://[", "//"):
        answer = client.post(f"/api/v1/chatbots/{key}/sessions", headers={"Origin": origin})
        assert answer.status_code == 403
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert "allowed_origins" in answer.get_data(as_text=True)
    assert Page(client, key, Origin="http://localhost").say().status_code == 202, "our own page"


def test_preflights(client: FlaskClient, world: World) -> None:
    db.rows("update chatbot set allowed_origins = %s where id = %s", [[SHOP], world.chatbot])
    url = f"/api/v1/chatbots/{key_of(world.chatbot)}/messages"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    good = client.options(url, headers={"Origin": SHOP, **asked})
    assert good.headers["Access-Control-Allow-Origin"] == SHOP
    assert "Authorization" in good.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in client.options(url, headers={"Origin": "https://evil.example", **asked}).headers


def test_errors_reach_a_listed_page_with_cors(client: FlaskClient, world: World) -> None:
    db.rows("update chatbot set allowed_origins = %s where id = %s", [[SHOP], world.chatbot])
    answer = client.get(f"/api/v1/chatbots/{key_of(world.chatbot)}/messages", headers={"Origin": SHOP})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, SHOP)


def test_the_page_lets_only_listed_origins_frame_it(client: FlaskClient, world: World) -> None:
    db.rows("update chatbot set allowed_origins = %s, name = '<b>Bot' where id = %s", [[SHOP], world.chatbot])
    answer = client.get(f"/widget/{key_of(world.chatbot)}")
    policy = answer.headers["Content-Security-Policy"]
    assert f"frame-ancestors 'self' {SHOP}" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "X-Frame-Options" not in answer.headers
    text = answer.get_data(as_text=True)
    assert "&lt;b&gt;Bot" in text
    assert "<noscript>" in text
    assert client.get("/widget/pk_nobody").status_code == 404


def test_browsers_keep_a_file_for_good_only_as_the_page_knows_it(client: FlaskClient, world: World) -> None:
    """During a deploy a page of the new release asks the old one for a file: the answer would stay for a year."""
    page = client.get(f"/widget/{key_of(world.chatbot)}").text
    kept = re.findall(r'"(/static/.*?)[?]v=(.*?)"', page)
    assert len(kept) == 2
    for address, version in kept:
        assert "max-age=31536000" in client.get(f"{address}?v={version}").headers["Cache-Control"]
        for other in (f"{address}?v={version}0", address):
            answer = client.get(other)
            assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-cache")
    assert client.get("/static/nothing.js?v=0").status_code == 404


def test_the_page_has_one_script_whose_address_stays(client: FlaskClient, world: World) -> None:
    page = client.get(f"/widget/{key_of(world.chatbot)}").text
    assert re.findall(r'<script src="(.*?)"', page) == ["/static/widget-page.js"]
    script = client.get("/static/widget-page.js")
    assert script.mimetype == "text/javascript"
    assert script.headers["Cache-Control"] == "no-cache"
    assert client.get("/static/widget-page.js", headers={"If-None-Match": script.headers["ETag"]}).status_code == 304


def test_the_page_speaks_the_visitors_language(client: FlaskClient, world: World) -> None:
    address = f"/widget/{key_of(world.chatbot)}"
    german, greek = (client.get(address, headers={"Accept-Language": tags}) for tags in ("de-AT,en;q=0.5", "el"))
    assert '<html lang="de">' in german.text
    assert "Hallo! Wie können wir Ihnen helfen?" in german.text
    words = json.loads(re.findall(r"data-words='(.*?)'", german.text)[0])
    assert words["Try again"] == "Noch einmal senden"
    assert '<html lang="en">' in greek.text
    assert "Hello! How can we help you?" in greek.text
    assert "data-words='{}'" in greek.text
    assert "Accept-Language" in german.headers["Vary"]


def test_the_script_of_the_button_has_the_words_of_all_languages(client: FlaskClient) -> None:
    script = client.get("/widget.js", headers={"Accept-Language": "de"})
    assert script.mimetype == "text/javascript"
    assert "max-age=3600" in script.headers["Cache-Control"]
    words = json.loads(re.findall(r"const words = ({.*});", script.text)[0])
    assert words["de"]["Chat with us"] == "Chatten Sie mit uns"
    assert script.text == client.get("/widget.js", headers={"Accept-Language": "en"}).text
    assert client.get("/widget.js", headers={"If-None-Match": script.headers["ETag"]}).status_code == 304


# ---- once, and not too often


def test_the_same_key_is_the_same_message(page: Page, client: FlaskClient, world: World) -> None:
    first, second = (page.say(**{"Idempotency-Key": "k-1"}) for _ in range(2))
    assert first.get_json()["id"] == second.get_json()["id"]
    assert (first.headers.get("Idempotency-Replayed"), second.headers["Idempotency-Replayed"]) == (None, "true")
    world.drain()
    assert page.say(**{"Idempotency-Key": "k-1"}).get_json()["id"] == first.get_json()["id"]
    assert len(page.history()) == 2
    other = Page(client, key_of(world.chatbot)).say(**{"Idempotency-Key": "k-1"})
    assert other.get_json()["id"] != first.get_json()["id"], "another visitor's key is another key"


def test_a_key_that_comes_again_with_another_content_is_refused(page: Page, world: World) -> None:
    key = {"Idempotency-Key": "k-1"}
    assert page.say("When do you ship?", **key).status_code == 202
    for _ in ("it waits", "it is answered", "its job is pruned"):
        answer = page.say("Something else", **key)
        assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
        assert "used for another request" in answer.get_data(as_text=True)
        assert page.say("When do you ship?", **key).status_code == 202
        if world.messages():
            db.rows("delete from job")
        world.drain()
    assert [message["content"] for message in world.messages(role="user")] == ["When do you ship?"]


BODIES: list[Any] = [
    {},
    {"content": ""},
    {"content": 7},
    *({"content": text} for text in ("\u2060\u3164", "x" * 16_001)),
    {"content": "x", "more": 1},
    [],
]


@pytest.mark.parametrize("body", BODIES)
def test_a_wrong_body_is_refused_and_says_why(page: Page, world: World, body: Any) -> None:
    answer = page.call("post", "/messages", json=body)
    assert answer.status_code in (400, 422)
    assert "content" in answer.get_json()["detail"]
    assert world.jobs() == []


@pytest.mark.parametrize("query", ["?after=x", "?after=-1", "?limit=0", "?limit=1000", "?before=", "?after=" + "9" * 30])
def test_a_wrong_query_is_refused(page: Page, query: str) -> None:
    assert page.call("get", f"/messages{query}").status_code == 400


def test_a_wrong_key_is_refused(page: Page) -> None:
    assert page.say(**{"Idempotency-Key": "k" * 201}).status_code == 400


@pytest.mark.parametrize("last", ["x", "-1", "9" * 19, str(MAX_CURSOR + 1)])
def test_a_wrong_place_in_the_stream_is_refused(page: Page, last: str) -> None:
    """PostgreSQL would refuse it for all pages whose news are read together."""
    assert page.call("get", "/events", headers={"Last-Event-ID": last}).status_code == 400


def test_a_visitor_who_says_too_much_is_told_when_to_go_on(
    page: Page, client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WIDGET_MESSAGES_PER_MINUTE", "3")
    monkeypatch.setenv("WIDGET_CHATBOT_MESSAGES_PER_MINUTE", "5")
    config.reset()
    codes = [page.say().status_code for _ in range(4)]
    assert codes == [202, 202, 202, 429]
    answer = page.say()
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert "This visitor may send 3 messages a minute" in answer.get_data(as_text=True)
    other = Page(client, key_of(world.chatbot))
    assert "chatbot_limit_reached" not in caplog.messages
    assert [other.say().status_code for _ in range(4)] == [202, 202, 429, 429], "the chatbot's own limit"
    assert caplog.messages.count("chatbot_limit_reached") == 1, "once a minute, however many are turned away"


def test_without_redis_a_message_is_accepted(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    config.reset()
    assert page.say().status_code == 202


def test_an_address_that_begins_too_many_sessions_is_told_when_to_go_on(
    client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIDGET_SESSIONS_PER_MINUTE", "2")
    config.reset()
    url = f"/api/v1/chatbots/{key_of(world.chatbot)}/sessions"

    def begin(address: str, **headers: str) -> int:
        return client.post(url, headers=headers, environ_overrides={"REMOTE_ADDR": address}).status_code

    forwarded = {"X-Forwarded-For": "198.51.100.9"}
    assert [begin("192.0.2.1") for _ in range(3)] == [201, 201, 429]
    assert begin("192.0.2.1", **forwarded) == 429, "the header is anybody's"
    assert begin("192.0.2.2") == 201
    assert [begin(f"2001:db8:1:2::{number}") for number in (1, 2, 3)] == [201, 201, 429], "one site of IPv6"
    assert begin("2001:db8:1:3::1") == 201
    assert [begin(f"::ffff:192.0.2.{number}") for number in (31, 32, 33)] == [201] * 3, "IPv4 at a socket for both families"
    assert begin("::ffff:192.0.2.1") == 429, "the same IPv4 address"
    answer = client.post(url, environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert answer.mimetype == "application/problem+json"


def test_behind_a_trusted_proxy_the_visitors_own_address_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDGET_SESSIONS_PER_MINUTE", "1")
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    config.reset()
    client, url = create_app().test_client(), f"/api/v1/chatbots/{key_of(world.chatbot)}/sessions"

    def begin(forwarded: str) -> int:
        return client.post(url, headers={"X-Forwarded-For": forwarded}).status_code

    assert [begin("192.0.2.1"), begin("192.0.2.2")] == [201, 201]
    assert begin("192.0.2.77, 192.0.2.1") == 429, "what the visitor wrote before the proxy's own is not believed"
    assert begin("192.0.2.1:50123") == 429, "some proxies tell the port as well"
    assert [begin("[2001:db8::1]:50123"), begin("[2001:db8::2]:50124"), begin("2001:db8::3")] == [201, 429, 429]
    assert [begin("nobody"), begin("[::1"), begin("")] == [201, 429, 201], "what is no address is one of its own"


def test_each_outage_of_redis_is_told_of_to_its_end(
    client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url, here = f"/api/v1/chatbots/{key_of(world.chatbot)}/sessions", config.settings().redis_url
    monkeypatch.setattr(outage, "calm", 0.0)
    monkeypatch.setattr(health, "FRESH", 0.0)
    for address in ("redis://127.0.0.1:1/0", here) * 2:
        monkeypatch.setenv("REDIS_URL", address)
        config.reset()
        redis_broker.reset()
        assert client.post(url).status_code == 201
        client.get("/readyz")
    events = [record.getMessage() for record in caplog.records if getattr(record, "service", "") == "redis"]
    assert events == ["service_unavailable", "service_recovered"] * 2


# ---- live


def test_news_come_live_and_resume_behind_the_last_event(page: Page, world: World) -> None:
    page.say("When do you ship?")
    world.drain()
    question, reply = page.events(0, 2)
    assert (question["role"], question["status"], reply["role"], reply["status"]) == ("user", "DELIVERED", "assistant", "SENT")
    assert question["revision"] < reply["revision"]
    assert page.events(question["revision"], 1) == [reply]
    page.say("And returns?")
    world.drain()
    later = page.events(reply["revision"], 2)
    assert [event["role"] for event in later] == ["user", "assistant"]
    assert page.call("get", f"/messages?after={reply['revision']}").get_json()["messages"][1]["id"] == later[1]["id"]
    assert page.call("get", "/messages").get_json()["cursor"] == later[1]["revision"]


def hub_of(client: FlaskClient) -> WidgetHub:
    return cast(WidgetHub, client.application.extensions["widget-hub"])


def until_it_sleeps() -> None:
    """The one stream was read, and its process hears what is committed."""
    until(lambda: db.scalar("select count(*) from open_page") == 1)
    until(lambda: db.scalar(f"select count(*) from pg_stat_activity where {LISTENS}") == 1)


LISTENS = "query = 'listen widget' and state = 'idle' and datname = current_database()"


def test_a_sleeping_stream_is_woken_by_a_commit(page: Page, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WidgetHub, "reconcile", 3600.0)
    with page.stream() as answer:
        events = (event for event in read_events(answer) if "role" in event)  # it may see a draft between the two
        until_it_sleeps()
        page.say()
        world.drain()
        assert [next(events)["role"], next(events)["role"]] == ["user", "assistant"]


def test_a_lost_notification_costs_seconds_and_no_news(page: Page, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WidgetHub, "reconcile", 1.0)
    monkeypatch.setattr(WidgetHub, "hear", lambda self, topic: None)
    with page.stream() as answer:
        events = read_events(answer)
        until_it_sleeps()
        page.say()
        world.drain()
        assert next(events)["role"] == "user"


def test_the_listener_comes_back_when_its_connection_breaks(page: Page, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WidgetHub, "reconcile", 3600.0)
    with page.stream() as answer:
        events = read_events(answer)
        until_it_sleeps()
        assert db.scalar(f"select count(pg_terminate_backend(pid)) from pg_stat_activity where {LISTENS}") == 1
        page.say()
        world.drain()
        assert next(events)["role"] == "user"


def test_a_stream_outlives_an_outage_of_the_database(page: Page, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    read, failures = sse.news_of_many, iter(range(2))

    def failing(asked: Any) -> Any:
        if next(failures, None) is not None:
            raise ServiceDown("postgres does not answer")
        return read(asked)

    monkeypatch.setattr(sse, "news_of_many", failing)
    page.say()
    world.drain()
    with page.stream() as answer:
        assert next(read_events(answer))["role"] == "user"


def test_a_page_that_is_far_behind_gets_all(page: Page, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "BATCH", 2)
    page.say()
    world.drain()
    seen = world.messages()[-1]["revision"]
    insert = (
        "insert into message (conversation_id, chatbot_id, channel, role, content, status)"
        " select id, chatbot_id, channel, 'assistant', %s, 'SENT' from conversation"
    )
    for number in range(5):
        db.rows(insert, [f"more {number}"])
    assert [event["content"] for event in page.events(seen, 5)] == [f"more {number}" for number in range(5)]


def test_a_silent_stream_says_that_it_is_there(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams.StreamHub, "sign_after", 0.5)
    with page.stream() as answer:
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        assert [next(lines) for _ in range(5)] == ["retry: 1000", "", ": still here", "", ": still here"]


def test_an_old_stream_ends_and_the_page_resumes(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LIFETIME", 1.0)
    with page.stream() as answer:
        assert list(read_events(answer)) == []
    with page.stream() as answer:
        assert answer.status_code == 200


def test_notifications_carry_no_text_and_no_name(world: World) -> None:
    connection = db.listener("widget")
    world.say("My secret", user="anna@example.org")
    world.drain()
    connection.cursor().execute("select")  # what it has been told comes with the answer
    payloads = [told.payload for told in connection.notifies]
    connection.close()
    assert payloads == [Visitor(world.chatbot, "anna@example.org").topic] * 2


def test_what_is_committed_late_is_not_missed(world: World) -> None:
    world.say()
    world.drain()
    visitor, seen = Visitor(world.chatbot, "v-1"), world.messages()[-1]["revision"]
    insert = (
        "insert into message (conversation_id, chatbot_id, channel, role, content, status)"
        " select id, chatbot_id, channel, 'assistant', %s, 'SENT' from conversation"
    )
    with db.transaction():
        db.rows(insert, ["the slow one"])
        quick = threading.Thread(target=db.rows, args=(insert, ["the quick one"]))
        quick.start()
        waiting = "select count(*) from pg_locks where not granted"
        until(lambda: db.scalar(waiting), "it does not wait: its number would be higher, and be seen first")
    quick.join()
    assert [message["content"] for _, message in news(visitor, seen).messages] == ["the slow one", "the quick one"]


def test_a_reply_on_its_way_is_nobodys_news(page: Page, world: World) -> None:
    page.say()
    while not world.messages(role="assistant"):
        world.drain(rounds=1)
    assert [message["role"] for message in page.history()] == ["user"]
    assert world.messages(role="assistant")[0]["revision"] is None
    world.drain()
    question, reply = (message["revision"] for message in world.messages())
    assert reply == question + 1


@pytest.mark.parametrize(
    ("limits", "whose"),
    [
        ({"WIDGET_MAX_STREAMS": "2"}, "this process"),
        ({"WIDGET_CHATBOT_MAX_STREAMS": "2"}, "this chatbot"),
        ({"WIDGET_ADDRESS_MAX_STREAMS": "2"}, "this address"),
        ({}, "This visitor"),
    ],
)
def test_streams_have_a_cap_and_the_page_is_told_to_poll(
    client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], whose: str
) -> None:
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    config.reset()
    pages = [Page(client, key_of(world.chatbot)) for _ in range(3)] if limits else [Page(client, key_of(world.chatbot))] * 7
    pages[0].say()
    world.drain()
    *taken, refused = [page.stream() for page in pages]
    assert [answer.status_code for answer in taken] == [200] * len(taken)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "30")
    assert whose in refused.text
    assert "after=" in refused.text
    taken[0].close()
    until(lambda: hub_of(client).count == len(taken) - 1)
    assert len(pages[0].events(0, 2)) == 2, "a place that was given back"
    for answer in taken:
        answer.close()
    until(lambda: hub_of(client).count == 0)


def test_a_head_request_takes_no_place(page: Page, client: FlaskClient) -> None:
    assert page.call("head", "/events").status_code == 200
    assert "widget-hub" not in client.application.extensions


def test_a_shutdown_ends_every_stream(page: Page, client: FlaskClient, world: World) -> None:
    answers = [page.stream() for _ in range(3)]
    client.site.begin_stop()  # type: ignore[attr-defined]
    for answer in answers:
        assert list(read_events(answer)) == [], "ended, and properly"
    client.site.stop()  # type: ignore[attr-defined]  # which fails if that does not end
    assert hub_of(client).count == 0
    with pytest.raises(StreamLimitReached):
        hub_of(client).enter(WidgetStream(Visitor(world.chatbot, "v-1"), 0, "192.0.2.1"))


# ---- tokens and ids


def at(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """So many days from now."""
    monkeypatch.setattr(visitor_module, "time", SimpleNamespace(time=lambda: time.time() + days * 86_400))


def renewed(page: Page) -> tuple[int, str]:
    answer = page.call("post", "/sessions")
    return answer.status_code, answer.get_json()["token"]


def test_a_token_expires_and_is_renewed_until_then(page: Page, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    page.say()
    first = page.token
    at(monkeypatch, 29)
    status, page.token = renewed(page)
    assert (status, page.token.split(".")[0]) == (200, first.split(".")[0])
    at(monkeypatch, 31)
    assert [message["content"] for message in page.history()] == ["When do you ship?"], "the new one"
    page.token = first
    answer = page.call("get", "/messages")
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "expired" in answer.get_data(as_text=True)
    status, token = renewed(page)
    assert status == 201
    assert token.split(".")[0] != first.split(".")[0], "somebody new"


def test_who_renews_is_no_new_visitor_of_the_address(page: Page, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDGET_SESSIONS_PER_MINUTE", "1")
    config.reset()
    page.call("post", "/sessions", headers={"Authorization": ""})
    assert [renewed(page)[0] for _ in range(5)] == [200] * 5


def test_the_time_of_a_token_cannot_be_changed(page: Page) -> None:
    visitor, issued, signature = page.token.split(".")
    for forged in (f"{int(issued) + 1}.{signature}", signature, f"{issued}.{issued}.{signature}", f"0{issued[1:]}.{signature}"):
        page.token = f"{visitor}.{forged}"
        assert page.call("get", "/messages").status_code == 401


def test_a_token_of_the_release_before_is_taken_for_a_month(page: Page, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = visitor_of(world.chatbot, f"Bearer {page.token}")
    key = derived_keys(b"switchboard widget visitor 1")[0]
    signature = hmac.digest(key, f"{world.chatbot}:{visitor.id}".encode(), "sha256")
    page.token = f"{visitor.id}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
    monkeypatch.setattr(visitor_module, "_FIRST_ISSUED", time.time())
    assert renewed(page)[0] == 200
    assert page.call("get", "/messages").status_code == 200
    at(monkeypatch, 31)
    assert page.call("get", "/messages").status_code == 401


def test_visitors_are_told_nothing_that_counts(page: Page, client: FlaskClient, world: World) -> None:
    said = [page.say("One").get_json()["id"], page.say("Two").get_json()["id"]]
    waiting = page.history()
    world.drain()
    shown = json.dumps([waiting, page.history(), page.call("get", "/messages?after=0").get_json(), page.events(0, 4)])
    rows = [message["id"] for message in world.messages()]
    assert not [row for row in rows if re.search(rf'"(id|reply_to)": "?{row}\b', shown)]
    assert [message["id"] for message in waiting] == said
    assert {row_id(message["id"]) for message in page.history()} == set(rows)
    assert {message["reply_to"] for message in page.history() if message["reply_to"]} == set(said)
    assert page.call("get", f"/messages?before={rows[-1]}").status_code == 400


@pytest.mark.parametrize("text", ["", "m_", "m_" + "A" * 22, "m_" + "é" * 22, "1", "m_" + "A" * 21, "m_" + "A" * 23, "\x00"])
def test_an_id_of_anothers_making_is_none(world: World, text: str) -> None:
    assert row_id(text) is None


@pytest.mark.parametrize("number", [1, 2**31, 2**63 - 1])
def test_an_id_outlives_a_new_key(world: World, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    from cryptography.fernet import Fernet

    text, old = public_id(number), config.settings().credentials_key
    assert row_id(text) == number
    monkeypatch.setenv("CREDENTIALS_KEY", f"{Fernet.generate_key().decode()},{old}")
    config.reset()
    assert row_id(text) == number
    assert public_id(number) != text
    monkeypatch.setenv("CREDENTIALS_KEY", Fernet.generate_key().decode())
    config.reset()
    assert row_id(text) is None


def test_a_page_hears_of_what_follows_an_erasure(page: Page, world: World) -> None:
    for number in range(3):
        page.say(f"Question {number}")
    world.drain()
    before = page.call("get", "/messages").get_json()["cursor"]
    erasure.erase(world.customer, db.scalar("select contact_id from conversation"))
    page.say("Anybody there?")
    world.drain()
    latest = page.call("get", f"/messages?after={before}").get_json()
    assert [message["role"] for message in latest["messages"]] == ["user", "assistant"]
    assert latest["cursor"] < 2**53, "a number of JavaScript"
