"""The broker against real Redis: one message for a job, delays, the dead's work, and clients that know only Dramatiq."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import dramatiq
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.message import Message

from shared import queues
from shared.broker import strays
from shared.broker.connection import warn_about_forgetful_redis, word_for
from shared.broker.enqueue import Ticket, message_for
from shared.broker.probe import probe
from shared.broker.redis_broker import Broker, addressed, get_broker
from shared.config import settings
from shared.jobs.sweep import sweep
from shared.queues import Queue
from tests.waiting import until

LANE = Queue.OUTGOING.value


def ticket(number: int, delay_ms: int = 0) -> Message[object]:
    """An addressed message of a job."""
    return addressed(message_for(Ticket(number, Queue.OUTGOING, 5)), delay_ms)


def time_passes(lane: str, seconds: float) -> None:
    """What is delayed there is due so much sooner."""
    client, due = get_broker().client, f"dramatiq:{lane}.DQ.due"
    for message_id in client.zrange(due, 0, -1):
        client.zincrby(due, -1_000 * seconds, message_id)


def ids(messages: list[bytes]) -> list[str]:
    """Their job messages' ids."""
    return [Message.decode(data).message_id for data in messages]


def test_a_job_is_carried_once(environment: dict[str, str]) -> None:
    broker = get_broker()
    assert broker.put([ticket(1), ticket(1), ticket(2)]) == 2
    assert broker.put([ticket(1)]) == 0
    assert ids(broker.take(LANE, 10).messages) == ["job-1", "job-2"]


def test_a_delayed_job_comes_when_it_is_due(environment: dict[str, str]) -> None:
    broker = get_broker()
    broker.put([ticket(1, delay_ms=600_000)])
    taken = broker.take(LANE, 10)
    assert not taken.messages
    assert taken.due_in is not None
    assert 0 < taken.due_in <= 600
    time_passes(LANE, 600)
    assert ids(broker.take(LANE, 10).messages) == ["job-1"]


def test_a_delayed_job_may_become_due_sooner_and_never_later(environment: dict[str, str]) -> None:
    broker = get_broker()
    broker.put([ticket(1, delay_ms=6_000_000), ticket(2, delay_ms=1)])
    assert broker.put([ticket(1, delay_ms=1), ticket(2, delay_ms=6_000_000)]) == 0
    time.sleep(0.01)
    taken = broker.take(LANE, 10).messages
    assert sorted(ids(taken)) == ["job-1", "job-2"]
    assert all(Message.decode(data).options["eta"] <= time.time() * 1000 for data in taken), "a worker does not wait for it again"


def test_the_work_of_a_dead_worker_comes_back(environment: dict[str, str]) -> None:
    broker = get_broker()
    broker.put([ticket(1)])
    assert ids(broker.take(LANE, 10).messages) == ["job-1"]
    assert broker.take(LANE, 10).messages == []
    time.sleep(0.02)
    assert broker.rescue(dead_after=0.01) == {LANE: ["job-1"]}
    assert ids(broker.take(LANE, 10).messages) == ["job-1"]


def test_a_dead_letter_overtakes_what_waits(environment: dict[str, str]) -> None:
    broker = get_broker()
    broker.put([ticket(1)])
    name = queues.dead_letter_name(Queue.OUTGOING)
    letter: Message[object] = Message(queue_name=LANE, actor_name=name, args=({},), kwargs={}, options={}, message_id="dead")
    broker.enqueue(letter)
    assert ids(broker.take(LANE, 10).messages) == ["dead", "job-1"]


def _stock(environment: dict[str, str]) -> RedisBroker:
    stock = RedisBroker(client=redis.Redis.from_url(environment["REDIS_URL"]), middleware=[])  # type: ignore[no-untyped-call]
    stock.declare_queue(LANE)
    return stock


def test_a_stock_client_may_enqueue(environment: dict[str, str]) -> None:
    stock = _stock(environment)
    stock.enqueue(Message(queue_name=LANE, actor_name=LANE, args=(7,), kwargs={}, options={}))
    [data] = get_broker().take(LANE, 10).messages
    assert Message.decode(data).args == (7,)


def test_a_stock_clients_delayed_message_comes_when_it_is_due(environment: dict[str, str]) -> None:
    message: Message[object] = Message(queue_name=LANE, actor_name=LANE, args=(7,), kwargs={}, options={})
    _stock(environment).enqueue(message, delay=600_000)
    assert get_broker().take(LANE, 10).messages == []
    time_passes(LANE, 600)
    [data] = get_broker().take(LANE, 10).messages
    assert Message.decode(data).args == (7,)


def test_a_stock_worker_may_take_and_ack(environment: dict[str, str]) -> None:
    get_broker().put([ticket(1)])
    stock = _stock(environment)
    consumer = stock.consume(LANE, prefetch=1, timeout=100)  # type: ignore[no-untyped-call]
    taken = next(message for message in consumer if message is not None)
    assert taken.args == (1,)
    consumer.ack(taken)
    assert get_broker().missing(LANE, ["job-1"]) == {"job-1"}
    assert get_broker().put([ticket(1)]) == 1


def test_the_dashboard_shows_our_queues(environment: dict[str, str]) -> None:
    from web.ops.dashboard import application

    broker: Broker = get_broker()
    broker.put([ticket(1), ticket(2)])
    app = application(broker, prefix="")
    seen: list[str] = []
    wsgi: dict[str, object] = {}
    setup_testing_defaults(wsgi)
    page = b"".join(app(wsgi, lambda status, headers, *rest: seen.append(status)))
    assert seen == ["200 OK"]
    assert LANE in page.decode()
    assert dramatiq.get_broker() is broker


def test_a_redis_that_forgets_is_named_at_start(environment: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    client = get_broker().client
    before = {name: client.config_get(name)[name] for name in ("maxmemory-policy", "appendonly")}
    try:
        client.config_set("maxmemory-policy", "allkeys-lru")
        client.config_set("appendonly", "no")
        with caplog.at_level("WARNING", logger="shared.broker.connection"):
            warn_about_forgetful_redis(client)
    finally:
        for name, value in before.items():
            client.config_set(name, value)
    assert [record.message for record in caplog.records] == [
        "redis_may_evict_jobs",
        "redis_not_persistent",
    ]


@pytest.fixture
def admin(environment: dict[str, str]) -> Iterator[redis.Redis]:
    """May change what the tests' own user may."""
    settings_of_admin = ["on", ">secret-1", "~*", "&*", "+@all"]
    get_broker().client.execute_command("ACL", "SETUSER", "admin", *settings_of_admin)
    url = urlsplit(settings().redis_url)
    client = redis.Redis(host=url.hostname or "", port=url.port or 0, username="admin", password="secret-1")
    yield client
    client.execute_command("ACL", "SETUSER", "default", "+@all", "~*", "&*")
    client.execute_command("ACL", "DELUSER", "admin")


def test_what_was_refused_in_its_middle_comes_back(admin: redis.Redis) -> None:
    """Redis notes a message and may not push it to the worker that waits: it is on no queue then, and in nobody's hands."""
    broker = get_broker()
    broker.declare_queue(LANE)
    consumer = broker.consume(LANE)
    until(lambda: next(consumer) or broker.client.hlen(f"dramatiq:__waiting__.{LANE}"), "the worker waits")
    elsewhere = Broker(broker.client, [], broker.namespace)
    admin.execute_command("ACL", "SETUSER", "default", "resetchannels")
    with pytest.raises(redis.ResponseError) as refused:
        elsewhere.put([ticket(1)])
    assert word_for(refused.value) == "not permitted"
    with pytest.raises(redis.ResponseError):
        probe()
    admin.execute_command("ACL", "SETUSER", "default", "&*")
    probe()
    assert [sweep()["unstuck"] for _ in range(2)] == [1, 0]
    assert until(lambda: next(consumer), "the message comes").message_id == "job-1"


def test_what_was_on_a_list_that_is_gone_comes_back(environment: dict[str, str]) -> None:
    """Evicted, or deleted by somebody; what is delayed comes when it is due."""
    broker = get_broker()
    broker.put([ticket(11), ticket(9), ticket(10)])
    assert ids(broker.take(LANE, 1).messages) == ["job-11"]
    broker.put([ticket(1, delay_ms=600_000)])
    assert strays.put_back() == 0
    broker.client.delete(f"dramatiq:{LANE}", f"dramatiq:{LANE}.DQ.due")
    assert strays.put_back() == 3
    assert ids(broker.take(LANE, 10).messages) == ["job-9", "job-10"]
    time_passes(LANE, 600)
    assert ids(broker.take(LANE, 10).messages) == ["job-1"]


@pytest.mark.parametrize("command", ["hgetall", "time", "rpush"])
def test_the_probe_finds_a_command_that_is_forbidden(admin: redis.Redis, command: str) -> None:
    probe()
    admin.execute_command("ACL", "SETUSER", "default", f"-{command}")
    with pytest.raises(redis.ResponseError) as refused:
        probe()
    assert word_for(refused.value) == "not permitted"


def test_a_queue_that_redis_cannot_show_keeps_no_other_from_its_messages(environment: dict[str, str]) -> None:
    broker = get_broker()
    broker.put([ticket(1)])
    broker.client.delete(f"dramatiq:{LANE}")
    broker.client.set(f"dramatiq:{Queue.INCOMING}.msgs", "of another type")
    with pytest.raises(redis.ResponseError, match="wrong kind"):
        strays.put_back()
    assert ids(broker.take(LANE, 1).messages) == ["job-1"]


def commands_of(script: Path) -> set[str]:
    return set(re.findall(r'call\("(\w+)"', script.read_text(encoding="utf-8")))


def test_the_probe_does_all_that_the_scripts_do() -> None:
    folder = Path(strays.__file__).parent
    assert set[str]().union(*map(commands_of, folder.glob("*.lua"))) == commands_of(folder / "probe.lua")
