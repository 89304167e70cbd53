"""Webhooks at the desk: an owner makes one, tests it, pauses it, gives it a new secret, and sends again what did not arrive."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask

from scripts.local.simulator.client import Simulator
from shared import db
from shared.db.credentials import decrypt
from shared.models import AuditEntry, BulkAction, WebhookEvent
from shared.operations import webhook_recovery
from shared.webhooks import overview
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.test_recovery import run_actions
from tests.integration.test_redelivery import down, fail, run_until_closed
from web.app import create_app

_SECRET = re.compile(r'value="(whsec_[^"]+)"')


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def secrets(text: str) -> list[str]:
    """Those that a page shows."""
    return _SECRET.findall(text)


def stored(column: str, endpoint: int | None = None) -> Any:
    """What is stored of an endpoint: of this one, or the first; a secret as it is."""
    row = db.row("select * from webhook_endpoint where id = coalesce(%s, id) order by id limit 1", [endpoint])
    assert row is not None
    return decrypt(row[column], "the test") if column.endswith("secret") else row[column]


def test_an_owner_makes_a_webhook_tries_it_and_changes_its_secret(app: Flask, world: World, simulator: Simulator) -> None:
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/webhooks"
    form = {"url": f"{simulator.url}/customer/hook?key=4711", "description": "order <b>system</b>"}
    refused = browser.post(f"{page}/new", **form)
    assert refused.status_code == 422
    assert "4711" in refused.text, "nothing that was written is lost"
    assert browser.post(f"{page}/new", **{**form, "url": "shop", "events": "message.sent"}).status_code == 422
    made = browser.post(f"{page}/new", **form, events=["message.sent", "message.read"])
    [secret] = secrets(made.text)
    assert (stored("secret"), stored("events")) == (secret, ["message.sent", "message.read"])
    one = f"{page}/{stored('id')}"
    shown = browser.get(page).text + browser.get(one).text
    assert "order &lt;b&gt;system" in shown
    assert secret not in shown

    assert browser.post(f"{one}/test", event="budget").status_code == 303
    assert world.jobs(queue="webhook-delivery") == []
    assert browser.post(f"{one}/test", event="message.read").status_code == 303
    run_until_closed(world)
    [call] = simulator.record("webhook")
    assert '"test":true' in call["body"].replace(" ", "")
    tried = browser.get(one).text
    assert "HTTP 200" in tried
    assert "message.read" in tried

    assert browser.post(f"{one}/pause").status_code == 303
    assert "paused" in browser.get(page).text
    world.service.enqueue_webhook_delivery(endpoint_id=stored("id"), event="message.sent", data={"message_id": 1})
    assert browser.post(f"{one}/resume").status_code == 303
    assert not stored("paused")

    [new] = secrets(browser.post(f"{one}/secret").text)
    assert (stored("secret"), stored("old_secret")) == (new, secret)
    assert secrets(browser.get(one).text) == []
    audit = str(db.rows(AuditEntry.select()))
    for action in ("webhook.created", "webhook.tested", "webhook.paused", "webhook.resumed", "webhook.secret_rotated"):
        assert action in audit
    assert not [word for word in (secret, new, "4711") if word in audit], "an address may hold a secret, too"
    assert browser.post(f"{one}/delete").status_code == 303
    assert db.scalar("select count(*) from webhook_endpoint") == 0


def test_what_failed_is_shown_as_text_and_sent_again(
    app: Flask, world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = world.endpoint(world.customer)
    answer = {"kind": "webhook", "fault": "status", "status": 500, "times": 100, "body": "<script>alert('Zoe')</script>"}
    simulator.faults([answer])
    events = [fail(world, endpoint) for _ in range(3)]
    browser = Visitor(app, person("owner", world.customer))
    page = f"/desk/c/{world.customer}/webhooks"
    one = f"{page}/{endpoint}"
    shown = browser.get(f"{one}?failed=1").text
    assert "&lt;script&gt;alert(" in shown
    assert "<script>alert(" not in shown
    assert "Zoe" not in Visitor(app, person("operator", None)).get(one).text, "an answer may repeat what a customer wrote"
    simulator.faults([])
    assert browser.post(f"{one}/events/{events[0]}/resend").status_code == 303
    browser.post(f"{one}/events/{events[0]}/resend")
    assert "on its way already" in browser.get(one).text
    run_until_closed(world)
    assert db.scalar(WebhookEvent.select(WebhookEvent.status).where(WebhookEvent.id == events[0])) == "DELIVERED"

    preview = browser.get(f"{one}?hours=24&status=FAILED").text
    assert "<b>2</b>" in preview
    since = re.search(r'name="since" value="([^"]+)"', preview)
    assert since is not None
    assert browser.post(f"{one}/recover", since="yesterday", status="FAILED").status_code == 400
    begun = {"since": since[1], "status": "FAILED"}
    count, in_transaction = webhook_recovery.count, list[bool]()
    monkeypatch.setattr(webhook_recovery, "count", lambda where: in_transaction.append(db.in_transaction()) or count(where))
    assert browser.post(f"{one}/recover", **begun).status_code == 303
    assert in_transaction == [False], "a count may take half a minute"
    browser.post(f"{one}/recover", **begun)
    running = browser.get(one).text
    assert "another one is running" in running
    assert "0 of 2 looked at" in running
    run_actions()
    run_until_closed(world)
    assert {row["status"] for row in db.rows(WebhookEvent.select(WebhookEvent.status))} == {"DELIVERED"}
    assert "2 of 2 looked at" in browser.get(one).text
    assert browser.post(f"{one}/recover", **{**begun, "status": "DELIVERED"}).status_code == 303
    stopped = db.scalar(BulkAction.select(BulkAction.id).where(BulkAction.state == "running"))
    assert browser.post(f"{one}/recoveries/{stopped}/stop").status_code == 303
    assert db.scalar(BulkAction.select(BulkAction.state).where(BulkAction.id == stopped)) == "stopped"


def test_pages_of_attempts_follow_each_other(
    app: Flask, world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "ROWS", 2)
    monkeypatch.setattr(overview, "LOOKS", 4)
    endpoint = world.endpoint(world.customer)
    down(simulator, times=3)
    fail(world, endpoint)
    for _ in range(6):
        fail(world, endpoint)
    browser, address = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/webhooks/{endpoint}?failed=1"
    seen, pages = 0, 0
    while address:
        text = browser.get(address).text
        seen, pages = seen + text.count(">HTTP 500<"), pages + 1
        more = re.search(r'href="([^"]+)" rel="next"', text)
        address = more[1].replace("&amp;", "&") if more else ""
    failures = db.scalar("select count(*) from webhook_attempt where error is not null")
    assert (seen, failures) == (3, 3)
    assert pages > 2, "a page looks through so many attempts, whether they failed or not"


def test_what_the_api_can_set_an_owner_can(app: Flask, world: World, simulator: Simulator) -> None:
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/webhooks"
    base = {"url": f"{simulator.url}/customer/hook", "events": "message.sent"}
    limits = {"channels": ["widget", "telegram"], "rate_limit": "600/1m", "redelivery_schedule": "90s 5m 2h"}
    own = {"headers": "X-Shop: seven\r\nAuthorization: Bearer top:secret", "chatbots": str(world.chatbot)}
    for wrong in (
        {"rate_limit": "a lot"},
        {"redelivery_schedule": "5m soon"},
        {"headers": "X-Shop seven"},
        {"headers": "Host: here"},
    ):
        refused = browser.post(f"{page}/new", **{**base, **limits, **own, **wrong})
        assert (refused.status_code, next(iter(wrong.values())) in refused.text) == (422, True), "what was written is still there"
    assert browser.post(f"{page}/new", **base, chatbots="9" * 5_000).status_code == 422, "more digits than int() takes"
    made = browser.post(f"{page}/new", **base, **limits, **own)
    assert made.status_code == 200
    form = f"{page}/{stored('id')}/settings"
    names = ("channels", "chatbots", "rate_limit", "redelivery_schedule")
    assert [stored(name) for name in names] == [["widget", "telegram"], [world.chatbot], "600/1m", [90, 300, 7200]]
    for shown in (browser.get(f"{page}/{stored('id')}").text, browser.get(form).text):
        assert "X-Shop" in shown
        assert "top:secret" not in shown
    assert 'value="90s 5m 2h"' in browser.get(form).text

    def save(**more: Any) -> None:
        version = re.search(r'name="version" value="([^"]+)"', browser.get(form).text)
        assert version is not None
        assert browser.post(form, version=version[1], **base, **more).status_code == 303

    save(redelivery_schedule="0")
    assert [stored(name) for name in names] == [None, None, None, []]
    world.service.enqueue_webhook_delivery(endpoint_id=stored("id"), event="message.sent", data={"message_id": 1})
    run_until_closed(world)
    [call] = simulator.record("webhook")
    assert (call["headers"]["x-shop"], call["headers"]["authorization"]) == ("seven", "Bearer top:secret"), "those stay"
    save(headers="X-Other: one")
    assert "X-Other" in browser.get(form).text
    save(drop_headers="1")
    assert stored("headers") is None


@pytest.mark.parametrize(
    ("failed", "newer", "shown"), [(10_000, 0, ("10,000", False)), (10_001, 0, ("10,000+", True)), (3, 10_005, ("3", True))]
)
def test_counts_are_exact_to_ten_thousand_however_many_webhooks_there_are(
    app: Flask, world: World, failed: int, newer: int, shown: tuple[str, bool]
) -> None:
    owner, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/webhooks"
    first, *_others = [world.endpoint(world.customer, f"hook-{number}") for number in range(20)]
    add = (
        "insert into webhook_event (customer_id, endpoint_id, event, payload, status, error, delivered_at)"
        " select %s, %s, 'message.sent', '{}', %s, %s, %s from generate_series(1, %s)"
    )
    db.rows(add, [world.customer, first, "FAILED", "HTTP 500", None, failed])
    db.rows(add, [world.customer, first, "DELIVERED", None, "2026-11-27T00:00:00Z", newer])
    texts = owner.get(page).text, owner.get(f"{page}/{first}").text
    cells = re.findall(r'<td class="number" data-label="Failed">([^<]*)</td>', texts[0])
    assert cells == [shown[0], *["0"] * 19]
    assert f"<dt>Failed</dt><dd>{shown[0]}</dd>" in texts[1]
    assert ["What waits is counted among the newest 10,000 events" in text for text in texts] == [shown[1]] * 2


def test_a_first_delivery_rewrites_no_index(world: World) -> None:
    """A HOT update: what counts failures must not slow each delivery."""
    endpoint = world.endpoint(world.customer)
    world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={"message_id": 1})
    hot = "select pg_stat_get_xact_tuples_hot_updated('webhook_event'::regclass)"
    with db.transaction():
        before = db.scalar(hot)
        db.rows(
            "update webhook_event set status = 'DELIVERED', attempts = 1, response_status = 200, error = null,"
            " delivered_at = clock_timestamp(), next_attempt_at = null"
        )
        assert db.scalar(hot) == before + 1


def test_two_edits_do_not_write_over_each_other_and_nobody_reaches_anothers(app: Flask, world: World) -> None:
    endpoint = world.endpoint(world.customer)
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/webhooks"
    form = f"{page}/{endpoint}/settings"
    version = re.search(r'name="version" value="([^"]+)"', browser.get(form).text)
    assert version is not None
    change = {"version": version[1], "url": "https://shop.example/hook", "events": "message.sent"}
    assert browser.post(form, **change, description="first").status_code == 303
    stale = browser.post(form, **change, description="second")
    assert stale.status_code == 409
    assert "second" in stale.text
    assert stored("description") == "first"
    foreign = world.endpoint(world.tenant()[0])
    event = world.service.enqueue_webhook_delivery(endpoint_id=foreign, event="message.sent", data={"message_id": 1})
    for what in ("settings", "pause", "test", "secret", "delete", "recover", f"events/{event}/resend", "recoveries/1/stop"):
        assert browser.post(f"{page}/{foreign}/{what}").status_code == 404, what
    assert browser.get(f"{page}/{foreign}").status_code == 404
    assert browser.post(f"{page}/{endpoint}/events/{event}/resend").status_code == 404
    assert browser.post(f"{page}/{endpoint}/disable").status_code == 303
    assert "switched off" in browser.get(page).text
    assert not stored("active", endpoint)
    assert stored("active", foreign)
