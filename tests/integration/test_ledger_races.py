"""What an attack on the ledger found: races that lost, doubled or mislabelled something. Each is forced here."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest

from shared import config, db, queue_service
from shared.channels import sending
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.registry import channel
from shared.config import settings
from shared.errors import Refused, UnknownChatbot
from shared.jobs import operator
from shared.jobs.outcome import AttemptEnded
from shared.teaching import chatbots
from tests.builders import World
from tests.waiting import until


@contextmanager
def another_session() -> Iterator[psycopg2.extensions.cursor]:
    """A transaction beside ours; it is rolled back at the end."""
    with closing(psycopg2.connect(settings().database_url)) as connection:
        yield connection.cursor()


def until_waiting(threads: int) -> None:
    """Returns when so many sessions wait for a lock."""
    until(lambda: db.scalar("select count(*) from pg_locks where not granted") >= threads, "nobody waits for a lock")


def to_the_send(world: World, *texts: str) -> list[dict[str, Any]]:
    """Messages of one customer up to their send jobs, of which the first may run."""
    for text in texts or ("When do you ship?",):
        world.say(text, channel="whatsapp_cloud", user="491234567")
    for queue in ("incoming-messages", "ai-processing", "outgoing-messages"):
        for job in world.jobs(queue=queue):
            world.run(job["id"])
    return world.jobs(queue="whatsapp-cloud-send")


def in_two_threads(work: Callable[[], Any], pool: ThreadPoolExecutor) -> list[Future[Any]]:
    return [pool.submit(work) for _ in range(2)]


def test_a_dead_letter_in_line_does_not_wait_for_the_send_in_front_of_it(world: World, simulator: Any) -> None:
    head, held = to_the_send(world, "one", "two")
    assert held["held"]
    operator.discard(held["id"])
    with another_session() as dead_letter, ThreadPoolExecutor(1) as pool:
        dead_letter.execute("select from job where id = %s for update", [held["id"]])  # as sending.sql begins
        sent = pool.submit(world.run, head["id"])
        assert sent.result(45) is None
        dead_letter.execute("select job_close_failed_v1(%s)", [held["id"]])
        dead_letter.connection.commit()
    assert [(job["state"], job["closed_at"] is not None) for job in world.jobs(queue="whatsapp-cloud-send")] == [
        ("completed", True),
        ("failed", True),
    ]
    assert simulator.counts()["graph"]["accepted"] == 1


def test_a_send_that_cannot_be_recorded_has_an_unknown_outcome(world: World, simulator: Any) -> None:
    [job] = to_the_send(world)
    db.rows("alter table message add constraint refused check (status <> 'SENT') not valid")
    world.run(job["id"])
    [job] = world.jobs(queue="whatsapp-cloud-send")
    assert (job["state"], job["outcome_unknown_since"] is not None) == ("delayed", True)
    assert "was sent, but this could not be recorded" in job["last_error"]
    assert simulator.counts()["graph"]["accepted"] == 1


@pytest.mark.parametrize("first", ["SENT", "DELIVERED", "READ", "FAILED"])
@pytest.mark.parametrize("parked", [None, "FAILED", "DELIVERED"])
def test_whatever_statuses_come_before_the_answer_it_is_kept(world: World, first: str, parked: str | None) -> None:
    [send] = to_the_send(world)
    job = world.claim(send["id"])
    message = sending.load_message(job)
    apply_delivery_status(first, message_id=message.message_id, error="131026" if first == "FAILED" else None)
    if parked:
        apply_delivery_status(parked, provider_id="wamid.zz", error="131047" if parked == "FAILED" else None)
    sending.finish(job, message, channel("whatsapp_cloud"), "wamid.zz", ["wamid.zz"])
    [reply] = world.messages(role="assistant")
    order = ["SENT", "FAILED", "DELIVERED", "READ"]
    assert reply["status"] == max((first, parked or "SENT"), key=order.index)
    assert reply["external_id"] == "wamid.zz"
    expected = {"131026" if first == "FAILED" else "131047"} if reply["status"] == "FAILED" else {None}
    assert {reply["error"]} == expected


@pytest.mark.parametrize("name", ["widget", "whatsapp_cloud"])
def test_a_job_that_is_delivered_twice_in_one_batch_leaves_one_thing_behind(world: World, name: str) -> None:
    world.endpoint(world.customer)
    world.say(channel=name, user="491234567")
    world.say(channel="widget", user="decoy")
    for queue in ("incoming-messages", "ai-processing"):
        for job in world.jobs(queue=queue):
            world.run(job["id"])
    doubled, decoy = (job["id"] for job in world.jobs(queue="outgoing-messages"))
    with another_session() as other, ThreadPoolExecutor(3) as pool:
        other.execute("select from job where id = %s for update", [decoy])
        first = pool.submit(world.run, decoy)
        until_waiting(1)
        twice = in_two_threads(lambda: world.run(doubled), pool)
        time.sleep(0.2)  # both wait for the batch in front of them; where one does not, the outcome is the same
        other.connection.rollback()
    assert [future.result() for future in (first, *twice)] == [None] * 3
    assert len(world.jobs(queue="whatsapp-cloud-send")) == (0 if name == "widget" else 1)
    # The decoy's, and where nobody is called the doubled one's.
    assert db.scalar("select count(*) from webhook_event where event = 'message.sent'") == (2 if name == "widget" else 1)


def test_a_job_that_lost_its_worker_passes_a_rate_limit_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_INCOMING_MESSAGES", "1/1h")
    config.reset()
    world.say()
    [job] = world.jobs()
    db.scalar("select job_mark_lost_v1(%s)", [[job["id"]]])
    world.run(job["id"])
    assert world.jobs(id=job["id"])[0]["state"] == "completed"


def test_a_job_whose_turn_comes_while_a_stray_delivery_looks_at_it_is_not_failed(world: World) -> None:
    world.say("one")
    world.say("two")
    head, held = world.jobs()
    stage = world.stage(held["id"])
    claim = stage.claim

    def claim_late(job_id: int) -> Any:
        world.run(head["id"])
        return claim(job_id)

    object.__setattr__(stage, "claim", claim_late)
    try:
        assert stage.run(held["id"]) is None  # type: ignore[func-returns-value]  # it raises if it failed
    finally:
        object.__setattr__(stage, "claim", claim)
    assert [job["state"] for job in world.jobs(queue="incoming-messages")] == ["completed", "completed"]


def test_of_two_deliveries_in_one_statement_the_claimed_one_does_the_job(world: World) -> None:
    world.say()
    [job] = world.jobs()
    claimed = world.claim(job["id"])
    deliveries = [{"n": n, "job_id": job["id"], "claim": claim} for n, claim in enumerate((0, claimed.claim, 0))]
    found = db.rows("select n from job_lock_runnable_v2('incoming-messages', %s)", [json.dumps(deliveries)])
    assert [row["n"] for row in found] == [1]


def test_three_deliveries_of_a_job_that_fails_are_one_attempt(world: World) -> None:
    world.say()
    [job] = world.jobs()
    db.rows("alter table conversation add constraint refused check (external_user_id <> 'v-1')")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(world.run, [job["id"]] * 3))
    [job] = world.jobs()
    assert (job["state"], job["attempts"]) == ("delayed", 1)
    assert "refused" in job["last_error"]


@pytest.mark.parametrize(
    ("state", "words"), [("57014", "canceling statement due to user request"), ("40P01", "deadlock detected")]
)
def test_a_claim_that_loses_again_and_again_comes_back_and_is_no_error_of_ours(world: World, state: str, words: str) -> None:
    world.say()
    world.run(world.jobs()[0]["id"])
    job = world.jobs(queue="ai-processing")[0]
    db.rows(
        "create function lose() returns trigger language plpgsql as "
        f"$$ begin raise exception '{words}' using errcode = '{state}'; end $$;"
        "create trigger lose before update on job for each row execute function lose()"
    )
    raised = world.run(job["id"])
    assert isinstance(raised, AttemptEnded), "of anything else Dramatiq logs a traceback, and counts it as one of four attempts"
    db.rows("drop trigger lose on job; drop function lose()")
    world.drain()
    assert world.jobs(id=job["id"])[0]["state"] == "completed"


def test_a_chatbot_is_not_deleted_while_a_message_to_it_is_accepted(world: World) -> None:
    """Neither is seen by the other until it has committed; the message would have been accepted, and answered by nobody."""
    payload = {"chatbot_id": world.chatbot, "channel": "widget", "external_user_id": "visitor-1", "content": "Hello"}
    accept = queue_service.queries["accept_messages"].text.replace("$1", "%s::jsonb")
    with ThreadPoolExecutor() as pool:
        with another_session() as cursor:
            cursor.execute(accept, [json.dumps([{"n": 0, "payload": payload, "marks": []}])])
            deleted = pool.submit(chatbots.delete_chatbot, world.customer, world.chatbot)
            until_waiting(1)
            cursor.connection.commit()
            with pytest.raises(Refused, match="are on their way"):
                deleted.result(30)
        world.drain()
        assert [row["status"] for row in world.messages(role="assistant")] == ["SENT"]


def test_a_message_to_a_chatbot_that_is_being_deleted_is_refused(world: World) -> None:
    empty = db.scalar("insert into chatbot (customer_id, name) values (%s, 'Otto') returning id", [world.customer])
    message = {"chatbot_id": empty, "channel": "widget", "external_user_id": "visitor-1", "content": "Hello"}
    with ThreadPoolExecutor() as pool:
        with db.transaction():
            assert chatbots.delete_chatbot(world.customer, empty) == "Otto"
            accepted = pool.submit(queue_service.enqueue_incoming_message, **message)
            until_waiting(1)
        with pytest.raises(UnknownChatbot):
            accepted.result(30)
