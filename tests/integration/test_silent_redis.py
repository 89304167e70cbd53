"""Connections to Redis that die without a word, and a Redis that stalls: nothing is lost, and the door answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from queue import PriorityQueue
from typing import cast

import pytest
import redis
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message
from dramatiq.worker import ConsumerThread

from scripts.local.proxy import Connection, Mode, Proxy
from shared import config, db
from shared.broker import connection, consumer, listener, redis_broker
from shared.broker.census import in_hand
from shared.broker.connection import connect_redis
from shared.broker.consumer import WokenConsumer, id_of
from shared.broker.enqueue import Ticket, message_for
from shared.broker.queue_state import QueueState
from shared.broker.redis_broker import Broker, addressed, get_broker
from shared.config import settings
from shared.jobs import stuck
from shared.jobs.sweep import stuck_messages
from shared.queues import Queue, dead_letter_name
from tests.builders import World
from tests.integration.front_door import FrontDoor, change, webhook, written
from tests.waiting import until
from web.app import create_app

LANE = Queue.OUTGOING.value
#: Seconds in which a message that is on its way has come.
SOON = 150.0


def ticket(number: int) -> Message[object]:
    """An addressed message of a job."""
    return addressed(message_for(Ticket(number, Queue.OUTGOING, 5)), None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes seconds takes tenths of them."""
    monkeypatch.setattr(listener, "PING_AFTER", 0.3)
    monkeypatch.setattr(listener, "PONG_WITHIN", 0.5)
    monkeypatch.setattr(listener, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(consumer, "IDLE_FETCH", 0.4)
    monkeypatch.setattr(connection, "WORKER", connection.Patience(timeout=2.0, pause=0.0))


@pytest.fixture
def proxy(environment: dict[str, str]) -> Iterator[Proxy]:
    """Between a worker and Redis."""
    with Proxy.to(environment["REDIS_URL"]) as running:
        yield running


@pytest.fixture
def worker(proxy: Proxy, impatient: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    """The broker of another process, which reaches Redis through the proxy; this process does not."""
    get_broker()
    monkeypatch.setenv("REDIS_URL", proxy.url)
    config.reset()
    broker = Broker(connect_redis(settings(), connection.WORKER), [], settings().redis_namespace)
    broker.declare_queue(LANE)
    yield broker
    broker.close()


def consume(worker: Broker) -> WokenConsumer:
    """A consumer that has found nothing, and listens."""
    consuming = cast(WokenConsumer, worker.consume(LANE, prefetch=8))
    channel = f"{worker.namespace}:__hand__:{worker.broker_id}:{LANE}"
    until(lambda: dict(get_broker().client.pubsub_numsub(channel))[channel.encode()] == 1, "nobody listens")
    until(lambda: not worker.states[LANE].reclaim_needed or next(consuming) is not None, "it never looked")
    return consuming


def come(worker: Broker, consuming: WokenConsumer, count: int) -> set[str]:
    """The ids of the messages that come; as Dramatiq does, makes a new consumer when one breaks."""
    seen: set[str] = set()
    given_up = time.monotonic() + SOON
    while len(seen) < count:
        assert time.monotonic() < given_up, f"only {seen} came"
        try:
            message = next(consuming)
            if message is not None:
                seen.add(message.message_id)
                consuming.ack(message)
        except ConnectionClosed:
            time.sleep(0.1)
            consuming = cast(WokenConsumer, worker.consume(LANE, prefetch=8))
    return seen


def listens(line: Connection) -> bool:
    """Whether it is the connection of a listener."""
    return line.said(b"SUBSCRIBE")


@pytest.mark.parametrize("which", ["the listener's", "all"])
def test_what_is_pushed_into_a_dead_connection_comes_back(worker: Broker, proxy: Proxy, which: str) -> None:
    consuming = consume(worker)
    picked = proxy.treat(Mode.LOSE, only=listens if which == "the listener's" else lambda _: True, new=False)
    assert picked >= 1
    get_broker().put([ticket(number) for number in range(1, 5)])
    assert get_broker().client.llen(f"dramatiq:{LANE}") == 0, "they were pushed"
    assert come(worker, consuming, 4) == {f"job-{number}" for number in range(1, 5)}
    get_broker().put([ticket(9)])
    assert come(worker, consuming, 1) == {"job-9"}
    assert in_hand() == set()


def test_a_listener_that_is_lost_is_named_once(
    worker: Broker, proxy: Proxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "PONG_WITHIN", 60.0)  # what works is not taken for lost on a busy machine
    consume(worker)
    with caplog.at_level("WARNING", logger="shared.broker.listener"):
        proxy.refuse()
        proxy.treat(Mode.LOSE, only=listens, new=False)
        monkeypatch.setattr(listener, "PONG_WITHIN", 0.5)
        until(lambda: "redis_listener_lost" in caplog.text, "nobody noticed")
        monkeypatch.setattr(listener, "PONG_WITHIN", 60.0)
        time.sleep(1.2)  # two more attempts
        proxy.accept()
        until(lambda: "redis_listener_back" in caplog.text, "it did not come back")
    assert [record.message for record in caplog.records] == ["redis_listener_lost", "redis_listener_back"]
    assert "no answer to a ping" in str(caplog.records[0].error)  # type: ignore[attr-defined]


class FailsOnce(QueueState):
    """An error of ours, at the first message that is pushed."""

    has_failed = False

    def push(self, message: bytes) -> None:
        """As QueueState's, but for the first."""
        if not self.has_failed:
            self.has_failed = True
            raise ValueError("an error of ours")
        super().push(message)


def test_an_error_of_ours_ends_no_listener(worker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    worker.states[LANE] = FailsOnce()
    consuming = consume(worker)
    get_broker().put([ticket(7)])
    until(lambda: "redis_listener_failed" in caplog.text, "it was not told")
    assert come(worker, consuming, 1) == {"job-7"}
    get_broker().put([ticket(8)])
    assert come(worker, consuming, 1) == {"job-8"}
    assert sum(record.message == "redis_listener_failed" for record in caplog.records) == 1


def test_a_connection_that_breaks_with_messages_in_hand_ends_no_consumer(worker: Broker, proxy: Proxy) -> None:
    """Dramatiq's thread ended when they could not be given back: its queue stood still until the process was restarted."""
    consuming = consume(worker)
    get_broker().put([ticket(1), ticket(2)])
    until(lambda: len(worker.states[LANE].prefetched) == 2, "no message came")
    proxy.refuse()
    proxy.reset()
    thread = ConsumerThread(broker=worker, queue_name=LANE, prefetch=8, work_queue=PriorityQueue(), worker_timeout=1_000)
    thread.consumer = consuming
    thread.close()  # as after each error, before the next consumer
    proxy.accept()
    assert come(worker, cast(WokenConsumer, worker.consume(LANE, prefetch=8)), 2) == {"job-1", "job-2"}


def test_what_redis_counts_and_the_process_has_not_comes_back(worker: Broker) -> None:
    consuming = consume(worker)
    worker.client.hset(f"dramatiq:{LANE}.msgs", "job-7", ticket(7).encode())
    worker.client.sadd(f"dramatiq:__acks__.{worker.broker_id}.{LANE}", "job-7")  # pushed, and lost without any sign
    assert come(worker, consuming, 1) == {"job-7"}


def test_what_a_process_works_on_is_not_taken_for_lost(worker: Broker) -> None:
    consuming = consume(worker)
    get_broker().put([ticket(1), ticket(2)])
    until(lambda: len(worker.states[LANE].prefetched) == 2, "no message came")
    first = next(consuming)
    given_up = time.monotonic() + 2.0
    while time.monotonic() < given_up:
        consuming._fetch()
        time.sleep(0.1)
    state = worker.states[LANE]
    assert {*state.in_flight, *map(id_of, state.prefetched)} == {"job-1", "job-2"}
    assert get_broker().client.llen(f"dramatiq:{LANE}") == 0
    assert first is not None


def _in_hand_of_a_living_worker(message_id: str, queue: str) -> None:
    """A worker that looks, has a heartbeat, and whose threads never got this."""
    other = Broker(connect_redis(settings()), [], settings().redis_namespace)
    assert [Message.decode(data).message_id for data in other.take(queue, 10).messages] == [message_id]


@pytest.mark.parametrize(
    ("state", "comes_back"),
    [
        ("waiting", True),
        ("delayed and due", True),
        ("active and lost", True),
        ("active", False),
        ("delayed", False),
        ("held", False),
        ("failed", False),
    ],
)
def test_the_sweep_puts_back_what_nobody_works_on(
    world: World, monkeypatch: pytest.MonkeyPatch, state: str, comes_back: bool
) -> None:
    monkeypatch.setattr(stuck, "TOO_LONG", 0.2)
    world.say()
    [job] = world.jobs()
    changes = {
        "waiting": "state = 'waiting'",
        "delayed and due": "state = 'delayed', run_at = now() - interval '1 s'",
        "active and lost": "state = 'active', claimed_by = 'w', claims = 1, lease_until = now() - interval '1 s'",
        "active": "state = 'active', claimed_by = 'w', claims = 1, lease_until = now() + interval '1 h'",
        "delayed": "state = 'delayed', run_at = now() + interval '1 h'",
        "held": "held = true",
        "failed": "state = 'failed', last_error = 'broken'",
    }
    db.rows(f"update job set {changes[state]} where id = %s", [job["id"]])
    _in_hand_of_a_living_worker(f"job-{job['id']}", Queue.INCOMING)
    assert stuck_messages.put_back() == 0, "not at once"
    time.sleep(0.3)
    assert stuck_messages.put_back() == (1 if comes_back else 0)
    assert len(get_broker().take(Queue.INCOMING, 10).messages) == (1 if comes_back else 0)


def test_the_sweep_puts_back_a_dead_letter_that_is_stuck(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stuck, "TOO_LONG", 0.2)
    name = dead_letter_name(Queue.OUTGOING)
    get_broker().enqueue(Message(queue_name=LANE, actor_name=name, args=({},), kwargs={}, options={}, message_id="dead"))
    _in_hand_of_a_living_worker("dead", LANE)
    stuck_messages.put_back()
    time.sleep(0.3)
    assert stuck_messages.put_back() == 1


@pytest.mark.parametrize("mode", [Mode.STALL, Mode.LOSE])
def test_the_door_does_not_wait_for_a_redis_that_stalls(
    door: FrontDoor, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    url = settings().redis_url
    monkeypatch.setenv("REDIS_URL", proxy.url)
    monkeypatch.setattr("web.app.DOOR", connection.DOOR)
    config.reset()
    redis_broker.reset()
    door = FrontDoor(app := create_app(), app.test_client(), door.world)
    assert door.meta(webhook(change(door.number, messages=[written("wamid.0")]))).status_code == 200
    pool = cast(connection.Pool, get_broker().client.connection_pool)
    assert pool.patience == connection.DOOR
    # So long that no machine is too slow for it: within the pause nobody asks.
    pool.patience = replace(connection.DOOR, pause=3_600.0)
    proxy.treat(mode)
    asked = []
    for number in range(1, 7):
        # Of somebody new each time: a second job of a conversation waits for the first, and Redis does not hear of it.
        message = written(f"wamid.{number}", **{"from": f"48{number}"})
        assert door.meta(webhook(change(door.number, messages=[message]))).status_code == 200
        asked.append(proxy.connections()[-1].number)
    assert len(set(asked)) == 1, f"after the first nobody connects: {asked}"
    assert pool._away_until > time.monotonic(), "the first asked, and waited for its answer"
    pool.patience, pool._away_until = connection.DOOR, 0.0
    proxy.treat(Mode.PASS)
    lane, direct = f"dramatiq:{Queue.INCOMING}.msgs", redis.Redis.from_url(url)
    users = iter(range(100))

    def is_enqueued_again() -> bool:
        door.meta(
            webhook(change(door.number, messages=[written(f"wamid.again-{(user := next(users))}", **{"from": f"49{user}"})]))
        )
        time.sleep(0.3)
        return direct.hlen(lane) >= 2

    until(is_enqueued_again, "it goes on")
    assert db.scalar("select count(*) from job where queue = 'incoming-messages'") == 7 + next(users)


def test_the_scheduler_outlives_a_redis_that_is_away(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from workers import maintenance

    connection.outage.over()
    for actor in (maintenance.prune_records, maintenance.sweep_jobs):
        monkeypatch.setattr(actor.broker, "put", _refuse)
        actor.send_with_options(scheduled_at="2026-11-26T07:00:00+00:00")
    assert connection.outage._since is not None, "it is logged"


def _refuse(*_args: object) -> int:
    raise redis.ConnectionError("max number of clients reached")
