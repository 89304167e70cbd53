"""Why an event is delivered: `trigger` of an attempt, and of a delivery's job where it is not the first."""

from __future__ import annotations

from enum import StrEnum


class Trigger(StrEnum):
    """schema.sql says the same (webhook_attempt)."""

    #: The event was new; with the retries of the following seconds.
    FIRST = "first"
    #: It had failed, and its time came again.
    AUTOMATIC = "automatic"
    #: Somebody wanted it delivered again; or all events of a time.
    MANUAL, BULK = "manual", "bulk"
    #: Somebody tries the endpoint.
    TEST = "test"

    @property
    def is_single(self) -> bool:
        """Whether its attempt has no retries in the seconds that follow: it is one, or many have failed."""
        return self in (Trigger.AUTOMATIC, Trigger.BULK)
