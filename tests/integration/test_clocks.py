"""Machines whose clocks are wrong: Redis' and PostgreSQL's decide, never a worker's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import dramatiq.common
import pytest
from dramatiq.broker import MessageProxy
from dramatiq.message import Message
from dramatiq.middleware import SkipMessage
from periodiq import PeriodiqMiddleware

from shared.broker.connection import connect_redis
from shared.broker.consumer import WokenConsumer
from shared.broker.enqueue import Ticket, message_for
from shared.broker.redis_broker import Broker, addressed, get_broker
from shared.config import settings
from shared.jobs import scheduled
from shared.jobs.sweep import sweep_if_alone, swept_ago
from shared.queues import Queue
from tests.builders import World
from tests.integration.test_broker import time_passes
from tests.waiting import until

LANE = Queue.OUTGOING.value
_true_time = time.time

pytestmark = pytest.mark.parametrize("wrong", [300.0, -300.0, 86_400.0], ids=["ahead", "behind", "a day ahead"])


@contextmanager
def clock_off(seconds: float) -> Iterator[None]:
    """This process's wall clock is wrong meanwhile, also where Dramatiq reads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", wrong := lambda: _true_time() + seconds)
        patch.setattr(dramatiq.common, "time", wrong)
        assert abs(dramatiq.common.current_millis() / 1000 - _true_time() - seconds) < 5
        yield


def ticket(number: int, delay_ms: int = 0) -> Message[object]:
    """An addressed message of a job."""
    return addressed(message_for(Ticket(number, Queue.OUTGOING, 5)), delay_ms)


@pytest.fixture
def worker(environment: dict[str, str]) -> Broker:
    """The broker of another process, which has one message in hand."""
    broker = Broker(connect_redis(settings()), [], settings().redis_namespace)
    broker.declare_queue(LANE)
    get_broker().put([ticket(1)])
    return broker


def _heartbeat(worker: Broker, way: str) -> None:
    """The ways in which a worker is heard of."""
    consumer = WokenConsumer(worker, LANE, 2)
    message = MessageProxy(Message.decode(worker.take(LANE, 1).messages[0]))
    if way == "requeue":
        consumer.requeue([message])
    elif way == "nack":
        consumer.nack(message)
    elif way == "ack":
        worker.do_ack(LANE, "job-1")
    elif way == "end":
        worker.end([(LANE, "job-1")], [])


@pytest.mark.parametrize("way", ["take", "requeue", "nack", "ack", "end"])
def test_a_worker_counts_as_dead_when_it_is(worker: Broker, wrong: float, way: str) -> None:
    with clock_off(wrong):
        _heartbeat(worker, way)
    in_hand = {LANE: ["job-1"]} if way == "take" else {}
    assert get_broker().rescue() == {}, "it lives"
    time.sleep(0.05)
    with clock_off(-wrong):
        assert get_broker().rescue() == {}, "the clock of who looks is wrong"
    assert get_broker().rescue(dead_after=0.04) == in_hand
    assert get_broker().client.zcard("dramatiq:__heartbeats__") == 0


def test_a_worker_that_waits_is_pushed_messages(worker: Broker, wrong: float) -> None:
    with clock_off(wrong):
        worker.take(LANE, 5)
        consumer = worker.consume(LANE, prefetch=4)
        while next(consumer):  # what it had in hand before it had a consumer
            pass
        channel = f"{worker.namespace}:__hand__:{worker.broker_id}:{LANE}"
        until(lambda: dict(worker.client.pubsub_numsub(channel))[channel.encode()])
        get_broker().put([ticket(2)])
        until(lambda: worker.states[LANE].prefetched)
        assert next(consumer) is not None
        worker.close()


@pytest.mark.parametrize("whose", ["who enqueues", "who takes"])
def test_a_delayed_message_comes_when_it_is_due(worker: Broker, wrong: float, whose: str) -> None:
    worker.take(LANE, 1)
    with clock_off(wrong if whose == "who enqueues" else 0):
        get_broker().put([ticket(2, delay_ms=600_000)])
    with clock_off(wrong if whose == "who takes" else 0):
        early = worker.take(LANE, 1)
        assert early.messages == []
        assert early.due_in is not None
        assert 0 < early.due_in <= 600
        time_passes(LANE, 600)
        assert [Message.decode(data).message_id for data in worker.take(LANE, 1).messages] == ["job-2"]


def test_a_dead_letter_is_kept_for_its_time(worker: Broker, wrong: float) -> None:
    with clock_off(wrong):
        _heartbeat(worker, "nack")
    get_broker().rescue()
    assert get_broker().client.zcard(f"dramatiq:{LANE}.XQ") == 1
    get_broker().dead_message_ttl = 10
    time.sleep(0.02)
    get_broker().rescue()
    assert get_broker().client.zcard(f"dramatiq:{LANE}.XQ") == 0


def test_the_age_of_a_sweep_is_right(world: World, wrong: float) -> None:
    with clock_off(wrong):
        assert sweep_if_alone()
    ago = swept_ago()
    assert ago is not None
    assert ago < 60
    with clock_off(-wrong):
        ago = swept_ago()
    assert ago is not None
    assert ago < 60


def test_periodic_jobs_are_done_whatever_the_schedulers_clock_says(environment: dict[str, str], wrong: float) -> None:
    from workers import maintenance

    theirs = datetime.fromtimestamp(_true_time() - abs(wrong), UTC)
    message = maintenance.watch_gateways.send_with_options(scheduled_at=theirs.isoformat())
    punctual(maintenance.broker).before_process_message(maintenance.broker, MessageProxy(message))


def test_a_periodic_job_that_waited_for_long_is_skipped(environment: dict[str, str], wrong: float) -> None:
    from workers import maintenance

    old = maintenance.watch_gateways.message_with_options(scheduled_at=(scheduled.now() - timedelta(hours=2)).isoformat())
    with clock_off(wrong), pytest.raises(SkipMessage):
        punctual(maintenance.broker).before_process_message(maintenance.broker, MessageProxy(old))


def punctual(broker: dramatiq.Broker) -> PeriodiqMiddleware:
    """What skips jobs that are too old; another test of this process may have added periodiq's own."""
    from workers.maintenance import Punctual

    [middleware] = [one for one in broker.middleware if isinstance(one, Punctual)]
    assert isinstance(middleware, PeriodiqMiddleware)
    return middleware
