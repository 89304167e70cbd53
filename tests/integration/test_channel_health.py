"""Accounts that cannot send: what their state is learnt from, and what becomes of their replies meanwhile."""

from __future__ import annotations

import time
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.channels import health
from shared.channels.outcomes import Reason
from shared.channels.registry import channel
from shared.channels.whatsapp_qr import acks
from shared.jobs.sweep import sweep
from tests.builders import World
from tests.integration.front_door import FrontDoor, change, waha_event, waha_message, webhook

CLOUD = "whatsapp_cloud"


def account(world: World) -> health.ChannelAccount:
    """The world's number."""
    return health.account_of(channel(CLOUD), world.chatbot, "x")


def state(name: str = CLOUD) -> tuple[str, str | None]:
    """The state of the only account of a channel that was ever in trouble, and why."""
    row = db.row("select state, reason from channel_health where channel = %s", [name])
    return (row["state"], row["reason"]) if row else ("ok", None)


def events(event: str) -> list[dict[str, Any]]:
    """What endpoints were told of it."""
    return [row["payload"] for row in db.rows("select payload from webhook_event where event = %s order by id", [event])]


def queue_replies(world: World, users: int, each: int = 1) -> list[dict[str, Any]]:
    """Replies that are ready to leave; returns their jobs, oldest first."""
    for number in range(each):
        for user in range(users):
            world.say(f"When do you ship? {number}", channel=CLOUD, user=f"49{user:08}")
    while left := db.rows(
        "select id from job where state = 'waiting' and not held and queue <> 'whatsapp-cloud-send' order by id"
    ):
        for row in left:
            world.run(row["id"])
    return world.jobs(queue="whatsapp-cloud-send")


def release(world: World) -> None:
    """What is due in a moment is due now, and runs."""
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed' and waits_for is null")
    world.drain()


def test_a_revoked_token_holds_all_replies_and_a_new_one_lets_them_go(world: World, simulator: Simulator) -> None:
    world.endpoint(world.customer)
    jobs = queue_replies(world, users=20, each=3)
    simulator.faults([{"kind": "graph", "fault": "revoked"}])
    for job in jobs:
        world.run(job["id"])
    assert state() == ("needs_login", "token_invalid")
    assert simulator.counts()["graph"] == {"requests": 1, "accepted": 0}
    held = world.jobs(queue="whatsapp-cloud-send")
    assert {(job["state"], job["attempts"]) for job in held if not job["held"]} == {("delayed", 0)}
    assert sweep() is not None
    [told] = events("channel.down")
    assert (told["state"], told["reason"], told["channel"], told["chatbot_id"]) == (
        "needs_login",
        "token_invalid",
        CLOUD,
        world.chatbot,
    )
    assert "Connect the channel again" in told["explanation"]
    simulator.clear_faults()
    health.connected(account(world))
    release(world)
    assert [m["status"] for m in world.messages(role="assistant")] == ["SENT"] * 60
    by_user: dict[str, list[str]] = {}
    for sent in simulator.record("graph")[1:]:
        by_user.setdefault(sent["key"], []).append(sent["callback_data"])
    assert all(sent == sorted(sent, key=lambda name: int(name[4:])) and len(set(sent)) == 3 for sent in by_user.values())
    assert len(by_user) == 20
    assert (len(events("channel.down")), len(events("channel.up"))) == (1, 1)


def test_a_reply_tries_a_sick_account_three_times_at_growing_intervals(world: World, simulator: Simulator) -> None:
    jobs = queue_replies(world, users=3)
    simulator.faults([{"kind": "graph", "fault": "revoked"}])
    for calls in (1, 2, 3):
        for job in jobs:
            db.rows("update job set run_at = clock_timestamp() where id = %s and state = 'delayed'", [job["id"]])
            world.run(job["id"])
        assert simulator.counts()["graph"]["requests"] == calls
        waits = db.row("select calls, extract(epoch from probe_at - clock_timestamp())::float8 as pause from channel_health")
        assert waits is not None
        assert waits["calls"] == calls
        assert waits["pause"] is None if calls == 3 else waits["pause"] > 50 * calls
        db.rows("update channel_health set probe_at = clock_timestamp() where probe_at is not null")
    for job in jobs:
        db.rows("update job set run_at = clock_timestamp() where id = %s", [job["id"]])
        world.run(job["id"])
    assert simulator.counts()["graph"]["requests"] == 3
    simulator.clear_faults()
    assert health.retry(account(world)), "an operator asks for one more"
    [due] = db.rows("select id from job where state = 'delayed' and run_at <= clock_timestamp()")
    world.run(due["id"])
    assert state() == ("ok", None)
    release(world)
    assert [m["status"] for m in world.messages(role="assistant")] == ["SENT"] * 3


@pytest.mark.parametrize("fault", [{"fault": "status", "status": 500}, {"fault": "reset_after"}, {"fault": "rate_limit"}])
def test_a_failure_or_a_limit_is_no_lost_login(world: World, simulator: Simulator, fault: dict[str, Any]) -> None:
    [job] = queue_replies(world, users=1)
    simulator.faults([{"kind": "graph", **fault}])
    world.run(job["id"])
    assert state()[0] == "ok"
    assert world.jobs(queue="whatsapp-cloud-send")[0]["waits_for"] is None


def test_a_number_that_is_too_fast_is_slowed_as_a_whole(world: World, simulator: Simulator) -> None:
    jobs = queue_replies(world, users=3)
    simulator.faults([{"kind": "graph", "fault": "rate_limit", "retry_after": 20}])
    for job in jobs:
        world.run(job["id"])
    assert simulator.counts()["graph"]["requests"] == 1
    assert {job["state"] for job in world.jobs(queue="whatsapp-cloud-send")} == {"delayed"}


def test_a_number_is_not_slowed_for_years(world: World, simulator: Simulator) -> None:
    [job] = queue_replies(world, users=1)
    simulator.faults([{"kind": "graph", "fault": "rate_limit", "retry_after": 99_999_999}])
    world.run(job["id"])
    assert db.scalar("select slow_until between now() and now() + interval '1 hour' from channel_health")


def test_what_an_old_token_hears_after_a_new_one_came_is_no_news(world: World, simulator: Simulator) -> None:
    [job] = queue_replies(world, users=1)
    claimed = world.claim(job["id"])
    health.connected(account(world))
    simulator.faults([{"kind": "graph", "fault": "revoked"}])
    with pytest.raises(Exception, match="can send again"):
        world.stage(job["id"])(claimed)
    assert state() == ("ok", None)


def test_a_job_that_parks_while_its_account_comes_back_is_not_forgotten(world: World, simulator: Simulator) -> None:
    """Whatever comes first: the park that sees it, or the release."""
    [job] = queue_replies(world, users=1)
    health.report(account(world), health.HELD, Reason.ACCOUNT_RESTRICTED)
    claimed = world.claim(job["id"])
    health.connected(account(world))
    with pytest.raises(Exception, match="can send again"):
        world.stage(job["id"])(claimed)


def test_a_held_reply_is_given_up_after_a_week_whatever_the_age_limit(world: World) -> None:
    old, older = queue_replies(world, users=2)
    health.report(account(world), health.BANNED, Reason.ACCOUNT_BANNED)
    for job, days in ((old, 6), (older, 8)):
        db.rows("update job set created_at = now() - make_interval(days => %s) where id = %s", [days, job["id"]])
        world.run(job["id"])
    world.dead_letters()
    first, second = world.messages(role="assistant")
    assert (first["status"], second["status"], second["metadata"]["error_code"]) == ("PENDING", "FAILED", "held_too_long")


def test_a_held_reply_whose_window_closes_is_shown_and_not_sent(world: World, simulator: Simulator) -> None:
    late, other = queue_replies(world, users=2)
    health.report(account(world), health.HELD, Reason.PAYMENT_MISSING)
    db.rows("update conversation set window_ends_at = now() + interval '10 minutes'")
    for job in (late, other):
        world.run(job["id"])
    assert db.scalar("select bool_and(run_at < now() + interval '11 minutes') from job where waits_for is not null")
    db.rows(
        "update conversation set window_ends_at = now() where id = (select conversation_id from message where id = %s)",
        [late["message_id"]],
    )
    db.rows("update message set created_at = now() - interval '1 hour'")
    health.connected(account(world))
    release(world)
    world.dead_letters()
    first, second = world.messages(role="assistant")
    assert (first["status"], first["metadata"]["error_code"], second["status"]) == ("FAILED", "window_closed", "SENT")
    assert simulator.counts()["graph"]["requests"] == 1


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("account_update", {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}, ("banned", "account_banned")),
        (
            "account_update",
            {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "SCHEDULE_FOR_DISABLE"}},
            ("degraded", "account_alert"),
        ),
        (
            "account_update",
            {
                "event": "ACCOUNT_RESTRICTION",
                "restriction_info": [{"restriction_type": "RESTRICTED_CUSTOMER_INITIATED_MESSAGING"}],
            },
            ("held", "account_restricted"),
        ),
        (
            "account_update",
            {"event": "ACCOUNT_RESTRICTION", "restriction_info": [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}]},
            ("degraded", "account_alert"),
        ),
        (
            "account_update",
            {"event": "ACCOUNT_VIOLATION", "violation_info": {"violation_type": "SCAM"}},
            ("degraded", "account_alert"),
        ),
        ("account_update", {"event": "PARTNER_REMOVED"}, ("needs_login", "permission_missing")),
        ("account_review_update", {"decision": "REJECTED"}, ("degraded", "account_alert")),
        ("account_review_update", {"decision": "PENDING"}, ("ok", None)),
        ("phone_number_quality_update", {"event": "FLAGGED"}, ("degraded", "quality_low")),
        ("phone_number_quality_update", {"event": "THROUGHPUT_UPGRADE"}, ("ok", None)),
        (
            "account_alerts",
            {"alert_info": {"alert_severity": "CRITICAL", "alert_status": "ACTIVE", "alert_type": "X"}},
            ("degraded", "account_alert"),
        ),
        ("account_alerts", {"alert_info": {"alert_severity": "INFORMATIONAL", "alert_status": "ACTIVE"}}, ("ok", None)),
        ("account_update", {}, ("ok", None)),
        ("account_update", {"event": 7, "ban_info": []}, ("ok", None)),
    ],
)
def test_what_meta_reports_of_an_account(door: FrontDoor, field: str, value: dict[str, Any], expected: tuple[str, Any]) -> None:
    db.rows("insert into whatsapp_business (waba_id) values ('102')")
    db.rows("update whatsapp_cloud_account set waba_id = '102'")
    body = {"object": "whatsapp_business_account", "entry": [{"id": "102", "changes": [{"field": field, "value": value}]}]}
    for _ in range(2):
        assert door.meta(body).status_code == 200
    assert state() == expected
    assert len(events("channel.down")) == 0


@pytest.mark.parametrize("by", ["answer", "status"])
def test_a_payment_that_is_missing_holds_its_account_and_no_other(door: FrontDoor, simulator: Simulator, by: str) -> None:
    """Whether Meta says so at once, or only after it took the message."""
    world, error = door.world, {"code": 131042, "message": "Business eligibility payment issue"}
    _, other = world.tenant()
    first, second = queue_replies(world, users=2)
    world.say(channel=CLOUD, user="1", chatbot_id=other)
    if by == "answer":
        refusal = {"status": 400, "body": {"error": error}, "match": f"/{door.number}/"}
        simulator.faults([{"kind": "graph", "fault": "status", **refusal}])
    world.run(first["id"])
    failed: dict[str, Any] = {"status": "failed", "timestamp": str(int(time.time())), "recipient_id": "1", "errors": [error]}
    if by == "status":
        failed["id"] = simulator.record("graph")[0]["answered_id"]
        door.meta(webhook(change(door.number, statuses=[failed])))
    world.run(second["id"])
    world.drain()
    assert state() == ("held", "payment_missing")
    held = {(job["waits_for"], job["attempts"]) for job in world.jobs(queue="whatsapp-cloud-send", state="delayed")}
    assert held == {(f"whatsapp_cloud {world.chatbot}", 0)}
    assert [m["status"] for m in world.messages(role="assistant", chatbot=other)] == ["SENT"]
    health.connected(account(world))
    if by == "status":  # Meta repeats what it has said
        door.meta(webhook(change(door.number, statuses=[failed])))
    assert state() == ("ok", None)


def test_a_ban_of_nobodys_account_is_told_to_the_operator(door: FrontDoor, caplog: pytest.LogCaptureFixture) -> None:
    change = {"field": "account_update", "value": {"event": "DISABLED_UPDATE", "ban_info": {"waba_ban_state": "DISABLE"}}}
    assert door.meta({"entry": [{"id": "1", "changes": [change]}]}).status_code == 200
    [line] = [line for line in caplog.records if line.message == "account_event"]
    assert (line.levelname, line.account_event, line.numbers) == ("ERROR", "DISABLED_UPDATE.DISABLE", 0)


def test_what_is_only_degraded_lifts_nothing_worse(world: World) -> None:
    health.report(account(world), health.BANNED, Reason.ACCOUNT_BANNED)
    health.report(account(world), health.DEGRADED, Reason.QUALITY_LOW)
    assert not health.lift(account(world), {Reason.QUALITY_LOW})
    assert state() == ("banned", "account_banned")
    assert health.lift(account(world), {Reason.ACCOUNT_BANNED})
    assert state() == ("ok", None)


@pytest.mark.parametrize(("status", "expected"), [("SCAN_QR_CODE", "needs_login"), ("FAILED", "needs_login"), ("STARTING", "ok")])
def test_what_a_gateway_says_of_its_session(door: FrontDoor, status: str, expected: str) -> None:
    door.world.endpoint(door.world.customer)
    door.waha(waha_event("session.status", {"name": "s", "status": status}))
    assert state("whatsapp_qr")[0] == expected
    door.waha(waha_event("session.status", {"name": "s", "status": "WORKING"}))
    assert state("whatsapp_qr")[0] == "ok"
    assert len(events("channel.down")) == len(events("channel.up")) == (expected == "needs_login")


def test_a_session_that_is_back_without_a_word_is_asked(door: FrontDoor, simulator: Simulator) -> None:
    simulator.faults([{"kind": "waha", "fault": "offline"}])
    door.waha(waha_message("A1"))
    door.world.drain()
    assert state("whatsapp_qr") == ("needs_login", "session_offline")
    simulator.clear_faults()
    db.rows("update channel_health set probe_at = clock_timestamp()")
    db.rows("update job set run_at = clock_timestamp() where state = 'delayed'")
    [job] = door.world.jobs(queue="whatsapp-qr-send")
    door.world.run(job["id"])
    assert state("whatsapp_qr") == ("ok", None)
    assert [m["status"] for m in door.world.messages(role="assistant")] == ["SENT"]
    assert [row["path"] for row in simulator.record("waha")][1:] == [f"/api/sessions/{door.session}", "/api/sendText"]


def answer(world: World, *users: str) -> list[str]:
    """Customers write, and the gateway takes the replies to those who may be answered; the ids of all that it took."""
    for user in users:
        world.say("When do you ship?", channel="whatsapp_qr", user=f"{user}@c.us")
    world.drain()
    rows = db.rows("select external_id from message where role = 'assistant' and status = 'SENT' order by id")
    return [row["external_id"] for row in rows]


def acknowledge(door: FrontDoor, identity: str) -> None:
    """The gateway reports that WhatsApp's server has this message."""
    payload = {"id": f"true_1@c.us_{identity}", "from": "1@c.us", "fromMe": True, "ack": 1, "ackName": "SERVER"}
    assert door.waha(waha_event("message.ack", payload)).status_code == 200


def minutes_pass() -> None:
    """Everything that has happened to gateways was two minutes ago."""
    for table, column in (
        ("message", "created_at"),
        ("usage_log", "created_at"),
        ("channel_health", "since"),
        ("whatsapp_qr_session", "acked_at"),
    ):
        db.rows(f"update {table} set {column} = {column} - interval '2 minutes'")


def probe(world: World) -> None:
    """The next try is due: the reply that waits for it tries the account."""
    db.rows(
        "update job set run_at = clock_timestamp() from channel_health"
        " where waits_for is not null and job.state = 'delayed' and run_at <= probe_at + interval '1 second'"
    )
    db.rows("update channel_health set probe_at = clock_timestamp() where probe_at is not null")
    [due] = db.rows("select id from job where waits_for is not null and run_at <= clock_timestamp()")
    world.run(due["id"])


def test_a_gateway_that_works_and_acknowledges_nothing_is_dead_until_it_does(door: FrontDoor, simulator: Simulator) -> None:
    world = door.world
    world.endpoint(world.customer)
    acknowledge(door, answer(world, "1")[-1])
    minutes_pass()
    assert acks.watch() == 0, "an idle session is well"
    answer(world, "2", "3")
    assert acks.watch() == 0, "a minute is not over"
    minutes_pass()
    assert (acks.watch(), state("whatsapp_qr")) == (1, ("held", "not_acknowledged"))
    assert acks.watch() == 0, "that is told once"
    answer(world, "4", "5", "6", "7", "8")
    assert len(simulator.record("waha")) == 3
    for number in (1, 2, 3):  # each is taken, which proves nothing, and the next one waits for its turn
        probe(world)
        assert (state("whatsapp_qr"), len(answer(world))) == (("held", "not_acknowledged"), 3 + number)
    assert len(db.rows("select from job where waits_for is not null and run_at < now() + interval '50 minutes'")) == 0
    door.waha(waha_event("session.status", {"name": "s", "status": "WORKING"}, at=int(time.time() * 1000)))
    [due] = db.rows("select id from job where waits_for is not null and run_at <= clock_timestamp()")
    world.run(due["id"])
    assert state("whatsapp_qr") == ("held", "not_acknowledged"), "the word alone proves nothing"
    acknowledge(door, answer(world)[-1])
    assert state("whatsapp_qr") == ("ok", None)
    release(world)
    assert [m["status"] for m in world.messages(role="assistant")] == ["SENT"] * 8
    assert len({row["answered_id"] for row in simulator.record("waha") if row["accepted"] and row["text"]}) == 8
    assert (len(events("channel.down")), len(events("channel.up"))) == (1, 1)


def test_a_gateway_that_was_never_told_to_acknowledge_is_not_held(door: FrontDoor) -> None:
    answer(door.world, "1")
    minutes_pass()
    assert (acks.watch(), state("whatsapp_qr")) == (1, ("degraded", "not_acknowledged"))
    assert len(answer(door.world, "2")) == 2
    acknowledge(door, "3EB0UNKNOWN")  # before its answer is stored, perhaps
    assert state("whatsapp_qr") == ("ok", None)
    assert acks.watch() == 0
