"""A message goes straight to a worker that waits, and to the queue where nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis
from dramatiq.broker import MessageProxy
from dramatiq.message import Message

from shared.broker.connection import connect_redis, now_ms
from shared.broker.consumer import WokenConsumer
from shared.broker.enqueue import Ticket, message_for
from shared.broker.redis_broker import Broker, addressed, get_broker
from shared.config import settings
from shared.queues import Queue
from tests.waiting import until

LANE = Queue.OUTGOING.value


def ticket(number: int) -> Message[object]:
    """An addressed message of a job."""
    return addressed(message_for(Ticket(number, Queue.OUTGOING, 5)), None)


@pytest.fixture
def worker(environment: dict[str, str]) -> Iterator[Broker]:
    """The broker of another process."""
    broker = Broker(connect_redis(settings()), [], settings().redis_namespace)
    broker.declare_queue(LANE)
    yield broker
    broker.close()


def consume(worker: Broker, threads: int = 2) -> WokenConsumer:
    """Its consumer, which has looked once, found nothing, and listens."""
    consumer = cast(WokenConsumer, worker.consume(LANE, prefetch=threads * 2))
    channel = f"{worker.namespace}:__hand__:{worker.broker_id}:{LANE}"
    assert next(consumer) is None
    until(lambda: dict(worker.client.pubsub_numsub(channel))[channel.encode()], "nobody listens")
    return consumer


def come(consumer: WokenConsumer) -> MessageProxy:
    """The next message."""
    return cast(MessageProxy, until(lambda: next(consumer), "no message came"))


def waiting(client: redis.Redis) -> int:
    """Messages in the queue's list."""
    return cast(int, client.llen(f"dramatiq:{LANE}"))


def room(worker: Broker) -> int | None:
    """How much room Redis knows of this worker; None if it does not wait."""
    found = cast(bytes | None, worker.client.hget(f"dramatiq:__waiting__.{LANE}", worker.broker_id))
    return None if found is None else int(found)


def test_a_waiting_worker_is_handed_what_comes(worker: Broker) -> None:
    consumer = consume(worker)
    known = room(worker)
    get_broker().put([ticket(1)])
    assert waiting(worker.client) == 0
    assert known is not None
    assert room(worker) == known - 1
    message = come(consumer)
    assert message.message_id == "job-1"
    consumer.ack(message)
    assert room(worker) == known
    assert get_broker().put([ticket(1)]) == 1, "it was forgotten"


def test_an_ack_that_is_tried_again_makes_room_once(worker: Broker) -> None:
    get_broker().put([ticket(1)])
    worker.take(LANE, 3)
    assert room(worker) == 2
    for _ in range(3):
        worker.put([], [(LANE, "job-1")])
    assert room(worker) == 3


def test_what_has_no_room_waits_in_the_queue_and_is_taken_from_there(worker: Broker) -> None:
    consumer = consume(worker, threads=2)
    known = room(worker) or 0
    get_broker().put([ticket(number) for number in range(known + 3)])
    assert waiting(worker.client) == 3
    assert room(worker) is None
    seen = set()
    for _ in range(known + 3):
        message = come(consumer)
        seen.add(message.message_id)
        consumer.ack(message)
    assert seen == {f"job-{number}" for number in range(known + 3)}


@pytest.mark.parametrize("frozen", [False, True], ids=["dead", "frozen"])
def test_who_is_not_there_is_handed_nothing(worker: Broker, frozen: bool) -> None:
    if frozen:  # it listens, and has not been heard of for a minute
        consume(worker)
        worker.client.zadd("dramatiq:__heartbeats__", {worker.broker_id: now_ms() - 60_000})
    else:
        worker.take(LANE, 5)
    assert room(worker)
    get_broker().put([ticket(1)])
    assert waiting(worker.client) == 1
    assert room(worker) is None


def test_the_one_with_most_room_is_handed_it(worker: Broker, environment: dict[str, str]) -> None:
    small = consume(worker, threads=1)
    other = Broker(connect_redis(settings()), [], settings().redis_namespace)
    other.declare_queue(LANE)
    try:
        big = consume(other, threads=20)
        get_broker().put([ticket(1)])
        assert come(big).message_id == "job-1"
        assert not small._prefetched
    finally:
        other.close()


def test_what_was_handed_over_while_nobody_listened_comes_back(worker: Broker) -> None:
    consumer = consume(worker)
    worker.client.hset(f"dramatiq:{LANE}.msgs", "job-7", ticket(7).encode())
    worker.client.sadd(f"dramatiq:__acks__.{worker.broker_id}.{LANE}", "job-7")  # Redis said it into a broken connection
    worker.client.client_kill_filter(_type="pubsub")
    assert come(consumer).message_id == "job-7"


def test_a_worker_that_retires_leaves_the_rest_to_others(worker: Broker) -> None:
    consumer = consume(worker)
    get_broker().put([ticket(1), ticket(2)])
    until(lambda: len(consumer._prefetched) == 2)
    worker.retire()
    assert next(consumer) is None
    assert waiting(worker.client) == 2
    get_broker().put([ticket(3)])
    assert waiting(worker.client) == 3
    assert room(worker) is None


def test_a_worker_that_runs_the_next_stage_too_hands_it_to_itself(worker: Broker, environment: dict[str, str]) -> None:
    consumer = consume(worker, threads=2)
    known = room(worker) or 0
    other = Broker(connect_redis(settings()), [], settings().redis_namespace)
    other.declare_queue(LANE)
    try:
        with_more_room = consume(other, threads=20)
        assert worker.put([ticket(1), ticket(1), ticket(2)]) == 2
        assert [come(consumer).message_id for _ in range(2)] == ["job-1", "job-2"]
        assert not with_more_room._prefetched
        assert room(worker) == known - 2
        assert worker.client.smembers(f"dramatiq:__acks__.{worker.broker_id}.{LANE}") == {b"job-1", b"job-2"}
        worker.put([ticket(number) for number in range(3, known + 3)])
        assert come(with_more_room).message_id == f"job-{known + 1}", "what it has no room for is another's"
    finally:
        other.close()


def test_what_a_worker_handed_to_itself_in_an_answer_that_was_lost_comes_back(worker: Broker) -> None:
    consumer, broken = consume(worker), cast(Any, worker)
    put = broken._put

    def put_and_lose_the_answer(**arguments: Any) -> None:
        put(**arguments)
        raise redis.ConnectionError("reset by peer")

    broken._put = put_and_lose_the_answer
    with pytest.raises(redis.ConnectionError):
        worker.put([ticket(7)])
    broken._put = put
    assert waiting(worker.client) == 0, "Redis assigned it"
    assert come(consumer).message_id == "job-7"
