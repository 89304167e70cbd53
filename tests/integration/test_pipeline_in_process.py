"""Each stage on the real database: what it writes, how many statements it takes, and what it does when things go wrong."""

from __future__ import annotations

import dataclasses
import json
import threading
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.ai import profiles
from shared.broker.redis_broker import get_broker
from shared.config import settings
from shared.db.pool import is_connected
from shared.errors import LeaseLost, PermanentError, Snooze
from shared.jobs import ledger, operator
from shared.jobs.ledger import Job, leases
from shared.jobs.stage import Stage
from shared.jobs.sweep import sweep
from shared.queues import Queue
from tests.builders import World, stage_of_queue, times_claimed

BUDGET = {Queue.INCOMING: 1, Queue.AI: 2, Queue.OUTGOING: 1, Queue.WHATSAPP_CLOUD: 2, Queue.WHATSAPP_QR: 3, Queue.WEBHOOKS: 2}


def test_a_message_goes_through_every_channel(world: World, simulator: Simulator) -> None:
    for channel in ("widget", "whatsapp_cloud", "whatsapp_qr"):
        world.say(channel=channel, user="49123")
    world.drain()
    replies = world.messages(role="assistant")
    assert [(reply["channel"], reply["status"]) for reply in replies] == [
        ("widget", "SENT"),
        ("whatsapp_cloud", "SENT"),
        ("whatsapp_qr", "SENT"),
    ]
    assert all("We ship within two days." in reply["content"] for reply in replies)
    assert [item["cited"] for item in replies[0]["metadata"]["knowledge"]] == [True]
    assert replies[1]["external_id"].startswith("wamid.")
    assert {job["state"] for job in world.jobs()} == {"completed"}
    assert db.scalar("select count(*) from usage_log where kind = 'ai' and prompt_tokens > 0") == 3


@pytest.mark.parametrize("channel", ["widget", "whatsapp_cloud", "whatsapp_qr"])
def test_each_stage_keeps_its_budget_of_statements(world: World, channel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world.endpoint(world.customer)
    world.say(user="v-0")
    world.drain()  # what a process reads once
    statements: list[str] = []
    execute = db.Pool.execute_sql
    monkeypatch.setattr(
        db.Pool, "execute_sql", lambda self, sql, params=None: (statements.append(sql), execute(self, sql, params))[1]
    )
    profiles.of("", "")  # read once by a process
    world.say(channel=channel, user="49123")
    seen: dict[Queue, int] = {}
    while ready := db.rows("select id, queue from job where state = 'waiting' and not held order by id"):
        statements.clear()
        queue = Queue(ready[0]["queue"])
        stage_of_queue(queue).run(ready[0]["id"])
        seen[queue] = len([sql for sql in statements if not sql.startswith(("BEGIN", "COMMIT", "prepare ", "discard "))])
    assert len(seen) >= 4
    assert all(count <= BUDGET[queue] for queue, count in seen.items()), seen


def test_no_connection_is_held_during_a_call(world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.ai import clients
    from shared.http import client

    held: list[bool] = []
    exchange, stage = client.exchange, threading.current_thread()

    def watched_exchange(*arguments: Any, **named: Any) -> Any:
        if threading.current_thread() is stage:  # what other threads do, typing indicators among them, comes at any time
            held.append(is_connected())
        return exchange(*arguments, **named)

    for module in (client, clients):
        monkeypatch.setattr(module, "exchange", watched_exchange)
    world.endpoint(world.customer)
    for channel in ("whatsapp_cloud", "whatsapp_qr"):
        world.say(channel=channel, user="49123")
    world.drain()
    assert len(held) == 2 + 2 + 6  # of each message a reply, its send and three events
    assert not any(held)


def test_the_same_external_id_is_one_message(world: World) -> None:
    first = world.say(external_id="wamid.1")
    assert world.say(external_id="wamid.1") == first
    world.drain()
    assert world.say(external_id="wamid.1") == first
    db.rows("delete from job")
    assert world.say(external_id="wamid.1") == first
    assert len(world.messages(role="user")) == len(world.messages(role="assistant")) == 1


def test_a_job_delivered_twice_finds_itself_closed(world: World, simulator: Simulator) -> None:
    world.say(channel="whatsapp_cloud", user="49123")
    world.drain()
    for job in world.jobs():
        assert world.run(job["id"]) is None
    assert len(simulator.record("graph")) == len(simulator.record("ai")) == 1


def test_the_conversation_so_far_is_told_to_the_ai(world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    from shared.ai import provider

    prompts: list[Any] = []
    complete = provider.complete
    monkeypatch.setattr(
        "shared.ai.provider.complete",
        lambda provider, messages, **more: (prompts.append(messages), complete(provider, messages, **more))[1],
    )
    for number in range(7):
        world.say(f"question {number} about shipping")
    world.drain()
    assert [m["role"] for m in prompts[-1]] == ["system", "assistant", *["user", "assistant"] * 4, "user"]
    assert prompts[-1][-1]["content"] == "question 6 about shipping"


def test_retries_wait_1_2_and_4_seconds_then_the_fallback_goes_out_once(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "status", "status": 500}])
    message = world.say()
    world.drain()
    [job] = world.jobs(queue="ai-processing")
    delays = []
    while (
        state := db.row(
            "select state, extract(epoch from run_at - clock_timestamp()) as wait from job where id = %s", [job["id"]]
        )
    )["state"] == "delayed":
        delays.append(round(float(state["wait"])))
        assert world.messages(role="assistant") == []
        db.rows("update job set run_at = clock_timestamp() where id = %s", [job["id"]])
        world.run(job["id"])
    assert delays == [1, 2, 4]
    [failed] = world.jobs(queue="ai-processing")
    assert (failed["state"], failed["attempts"], failed["closed_at"]) == ("failed", 4, None)
    assert "HTTP 500" in failed["last_error"]
    assert failed["last_traceback"] is None, "nothing of ours is broken"
    assert world.dead_letter(job["id"])
    assert not world.dead_letter(job["id"])
    world.drain()
    [reply] = world.messages(role="assistant")
    assert (reply["content"], reply["status"], reply["reply_to"]) == ("We are busy.", "SENT", message)
    assert reply["metadata"]["fallback"] is True


def test_later_costs_no_attempt_and_is_bounded_by_age(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "rate_limit", "retry_after": 9}])
    world.say()
    began = db.scalar("select clock_timestamp()")
    world.drain()
    ended = db.scalar("select clock_timestamp()")
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], job["attempts"], times_claimed(job)) == ("delayed", 0, 1)
    assert began + timedelta(seconds=8) < job["run_at"] <= ended + timedelta(seconds=9)
    db.rows("update job set run_at = clock_timestamp(), created_at = created_at - interval '2 hours' where id = %s", [job["id"]])
    world.run(job["id"])
    [job] = world.jobs(queue="ai-processing")
    assert job["state"] == "failed"
    assert "still so after" in job["last_error"]


@pytest.mark.parametrize("fault", ["quota", "bad_key"])
def test_what_never_passes_fails_at_once(world: World, simulator: Simulator, fault: str) -> None:
    simulator.faults([{"kind": "ai", "fault": fault}])
    world.say()
    world.drain()
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], job["attempts"]) == ("failed", 1)


def test_a_failed_send_is_failed_with_metas_words(world: World, simulator: Simulator) -> None:
    world.endpoint(world.customer)
    world.say(channel="whatsapp_cloud", user="490000404")
    world.drain()
    [job] = world.jobs(queue="whatsapp-cloud-send")
    world.dead_letter(job["id"])
    [reply] = world.messages(role="assistant")
    assert reply["status"] == "FAILED"
    assert "131026" in reply["error"]
    assert reply["attempts"] == reply["metadata"]["attempts"] == 1
    assert db.scalar("select count(*) from webhook_event where event = 'message.failed'") == 1


def test_a_reply_that_fails_lets_the_next_one_go(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "graph", "fault": "status", "status": 400, "times": 1}])
    for number in range(2):
        world.say(channel="whatsapp_cloud", user="4912345", external_id=f"in-{number}")
    world.drain()
    first, _ = world.jobs(queue="whatsapp-cloud-send")
    assert world.messages(role="assistant")[1]["status"] == "PENDING"
    world.dead_letter(first["id"])
    world.drain()
    assert [reply["status"] for reply in world.messages(role="assistant")] == ["FAILED", "SENT"]


def test_a_garbage_payload_is_dead_lettered(world: World) -> None:
    world.say()
    db.rows("update job set payload = '{\"nonsense\": 1}'")
    [job] = world.jobs()
    assert world.run(job["id"]) is not None
    assert world.dead_letter(job["id"])
    [job] = world.jobs()
    assert (job["state"], job["closed_at"] is not None) == ("failed", True)
    assert "bad payload" in job["last_error"]


def test_a_webhook_is_signed_and_only_2xx_succeeds(world: World, simulator: Simulator) -> None:
    endpoint = world.endpoint(world.customer, "signed")
    simulator.faults(
        [{"kind": "webhook", "fault": "status", "status": 500, "times": 1}, {"kind": "webhook", "fault": "redirect", "times": 1}]
    )
    event = world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={"message_id": 1})
    [job] = world.jobs(queue="webhook-delivery")
    for _ in range(3):
        db.rows("update job set run_at = clock_timestamp() where state = 'delayed'")
        world.run(job["id"])
    row = db.row("select * from webhook_event where id = %s", [event])
    assert row is not None
    assert (row["status"], row["attempts"], row["response_status"], row["error"]) == ("DELIVERED", 3, 200, None)
    seen = simulator.record("webhook")[-1]
    assert (seen["headers"]["x-webhook-event"], seen["headers"]["x-webhook-id"], seen["headers"]["x-webhook-attempt"]) == (
        "message.sent",
        f"evt_{event}",
        "3",
    )
    assert Webhook(world.secret).verify(seen["body"], seen["headers"])["data"] == {"message_id": 1}
    assert json.loads(seen["body"])["type"] == "message.sent"


def test_an_event_that_fails_for_good_is_failed_and_can_be_delivered_again(world: World, simulator: Simulator) -> None:
    endpoint = world.endpoint(world.customer)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 404, "times": 4}])
    world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={})
    [job] = world.jobs()
    for _ in range(4):
        db.rows("update job set run_at = clock_timestamp() where state = 'delayed'")
        world.run(job["id"])
    assert world.dead_letter(job["id"])
    event = db.row("select status, attempts, response_status, error from webhook_event")
    assert event is not None
    assert (event["status"], event["attempts"], event["response_status"]) == ("FAILED", 4, 404)
    assert "HTTP 404" in event["error"]
    operator.requeue(job["id"])
    world.drain()
    assert db.scalar("select status from webhook_event") == "DELIVERED"


@pytest.mark.parametrize("asked", ["inf", "1e999", "nan", "-inf"])
def test_an_endpoint_that_asks_for_eternity_is_asked_again_soon(world: World, simulator: Simulator, asked: str) -> None:
    endpoint = world.endpoint(world.customer)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 429, "headers": {"Retry-After": asked}}])
    world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={})
    [job] = world.jobs()
    world.run(job["id"])
    [job] = world.jobs()
    assert (job["state"], job["attempts"]) == ("delayed", 0)
    assert db.scalar("select run_at < clock_timestamp() + interval '1 minute' from job")


def test_a_tenants_knowledge_stays_its_own(world: World, simulator: Simulator) -> None:
    _, other = world.tenant()
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [other])
    world.know(base, "Unicorns", "Our unicorns are purple.")
    world.say("What colour are the unicorns?")
    world.say("What colour are the unicorns?", chatbot_id=other)
    world.drain()
    mine, theirs = world.messages(role="assistant")
    assert "purple" not in mine["content"]
    assert "purple" in theirs["content"]


def test_plans_set_the_lane(world: World) -> None:
    for price, priority in ((12_000, 1), (10_000, 1), (9_999, 3), (5_000, 3), (4_999, 5)):
        _, chatbot = world.tenant(price=price)
        world.say(chatbot_id=chatbot)
        world.drain()
        assert world.jobs(queue="ai-processing")[-1]["priority"] == priority


def test_debounce_answers_a_burst_once(world: World, simulator: Simulator) -> None:
    _, chatbot = world.tenant(debounce_seconds=5)
    for text in ("Hello", "are you there?", "when do you ship?"):
        last = world.say(text, chatbot_id=chatbot)
        world.drain()
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], job["message_id"]) == ("delayed", last)
    db.rows("update job set run_at = clock_timestamp() where id = %s", [job["id"]])
    world.run(job["id"])
    world.drain()
    [reply] = world.messages(role="assistant")
    assert reply["reply_to"] == last
    assert len(simulator.record("ai")) == 1


def _stage(work: Any) -> Stage:
    """The first stage, with another work."""
    return dataclasses.replace(stage_of_queue(Queue.INCOMING), work=work)


def test_the_vocabulary_maps_to_the_ledger(world: World) -> None:
    def raising(problem: Exception) -> Any:
        def work(_: Any) -> Any:
            raise problem

        return work

    for problem, state, attempts in (
        (Snooze(5, "wait"), "delayed", 0),
        (PermanentError("no"), "failed", 1),
        (KeyError("x"), "delayed", 1),
    ):
        world.say(user=str(problem))
        job = world.jobs()[-1]
        try:
            _stage(raising(problem)).run(job["id"])
        except Exception as raised:
            assert "job" in str(raised)  # noqa: PT017 - either ends as told
        found = world.jobs(id=job["id"])[0]
        assert (found["state"], found["attempts"]) == (state, attempts)


def test_a_wait_beyond_the_age_of_a_job_ends_before_it_and_then_the_job_fails(world: World) -> None:
    def work(claimed: Job) -> None:
        raise Snooze(100_000, "the provider asks for a day")

    world.say()
    [job] = world.jobs()
    _stage(work).run(job["id"])
    [job] = world.jobs()
    limit = job["created_at"] + timedelta(seconds=settings().job_max_age)
    assert job["state"] == "delayed"
    assert limit - timedelta(seconds=ledger.FINAL_ATTEMPT_WINDOW + 1) < job["run_at"] <= limit
    db.rows(
        "update job set run_at = now(), created_at = now() - make_interval(secs => %s)",
        [settings().job_max_age - ledger.FINAL_ATTEMPT_WINDOW + 0.5],
    )
    with pytest.raises(Exception, match="ended"):
        _stage(work).run(job["id"])
    [job] = world.jobs()
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert "asks for a day; still so after" in job["last_error"]


def _claimed_twice(world: World, job_id: int) -> tuple[Job, Job]:
    """A claim that ran out, and the one that took the job over."""
    late = world.claim(job_id)
    world.vanish()
    return late, world.claim(job_id)


def test_a_late_result_is_dropped(world: World) -> None:
    world.say()
    world.run(world.jobs()[0]["id"])
    [job] = world.jobs(queue="ai-processing")
    late, current = _claimed_twice(world, job["id"])
    with pytest.raises(LeaseLost):
        stage_of_queue(Queue.AI)(late)
    assert world.messages(role="assistant") == []
    stage_of_queue(Queue.AI)(current)
    with pytest.raises(LeaseLost):
        ledger.fail_attempt(late, ledger.queries["attempt_failed"], "too late", retry_delays=[])
    assert len(world.messages(role="assistant")) == 1
    assert world.jobs(queue="ai-processing")[0]["state"] == "completed"


def test_a_late_result_of_one_statement_is_dropped(world: World) -> None:
    world.say()
    [job] = world.jobs()
    late, current = _claimed_twice(world, job["id"])
    with pytest.raises(PermanentError):
        stage_of_queue(Queue.INCOMING)(late)
    with pytest.raises(LeaseLost):
        ledger.fail_attempt(late, ledger.queries["attempt_failed"], "nothing of it happened", retry_delays=[])
    assert world.messages() == []
    stage_of_queue(Queue.INCOMING)(current)
    assert len(world.messages()) == 1
    assert world.jobs(queue="incoming-messages")[0]["state"] == "completed"


def test_a_job_of_a_limited_queue_waits_without_a_claim(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_INCOMING_MESSAGES", "1/1h")
    config.reset()
    for user in ("v-1", "v-2"):
        world.say(user=user)
    for job in world.jobs():
        world.run(job["id"])
    states = [(job["state"], job["claims"], job["attempts"]) for job in world.jobs(queue="incoming-messages")]
    assert states == [("completed", 1, 1), ("delayed", 0, 0)]


def test_poison_is_given_up_after_three_lost_claims(world: World) -> None:
    world.say()
    [job] = world.jobs()
    for alone in (False, True, True):
        world.claim(job["id"])
        world.vanish(alone)
    world.run(job["id"])
    [job] = world.jobs()
    assert job["state"] == "failed"
    assert "poison" in job["last_error"]


def _dies_with_everything_in_hand(world: World) -> None:
    """A worker takes what is in incoming-messages' queue and is never heard of again; the sweep notices."""
    broker = get_broker()
    broker.take(Queue.INCOMING.value, 10)
    broker.client.zadd(f"{broker.namespace}:__heartbeats__", {broker.broker_id: 0})
    sweep()


def test_a_job_that_kills_its_process_is_given_up_though_its_stage_claims_nothing(world: World) -> None:
    world.say()
    _dies_with_everything_in_hand(world)
    [job] = world.jobs()
    assert (job["state"], job["attempts"], job["lost_claims"]) == ("waiting", 0, 1)
    for _ in range(2):  # from now on it is claimed before it runs, and runs alone
        world.claim(job["id"])
        world.vanish(alone=True)
    world.run(job["id"])
    [job] = world.jobs()
    assert (job["state"], job["attempts"], "poison" in job["last_error"]) == ("failed", 3, True)


def test_who_was_in_the_hands_of_a_dead_worker_is_only_claimed_first(world: World) -> None:
    for user in ("v-1", "v-2"):
        world.say(user=user)
    for _ in range(3):
        _dies_with_everything_in_hand(world)
    for job in world.jobs():
        assert job["lost_claims"] == 1
        world.run(job["id"])
    states = [(job["state"], job["attempts"], job["lost_claims"]) for job in world.jobs(queue="incoming-messages")]
    assert states == [("completed", 1, 1)] * 2


def test_a_shutdown_hands_back_without_burning_attempts(world: World) -> None:
    world.say()
    [job] = world.jobs()
    world.claim(job["id"])
    [ticket] = leases.release_all()
    [job] = world.jobs()
    assert ticket.id == job["id"]
    assert (job["state"], job["attempts"]) == ("waiting", 0)


@pytest.mark.parametrize("policy", ["resend", "hold"])
def test_an_ambiguous_send_waits_then_follows_the_policy(
    world: World, simulator: Simulator, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMBIGUOUS_SEND", policy)
    config.reset()
    simulator.faults([{"kind": "graph", "fault": "reset_after", "times": 1}])
    world.say(channel="whatsapp_cloud", user="49123")
    world.drain()
    [job] = world.jobs(queue="whatsapp-cloud-send")
    assert job["outcome_unknown_since"] is not None
    db.rows("update job set run_at = clock_timestamp() where id = %s", [job["id"]])
    world.run(job["id"])
    assert len(simulator.record("graph")) == 1, "it waits for a status first"
    db.rows(
        "update job set run_at = clock_timestamp(), outcome_unknown_since = clock_timestamp() - interval '1 minute'"
        " where id = %s",
        [job["id"]],
    )
    world.run(job["id"])
    [job] = world.jobs(queue="whatsapp-cloud-send")
    if policy == "resend":
        assert (job["state"], len(simulator.record("graph"))) == ("completed", 2)
    else:
        assert (job["state"], len(simulator.record("graph"))) == ("failed", 1)
        assert "outcome unknown" in job["last_error"]


def test_a_status_settles_an_ambiguous_send(world: World, simulator: Simulator) -> None:
    from shared.channels.delivery_status import apply_delivery_status

    simulator.faults([{"kind": "graph", "fault": "reset_after", "times": 1}])
    world.say(channel="whatsapp_cloud", user="49123")
    world.drain()
    [reply] = world.messages(role="assistant")
    assert apply_delivery_status("DELIVERED", provider_id="wamid.X", message_id=reply["id"]) == "applied"
    db.rows("update job set run_at = clock_timestamp() where state = 'delayed'")
    world.run(world.jobs(queue="whatsapp-cloud-send")[0]["id"])
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["external_id"], len(simulator.record("graph"))) == ("DELIVERED", "wamid.X", 1)
    assert world.jobs(queue="whatsapp-cloud-send")[0]["state"] == "completed"


def test_statuses_only_move_forward(world: World) -> None:
    from shared.channels.delivery_status import apply_delivery_status

    world.say(channel="whatsapp_cloud", user="49123")
    world.drain()
    [reply] = world.messages(role="assistant")
    told = [
        ("SENT", "stale"),
        ("READ", "applied"),
        ("DELIVERED", "stale"),
        ("FAILED", "stale"),
        ("READ", "stale"),
    ]
    for status, outcome in told:
        assert apply_delivery_status(status, provider_id=reply["external_id"]) == outcome
    assert world.messages(role="assistant")[0]["status"] == "READ"
    assert apply_delivery_status("READ", provider_id="wamid.unknown") == "parked"


def test_a_status_before_the_sends_answer_is_kept_and_applied(world: World, simulator: Simulator) -> None:
    from shared.channels.delivery_status import apply_delivery_status
    from shared.channels.whatsapp_qr.dialects import dialect

    world.say(channel="whatsapp_qr", user="49123")
    while not (jobs := world.jobs(queue="whatsapp-qr-send")):
        world.drain(rounds=1)
    reply = world.messages(role="assistant")[0]
    [early] = dialect("waha").expected_ids(reply["id"])
    assert apply_delivery_status("DELIVERED", provider_id=early) == "parked"
    world.run(jobs[0]["id"])
    assert world.messages(role="assistant")[0]["status"] == "DELIVERED"
    assert db.scalar("select count(*) from parked_status") == 0
