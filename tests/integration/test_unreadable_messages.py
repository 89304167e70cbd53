"""What stands in a queue's Redis hash and is no message stops nothing: it is dropped with a line, and its job comes anew."""

from __future__ import annotations

import json
from typing import cast

import pytest
from dramatiq.message import Message

from shared.broker.consumer import WokenConsumer
from shared.broker.enqueue import Ticket, message_for
from shared.broker.redis_broker import Broker, addressed, get_broker
from shared.queues import Queue

LANE = Queue.OUTGOING.value
_GOOD = json.loads(addressed(message_for(Ticket(1, Queue.OUTGOING, 5)), 0).encode())


def _changed(**fields: object) -> bytes:
    return json.dumps({**_GOOD, **fields}).encode()


#: Each in the place of job 1's message.
GARBAGE = {
    "a text": b"garbage",
    "nothing": b"",
    "half a message": _changed()[:40],
    "no UTF-8": b"\xff\xfe\x00",
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "a list": b"[]",
    "an empty object": b"{}",
    "options that are none": _changed(options=None),
    "options without an id": _changed(options={}),
    "an id that is a number": _changed(options={"redis_message_id": 1}),
    "a customer that is an object": _changed(options={"redis_message_id": "job-1", "customer": {}}),
    "arguments that are a number": _changed(args=1),
    "keywords that are a list": _changed(kwargs=[]),
    "an actor that is a number": _changed(actor_name=7),
    "a field that nobody knows": _changed(pickle="x"),
}


def _consumer(broker: Broker) -> WokenConsumer:
    broker.declare_queue(LANE)
    return cast(WokenConsumer, broker.consume(LANE, prefetch=8))


def _next(consumer: WokenConsumer) -> Message[object]:
    while not (message := next(consumer)):
        pass
    return message


def _put(broker: Broker, data: bytes, delay_ms: int = 0) -> None:
    """Jobs 1 and 2, and `data` in the place of the first one's message."""
    broker.put([addressed(message_for(Ticket(number, Queue.OUTGOING, 5)), delay_ms) for number in (1, 2)])
    hash_name = f"{broker.namespace}:{LANE}{'.DQ' if delay_ms else ''}.msgs"
    assert broker.client.hset(hash_name, "job-1", data) == 0


@pytest.mark.parametrize("kind", GARBAGE)
@pytest.mark.parametrize("delay_ms", [0, 1])
def test_it_is_dropped_and_the_next_one_comes(
    environment: dict[str, str], kind: str, delay_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    broker = get_broker()
    consumer = _consumer(broker)
    _put(broker, GARBAGE[kind], delay_ms)
    taken = _next(consumer)
    assert taken.message_id == "job-2"
    consumer.ack(taken)  # type: ignore[arg-type]
    assert broker.missing(LANE, ["job-1", "job-2"]) == {"job-1", "job-2"}, "the sweep would not put it anew"
    assert not broker.reclaim(LANE)
    [line] = [record for record in caplog.records if record.message == "unreadable_messages_dropped"]
    assert (line.redis_queue, line.messages) == (LANE, ["job-1"])  # type: ignore[attr-defined]


def test_a_message_under_anothers_id_is_dropped(environment: dict[str, str]) -> None:
    broker = get_broker()
    broker.declare_queue(LANE)
    _put(broker, _changed(options={"redis_message_id": "job-2"}))
    broker.take(LANE, 1)
    assert not broker.reclaim(LANE)
    assert broker.missing(LANE, ["job-1", "job-2"]) == {"job-1"}


def test_what_is_pushed_and_is_no_message_is_dropped(environment: dict[str, str]) -> None:
    broker = get_broker()
    consumer = _consumer(broker)
    broker.states[LANE].push(b"garbage")
    _put(broker, b"garbage")
    assert _next(consumer).message_id == "job-2"


def test_it_is_no_hindrance_to_a_worker_that_ends(environment: dict[str, str]) -> None:
    broker = get_broker()
    consumer = _consumer(broker)
    _put(broker, b"garbage")
    broker.states[LANE].prefetched.extend(broker.take(LANE, 2).messages)
    consumer.requeue([])
    assert _next(_consumer(broker)).message_id == "job-2"
