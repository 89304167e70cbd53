"""What operators look at, what every route keeps to, and what happens when PostgreSQL or Redis is away."""

from __future__ import annotations

import base64
import re
import threading
from typing import Any

import pytest

from shared import config, db
from shared.broker import redis_broker
from shared.jobs.sweep import sweep_if_alone
from shared.telemetry import metrics
from tests.integration.front_door import (
    APP_SECRET,
    DASHBOARD,
    METRICS,
    QR_SECRET,
    VERIFY_TOKEN,
    FrontDoor,
    change,
    waha_message,
    webhook,
    written,
)
from tests.waiting import until

LOGIN = {"Authorization": "Basic " + base64.b64encode(":".join(DASHBOARD).encode()).decode()}
SCRAPER = {"Authorization": f"Bearer {METRICS}"}
NOWHERE = "127.0.0.1:1"


@pytest.fixture
def no_redis(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> FrontDoor:
    """Redis is away."""
    monkeypatch.setenv("REDIS_URL", f"redis://{NOWHERE}/0")
    config.reset()
    redis_broker.reset()
    return door


@pytest.fixture
def no_postgres(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> FrontDoor:
    """PostgreSQL is away."""
    monkeypatch.setenv("DATABASE_URL", f"postgresql://nobody@{NOWHERE}/nothing")
    config.reset()
    db.reset()
    return door


def test_while_redis_is_away_messages_are_accepted(no_redis: FrontDoor) -> None:
    assert no_redis.meta(webhook(change(no_redis.number, messages=[written("wamid.1")]))).status_code == 200
    assert no_redis.waha(waha_message("A1")).status_code == 200
    assert db.scalar("select count(*) from job where state = 'waiting'") == 2
    ready = no_redis.client.get("/readyz")
    assert (ready.status_code, ready.json["status"]) == (200, "degraded")  # type: ignore[index]
    away = dict.fromkeys(("redis", "sweep", "scheduler", "workers"), "failed: cannot be reached")
    assert ready.json["checks"] == {"postgres": "ok", "storage": "ok", "credentials": "ok", **away}  # type: ignore[index]
    assert no_redis.client.get("/metrics", headers=SCRAPER).status_code == 200


def test_while_postgres_is_away_the_channel_is_told_to_come_again(no_postgres: FrontDoor) -> None:
    answers = [
        no_postgres.meta(webhook(change(no_postgres.number, messages=[written("wamid.1")]))),
        no_postgres.waha(waha_message("A1")),
        no_postgres.client.get("/api/v1/conversations", headers={"Authorization": "Bearer sk_" + "a" * 43}),
        no_postgres.client.get("/metrics", headers=SCRAPER),
    ]
    for answer in answers:
        assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.json["detail"] == "The database is unavailable. Retry the same request in 5 seconds."  # type: ignore[index]
        assert NOWHERE not in answer.text
    ready = no_postgres.client.get("/readyz")
    assert (ready.status_code, ready.json["status"]) == (503, "not ready")  # type: ignore[index]
    assert no_postgres.client.get("/healthz").status_code == 200


def test_well_means_that_somebody_sweeps(door: FrontDoor) -> None:
    never = door.client.get("/readyz")
    assert (never.status_code, never.json["status"]) == (200, "degraded")  # type: ignore[index]
    sweep_if_alone()
    assert door.client.get("/readyz").json["checks"]["sweep"] == "ok"  # type: ignore[index]
    client: Any = redis_broker.get_broker().client
    client.set("dramatiq:swept-at", 1)
    assert "ago" in door.client.get("/readyz").json["checks"]["sweep"]  # type: ignore[index]


def test_well_means_that_somebody_says_when(door: FrontDoor) -> None:
    """A scheduler that is dead fails nothing: nobody would notice that no conversation goes back to the bot."""
    from workers import maintenance

    def says() -> str:
        return str(door.client.get("/readyz").json["checks"]["scheduler"])  # type: ignore[index]

    client: Any = redis_broker.get_broker().client
    assert says() == "ok", "nothing ran yet: what is missing then is maintenance"
    client.set("dramatiq:scheduled-at", 1)
    assert "start the process type scheduler" in says()
    assert _value(door.client.get("/metrics", headers=SCRAPER).text, "switchboard_scheduler_age_seconds") > 1e9
    maintenance.sweep_jobs()
    assert says() == "ok"
    assert _value(door.client.get("/metrics", headers=SCRAPER).text, "switchboard_scheduler_age_seconds") < 300


def test_a_scheduler_has_its_time_from_the_start_of_maintenance_on(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers import maintenance

    monkeypatch.setenv("SWEEP_INTERVAL_SECONDS", "1")
    config.reset()
    client: Any = redis_broker.get_broker().client
    client.set("dramatiq:scheduled-at", 1)
    ticker = maintenance.Ticker()
    thread = threading.Thread(target=ticker._tick, daemon=True)
    thread.start()
    until(lambda: float(client.get("dramatiq:scheduled-at")) > 1, "the first tick counts from now on")
    client.delete("dramatiq:scheduled-at")
    until(lambda: client.get("dramatiq:scheduled-at") is not None, "so does one after Redis lost it")
    client.set("dramatiq:scheduled-at", 2)
    client.delete("dramatiq:swept-at")
    until(lambda: client.get("dramatiq:swept-at") is not None, "the next sweep")
    ticker.before_worker_shutdown(redis_broker.get_broker(), None)
    thread.join(30)
    assert float(client.get("dramatiq:scheduled-at")) == 2, "later ticks say nothing of the scheduler"


def _value(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
    assert found, f"{name} in\n{text}"
    return float(found[1])


def test_metrics(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    door.meta(webhook(change(door.number, messages=[written("wamid.1")])))
    door.meta({}, secret="wrong")
    text = door.client.get("/metrics", headers=SCRAPER).text
    assert _value(text, 'switchboard_jobs{queue="incoming-messages",state="waiting"}') == 1
    assert _value(text, 'switchboard_oldest_job_seconds{queue="incoming-messages"}') > 0
    door.world.drain()
    text = door.client.get("/metrics", headers=SCRAPER).text
    assert _value(text, 'switchboard_jobs{queue="incoming-messages",state="waiting"}') == 0
    assert _value(text, 'switchboard_attempts_total{outcome="completed",queue="ai-processing"}') == 1
    assert _value(text, 'switchboard_provider_calls_total{provider="whatsapp_cloud",result="completed"}') == 1
    assert _value(text, 'switchboard_stage_seconds_total{queue="ai-processing"}') > 0
    assert _value(text, 'switchboard_tokens_total{kind="prompt"}') > 0
    assert _value(text, 'switchboard_inbound_total{hook="whatsapp_cloud",outcome="bad_signature"}') == 1
    assert door.client.get("/metrics").status_code == 401
    monkeypatch.delenv("METRICS_TOKEN")
    config.reset()
    for headers in ({}, SCRAPER, {"Authorization": "Bearer "}):
        assert door.client.get("/metrics", headers=headers).status_code == 404


def test_what_a_limit_keeps_back_is_no_call_of_a_provider(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_AI_PROCESSING", "1/1h")
    config.reset()
    door.meta(webhook(change(door.number, messages=[written("wamid.1"), written("wamid.2", **{"from": "4912345"})])))
    door.world.drain()
    text = door.client.get("/metrics", headers=SCRAPER).text
    assert _value(text, 'switchboard_attempts_total{outcome="limited",queue="ai-processing"}') == 1
    assert _value(text, 'switchboard_jobs{queue="ai-processing",state="delayed"}') == 1
    assert _value(text, 'switchboard_provider_calls_total{provider="ai",result="completed"}') == 1
    assert 'provider="ai",result="limited"' not in text


def test_dashboard_says_when_to_come_again_while_redis_is_away(no_redis: FrontDoor) -> None:
    page = no_redis.client.get("/dashboard/", headers=LOGIN)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert page.json["detail"] == "Redis (cannot be reached) is unavailable. Retry the same request in 5 seconds."  # type: ignore[index]


def test_dashboard_has_a_login(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert door.client.get("/dashboard/").status_code == 401
    wrong = {"Authorization": "Basic " + base64.b64encode(f"{DASHBOARD[0]}:no".encode()).decode()}
    assert door.client.get("/dashboard/", headers=wrong).status_code == 401
    page = door.client.get("/dashboard/", headers=LOGIN)
    assert page.status_code == 200
    assert "incoming-messages" in page.text
    monkeypatch.delenv("DASHBOARD_PASSWORD")
    config.reset()
    disabled = door.client.get("/dashboard/", headers=LOGIN)
    assert disabled.status_code == 404
    assert disabled.json["detail"] == "The dashboard is disabled. Set DASHBOARD_USER and DASHBOARD_PASSWORD."  # type: ignore[index]


def test_dashboard_shows_and_deletes_with_its_token_only(door: FrontDoor) -> None:
    door.world.say("a secret question")
    page = door.client.get("/dashboard/queues/incoming-messages", headers=LOGIN)
    assert page.status_code == 200
    assert "a secret question" not in page.text
    cookie = page.headers["Set-Cookie"]
    assert "SameSite=Strict" in cookie
    assert "HttpOnly" in cookie
    token = cookie.split(";")[0].split("=")[1]
    form = {"queue": "incoming-messages", "id": "job-1"}
    path = "/dashboard/delete-message"
    assert door.client.post(path, data=form, headers=LOGIN).status_code == 403
    good = {**form, "__dd_csrf": token}
    assert door.client.post(path, data=good, headers={**LOGIN, "Origin": "https://evil.example"}).status_code == 403
    assert door.client.post(path, data=good, headers=LOGIN).status_code == 302
    assert door.client.post(path, data={**good, "x": "y" * 70_000}, headers=LOGIN).status_code == 413


def test_every_route_has_the_headers_and_the_limit(door: FrontDoor) -> None:
    rules = [rule for rule in door.app.url_map.iter_rules() if rule.endpoint != "static"]
    assert len(rules) > 20
    for rule in rules:
        path = re.sub(r"<[^>]+>", "1", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            answer = door.client.open(path, method=method, data=b"x" * 4_000_000, content_type="application/json", headers=LOGIN)
            assert answer.status_code < 500, (method, path, answer.text)
            if method != "GET":
                assert answer.status_code >= 400, (method, path)
            for header in ("X-Content-Type-Options", "Content-Security-Policy", "Referrer-Policy"):
                assert answer.headers.get(header), (method, path, header)
            if answer.status_code >= 400:
                is_page = path.startswith("/desk") and answer.mimetype == "text/html"  # people read it
                assert is_page or answer.mimetype == "application/problem+json", (method, path)


def test_no_answer_tells_a_secret_or_a_stack_trace(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError(f"with {APP_SECRET} in it")

    monkeypatch.setattr("shared.channels.whatsapp_cloud.webhook.is_signed", broken)
    answers = [door.client.post("/webhooks/whatsapp/cloud", json={}), door.client.get("/nothing"), door.client.get("/dashboard/")]
    assert [answer.status_code for answer in answers] == [500, 404, 401]
    for answer in answers:
        assert not [
            secret for secret in (APP_SECRET, QR_SECRET, VERIFY_TOKEN, DASHBOARD[1], "Traceback") if secret in answer.text
        ]


def test_counts_that_redis_could_not_take_come_later(no_redis: FrontDoor, services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics.increment("inbound", "x", "y")
    metrics.flush()
    monkeypatch.setenv("REDIS_URL", services.redis_url)
    config.reset()
    redis_broker.reset()
    assert metrics.read()["inbound", "x", "y"] == 1
