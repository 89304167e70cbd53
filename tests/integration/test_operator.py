"""What operators do to jobs: a failed one runs again as if it were new, a deleted one fails with all that follows."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from dramatiq.message import Message

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.broker.redis_broker import get_broker
from shared.jobs import operator
from tests.builders import World, times_claimed

REFUSED = {"kind": "graph", "fault": "status", "status": 400, "times": 1}
#: One message was too many for this recipient; other conversations go on.
PAIR_LIMIT = {**REFUSED, "body": {"error": {"code": 131056}}, "headers": {"Retry-After": "60"}}


def failed_send(world: World, simulator: Simulator) -> int:
    """A reply that Meta refused; its dead letter is written."""
    simulator.faults([REFUSED])
    world.say(channel="whatsapp_cloud", user="4912345")
    world.drain()
    [job] = world.jobs(queue="whatsapp-cloud-send")
    assert world.dead_letter(job["id"])
    world.drain()
    assert world.messages(role="assistant")[0]["status"] == "FAILED"
    return int(job["id"])


def test_a_requeued_send_goes_out_once(world: World, simulator: Simulator) -> None:
    world.endpoint(world.customer)
    job_id = failed_send(world, simulator)
    operator.requeue(job_id)
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["error"]) == ("PENDING", None)
    [job] = world.jobs(id=job_id)
    assert (job["state"], job["attempts"], job["last_error"], job["closed_at"]) == ("waiting", 0, None, None)
    world.drain()
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["error"]) == ("SENT", None)
    assert simulator.counts()["graph"]["accepted"] == 1
    assert db.scalar("select count(*) from usage_log where kind = 'whatsapp_cloud'") == 1
    events = [row["event"] for row in db.rows("select event from webhook_event where status = 'DELIVERED' order by id")]
    assert events == ["conversation.opened", "message.received", "message.failed", "message.sent"]
    with pytest.raises(operator.JobRefused, match="is completed; only a failed job runs again"):
        operator.requeue(job_id)


def test_a_job_whose_dead_letter_is_late_is_requeued_as_well(world: World, simulator: Simulator) -> None:
    simulator.faults([REFUSED])
    world.say(channel="whatsapp_cloud", user="4912345")
    world.drain()
    [job] = world.jobs(queue="whatsapp-cloud-send")
    assert (job["state"], job["closed_at"]) == ("failed", None)
    operator.requeue(job["id"])
    assert not world.dead_letter(job["id"]), "it comes too late"
    world.drain()
    assert world.messages(role="assistant")[0]["status"] == "SENT"


def requeued(job_id: int) -> str:
    """Requeues a job; "", or why not."""
    try:
        operator.requeue(job_id)
    except operator.JobRefused as refusal:
        return refusal.state
    return ""


def test_a_requeued_job_waits_for_the_one_that_runs(world: World, simulator: Simulator) -> None:
    job_id = failed_send(world, simulator)
    simulator.faults([PAIR_LIMIT])
    world.say("And returns?", channel="whatsapp_cloud", user="4912345")
    world.drain()
    operator.requeue(job_id)
    [job, runner] = world.jobs(queue="whatsapp-cloud-send")
    assert (job["state"], job["held"], runner["state"]) == ("waiting", True, "delayed")
    db.rows("update job set run_at = clock_timestamp() where id = %s", [runner["id"]])
    world.run(runner["id"])
    assert world.jobs(id=job_id)[0]["held"] is False
    world.drain()
    assert [reply["status"] for reply in world.messages(role="assistant")] == ["SENT", "SENT"]


def test_two_operators_requeue_a_job_once(world: World, simulator: Simulator) -> None:
    job_id = failed_send(world, simulator)
    with ThreadPoolExecutor(4) as operators:
        outcomes = list(operators.map(requeued, [job_id] * 4))
    assert outcomes.count("") == 1
    assert set(outcomes) <= {"", "waiting", "busy"}
    world.drain()
    assert simulator.counts()["graph"]["accepted"] == 1


def test_an_old_poison_runs_again_and_may_wait_as_long_as_a_new_job(world: World, simulator: Simulator) -> None:
    job_id = failed_send(world, simulator)
    simulator.faults([{"kind": "graph", "fault": "rate_limit", "retry_after": 9, "times": 1}])
    db.rows("update job set created_at = now() - interval '1 day', claims = 3, lost_claims = 3 where id = %s", [job_id])
    operator.requeue(job_id)
    world.run(job_id)
    [job] = world.jobs(id=job_id)
    assert (job["state"], job["lost_claims"], times_claimed(job)) == ("delayed", 0, 1)


def test_a_send_of_unknown_outcome_is_sent_when_its_operator_says_so(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMBIGUOUS_SEND", "hold")
    config.reset()
    job_id = failed_send(world, simulator)
    db.rows("update job set outcome_unknown_since = now() - interval '1 hour' where id = %s", [job_id])
    operator.requeue(job_id)
    world.drain()
    assert world.messages(role="assistant")[0]["status"] == "SENT"


def test_a_question_that_has_its_fallback_is_not_asked_again(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "bad_key"}])
    world.say()
    world.drain()
    [job] = world.jobs(queue="ai-processing")
    assert world.dead_letter(job["id"])
    with pytest.raises(operator.JobRefused, match="fallback"):
        operator.requeue(job["id"])
    world.drain()
    assert [message["content"] for message in world.messages(role="assistant")] == ["We are busy."]


def test_an_event_is_delivered_by_one_job_at_a_time(world: World, simulator: Simulator) -> None:
    endpoint = world.endpoint(world.customer)
    world.service.enqueue_webhook_delivery(endpoint_id=endpoint, event="message.sent", data={})
    [job] = world.jobs()
    db.rows("update job set payload = '{}'")  # so it fails
    world.drain()
    world.dead_letter(job["id"])
    db.rows("update job set payload = jsonb_build_object('webhook_event_id', webhook_event_id)")
    db.rows("update webhook_event set status = 'PENDING', error = null")  # somebody redelivers it through the API
    with pytest.raises(operator.JobRefused, match="redelivered"):
        operator.requeue(job["id"])
    db.rows("update webhook_event set status = 'FAILED', error = 'x'")
    operator.requeue(job["id"])
    world.drain()
    assert db.scalar("select status from webhook_event") == "DELIVERED"
    assert simulator.counts()["webhook"]["accepted"] == 1


def test_a_deleted_job_fails_and_its_line_goes_on(world: World, simulator: Simulator) -> None:
    world.endpoint(world.customer)
    simulator.faults([PAIR_LIMIT])
    for number in range(3):
        world.say(channel="whatsapp_cloud", user="4912345", external_id=f"in-{number}")
    world.drain()
    first, held, _ = world.jobs(queue="whatsapp-cloud-send")
    assert (first["state"], held["held"]) == ("delayed", True)
    operator.discard(held["id"])
    world.dead_letters()
    [job] = world.jobs(id=held["id"])
    assert (job["state"], job["last_error"], job["closed_at"] is not None) == ("failed", operator.REASON, True)
    assert world.jobs(queue="whatsapp-cloud-send")[2]["held"], "the first is still in front of it"
    operator.discard(first["id"])
    world.dead_letters()
    world.drain()
    replies = world.messages(role="assistant")
    assert [reply["status"] for reply in replies] == ["FAILED", "FAILED", "SENT"]
    assert [reply["error"] for reply in replies] == [operator.REASON, operator.REASON, None]
    assert db.scalar("select count(*) from webhook_event where event = 'message.failed' and status = 'DELIVERED'") == 2
    operator.requeue(held["id"])
    world.drain()
    assert [reply["status"] for reply in world.messages(role="assistant")] == ["FAILED", "SENT", "SENT"]


def test_deleting_a_failed_job_keeps_what_it_failed_for(world: World, simulator: Simulator) -> None:
    job_id = failed_send(world, simulator)
    for _ in range(2):
        operator.discard(job_id)
    world.dead_letters()
    [job] = world.jobs(id=job_id)
    assert job["last_error"].startswith(f"{operator.REASON}; it had failed: ")
    assert job["last_error"].count(operator.REASON) == 1


def test_what_runs_or_is_done_is_not_deleted(world: World) -> None:
    world.say()
    [job] = world.jobs()
    claimed = world.claim(job["id"])
    with pytest.raises(operator.JobRefused, match="being worked on"):
        operator.discard(claimed.id)
    with pytest.raises(operator.JobRefused, match="no job 4711"):
        operator.discard(4711)
    with pytest.raises(operator.JobRefused, match="no job 4711"):
        operator.requeue(4711)


def test_a_job_whose_row_is_locked_is_not_waited_for(world: World) -> None:
    world.say()
    [job] = world.jobs()
    refusals: list[str] = []

    def discard() -> None:
        try:
            operator.discard(job["id"])
        except operator.JobRefused as refusal:
            refusals.append(refusal.state)

    with db.transaction():
        db.rows("select from job where id = %s for update", [job["id"]])
        other = threading.Thread(target=discard)
        other.start()
        other.join(60)
        assert refusals == ["busy"]


def test_a_requeued_job_leaves_the_failed_messages_of_the_dashboard(world: World, simulator: Simulator) -> None:
    job_id = failed_send(world, simulator)
    client, queue = get_broker().client, "dramatiq:whatsapp-cloud-send"
    message = Message("whatsapp-cloud-send", "whatsapp-cloud-send", (job_id,), {}, {"redis_message_id": f"job-{job_id}"})
    client.delete(f"{queue}.msgs", queue)
    client.zadd(f"{queue}.XQ", {f"job-{job_id}": 1})
    client.hset(f"{queue}.XQ.msgs", f"job-{job_id}", message.encode())
    operator.requeue(job_id)
    assert not client.exists(f"{queue}.XQ", f"{queue}.XQ.msgs")
    assert client.lrange(queue, 0, -1) == [f"job-{job_id}".encode()]
