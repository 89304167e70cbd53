"""The clock of processes that run all stages."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, tzinfo

import dramatiq
import pytest
from periodiq import PeriodiqMiddleware, cron

from shared.broker.redis_broker import Broker, get_broker
from shared.jobs import scheduled
from shared.queues import MAINTENANCE_QUEUE
from tests.unit.test_no_threads import without_threads
from tests.waiting import until

NOON = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def broker(environment: dict[str, str]) -> Broker:
    """With an actor for each minute, one for each hour, and one without a time."""
    broker = get_broker()
    broker.add_middleware(PeriodiqMiddleware())
    for name, spec in (("minutely", "* * * * *"), ("hourly", "0 * * * *")):
        dramatiq.actor(actor_name=name, queue_name=MAINTENANCE_QUEUE, periodic=cron(spec), broker=broker)(nothing)
    dramatiq.actor(actor_name="never", queue_name=MAINTENANCE_QUEUE, broker=broker)(nothing)
    return broker


def nothing() -> None:
    """What they do."""


def send_due(now: datetime) -> bool:
    """The clock's; a worker's module wants its settings when it is imported."""
    from workers import clock

    return clock.send_due(now)


def sent(broker: Broker) -> Counter[str]:
    """What waits in Redis, by actor."""
    messages = broker.client.hvals(f"{broker.namespace}:{MAINTENANCE_QUEUE}.msgs")
    return Counter(json.loads(message)["actor_name"] for message in messages)


def test_what_is_due_is_sent_in_its_minute(broker: Broker) -> None:
    assert send_due(NOON)
    assert sent(broker) == {"minutely": 1, "hourly": 1}
    assert send_due(NOON + timedelta(minutes=1))
    assert sent(broker) == {"minutely": 2, "hourly": 1}


@pytest.mark.parametrize("wrong", [timedelta(minutes=10), -timedelta(minutes=10)], ids=["ahead", "set back"])
def test_the_minute_is_that_of_redis(broker: Broker, monkeypatch: pytest.MonkeyPatch, wrong: timedelta) -> None:
    """Else nothing would be sent for ten minutes by a clock that is set back by ten: each of them was sent before."""
    from workers import clock

    class WrongClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + wrong

    monkeypatch.setattr(clock, "datetime", WrongClock)
    ticking = clock.Clock()
    before = scheduled.now()
    ticking.after_worker_boot(broker, None)
    until(lambda: sent(broker)["minutely"])
    ticking.before_worker_shutdown(broker, None)
    keys = {key.decode().partition(":clock:")[2] for key in broker.client.keys("*:clock:*")}
    assert keys <= {f"{moment:%Y-%m-%dT%H:%M}" for moment in (before, scheduled.now())}


@pytest.mark.parametrize("what", ["clock", "sweep"])
def test_a_process_that_gets_no_thread_for_it_ends(broker: Broker, what: str) -> None:
    from workers import clock, maintenance

    middleware = clock.Clock() if what == "clock" else maintenance.Ticker()
    with pytest.raises(SystemExit, match=f"no thread for {what}"):
        without_threads(lambda: middleware.after_worker_boot(broker, None))


def test_any_number_of_processes_send_a_minute_once(broker: Broker) -> None:
    with ThreadPoolExecutor(8) as processes:
        results = list(processes.map(send_due, [NOON + timedelta(seconds=n) for n in range(8)]))
    assert results.count(True) == 1
    assert sent(broker) == {"minutely": 1, "hourly": 1}
