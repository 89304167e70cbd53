"""Periodic jobs: a step that always fails stops none of those behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from peewee import ProgrammingError

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.jobs import worker_process
from shared.jobs.independent import run_each
from shared.operations import dead_letters
from shared.operations.dead_letters import Filter
from tests.builders import World
from tests.integration.test_dead_letters import fail_sends


@contextmanager
def without(table: str) -> Iterator[None]:
    """A table is not where statements look for it."""
    db.rows(f"alter table {table} rename to {table}_elsewhere")
    try:
        yield
    finally:
        db.rows(f"alter table {table}_elsewhere rename to {table}")


def test_failures_settle_while_usage_cannot_be_counted(world: World, simulator: Simulator) -> None:
    from workers import maintenance

    fail_sends(world, simulator, 2)
    db.rows("update message set status = 'SENT', error = null where status = 'FAILED'")
    with without("usage_counted"), pytest.raises(ProgrammingError, match="usage_counted"):
        maintenance.count_throughput.fn()
    assert dead_letters.count(Filter(state="answered")) == 2


def test_the_first_failure_is_raised_when_all_had_their_turn(caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []

    def step(number: int) -> int:
        done.append(number)
        if number % 2:
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match="1"):
        run_each([lambda n=n: step(n) for n in range(5)])
    assert done == [0, 1, 2, 3, 4]
    assert [record.message for record in caplog.records] == ["step_failed"], "the other one"
    assert run_each([lambda: 1, lambda: 2]) == [1, 2]


def test_periodic_jobs_tell_of_an_outage_in_a_line_and_of_errors_of_ours_in_full(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from workers import maintenance

    with without("usage_counted"), pytest.raises(ProgrammingError, match="usage_counted"):
        maintenance.count_throughput()
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    config.reset()
    db.reset()
    for _ in range(2):
        maintenance.count_throughput()
        worker_process.refresh_pauses()
    told = [(record.getMessage(), getattr(record, "reason", "")) for record in caplog.records if record.levelname != "INFO"]
    assert told == [("service_unavailable", "cannot be reached")]
