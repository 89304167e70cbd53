"""A Redis that is full is back when a write that needs memory succeeds: who reads, or makes room, does not say so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from dramatiq.errors import ConnectionClosed

from shared.broker.connection import outage
from shared.broker.consumer import WokenConsumer
from shared.broker.enqueue import Ticket, enqueue
from shared.broker.redis_broker import get_broker
from shared.jobs.worker_process import announce
from shared.queues import Queue
from shared.telemetry.outage import Outage
from tests.builders import World
from tests.integration.conftest import RedisRefusing
from tests.integration.front_door import FrontDoor
from web import request_limits

LANE = Queue.OUTGOING.value
FULL = ("config", "set", "maxmemory", "1")
AWAY, BACK = "service_unavailable", "service_recovered"


@pytest.fixture
def told(log_of: Callable[[Outage, str], Callable[[], list[str]]]) -> Callable[[], list[str]]:
    """What the log says of Redis."""
    return log_of(outage, "redis")


def test_who_works_at_a_full_redis_does_not_say_that_it_is_back(
    world: World, redis_refusing: RedisRefusing, told: Callable[[], list[str]]
) -> None:
    get_broker().declare_queue(LANE)
    enqueue(Ticket(number, Queue.OUTGOING, 5) for number in range(1, 5))
    consumer = WokenConsumer(get_broker(), LANE, 2)
    with redis_refusing(*FULL):
        announce()
        message = next(consumer)
        assert message is not None, "it is emptied by who works"
        enqueue([], [(LANE, message.message_id)])
        enqueue([Ticket(9, Queue.OUTGOING, 5)], [(LANE, "job-2")])
        assert told() == [AWAY]
        announce()
    next(consumer)
    assert told() == [AWAY]
    announce()
    assert told() == [AWAY, BACK]


def test_a_request_that_a_full_redis_counts_does_not_say_that_it_is_back(
    door: FrontDoor, redis_refusing: RedisRefusing, told: Callable[[], list[str]]
) -> None:
    """The first of a minute makes room first: its window becomes the last one."""
    request_limits.check_api_key(7)
    client = get_broker().client
    [window] = client.keys("dramatiq:request-limit*key:7*")
    with redis_refusing(*FULL):
        announce()
        client.pexpire(window, 59_000)  # as if the minute were over
        request_limits.check_api_key(7)
        assert told() == [AWAY]


def _sent_by_the_scheduler() -> None:
    from workers import maintenance

    maintenance.count_throughput.send_with_options()


@pytest.mark.parametrize("write", [announce, lambda: enqueue([Ticket(1, Queue.OUTGOING, 5)]), _sent_by_the_scheduler])
def test_who_is_refused_says_when_it_is_not_any_more(
    world: World, redis_refusing: RedisRefusing, told: Callable[[], list[str]], write: Callable[[], None]
) -> None:
    with redis_refusing(*FULL):
        write()
        write()
        assert told() == [AWAY]
    write()
    assert told() == [AWAY, BACK]


def test_a_replica_refuses_who_takes(world: World, redis_refusing: RedisRefusing, told: Callable[[], list[str]]) -> None:
    get_broker().declare_queue(LANE)
    with redis_refusing("replicaof", "127.0.0.1", "1"), pytest.raises(ConnectionClosed):
        next(WokenConsumer(get_broker(), LANE, 2))
    announce()
    assert told() == [AWAY, BACK]
