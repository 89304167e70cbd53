"""schemathesis walks the API: what one answer names is what the next request is about."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis.errors import FlakyStrategyDefinition
from schemathesis.specs.openapi.checks import ignored_auth

from shared import config, db
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import API, Business, free_keys, make_acceptable, mine

__all__ = ["mine"]  # a fixture

WALK = settings(
    max_examples=12,
    stateful_step_count=10,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
#: Walks until enough was reached, at the most.
WALKS = 5


def newest(table: str, business: Business) -> Any:
    """The id of the row that the business has made last; None: it has none."""
    return db.scalar(f"select max(id) from {table} where customer_id = %s", [business.customer])


def test_one_request_after_another(door: FrontDoor, mine: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_REQUESTS_PER_MINUTE", "100000")
    monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
    monkeypatch.setattr("web.request_limits.WRONG_KEYS", 100_000)
    config.reset()
    schema = schemathesis.openapi.from_wsgi(API + "/openapi.json", door.app)
    walked: list[tuple[str, int]] = []
    problems: list[BaseException] = []

    class Walk(schema.as_state_machine()):  # type: ignore[misc]  # made when it runs
        def before_call(self, case: schemathesis.Case) -> None:
            free_keys()
            make_acceptable(case, newest("knowledge_base", mine), newest("chatbot", mine))

        def get_call_kwargs(self, case: schemathesis.Case) -> dict[str, Any]:
            return {"headers": {"Authorization": f"Bearer {mine.key}"}}

        def validate_response(self, response: Any, case: schemathesis.Case, **_: Any) -> None:
            walked.append((case.operation.label, response.status_code))
            try:
                # It would take the key from the headers that it has made, and not from these.
                case.validate_response(response, excluded_checks=[ignored_auth])
            except BaseException as problem:
                problems.append(problem)
                raise

    def done() -> set[str]:
        return {label for label, status in walked if status < 300}

    for _ in range(WALKS):
        # Hypothesis wants the same choices to lead to the same requests; here answers lead on, and rows stay from walk to walk.
        with suppress(FlakyStrategyDefinition):
            Walk.run(settings=WALK)
        if len(done()) >= 5:
            break
    assert not problems
    assert len(done()) >= 5
    assert any("{" in label for label in done()), "it went on with an id that an answer named"
