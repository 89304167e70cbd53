"""Races in the engine that a cold reading of it found. Each is forced here."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.broker import census, rate_limits
from shared.channels import contacts, health, ownership
from shared.channels.outcomes import Reason
from shared.jobs import operator, worker_process
from shared.operations import replays
from shared.operations.dead_letters import Filter
from shared.privacy import marks
from shared.queues import Queue
from tests.builders import World
from tests.integration.test_channel_health import account, queue_replies, release, state
from tests.integration.test_dead_letters import run_to_end
from tests.integration.test_ledger_races import another_session, until_waiting


def claim(session: Any, job: dict[str, Any]) -> None:
    """Claims a job for another worker, in a transaction that is open."""
    how = {"worker": "another", "lease": 60, "clock_skew": 0.05, "at_most_once": False, "durable": False, "begun": 0}
    session.execute("select job_id from job_claim_v3(%s, %s)", [job["queue"], json.dumps([how | {"n": 0, "job_id": job["id"]}])])
    assert session.rowcount == 1


def hold_two(world: World, simulator: Simulator) -> list[dict[str, Any]]:
    """Replies that are held, as their account cannot send; the first of them comes back to try it."""
    jobs = queue_replies(world, users=2)
    simulator.faults([{"kind": "graph", "fault": "revoked"}])
    for job in jobs:
        world.run(job["id"])
    simulator.clear_faults()
    return jobs


def test_a_message_that_comes_while_the_one_before_is_claimed_gets_a_job_of_its_own(world: World) -> None:
    db.rows("update chatbot set debounce_seconds = 5")
    world.say("one")
    world.drain()
    [answer] = world.jobs(queue="ai-processing")
    db.rows("update job set run_at = clock_timestamp() where id = %s", [answer["id"]])
    new = {"queue": "ai-processing", "ordering_key": answer["ordering_key"], "payload": answer["payload"]}
    debounced = [new | {"message_id": answer["message_id"], "delay_seconds": 5, "debounce": True}]
    with another_session() as claiming, ThreadPoolExecutor(1) as pool:
        claim(claiming, answer)
        added = pool.submit(db.scalar, "select job_add_v1(%s)", [json.dumps(debounced)])
        until_waiting(1)
        claiming.connection.commit()
        assert added.result(45) == [], "it is held behind the one that runs"
    assert [(job["state"], job["held"]) for job in world.jobs(queue="ai-processing")] == [("active", False), ("delayed", True)]


@pytest.mark.parametrize("ask", [health.retry, health.came_back])
def test_another_reply_tries_an_account_than_the_one_that_is_claimed_at_this_moment(
    world: World, simulator: Simulator, ask: Callable[[health.ChannelAccount], object]
) -> None:
    oldest, next_one = hold_two(world, simulator)
    db.rows("update channel_health set reason = %s", [Reason.NOT_ACKNOWLEDGED])  # a call that passes says nothing of those
    db.rows("update job set run_at = clock_timestamp() where id = %s", [oldest["id"]])
    with another_session() as claiming, ThreadPoolExecutor(1) as pool:
        claim(claiming, oldest)
        asked = pool.submit(ask, replace(account(world), health={"reason": Reason.NOT_ACKNOWLEDGED}))
        while not asked.done() and not db.scalar("select count(*) from pg_locks where not granted"):
            pass
        claiming.connection.commit()
        asked.result(45)
    probe = "select id from job where state = 'delayed' and run_at <= (select probe_at + interval '1 second' from channel_health)"
    assert [row["id"] for row in db.rows(probe)] == [next_one["id"]]


def due(job: dict[str, Any]) -> None:
    """It is time to try the account, and the reply that tries it is looked at now."""
    db.rows("update channel_health set probe_at = clock_timestamp() - interval '10 seconds'")
    db.rows("update job set run_at = clock_timestamp() where id = %s", [job["id"]])


def test_a_reply_that_waits_for_a_rate_limit_has_not_tried_its_account(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, _ = hold_two(world, simulator)
    monkeypatch.setenv("RATE_LIMIT_WHATSAPP_CLOUD_SEND", "1/1h")
    config.reset()
    rate_limits.admit(oldest["id"] + 1_000, Queue.WHATSAPP_CLOUD, 5)
    due(oldest)
    world.run(oldest["id"])
    assert db.row("select calls, probe_at < clock_timestamp() as is_due from channel_health") == {"calls": 1, "is_due": True}
    monkeypatch.delenv("RATE_LIMIT_WHATSAPP_CLOUD_SEND")
    config.reset()
    due(oldest)
    world.run(oldest["id"])
    assert state() == ("ok", None)


def test_where_the_reply_that_should_try_ends_without_a_call_another_one_does(world: World, simulator: Simulator) -> None:
    oldest, next_one = hold_two(world, simulator)
    health.send_scouts()
    assert not db.rows("select from job where run_at < now() + interval '10 seconds'"), "its time has not come"
    due(oldest)
    assert health.send_scouts() == 0, "somebody comes"
    ownership.assign(int(oldest["ordering_key"]), "person", "desk")
    world.run(oldest["id"])
    assert (world.jobs(id=oldest["id"])[0]["state"], state()[0]) == ("completed", "needs_login")
    from workers import maintenance

    maintenance.sweep()
    [scout] = db.rows("select id from job where state = 'delayed' and run_at <= clock_timestamp()")
    assert scout["id"] == next_one["id"]
    world.run(scout["id"])
    assert state() == ("ok", None)


@pytest.mark.parametrize("by", ["the sweep", "somebody"])
def test_what_became_a_part_of_another_conversation_and_stands_behind_it_tries_no_account(
    world: World, simulator: Simulator, by: str
) -> None:
    """Two names turn out to be one person's while the replies to both are held: the older one stands behind the other then."""
    queue_replies(world, users=1)
    release(world)
    [behind] = queue_reply_of(world, "4900000001")
    [first_in_line] = queue_reply_of(world, "4900000000")
    simulator.faults([{"kind": "graph", "fault": "revoked"}])
    for job in (behind, first_in_line):
        world.run(job["id"])
    simulator.clear_faults()
    assert contacts.learn(world.chatbot, "whatsapp_cloud", ["4900000000", "4900000001"])
    assert [job["held"] for job in world.jobs(queue="whatsapp-cloud-send", state="delayed")] == [True, False]
    db.rows("update job set run_at = clock_timestamp() + interval '1 hour' where state = 'delayed'")
    if by == "somebody":
        assert health.retry(account(world))
    else:
        db.rows("update channel_health set probe_at = clock_timestamp() - interval '10 seconds'")
        assert health.send_scouts() == 1
    [scout] = db.rows("select id from job where state = 'delayed' and run_at <= clock_timestamp()")
    assert scout["id"] == first_in_line["id"]
    world.run(scout["id"])
    assert state() == ("ok", None)


def queue_reply_of(world: World, user: str) -> list[dict[str, Any]]:
    """The reply to another question of a person, which is ready to leave."""
    world.say("And when do you close?", channel="whatsapp_cloud", user=user)
    for queue in ("incoming-messages", "ai-processing", "outgoing-messages"):
        world.run(world.jobs(queue=queue)[-1]["id"])
    return world.jobs(queue="whatsapp-cloud-send")[-1:]


def test_a_failed_delivery_is_not_requeued_while_the_sweep_gives_its_event_another_job(
    world: World, simulator: Simulator
) -> None:
    world.endpoint(world.customer)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 410}])
    world.say()
    world.drain()
    world.dead_letters()
    [failed, *_] = world.jobs(queue="webhook-delivery", state="failed")
    with another_session() as sweep, ThreadPoolExecutor(1) as pool:
        sweep.execute("update webhook_event set status = 'PENDING' where id = %s", [failed["webhook_event_id"]])
        requeued = pool.submit(operator.requeue, failed["id"])
        until_waiting(1)
        sweep.connection.commit()
        with pytest.raises(operator.JobRefused, match="redelivered by another job"):
            requeued.result(45)
    assert world.jobs(id=failed["id"])[0]["state"] == "failed"


def replay_while(another: Callable[[Any], object]) -> dict[str, int]:
    """Replays all dead letters while another session is at what they are about; returns the counts."""
    action = replays.begin(Filter(), "ops@example.com")
    with another_session() as session, ThreadPoolExecutor(1) as pool:
        another(session)
        replayed = pool.submit(run_to_end, action)
        until_waiting(1)
        session.connection.commit()
        return replayed.result(45)


def test_an_event_is_not_replayed_while_its_owner_has_it_delivered_again(world: World, simulator: Simulator) -> None:
    world.endpoint(world.customer)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 410}])
    world.say()
    world.drain()
    world.dead_letters()
    db.rows("update webhook_endpoint set active = true, disabled_reason = null")
    db.rows("update dead_letter set state = 'ignored', changed_at = now() where id > (select min(id) from dead_letter)")
    [letter] = db.rows("select job_id, webhook_event_id from dead_letter where state = 'open'")
    resend = "update webhook_event set status = 'PENDING', error = null where id = %s and status <> 'PENDING'"
    assert replay_while(lambda session: session.execute(resend, [letter["webhook_event_id"]])) == {"under_way": 1}
    assert world.jobs(id=letter["job_id"])[0]["state"] == "failed"


def test_a_replay_takes_no_conversation_from_a_person_who_comes_at_this_moment(world: World, simulator: Simulator) -> None:
    simulator.faults([{"kind": "ai", "fault": "status", "status": 400}])
    world.say()
    world.drain()
    world.dead_letters()
    world.drain()
    [conversation] = db.rows("select id, owner, handed_over_at from conversation")
    assert (conversation["owner"], conversation["handed_over_at"] is not None) == ("person", True), "the fallback hands over"
    take = "select conversation_take_over_v1(%s, 'person', 'desk')"
    assert replay_while(lambda session: session.execute(take, [conversation["id"]])) == {"answered": 1}
    assert db.scalar("select owner from conversation") == "person"


def test_a_widgets_dead_letter_and_a_takeover_lock_in_one_order(world: World) -> None:
    world.say()
    for queue in ("incoming-messages", "ai-processing"):
        world.run(world.jobs(queue=queue)[0]["id"])
    [job] = world.jobs(queue="outgoing-messages")
    operator.discard(job["id"])
    with another_session() as taking_over, ThreadPoolExecutor(1) as pool:
        taking_over.execute("select from conversation for no key update")
        ended = pool.submit(world.dead_letter, job["id"])
        until_waiting(1)
        taking_over.execute("select from message where status = 'PENDING' for update nowait")
        taking_over.connection.commit()
        assert ended.result(45)
    assert world.messages(role="assistant")[0]["status"] == "FAILED"


def test_leases_are_renewed_where_a_worker_cannot_be_announced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.say()
    world.drain()
    world.say("And what of returns?")
    world.run(world.jobs(queue="incoming-messages")[1]["id"])
    job = world.claim(world.jobs(queue="ai-processing")[1]["id"])
    monkeypatch.setattr(census, "HOST", b"no text")
    monkeypatch.setenv("JOB_LEASE_SECONDS", "10")
    config.reset()
    monkeypatch.setattr(worker_process, "RENEWALS_PER_LEASE", 1_000)
    stopping, ends = threading.Event(), set[Any]()
    with ThreadPoolExecutor(1) as pool:
        renewing = pool.submit(worker_process.keep_leases, stopping)
        while len(ends) < 4 and not renewing.done():
            ends.add(db.scalar("select lease_until from job where id = %s", [job.id]))
        stopping.set()
        assert renewing.result(45) is None
    assert len(ends) == 4


def while_it_waits(world: World, session_does: tuple[str, list[Any]], work: Callable[[], Any]) -> Any:
    """What the work returns, which waits for what another session does."""
    with another_session() as session, ThreadPoolExecutor(1) as pool:
        session.execute(*session_does)
        working = pool.submit(work)
        until_waiting(1)
        session.connection.commit()
        return working.result(45)


@pytest.mark.parametrize(
    "say",
    [
        lambda account: health.lift(account, {Reason.QUALITY_LOW}),
        lambda account: health.report(account, health.DEGRADED, Reason.ACCOUNT_ALERT),
    ],
    ids=["lift", "report"],
)
def test_an_account_that_turns_out_to_be_banned_at_this_moment_stays_so(
    world: World, say: Callable[[health.ChannelAccount], bool]
) -> None:
    health.report(account(world), health.DEGRADED, Reason.QUALITY_LOW)
    ban = "select channel_set_state_v1('whatsapp_cloud', %s, 'banned', 'account_banned', null, now(), 1, '{30}', 1, '{}')"
    assert while_it_waits(world, (ban, [world.chatbot]), lambda: say(account(world))) is False
    assert state() == ("banned", "account_banned")


def test_a_conversation_that_is_closed_while_its_customer_writes_is_told_to_open_again(world: World) -> None:
    world.endpoint(world.customer)
    world.say()
    world.drain()
    world.say()
    [job] = world.jobs(queue="incoming-messages", state="waiting")
    close = "select conversation_take_over_v1(%s, 'closed', 'desk')", [db.scalar("select id from conversation")]
    assert while_it_waits(world, close, lambda: world.run(job["id"])) is None
    assert db.scalar("select owner from conversation") == "bot"
    told = db.rows("select payload -> 'is_new' as is_new from webhook_event where event = 'conversation.opened' order by id")
    assert [event["is_new"] for event in told] == [True, False]


def test_a_provider_makes_nobody_known_again_who_is_erased_at_this_moment(world: World) -> None:
    world.say(channel="whatsapp_cloud", user="491234567")
    world.drain()
    [mark, *_] = marks.of_name(world.chatbot, "whatsapp_cloud", "491234567")
    says = partial(ownership.assign_as_provider_says, world.chatbot, "whatsapp_cloud", "491234567", "person")
    with another_session() as erasing, ThreadPoolExecutor(1) as pool:
        erasing.execute("lock table chatbot in access exclusive mode")  # which the conversation is looked for with
        said = pool.submit(says)
        until_waiting(1)
        erasing.execute("insert into tombstone (mark, erased_at) values (%s, now())", [mark])
        erasing.execute("delete from conversation")
        erasing.execute("delete from contact")
        erasing.connection.commit()
        said.result(45)
    assert db.rows("select from conversation union all select from contact") == []


def test_of_a_widgets_reply_that_was_superseded_nobody_is_told_that_it_was_sent(world: World) -> None:
    world.endpoint(world.customer)
    world.say()
    for queue in ("incoming-messages", "ai-processing"):
        world.run(world.jobs(queue=queue)[0]["id"])
    [conversation] = db.rows("select id from conversation")
    for owner in ("person", "bot"):
        ownership.assign(conversation["id"], owner, "desk")
    world.run(world.jobs(queue="ai-processing")[1]["id"])
    world.drain()
    first, second = world.messages(role="assistant")
    assert (first["status"], first["reply_to"], second["status"]) == ("SUPERSEDED", None, "SENT")
    sent = db.rows("select payload from webhook_event where event = 'message.sent'")
    assert [event["payload"]["message_id"] for event in sent] == [second["id"]]
