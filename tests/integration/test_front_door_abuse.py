"""What is odd, hostile or too much at the front door: refused in words, in bounded time, and never answered 500."""

from __future__ import annotations

import base64
import json
from typing import Any

import psycopg2.errors
import pytest
from peewee import IntegrityError

from shared import config, db
from tests.integration.front_door import (
    DASHBOARD,
    METRICS,
    QR_SECRET,
    FrontDoor,
    change,
    evolution_message,
    waha_message,
    webhook,
    written,
)
from tests.integration.test_front_door_qr import jwt, signed
from web.app import create_app
from web.request_limits import WRONG_LOGINS

LOGIN = "Basic " + base64.b64encode(":".join(DASHBOARD).encode()).decode()


def rejects() -> list[dict[str, Any]]:
    """What was kept for inspection."""
    return db.rows("select reason, payload from inbound_reject order by id")


# ---- hooks


@pytest.mark.parametrize(
    "header", ["[1]", "5", '"x"', "null", "{}", '{"alg": {}}', '{"alg": null}', '{"alg": "HS256", "crit": 7}']
)
@pytest.mark.parametrize("claims", ['{"exp": 9999999999}', "[]", "7", "null", '{"exp": {}}', '{"exp": [1]}', '{"exp": 1e400}'])
def test_a_jwt_of_odd_parts_is_401(door: FrontDoor, header: str, claims: str) -> None:
    db.rows("update whatsapp_qr_session set dialect = 'evolution'")
    token = signed(header, claims, QR_SECRET)
    answer = door.evolution(evolution_message("E1"), Authorization=f"Bearer {token}")
    assert answer.status_code == 401
    assert db.scalar("select count(*) from job") == 0


@pytest.mark.parametrize("name", ["x%00", "%00", "x%0a", "x%0d%0aSet-Cookie:a=b", "x%1f", "x%7f"])
def test_a_control_character_in_an_address_is_400(door: FrontDoor, name: str) -> None:
    for path in (f"/webhooks/whatsapp/qr/{name}", f"/widget/{name}", f"/api/v1/chatbots/{name}/sessions", f"/{name}"):
        for method in ("get", "post"):
            answer = getattr(door.client, method)(path)
            assert (answer.status_code, answer.mimetype) == (400, "application/problem+json"), path
            assert "control character" in answer.get_json()["detail"]


@pytest.mark.parametrize("name", ["x%ff", "%c3%28", "%ed%a0%80", "%F0%9F%98%80", "x" * 3000])
def test_a_name_that_nobody_has_is_no_error(door: FrontDoor, name: str) -> None:
    message = json.dumps(waha_message("A1")).encode()
    assert door.waha(message, session=name).status_code in (200, 401)
    assert door.client.get(f"/widget/{name}").status_code == 404


@pytest.mark.parametrize("own_secret", [False, True])
def test_what_was_signed_for_one_session_is_refused_at_another(door: FrontDoor, own_secret: bool) -> None:
    _, chatbot = door.world.tenant()
    body = json.dumps({**waha_message("A1"), "session": door.session}).encode()
    assert door.waha(body, session=f"s{chatbot}").status_code == 401
    assert door.waha(body, session="nobody").status_code == 401
    assert db.scalar("select count(*) from job") + len(rejects()) == 0
    assert door.waha(body).status_code == 200
    db.rows("update whatsapp_qr_session set dialect = 'evolution'")
    replayed = {**evolution_message("E1"), "instance": "another"}
    headers = {"Authorization": f"Bearer {jwt(QR_SECRET)}"}
    url = f"/webhooks/whatsapp/qr/{door.session}"
    assert door.client.post(url, data=json.dumps(replayed), headers=headers).status_code == 401


@pytest.mark.parametrize("wa_id", [{}, [], 7, None, True, "", "551191", [{}]])
def test_a_contact_of_odd_parts_loses_no_message(door: FrontDoor, wa_id: Any) -> None:
    for contacts in ([{"wa_id": wa_id, "user_id": wa_id, "profile": wa_id}], [wa_id], wa_id):
        message = written(f"wamid.{len(json.dumps(contacts))}")
        assert door.meta(webhook(change(door.number, contacts=contacts, messages=[message]))).status_code == 200
    assert db.scalar("select count(*) from job where queue = 'incoming-messages'") >= 1
    assert rejects() == []


def status_of(number: int) -> dict[str, Any]:
    return {"id": f"wamid.{number}", "status": "delivered", "timestamp": "1784232425", "recipient_id": "1"}


@pytest.mark.parametrize(
    ("member", "item", "stored"),
    [
        ("statuses", status_of, "select count(*) from parked_status"),
        ("statuses", lambda _: {}, "select count(*) from inbound_reject"),
        ("statuses", lambda number: number, "select count(*) from inbound_reject"),
        ("messages", lambda number: {"id": f"wamid.{number}"}, "select count(*) from inbound_reject"),
    ],
)
def test_thousands_of_items_in_one_body_are_stored_by_few_statements(
    door: FrontDoor, member: str, item: Any, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    execute = db.Pool.execute_sql
    monkeypatch.setattr(db.Pool, "execute_sql", lambda self, sql, *more: statements.append(sql) or execute(self, sql, *more))
    items = [item(number) for number in range(2_000)]
    assert door.meta(webhook(change(door.number, **{member: items}))).status_code == 200
    assert len(statements) < 200
    assert db.scalar(stored) == 2_000


def test_hundreds_of_messages_in_one_body_keep_their_order_and_a_bad_one_drops_none(door: FrontDoor) -> None:
    messages = [written(f"wamid.{number}", f"text {number}") for number in range(250)]
    messages[7]["id"] = "x" * 300
    assert door.meta(webhook(change(door.number, messages=messages))).status_code == 200
    accepted = db.rows("select payload ->> 'content' as content from job where queue = 'incoming-messages' order by message_id")
    assert [row["content"] for row in accepted] == [f"text {number}" for number in range(250) if number != 7]
    [reject] = rejects()
    assert "255 characters" in reject["reason"]
    assert door.meta(webhook(change(door.number, messages=messages))).status_code == 200
    assert db.scalar("select count(*) from job") == 249


def test_a_status_that_came_with_thousands_still_moves_its_message(door: FrontDoor) -> None:
    door.meta(webhook(change(door.number, messages=[written("wamid.IN")])))
    door.world.drain()
    [reply] = door.world.messages(role="assistant")
    statuses = [status_of(number) for number in range(300)] + [{"id": reply["external_id"], "status": "read"}]
    assert door.meta(webhook(change(door.number, statuses=statuses))).status_code == 200
    assert door.world.messages(role="assistant")[0]["status"] == "READ"


@pytest.mark.parametrize("active", [False, True], ids=["switched off", "moved"])
def test_a_number_that_was_moved_stops_at_once(door: FrontDoor, active: bool) -> None:
    assert door.meta(webhook(change(door.number, messages=[written("wamid.1")]))).status_code == 200
    if active:
        _, other = door.world.tenant()
        db.rows("delete from whatsapp_cloud_account where chatbot_id = %s", [other])
        db.rows("update whatsapp_cloud_account set chatbot_id = %s where chatbot_id = %s", [other, door.world.chatbot])
    else:
        db.rows("update whatsapp_cloud_account set active = false")
    assert door.meta(webhook(change(door.number, messages=[written("wamid.2")]))).status_code == 200
    chatbots = [row["bot"] for row in db.rows("select (payload ->> 'chatbot_id')::bigint as bot from job order by id")]
    assert chatbots == [door.world.chatbot, *([other] if active else [])]


def test_what_is_kept_has_no_secret(door: FrontDoor) -> None:
    names = ("apikey", "api-key", "API_KEY", "accessToken", "password", "jwt", "hash", "client_secret", "Authorization", "cookie")
    links = [f"https://a.example/x?a=b&{name}=SECRET-1&page=7#SECRET" for name in names]
    message = {**dict.fromkeys(names, "SECRET-2"), "inner": [{name: ["SECRET-3"]} for name in names], "links": links}
    assert door.meta(webhook(change(door.number, messages=[message]))).status_code == 200
    [reject] = rejects()
    assert "SECRET-" not in reject["payload"]
    assert reject["payload"].count("a=b&") == reject["payload"].count("page=7") == len(names), "the rest is kept"


# ---- guessing


def wrong_logins(door: FrontDoor, path: str, header: str, count: int, address: str = "192.0.2.1") -> list[int]:
    headers, environ = {"Authorization": header}, {"REMOTE_ADDR": address}
    return [door.client.get(path, headers=headers, environ_overrides=environ).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("path", "wrong", "right"),
    [
        ("/dashboard/", "Basic " + base64.b64encode(b"operator:guess").decode(), LOGIN),
        ("/metrics", "Bearer guess", f"Bearer {METRICS}"),
    ],
)
def test_who_guesses_is_slowed_logged_and_learns_nothing(
    door: FrontDoor, caplog: pytest.LogCaptureFixture, path: str, wrong: str, right: str
) -> None:
    assert wrong_logins(door, path, right, 3) == [200] * 3, "right ones do not count"
    assert wrong_logins(door, path, wrong, WRONG_LOGINS) == [401] * WRONG_LOGINS
    assert wrong_logins(door, path, wrong, 2) == [429] * 2
    assert wrong_logins(door, path, right, 1) == [429], "a right guess is not told from a wrong one"
    answer = door.client.get(path, headers={"Authorization": wrong}, environ_overrides={"REMOTE_ADDR": "192.0.2.1"})
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert wrong_logins(door, path, right, 1, address="192.0.2.2") == [200], "another address"
    logged = [record for record in caplog.records if record.getMessage() == "wrong_login"]
    assert len(logged) == WRONG_LOGINS
    assert {getattr(record, "address", "") for record in logged} == {"192.0.2.1"}
    assert "guess" not in caplog.text
    assert [door.client.get(path, environ_overrides={"REMOTE_ADDR": "192.0.2.3"}).status_code for _ in range(15)] == [401] * 15


# ---- hosts and cookies


def test_hosts_are_believed_from_the_list_only(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "chat.example,.shop.example")
    config.reset()
    paths = ("/widget.js", "/api/v1/openapi.json", "/api/v1/conversations", "/dashboard/", "/webhooks/whatsapp/cloud", "/nowhere")
    for host in ("evil.example", "chat.example.evil.example", "localhost", "", "chat.example@evil.example"):
        for path in paths:
            answer = door.client.get(path, headers={"Host": host})
            assert answer.status_code == 400, (host, path)
            assert "Location" not in answer.headers
    for host in ("chat.example", "CHAT.example:8000", "a.shop.example", "shop.example"):
        assert door.client.get("/widget.js", headers={"Host": host}).status_code == 200, host
    for path in ("/healthz", "/readyz"):
        assert door.client.get(path, headers={"Host": "10.0.0.7:8000"}).status_code in (200, 503), "a load balancer's check"


@pytest.mark.parametrize("path", ["/dashboard", "//dashboard", "/dashboard?x=1", "///evil.example/%2e%2e/dashboard"])
def test_no_redirect_leads_to_where_the_host_says(door: FrontDoor, path: str) -> None:
    answer = door.client.get(path, headers={"Host": "evil.example", "Authorization": LOGIN}, base_url="http://evil.example")
    location = answer.headers.get("Location", "/")
    assert location.startswith("/")
    assert not location.startswith("//")
    assert "http" not in location


@pytest.mark.parametrize("cookie", ['x"><script>alert(1)</script>', "x", "", "A" * 64, "a" * 63, "a" * 65, "ä" * 64])
def test_a_cookie_of_a_neighbours_making_is_not_written_into_a_page(door: FrontDoor, cookie: str) -> None:
    from dramatiq.message import Message as Carried

    from shared.broker.redis_broker import get_broker

    get_broker().enqueue(Carried("ai-processing-p1", "process_ai_p1", (1,), {}, {}))
    for headers in (
        {"Cookie": f"__dd_csrf={cookie}".encode().decode("latin-1")},
        {"Cookie": f"a=b; __dd_csrf={cookie}; __dd_csrf=x"},
    ):
        page = door.client.get("/dashboard/queues/ai-processing-p1", headers={**headers, "Authorization": LOGIN})
        assert page.status_code == 200
        assert "<script>alert" not in page.text
        assert "; SameSite=Strict" in page.headers["Set-Cookie"]
        assert "Secure" not in page.headers["Set-Cookie"]


def test_the_dashboards_cookie_is_secure_over_https(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", "1")
    config.reset()
    headers = {"Authorization": LOGIN, "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    page = create_app().test_client().get("/dashboard/queues/ai-processing-p1", headers=headers)
    assert page.headers["Set-Cookie"].endswith("; SameSite=Strict; Secure")


@pytest.mark.parametrize(("told", "is_https"), [("https, http", True), ("https,https", True), ("http, https", False)])
def test_each_of_several_proxies_says_how_it_was_called(door: FrontDoor, told: str, is_https: bool) -> None:
    headers = {"X-Forwarded-Proto": told}
    login = door.client.get("/desk/login", headers=headers)
    dashboard = door.client.get("/dashboard/queues/ai-processing-p1", headers={"Authorization": LOGIN, **headers})
    kept = [answer.headers["Set-Cookie"].split("; ") for answer in (login, dashboard)]
    assert ["Secure" in one for one in kept] == [is_https] * 2
    assert ("Strict-Transport-Security" in login.headers) is is_https


def test_a_cursor_that_redis_cannot_read_is_the_askers_fault(door: FrontDoor) -> None:
    page = f"/dashboard/queues/ai-processing-p1/failed?cursor={'9' * 30}"
    assert door.client.get(page, headers={"Authorization": LOGIN}).status_code == 400


# ---- allowed_origins

ODD_ORIGINS: list[Any] = [
    ["https://a.example\nX: y"],
    ["https://a.example; script-src *"],
    ["https://a.example/path"],
    ["https://*.a.example"],
    ["javascript:alert(1)"],
    ["https://A.example"],
    ["https://bücher.example"],
    ["'none'"],
    ["*"],
    [""],
    [None],
    [["https://a.example"], ["https://b.example"]],
    ["https://a.example", "\u2028"],
]


@pytest.mark.parametrize("origins", ODD_ORIGINS)
def test_odd_origins_are_refused_by_the_schema_and_change_no_header(door: FrontDoor, origins: list[Any]) -> None:
    statement = "update chatbot set allowed_origins = %s::text[]"
    with pytest.raises(IntegrityError) as refusal:
        db.rows(statement, [origins])
    assert isinstance(refusal.value.orig, psycopg2.errors.CheckViolation)  # type: ignore[attr-defined]  # peewee's own place for it
    db.rows("alter table chatbot drop constraint chatbot_allowed_origins_check")  # a row of the release before
    db.rows(statement, [origins])
    page = door.client.get(f"/widget/{db.scalar('select public_key from chatbot')}")
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"].split("; ")[-1] in (
        "frame-ancestors 'self'",
        "frame-ancestors 'self' https://a.example",
    )


GOOD_ORIGINS = [[], ["https://a.example"], ["http://localhost:3000", "https://xn--bcher-kva.example"], ["http://[::1]:8000"]]


@pytest.mark.parametrize("origins", GOOD_ORIGINS)
def test_good_origins_are_taken(door: FrontDoor, origins: list[str]) -> None:
    db.rows("update chatbot set allowed_origins = %s::text[]", [origins])
    page = door.client.get(f"/widget/{db.scalar('select public_key from chatbot')}")
    assert page.headers["Content-Security-Policy"].endswith(" ".join(["frame-ancestors 'self'", *origins]))


# ---- too many messages


def test_one_address_does_not_use_up_a_chatbots_messages(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDGET_MESSAGES_PER_MINUTE", "2")
    monkeypatch.setenv("WIDGET_ADDRESS_MESSAGES_PER_MINUTE", "5")
    monkeypatch.setenv("WIDGET_CHATBOT_MESSAGES_PER_MINUTE", "7")
    config.reset()
    url = f"/api/v1/chatbots/{db.scalar('select public_key from chatbot')}"

    def say(address: str) -> list[int]:
        environ: dict[str, Any] = {"environ_overrides": {"REMOTE_ADDR": address}}
        token = door.client.post(f"{url}/sessions", **environ).get_json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        return [
            door.client.post(f"{url}/messages", json={"content": "Hi"}, headers=headers, **environ).status_code for _ in range(3)
        ]

    attackers = [say("192.0.2.1") for _ in range(4)]
    assert attackers == [[202, 202, 429], [202, 202, 429], [202, 429, 429], [429, 429, 429]]
    assert say("192.0.2.2") == [202, 202, 429], "somebody else is heard"
