"""A provider that takes no more: the person waits as long as somebody waits in a chat, then hears the fallback message."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.ai import failover, patience
from shared.errors import PermanentError, Snooze
from tests.builders import World


def throttled(simulator: Simulator, retry_after: str | None = None, status: int = 429) -> None:
    """From now on the AI takes no more."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    rule = {
        "kind": "ai",
        "fault": "status",
        "status": status,
        "body": {"error": {"message": "tokens per day"}},
        "headers": headers,
    }
    simulator.faults([rule])


def ai_job(world: World) -> dict[str, Any]:
    """The first job of the AI stage."""
    return world.jobs(queue="ai-processing")[0]


@pytest.mark.parametrize("retry_after", ["51123", "3600", "61", "1e300", "86400.5"])
def test_a_wait_that_nobody_has_the_patience_for_falls_back_at_once(world: World, simulator: Simulator, retry_after: str) -> None:
    db.rows("update chatbot set fallback_hands_over = false")  # the bot goes on
    throttled(simulator, retry_after)
    first, second = world.say("one"), world.say("two")
    world.drain()
    job = ai_job(world)
    assert (job["state"], job["attempts"], len(simulator.record("ai"))) == ("failed", 1, 1)
    assert "AI_PATIENCE_SECONDS=60" in job["last_error"]
    assert "tokens per day" not in job["last_error"], "a provider's words are for its customer"
    world.dead_letters()
    assert "tokens per day" in world.messages(id=first)[0]["error"]
    simulator.clear_faults()
    world.drain()
    replies = {reply["reply_to"]: reply for reply in world.messages(role="assistant")}
    assert replies[first]["content"] == "We are busy."
    assert "fallback" not in replies[second]["metadata"], "the next message is not held"


@pytest.mark.parametrize("status", [503, 529])
def test_who_is_overloaded_may_say_for_how_long(world: World, simulator: Simulator, status: int) -> None:
    throttled(simulator, "20", status)
    first = world.say("one")
    world.drain()
    job = ai_job(world)
    assert (job["state"], len(simulator.record("ai"))) == ("delayed", 1)
    throttled(simulator, "7200", status)
    world.say("two", user="v-2")
    world.drain()
    assert [job["state"] for job in world.jobs(queue="ai-processing")] == ["delayed", "failed"]
    simulator.clear_faults()
    db.rows("update job set run_at = null, state = 'waiting' where id = %s", [job["id"]])
    world.drain()
    assert "fallback" not in world.messages(role="assistant", reply_to=first)[0]["metadata"]


@pytest.mark.parametrize("retry_after", [None, "inf", "nan", "Wed, 25 Nov 2026 10:00:00 GMT", "soon"])
def test_a_provider_that_does_not_say_when_is_asked_ever_more_seldom_and_not_after_a_minute(
    world: World, simulator: Simulator, retry_after: str | None
) -> None:
    throttled(simulator, retry_after)
    world.say()
    world.drain()
    waits: list[float] = []
    while (job := ai_job(world))["state"] == "delayed":
        wait = db.scalar("select extract(epoch from run_at - clock_timestamp())::float8 from job where id = %s", [job["id"]])
        waits.append(wait)
        db.rows(
            "update job set run_at = null, state = 'waiting', started_at = started_at - make_interval(secs => %s) where id = %s",
            [wait, job["id"]],
        )
        world.drain()
    assert job["state"] == "failed"
    assert 4 <= len(waits) <= 9
    assert sum(waits) < 61
    assert waits[-2] > 3 * waits[0]


def test_who_was_patient_once_is_not_asked_to_be_so_again(world: World, simulator: Simulator) -> None:
    db.rows("update chatbot set fallback_hands_over = false")  # the bot goes on
    throttled(simulator, "40")
    world.say("one")
    world.say("two")
    world.drain()
    first = ai_job(world)
    db.rows(
        "update job set run_at = null, state = 'waiting', started_at = started_at - interval '40 s' where id = %s", [first["id"]]
    )
    db.rows("update message set created_at = created_at - interval '40 s'")
    world.run(first["id"])
    world.dead_letters()
    world.drain()
    second = world.jobs(queue="ai-processing")[1]
    assert second["state"] == "failed", "it waited for 40 s behind the first, and 20 are left"
    world.dead_letters()
    world.say("three")
    world.drain()
    assert world.jobs(queue="ai-processing")[2]["state"] == "delayed", "written later, it has a minute of its own"


def test_a_wait_that_fits_is_kept_and_counts_from_the_first_attempt(world: World, simulator: Simulator) -> None:
    throttled(simulator, "40")
    world.say()
    world.drain()
    job = ai_job(world)
    assert (job["state"], job["attempts"]) == ("delayed", 0)
    db.rows(
        "update job set run_at = null, state = 'waiting', started_at = started_at - interval '40 s' where id = %s", [job["id"]]
    )
    world.run(job["id"])
    assert ai_job(world)["state"] == "failed", "20 s are left, and it asks for 40"


def test_a_job_that_was_not_tried_yet_has_all_of_the_patience(world: World, simulator: Simulator) -> None:
    throttled(simulator, "40")
    world.say()
    db.rows("update job set created_at = created_at - interval '10 minutes'")
    world.drain()
    db.rows("update job set created_at = created_at - interval '10 minutes'")
    assert ai_job(world)["state"] == "delayed", "a backlog, a debounce or an outage of ours is not the provider's wait"


def test_patience_is_a_setting(world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_PATIENCE_SECONDS", "5")
    config.reset()
    throttled(simulator, "6")
    world.say()
    world.drain()
    assert ai_job(world)["state"] == "failed"


@pytest.mark.parametrize(
    ("tried_for", "retry_after", "wait"),
    [
        (0, 60, 60),
        (0, 61, None),
        (30, 30, 30),
        (30, 31, None),
        (59, 1, None),
        (0, 1, 1),
        (20, 1, 5),
        (56, 1, 4),
        (200, 1, None),
        (200, None, None),
    ],
)
def test_how_long_a_job_waits(
    environment: dict[str, str], tried_for: float, retry_after: float | None, wait: float | None
) -> None:
    outcome = patience.later("HTTP 429", tried_for, retry_after)
    assert isinstance(outcome, PermanentError if wait is None else Snooze)
    assert getattr(outcome, "delay", None) == wait


def test_a_call_after_one_that_failed_has_what_is_left(environment: dict[str, str]) -> None:
    attempts = [(1, 0), (1, 100), (2, 2), (2, 46), (2, 100)]
    assert [failover.timeout_of(None, failover.attempt_time(*attempt), others=0) for attempt in attempts] == [45, 45, 45, 14, 10]


@pytest.mark.parametrize(
    ("wanted", "left", "others", "expected"),
    [
        (None, 60, 1, 30),  # even shares
        (None, 60, 4, 12),
        (None, 58, 0, 45),  # the first was quick to fail
        (5, 60, 1, 5),
        (40, 60, 1, 40),  # what a provider wants, as long as the others have ten seconds each
        (300, 60, 1, 50),
        (300, 60, 4, 20),
        (300, 60, 0, 60),
        (30, 10, 1, 5),
        (None, 10, 1, 5),
    ],
)
def test_a_provider_that_hangs_leaves_time_for_the_next(
    environment: dict[str, str], wanted: float | None, left: float, others: int, expected: float
) -> None:
    assert failover.timeout_of(wanted, left, others) == expected


def test_huge_items_cannot_be_stored_and_stored_ones_are_not_read_whole(world: World, simulator: Simulator) -> None:
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot])
    with pytest.raises(Exception, match="knowledge_item_content_check"):
        world.know(base, "Everything", "ship " * 1_000_000)
    db.rows("alter table knowledge_item drop constraint knowledge_item_content_check")  # as in a database of an earlier release
    for number in range(5):
        world.know(base, f"Shipping {number}", "ship " * 100_000)
    world.say("ship")
    job_id = world.jobs(queue="incoming-messages")[0]["id"]
    world.run(job_id)
    claimed = world.claim(ai_job(world)["id"])
    assert claimed.loaded is not None
    assert sum(len(item["content"]) for item in claimed.loaded["items"]) <= 5 * 8_001


def test_a_wait_for_a_limit_of_our_own_uses_up_no_patience(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE_LIMIT_AI_PROCESSING", "1/1h")
    config.reset()
    throttled(simulator, "40")
    world.say("one", user="v-1")
    world.say("two", user="v-2")
    world.drain()
    first, second = world.jobs(queue="ai-processing")
    assert first["started_at"] is not None
    assert (second["state"], second["started_at"], len(simulator.record("ai"))) == ("delayed", None, 1)
    again = (
        "update job set run_at = null, state = 'waiting', started_at = started_at - interval '30 s' where queue = 'ai-processing'"
    )
    db.rows(again)
    world.run(first["id"])
    assert world.jobs(id=first["id"])[0]["started_at"] is not None, "it had been tried before the limit stopped it"
    monkeypatch.setenv("RATE_LIMIT_AI_PROCESSING", "")
    config.reset()
    db.rows(again)
    world.drain()
    first, second = world.jobs(queue="ai-processing")
    assert (first["state"], second["state"]) == ("failed", "delayed"), "the second has all of its patience left"
