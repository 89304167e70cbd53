"""What is paused waits at no attempt's cost, whatever restarts; what is not paused goes on; afterwards all leaves in order."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.jobs import pauses as known
from shared.jobs.sweep import sweep
from shared.operations import journey, pauses
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from web.app import create_app

CLOUD = "whatsapp_cloud"


@pytest.fixture(autouse=True)
def forgets_pauses() -> Iterator[None]:
    yield
    known.current = known.Pauses()


def paused(**what: object) -> int:
    """Pauses, and this worker knows."""
    pause_id = pauses.pause(pauses.subject(**what), "ops@example.com", "a test")  # type: ignore[arg-type]
    known.current.refresh()
    return pause_id


def resumed(world: World, pause_id: int) -> int | None:
    """Ends the pause, this worker knows, and what is due soon is done."""
    count = pauses.resume(pause_id, "ops@example.com")
    known.current.refresh()
    for _ in range(20):
        db.rows("update channel_health set slow_until = null")
        db.rows("update job set state = 'waiting', run_at = null where state = 'delayed' and waits_for is null")
        world.drain()
    return count


def test_a_paused_channel_holds_its_replies_and_lets_them_go_in_order(world: World, simulator: Simulator) -> None:
    other, other_bot = world.tenant()
    pause_id = paused(channel=CLOUD, chatbot_id=world.chatbot)
    assert paused(channel=CLOUD, chatbot_id=world.chatbot) == pause_id
    for number in range(3):
        world.say(f"{number}?", channel=CLOUD, user="4911", external_id=f"a-{number}")
    world.say(channel=CLOUD, user="4912", external_id="b")
    world.say(channel=CLOUD, user="4913", chatbot_id=other_bot, external_id="c")
    world.drain()
    sends = world.jobs(queue="whatsapp-cloud-send", customer_id=world.customer)
    assert (
        sorted((job["held"], job["state"], job["attempts"]) for job in sends)
        == [(False, "delayed", 0)] * 2 + [(True, "waiting", 0)] * 2
    )
    assert [message["status"] for message in world.messages(role="assistant", chatbot_id=other_bot)] == ["SENT"]
    known.current = known.Pauses()  # a restart: the new process reads them before it works
    known.current.refresh()
    db.rows("update job set created_at = created_at - interval '5 hours' where closed_at is null")
    sweep()
    world.drain()
    [row] = pauses.overview()
    assert (row["channel"], row["chatbot_name"], row["customer_name"], row["waiting"]) == (CLOUD, "Bot", "Shop", 2)
    assert pauses.overview(other) == []
    simulator.faults([{"kind": "graph", "fault": "rate_limit", "retry_after": 1, "times": 1}])
    assert resumed(world, pause_id) == 2
    assert [message["status"] for message in world.messages(role="assistant")] == ["SENT"] * 5
    first = [sent["callback_data"] for sent in simulator.record("graph") if sent["key"] == "4911"]
    assert list(dict.fromkeys(first)) == sorted(set(first), key=lambda name: int(name[4:]))
    assert simulator.counts()["graph"]["accepted"] == 5
    assert pauses.resume(pause_id, "ops@example.com") is None


def test_a_pause_that_ends_while_another_one_asks_for_the_same_does_not_refuse_that_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, ask = paused(chatbot_id=world.chatbot), db.scalar

    def ask_and_lose(query: object) -> object:
        found = ask(query)  # type: ignore[arg-type]
        if found is None:  # the pause is there already, and ends now
            monkeypatch.undo()
            pauses.resume(first, "ops@example.com")
        return found

    monkeypatch.setattr(db, "scalar", ask_and_lose)
    second = paused(chatbot_id=world.chatbot)
    assert [row["id"] for row in pauses.overview()] == [second] != [first]


def test_a_journey_says_that_its_stage_is_paused_also_behind_an_older_message(world: World) -> None:
    pause_id = paused(queue="ai-processing")
    messages = [world.say(user="v", external_id=f"{number}") for number in range(2)]
    world.drain()
    found = [journey.of_message(message) for message in messages]
    kept = [step.facts for one in found if one for step in one.steps if step.state == "now"]
    assert [facts.get("waits_for") for facts in kept] == [f"pause {pause_id}"] * 2
    assert "place" not in kept[1], "how many are in front of others says nothing of one in line"
    operator = Visitor(create_app(), person("operator", None))
    pages = [operator.get(f"/desk/operate/messages/{message}").text for message in messages]
    assert all("the end of a pause" in page for page in pages)
    assert ["an older message of the same conversation" in page for page in pages] == [False, True]


@pytest.mark.parametrize("what", ["chatbot_id", "customer_id"])
def test_a_paused_chatbot_or_customer_is_not_answered_and_no_message_is_lost(
    world: World, simulator: Simulator, what: str
) -> None:
    _, other_bot = world.tenant()
    pause_id = paused(**{what: world.chatbot if what == "chatbot_id" else world.customer})
    world.say(user="v-1", external_id="1")
    world.say(user="v-1", chatbot_id=other_bot, external_id="2")
    world.drain()
    assert len(world.messages(role="user")) == 2
    assert [message["chatbot_id"] for message in world.messages(role="assistant")] == [other_bot]
    assert simulator.counts()["ai"]["requests"] == 1
    assert resumed(world, pause_id) == 1
    assert len(world.messages(role="assistant", status="SENT")) == 2


@pytest.mark.parametrize("queue", ["incoming-messages", "ai-processing", "outgoing-messages", "webhook-delivery"])
def test_a_paused_queue_waits_and_loses_nothing(world: World, simulator: Simulator, queue: str) -> None:
    world.endpoint(world.customer)
    pause_id = paused(queue=queue)
    for number in range(3):
        world.say(user=f"v-{number}", external_id=f"{number}")
    world.drain()
    waiting = world.jobs(queue=queue)
    assert waiting
    assert {(job["state"], job["attempts"], job["waits_for"]) for job in waiting} == {("delayed", 0, f"pause {pause_id}")}
    assert resumed(world, pause_id) == len(waiting)
    assert {message["status"] for message in world.messages(role="assistant")} == {"SENT"}
    assert not world.jobs(closed_at=None)
    events = db.scalar("select count(*) from webhook_event where status = 'DELIVERED'")
    assert simulator.counts()["webhook"]["accepted"] == events > 3


def test_a_job_that_parks_while_its_pause_ends_is_not_forgotten(world: World) -> None:
    pause_id = paused(queue="ai-processing")
    world.say()
    [incoming] = world.jobs()
    world.run(incoming["id"])
    [job] = world.jobs(queue="ai-processing")
    with db.transaction():
        db.rows("delete from pause where id = %s", [pause_id])
        other = threading.Thread(target=world.run, args=(job["id"],))
        other.start()
        other.join(0.5)  # it waits for the row of the pause
    other.join(30)
    assert resumed(world, pause_id) is None
    assert world.messages(role="assistant")[0]["status"] == "SENT"


def test_a_pause_that_has_ended_is_forgotten_whatever_postgresql_says_of_others(world: World) -> None:
    world.say()
    pause_id = paused(queue="incoming-messages")
    db.rows("delete from pause where id = %s", [pause_id])
    db.rows("alter table pause rename queue to what")
    [job] = world.jobs()
    assert world.run(job["id"]) is None
    [job] = world.jobs(queue="incoming-messages")
    assert (job["state"], job["attempts"]) == ("delayed", 0)


def test_a_resume_that_dies_half_way_is_finished_by_the_sweep_and_keeps_pace_and_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause_id = paused(queue="ai-processing")
    for number in range(7):
        world.say(user=f"v-{number}", external_id=f"{number}")
    world.say("And that?", user="v-0", external_id="behind")
    world.drain()
    monkeypatch.setattr(pauses, "AT_ONCE", 2)
    batches = []

    def dies(tickets: list[object]) -> None:
        batches.append(len(tickets))
        if len(batches) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(pauses, "enqueue", dies)
    before = db.scalar("select clock_timestamp()")
    with pytest.raises(KeyboardInterrupt):
        pauses.resume(pause_id, "ops@example.com", pace=0.1)
    parked = f"pause {pause_id}"
    jobs = [job for job in world.jobs(queue="ai-processing") if not job["held"]]
    assert [job["waits_for"] for job in jobs] == [None] * 4 + [parked] * 3
    first, *others = [job["run_at"] for job in jobs[:4]]
    begun = others[0] - timedelta(seconds=10)
    assert before <= begun <= first <= db.scalar("select clock_timestamp()"), "at once"
    gaps = [(later - sooner).total_seconds() for sooner, later in itertools.pairwise([begun, *others])]
    assert gaps == [10, 10, 10], "ten seconds each, beyond the batch as well"
    other = paused(queue="whatsapp-cloud-send")  # a pause that is not over
    assert pauses.release_ended() == 3
    assert pauses.release_ended() == 0
    assert batches == [2, 2, 2, 1]
    assert {job["waits_for"] for job in world.jobs(queue="ai-processing")} == {None}
    pauses.resume(other, "ops@example.com")


def test_a_resume_that_dies_when_its_last_job_has_left_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, other = paused(queue="ai-processing"), paused(queue="whatsapp-cloud-send")
    for number in range(2):
        world.say(user=f"v-{number}", external_id=f"{number}")
    world.drain()
    monkeypatch.setattr(pauses, "AT_ONCE", 2)

    def dies(_tickets: list[object]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pauses, "enqueue", dies)
    with pytest.raises(KeyboardInterrupt):
        pauses.resume(ended, "ops@example.com")
    assert db.rows("select pause_id from pause_release") == [{"pause_id": ended}], "whether more are parked it had not asked yet"
    assert pauses.release_ended() == 0
    assert db.rows("select pause_id from pause_release") == []
    monkeypatch.undo()
    pauses.resume(other, "ops@example.com")


def test_a_sweep_beside_a_resume_does_not_double_its_pace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pause_id = paused(queue="ai-processing")
    for number in range(7):
        world.say(user=f"v-{number}", external_id=f"{number}")
    world.drain()
    monkeypatch.setattr(pauses, "AT_ONCE", 2)
    batches = []

    def sweeps_beside(tickets: list[object]) -> None:
        batches.append(len(tickets))
        if len(batches) == 1:
            pauses.release_ended()

    monkeypatch.setattr(pauses, "enqueue", sweeps_beside)
    pauses.resume(pause_id, "ops@example.com", pace=0.1)
    assert batches == [2, 2, 2, 1, 0], "the sweep released what was left"
    times = [job["run_at"] for job in world.jobs(queue="ai-processing")][1:]  # the first may leave a moment after the plan began
    assert [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(times)] == [10] * 5
    assert db.scalar("select count(*) from pause_release") == 0


def test_what_does_not_exist_is_not_paused(world: World) -> None:
    for wrong in ({"queue": "x"}, {"channel": "widget"}, {"chatbot_id": 4711}, {"customer_id": 4711}, {}):
        with pytest.raises(pauses.NoSuchSubject):
            pauses.subject(**wrong)  # type: ignore[arg-type]


def test_a_pause_that_would_hold_nothing_or_something_else_is_refused(world: World) -> None:
    bot, customer = {"chatbot_id": world.chatbot}, {"customer_id": world.customer}
    other = db.scalar("insert into customer (name) values ('Other') returning id")
    for wrong in (
        {**bot, "customer_id": other},
        {"queue": "incoming-messages", **bot},
        {"queue": "outgoing-messages", **customer},
        {"queue": "webhook-delivery", **bot},
        {"queue": "ai-processing", "channel": CLOUD},
    ):
        with pytest.raises(pauses.NoSuchSubject):
            pauses.subject(**wrong)  # type: ignore[arg-type]
    for right in (
        {**bot, **customer},
        {"queue": "webhook-delivery", **customer},
        {"queue": "ai-processing", **bot},
        {"channel": CLOUD, **bot},
    ):
        pauses.subject(**right)  # type: ignore[arg-type]
