"""What batching and the woken consumer must not change: outcomes, heartbeats, room for the next message."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
import redis
from dramatiq.errors import ConnectionClosed

from scripts.local.embedded import Services
from shared import db, queue_service
from shared.broker import consumer as consumers
from shared.broker.consumer import WokenConsumer
from shared.broker.enqueue import Ticket, message_for
from shared.broker.redis_broker import addressed, get_broker
from shared.channels.delivery_status import apply_delivery_status
from shared.config import settings
from shared.queues import Queue
from tests.builders import World
from tests.integration.conftest import RedisRefusing
from tests.waiting import until

LANE = Queue.OUTGOING.value


def test_a_message_whose_chatbot_is_gone_fails_at_once(world: World) -> None:
    world.say()
    db.rows("delete from chatbot where id = %s", [world.chatbot])
    [job] = world.jobs(queue="incoming-messages")
    world.run(job["id"])
    [job] = world.jobs(queue="incoming-messages")
    assert (job["state"], job["attempts"]) == ("failed", 1)
    assert "does not exist any more" in job["last_error"]


def test_neighbours_of_one_batch_each_have_their_own_end(world: World) -> None:
    _, other = world.tenant()
    for number in range(6):
        world.say(user=f"v-{number}", chatbot_id=other if number == 3 else world.chatbot)
    db.rows("delete from chatbot where id = %s", [other])
    jobs = world.jobs(queue="incoming-messages")
    ready = threading.Barrier(len(jobs))

    def run(job_id: int) -> None:
        ready.wait()
        try:
            world.stage(job_id).run(job_id)
        except Exception:  # what it tells Dramatiq of the one that fails
            return

    with ThreadPoolExecutor(len(jobs)) as pool:
        list(pool.map(run, [job["id"] for job in jobs]))
    states = [job["state"] for job in world.jobs(queue="incoming-messages")]
    assert states == ["completed", "completed", "completed", "failed", "completed", "completed"]
    assert len(world.messages(role="user")) == 5


@contextmanager
def _held_up(table: str) -> Iterator[None]:
    """Nobody writes to the table meanwhile: what threads say of it goes out together afterwards."""
    with closing(psycopg2.connect(settings().database_url)) as other:
        other.cursor().execute(f"lock table {table} in exclusive mode")
        yield
        time.sleep(0.2)  # most are waiting by now; where one is not, the outcome is the same
        other.rollback()


def _together(table: str, works: list[Callable[[], Any]]) -> list[Any]:
    """What each returned, or raised."""
    with ThreadPoolExecutor(len(works)) as pool, _held_up(table):
        running = [pool.submit(work) for work in works]
    return [future.exception() or future.result() for future in running]


def test_messages_that_are_accepted_together_each_have_their_own_answer(world: World) -> None:
    def say(user: str, external_id: str | None, chatbot_id: int = world.chatbot) -> Callable[[], int]:
        return lambda: world.say(channel="whatsapp_cloud", user=user, external_id=external_id, chatbot_id=chatbot_id)

    first, second, same, again, nobodys, *plain = _together(
        "job",
        [say("491", "a"), say("492", "b"), say("491", "c"), say("491", "c"), say("493", "d", 999_999)]
        + [say(f"49{number}", None) for number in range(4, 12)],
    )
    assert same == again
    assert "there is no chatbot 999999" in str(nobodys)
    assert len({first, second, same, *plain}) == 11
    assert sorted(job["message_id"] for job in world.jobs(queue="incoming-messages")) == sorted({first, second, same, *plain})
    held = [job["message_id"] for job in world.jobs(queue="incoming-messages", held=True)]
    assert held == [max(first, same)]


def test_processes_that_accept_the_same_messages_do_not_wait_for_each_other(world: World) -> None:
    def payload(external_id: str) -> dict[str, Any]:
        whose = {"chatbot_id": world.chatbot, "channel": "whatsapp_qr", "external_user_id": "49"}
        return {**whose, "content": "Hello", "external_id": external_id, "metadata": {}}

    with closing(psycopg2.connect(settings().database_url)) as other, ThreadPoolExecutor(2) as pool:
        other.cursor().execute("select job_lock('incoming-messages', array[%s])", [f"{world.chatbot}:whatsapp_qr:49"])
        both = pool.submit(queue_service._accept_all, queue_service._accept_once_statement, [payload("a"), payload("b")])
        _until_waiting(1)
        again = pool.submit(queue_service._accept_all, queue_service._accept_once_statement, [payload("b")])
        _until_waiting(2)
        other.rollback()
    assert [accepted.new for accepted in both.result() + again.result() if accepted] == [True, True, False]


def _until_waiting(threads: int) -> None:
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    until(lambda: db.scalar(waiting) >= threads, "nobody waits for a lock")


def test_of_statuses_that_come_together_the_furthest_counts(world: World) -> None:
    world.say(channel="whatsapp_cloud", user="491", external_id="a")
    world.drain()
    [reply] = world.messages(role="assistant")

    def told(status: str, **whose: Any) -> Callable[[], str]:
        return lambda: apply_delivery_status(status, **whose)

    mine = {"provider_id": reply["external_id"]}
    others = {**mine, "chatbot_id": world.tenant()[1]}
    works = [told("DELIVERED", **mine), told("READ", message_id=reply["id"]), told("READ", **mine), told("SENT", **mine)]
    works += [told("READ", **others), told("READ", provider_id="wamid.nobodys")]
    outcomes = _together("message", works)
    assert outcomes[1:3].count("applied") == 1
    assert outcomes[3:] == ["stale", "parked", "parked"]
    assert [message["status"] for message in world.messages(role="assistant")] == ["READ"]


def _consumer(messages: int) -> WokenConsumer:
    broker = get_broker()
    broker.declare_queue(LANE)
    broker.put([addressed(message_for(Ticket(number, Queue.OUTGOING, 5)), None) for number in range(1, messages + 1)])
    return WokenConsumer(broker, LANE, 2)


def test_a_worker_whose_threads_are_all_busy_still_has_a_heartbeat(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "IDLE_FETCH", 0.05)
    consumer = _consumer(messages=10)
    taken = [next(consumer) for _ in range(consumer.prefetch)]
    assert all(taken)
    before = _heartbeat()

    def has_beaten() -> bool:
        assert next(consumer) is None, "no room"
        return _heartbeat() > before

    until(has_beaten, "no heartbeat")


def _heartbeat() -> float:
    broker = get_broker()
    [(_, at)] = broker.client.zrange(f"{broker.namespace}:__heartbeats__", 0, -1, withscores=True)
    return float(at)


def test_an_ack_that_redis_did_not_hear_leaves_room_when_it_is_back(environment: dict[str, str], services: Services) -> None:
    consumer = _consumer(messages=2)
    first, second = next(consumer), next(consumer)
    assert first is not None
    assert second is not None
    services.redis_kill()
    try:
        for message in (first, second):
            with pytest.raises(ConnectionClosed):
                consumer.ack(message)
    finally:
        services.redis_start()
    # Dramatiq makes a new consumer when the connection broke; the threads that left their acks to another do not come again.
    fresh = WokenConsumer(get_broker(), LANE, 2)
    next(fresh)
    assert get_broker().states[LANE].in_flight == set()
    assert get_broker().take(LANE, 10).messages == []


def test_an_ack_that_redis_refused_leaves_room_when_it_takes_it(
    environment: dict[str, str], redis_refusing: RedisRefusing
) -> None:
    consumer = _consumer(messages=1)
    first = next(consumer)
    assert first is not None
    with redis_refusing("replicaof", "127.0.0.1", "1"), pytest.raises(ConnectionClosed):
        consumer.ack(first)
    assert next(WokenConsumer(get_broker(), LANE, 2)) is None
    assert get_broker().states[LANE].in_flight == set()


def test_a_full_redis_is_emptied_by_who_works(environment: dict[str, str], redis_refusing: RedisRefusing) -> None:
    consumer = _consumer(messages=6)
    first = next(consumer)
    assert first is not None
    with redis_refusing("config", "set", "maxmemory", "1"):
        consumer.ack(first)
        assert len(get_broker().take(LANE, 3).messages) > 0
        follower = addressed(message_for(Ticket(9, Queue.OUTGOING, 5)), None)
        assert get_broker().put([follower], [(LANE, "job-2")]) == 1
        with pytest.raises(redis.RedisError):
            get_broker().put([addressed(message_for(Ticket(10, Queue.OUTGOING, 5)), None)])
    assert get_broker().missing(LANE, ["job-1", "job-2", "job-9"]) == {"job-1", "job-2"}
