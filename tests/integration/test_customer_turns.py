"""Customers take turns in Redis: whoever sends thousands of messages waits for their own."""

from __future__ import annotations

import time
from collections import Counter, defaultdict

import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.message import Message
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from shared import db, queues
from shared.broker import consumer as consumers
from shared.broker.connection import connect_redis
from shared.broker.consumer import WokenConsumer
from shared.broker.enqueue import Ticket, message_for, tickets_of
from shared.broker.redis_broker import Broker, addressed, get_broker
from shared.config import settings
from shared.jobs.sweep import sweep
from shared.queues import Queue
from tests.builders import World
from tests.waiting import until

LANE = Queue.OUTGOING.value


def ticket(number: int, customer: int | None, delay_ms: int = 0, queue: Queue = Queue.OUTGOING) -> Message[object]:
    """An addressed message of a customer's job."""
    return addressed(message_for(Ticket(number, queue, 5, customer=customer)), delay_ms)


def flood(count: int = 50, queue: Queue = Queue.OUTGOING) -> None:
    """Customer 1 sends many."""
    get_broker().put([ticket(number, 1, queue=queue) for number in range(1, count + 1)])


def taken(count: int, lane: str = LANE) -> list[str]:
    """The ids of the next so many."""
    messages = get_broker().take(lane, count).messages
    get_broker().client.delete(f"dramatiq:__waiting__.{lane}")  # what comes next lines up
    return [Message.decode(data).message_id for data in messages]


@pytest.mark.parametrize("queue", list(Queue))
def test_one_message_does_not_wait_behind_a_flood(environment: dict[str, str], queue: Queue) -> None:
    lane = queues.lane(queue, queues.LOWEST)
    flood(queue=queue)
    assert taken(3, lane) == ["job-1", "job-2", "job-3"]
    get_broker().put([ticket(100, 2, queue=queue)])
    assert taken(2, lane) == ["job-100", "job-4"]
    get_broker().put([ticket(number, 3, queue=queue) for number in (200, 201)] + [ticket(101, 2, queue=queue)])
    assert Counter(taken(6, lane)) == Counter(["job-5", "job-6", "job-7", "job-200", "job-201", "job-101"])


def test_a_flood_goes_on_when_the_others_have_had_their_turn(environment: dict[str, str]) -> None:
    flood(5)
    get_broker().put([ticket(100, 2)])
    assert taken(20) == ["job-1", "job-100", "job-2", "job-3", "job-4", "job-5"]
    get_broker().put([ticket(6, 1), ticket(7, 1), ticket(101, 2)])
    assert taken(20) == ["job-6", "job-101", "job-7"]


def test_a_process_that_has_enough_to_do_still_gives_another_customer_a_turn(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumers, "IDLE_FETCH", 3_600.0)  # it comes before the next look, and before a call ends
    broker = get_broker()
    broker.declare_queue(LANE)
    flood()
    consumer = WokenConsumer(broker, LANE, threads=8)
    held = []
    while len(held) < 12:  # one and a half for each thread
        message = next(consumer)
        held += [message] if message else []
    broker.put([ticket(100, 2)])
    consumer.ack(held[0])  # eight calls go on, three messages wait here: that is enough for the threads
    assert until(lambda: next(consumer)).message_id == "job-100"


def _redis_keys() -> set[str]:
    return {key.decode() for key in get_broker().client.keys(f"dramatiq:{LANE}*")}


def test_a_queue_that_was_emptied_leaves_next_to_nothing(environment: dict[str, str]) -> None:
    flood(20)
    get_broker().put([ticket(100, 2)])
    ids = taken(30)
    get_broker().put([], [(LANE, message_id) for message_id in ids])
    assert _redis_keys() <= {f"dramatiq:{LANE}.turns"}
    get_broker().put([ticket(101, 3)])
    get_broker().client.delete(f"dramatiq:__waiting__.{LANE}")
    assert get_broker().client.hlen(f"dramatiq:{LANE}.turns") <= 2, "customers of the past are forgotten"


@pytest.mark.parametrize("trouble", ["hints lost", "a stock worker took", "an older release took", "requeued", "rescued"])
def test_nothing_is_lost_whatever_happens_to_the_turns(environment: dict[str, str], trouble: str) -> None:
    flood(30)
    get_broker().put([ticket(100, 2)])
    client, seen = get_broker().client, list[str]()
    if trouble == "hints lost":
        client.delete(f"dramatiq:{LANE}.turns", f"dramatiq:{LANE}.rounds")
    elif trouble == "a stock worker took":
        stock = RedisBroker(client=redis.Redis.from_url(environment["REDIS_URL"]), middleware=[])  # type: ignore[no-untyped-call]
        seen += [Message.decode(data).message_id for data in stock.do_fetch(LANE, 15)]
    elif trouble == "an older release took":
        seen += [client.lpop(f"dramatiq:{LANE}").decode() for _ in range(20)]  # type: ignore[union-attr]
    else:
        worker = Broker(connect_redis(settings()), [], settings().redis_namespace)
        ids = [Message.decode(data).message_id for data in worker.take(LANE, 15).messages]
        if trouble == "requeued":
            worker.give_back(LANE, ids)
        else:
            time.sleep(0.05)
            assert set(get_broker().rescue(dead_after=0.02)[LANE]) == set(ids)
    get_broker().put([ticket(number, number % 3) for number in range(200, 230)] + [ticket(300, 7)])
    rest = taken(100)
    assert Counter(seen + rest) == Counter(f"job-{number}" for number in (*range(1, 31), 100, *range(200, 230), 300))
    if trouble in ("requeued", "rescued"):
        assert rest.index("job-300") <= 15 + 4, "behind what was in hand, not behind the flood"
    if trouble == "requeued":
        assert [name for name in rest if int(name[4:]) <= 30] == [f"job-{number}" for number in range(1, 31)]


def test_what_is_due_lines_up_in_turn(environment: dict[str, str]) -> None:
    flood()
    get_broker().put([ticket(100, 2, delay_ms=100), ticket(101, 1, delay_ms=100)])
    time.sleep(0.15)
    first = taken(50)
    assert first.index("job-100") <= 1
    assert "job-101" not in first, "of the customer with the flood"


def test_a_stock_clients_message_has_a_turn_of_its_own(environment: dict[str, str]) -> None:
    flood()
    stock = RedisBroker(client=redis.Redis.from_url(environment["REDIS_URL"]), middleware=[])  # type: ignore[no-untyped-call]
    stock.enqueue(Message(queue_name=LANE, actor_name=LANE, args=(7,), kwargs={}, options={}, message_id="stock"))
    assert "stock" in taken(51)


def test_a_lost_redis_is_filled_in_turn(world: World) -> None:
    other, chatbot = world.tenant()
    for number in range(30):
        world.say(user=f"v-{number}")
    world.say(user="b-1", chatbot_id=chatbot)
    db.rows("update job set created_at = now() - interval '1 min'")
    get_broker().client.flushall()
    assert sweep()["enqueued"] == 31
    whose = [Message.decode(data).options["customer"] for data in get_broker().take(Queue.INCOMING, 3).messages]
    assert other in whose


def test_every_ticket_says_whose_it_is(world: World) -> None:
    world.endpoint(world.customer)
    seen = []

    def tickets(rows: object) -> object:
        seen.extend(found := tickets_of(rows))  # type: ignore[arg-type]
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.queue_service.tickets_of", tickets)
        patch.setattr("shared.jobs.completion.tickets_of", tickets)
        world.say(channel="whatsapp_cloud", user="49123")
        world.drain()
    assert {ticket.queue for ticket in seen} == {Queue.INCOMING, Queue.AI, Queue.OUTGOING, Queue.WHATSAPP_CLOUD, Queue.WEBHOOKS}
    assert {ticket.customer for ticket in seen} == {world.customer}


steps = st.lists(st.tuples(st.sampled_from(["put", "put", "put", "take"]), st.integers(0, 4), st.integers(1, 6)), max_size=40)


@given(steps=steps)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_turns_are_exact(environment: dict[str, str], steps: list[tuple[str, int, int]]) -> None:
    """Each message comes once, a customer's in their order, and nobody is overtaken by a customer more often than their turn."""
    broker = get_broker()
    broker.client.flushall()
    waiting: dict[int, list[str]] = defaultdict(list)
    #: For the first waiting message of each customer: how often each other customer was served since it was first in line.
    overtaken: dict[int, Counter[int]] = defaultdict(Counter)
    number = 0

    def serve(count: int) -> None:
        for message_id in taken(count):
            customer = next(name for name, ids in waiting.items() if message_id in ids)
            assert waiting[customer].pop(0) == message_id, "in order"
            overtaken[customer].clear()
            for other, ids in waiting.items():
                if other != customer and ids:
                    overtaken[other][customer] += 1
                    assert overtaken[other][customer] <= 2
        broker.client.delete(f"dramatiq:__waiting__.{LANE}")

    for step, customer, count in steps:
        if step == "take":
            serve(count)
            continue
        for _ in range(count):
            number += 1
            broker.put([ticket(number, customer)])
            waiting[customer].append(f"job-{number}")
    serve(1_000)
    assert not any(waiting.values())
