"""Steps of a periodic job that do not need one another: one that always fails must not stop those behind it for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

import redis

from shared import db

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def run_each(steps: Iterable[Callable[[], Result]]) -> list[Result]:
    """Takes all steps; returns what they returned. Raises what the first one raised that failed, when all have had their turn."""
    results, problems = [], []
    for step in steps:
        try:
            results.append(step())
        except Exception as problem:
            problems.append(problem)
    for further in problems[1:]:
        # PostgreSQL or Redis is away for all of them: the first one says so.
        if not db.is_passing(further) and not isinstance(further, redis.RedisError):
            log.error("step_failed", exc_info=further)
    if problems:
        raise problems[0]
    return results
