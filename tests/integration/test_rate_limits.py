"""Limits on real Redis: windows hold, turns are kept, and a job that waits for one has lost nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.broker import rate_limits, redis_broker
from shared.broker.connection import outage
from shared.broker.redis_broker import get_broker
from shared.db import batching
from shared.db.credentials import encrypt
from shared.errors import Snooze
from shared.jobs import ledger
from shared.models import TelegramBot
from shared.queues import Queue
from tests.builders import World
from tests.waiting import until
from tests.windows import fullest

Limit = Callable[..., None]
HOUR = 3600


@pytest.fixture
def limit(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Sets rate limits by the ends of their names."""

    def set_limits(**texts: str) -> None:
        for name, text in texts.items():
            monkeypatch.setenv(f"RATE_LIMIT_{name}", text)
        config.reset()

    return set_limits


def job(number: int, queue: Queue = Queue.AI, priority: int = 5) -> tuple[int, Queue, int]:
    """A job as far as a limit looks at it."""
    return number, queue, priority


def ask(job: tuple[int, Queue, int], number: str | None = None) -> float:
    """Seconds that a job has to wait; 0 if it was let through."""
    try:
        rate_limits.admit(*job, number)
    except Snooze as later:
        return later.delay
    return 0.0


def test_without_limits_redis_is_not_asked(limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "_ask", lambda *_: pytest.fail("asked"))
    limit(WEBHOOK_DELIVERY="1/1s")
    assert ask(job(1)) == ask(job(2, Queue.WHATSAPP_CLOUD), "whatsapp_cloud 777") == 0


def test_no_window_sees_more_than_the_limit(limit: Limit) -> None:
    limit(AI_PROCESSING="10/1s")

    def until_it_passes(number: int) -> tuple[int, float, float]:
        asked, begun = 1, time.monotonic()
        while delay := ask(job(number)):
            time.sleep(delay)
            asked, begun = asked + 1, time.monotonic()
        return asked, begun, time.monotonic()

    with ThreadPoolExecutor(40) as pool:
        asked, begun, passed = zip(*pool.map(until_it_passes, range(1, 41)), strict=True)
    assert fullest(1.0, begun, passed) <= 10
    assert sum(asked) < 40 * 4, "who waits comes about once, not over and over"


def test_two_processes_share_a_limit(limit: Limit) -> None:
    limit(AI_PROCESSING="3/1h")
    assert [ask(job(1)), ask(job(2))] == [0, 0]
    redis_broker.reset()  # another process: a broker and a connection of its own
    assert ask(job(3)) == 0
    assert HOUR - 600 < ask(job(4)) < HOUR + 60


def test_turns_go_by_priority_then_by_age_and_are_spread(limit: Limit) -> None:
    limit(AI_PROCESSING="2/1h")
    assert [ask(job(1)), ask(job(2))] == [0, 0]
    basic = [ask(job(number)) for number in range(10, 16)]
    rounds = [round(delay / HOUR) for delay in basic]
    assert rounds == [1, 1, 2, 2, 3, 3], "each comes when there is a place for it"
    assert round(ask(job(99, priority=1)) / HOUR) == 1, "the newest premium job goes before them all"
    assert round(ask(job(9)) / HOUR) == 1, "an older one of the same plan goes before the younger"
    assert round(ask(job(10)) / HOUR) == 2


def test_a_limit_that_was_lowered_is_waited_for_one_window_long(limit: Limit) -> None:
    limit(AI_PROCESSING="50/1h")
    assert not any(ask(job(number)) for number in range(1, 51))
    limit(AI_PROCESSING="2/1h")
    rounds = [round(ask(job(number)) / HOUR) for number in range(60, 64)]
    assert rounds == [1, 1, 2, 2], "all that passed are an hour old then, however many they were"


def time_passes(seconds: float) -> None:
    """What passed, and what is due, is so much longer ago."""
    client = get_broker().client
    for key in ("passed", "due"):
        for member in client.zrange(f"dramatiq:rate:ai-processing:{key}", 0, -1):
            client.zincrby(f"dramatiq:rate:ai-processing:{key}", -1_000 * seconds, member)


def test_who_waits_may_not_be_overtaken_by_who_comes_later(limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "GRACE", 600.0)
    limit(AI_PROCESSING="1/1h")
    assert ask(job(1)) == 0
    assert ask(job(2)) > 0
    time_passes(HOUR + rate_limits.MARGIN)
    assert ask(job(3)) > 0, "there is a place, and it is job 2's"
    assert ask(job(2)) == 0


def test_who_never_comes_holds_up_nobody(limit: Limit) -> None:
    limit(AI_PROCESSING="1/1h")
    assert ask(job(1)) == 0
    assert ask(job(2)) > 0
    assert ask(job(3)) > HOUR
    time_passes(HOUR + rate_limits.MARGIN + rate_limits.GRACE)
    assert ask(job(4)) > 0, "job 3 is in time yet"
    assert ask(job(3)) == 0


def test_a_number_has_its_own_limit_beside_the_queues(limit: Limit) -> None:
    limit(WHATSAPP_NUMBER="1/1m", WHATSAPP_CLOUD_SEND="3/1m")
    cloud = Queue.WHATSAPP_CLOUD
    assert ask(job(1, cloud), "whatsapp_cloud 1") == 0
    for number in range(2, 6):  # refused for their number: they take no place of the queue
        assert ask(job(number, cloud), "whatsapp_cloud 1") > 0
    assert ask(job(10, cloud), "whatsapp_cloud 2") > 0, "older jobs of the queue wait"
    get_broker().client.delete("dramatiq:rate:whatsapp-cloud-send:line")  # an eviction: the line forms anew
    assert ask(job(10, cloud), "whatsapp_cloud 2") == 0
    assert ask(job(11, cloud), "whatsapp_cloud 3") == 0
    assert ask(job(12, cloud), "whatsapp_cloud 4") > 0


@pytest.mark.parametrize(("channel", "sent"), [("whatsapp_cloud", 1), ("whatsapp_qr", 1), ("telegram", 2)])
def test_a_limit_of_whatsapp_numbers_is_none_of_telegrams_bots(world: World, limit: Limit, channel: str, sent: int) -> None:
    limit(WHATSAPP_NUMBER="1/1h")
    secrets = {"token": encrypt(f"700:{'t' * 35}"), "webhook_secret": encrypt("secret")}
    with db.connection():
        TelegramBot.create(chatbot=world.chatbot, bot_id="700", username="shop_bot", **secrets)
    for user in ("49123", "49124"):
        world.say(channel=channel, user=user)
        for _stage in ("incoming", "ai", "outgoing", "send"):
            world.run(world.jobs()[-1]["id"])
    assert len(world.messages(role="assistant", status="SENT")) == sent


def test_while_redis_is_away_jobs_pass_and_one_line_says_so(
    limit: Limit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    redis_broker.reset()
    outage.over()  # another test's
    caplog.clear()
    limit(AI_PROCESSING="1/1h")
    assert [ask(job(number)) for number in range(1, 6)] == [0] * 5
    events = [record.getMessage() for record in caplog.records if getattr(record, "service", "") == "redis"]
    assert events == ["service_unavailable"]


def test_a_limited_job_is_delayed_and_has_lost_nothing(world: World, simulator: Simulator, limit: Limit) -> None:
    limit(WHATSAPP_NUMBER="1/1m", INCOMING_MESSAGES="100/1m")
    for number in range(3):
        world.say(channel="whatsapp_cloud", user=f"4912{number}")
    world.drain()
    sends = world.jobs(queue="whatsapp-cloud-send")
    assert [(send["state"], send["attempts"]) for send in sends] == [("completed", 1), ("delayed", 0), ("delayed", 0)]
    assert (sends[1]["claimed_by"], sends[1]["lease_until"], sends[1]["outcome_unknown_since"]) == (None, None, None)
    assert sends[1]["last_error"] == f"rate limit of whatsapp_cloud {777000 + world.chatbot}: 1/1m"
    assert simulator.counts()["graph"]["requests"] == 1
    assert [message["attempts"] for message in world.messages(role="assistant")] == [1, 0, 0]
    limit(WHATSAPP_NUMBER="")
    db.rows("update job set run_at = clock_timestamp() where state = 'delayed'")
    for send in sends[1:]:
        world.run(send["id"])
    assert [(send["state"], send["attempts"]) for send in world.jobs(queue="whatsapp-cloud-send")] == [("completed", 1)] * 3


def test_a_job_too_old_for_its_turn_asks_once_more_before_its_age_ends(world: World, limit: Limit) -> None:
    limit(INCOMING_MESSAGES="1/1h")
    first, second = world.say(user="v-1"), world.say(user="v-2")
    db.rows("update job set created_at = clock_timestamp() - interval '3500 seconds' where message_id = %s", [second])
    for message in (first, second):
        world.run(world.jobs(message_id=message)[0]["id"])
    [waiting] = world.jobs(message_id=second, queue="incoming-messages")
    assert (waiting["state"], waiting["attempts"]) == ("delayed", 0)
    assert 3590 < (waiting["run_at"] - waiting["created_at"]).total_seconds() < 3600


def test_a_job_past_its_age_fails_with_the_limits_name(world: World, limit: Limit) -> None:
    limit(INCOMING_MESSAGES="1/1h")
    first, second = world.say(user="v-1"), world.say(user="v-2")
    db.rows("update job set created_at = created_at - interval '2 hours' where message_id = %s", [second])
    for message in (first, second):
        world.run(world.jobs(message_id=message)[0]["id"])
    [failed] = world.jobs(message_id=second, queue="incoming-messages")
    assert (failed["state"], failed["attempts"]) == ("failed", 1)
    assert failed["last_error"].startswith("rate limit of incoming-messages: 1/1h; still so after 72")


def test_many_give_their_claims_back_in_few_commits(world: World, limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    limit(INCOMING_MESSAGES="1/1h")
    for number in range(40):
        world.say(user=f"v-{number}")
    jobs = [row["id"] for row in world.jobs()]
    world.run(jobs[0])
    batches: list[int] = []
    snooze = ledger._snooze._run

    def snooze_when_all_are_there(items: Sequence[Any]) -> Any:
        """The first batch is under way until all others wait for its end."""
        batches.append(len(items))
        if len(batches) == 1:
            until(lambda: len(items) + len(ledger._snooze._waiting) == 39)
        return snooze(items)

    monkeypatch.setattr(ledger._snooze, "_run", snooze_when_all_are_there)
    monkeypatch.setattr(batching, "OVERDUE", 60.0)
    with ThreadPoolExecutor(39) as pool:
        list(pool.map(world.run, jobs[1:]))
    assert {row["state"] for row in world.jobs()[1:40]} == {"delayed"}
    assert sum(batches) == 39
    assert len(batches) <= 2
