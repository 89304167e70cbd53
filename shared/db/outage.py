"""What to do when PostgreSQL does not answer: recognise it, say it once, try again for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import psycopg2
from peewee import InterfaceError, OperationalError

from shared.errors import ServiceDown
from shared.telemetry.outage import Outage

T = TypeVar("T")

#: Seconds between attempts to reach a database that is down, at first and at most.
OUTAGE_BACKOFF = (0.1, 2.0)


def is_outage(problem: BaseException) -> bool:
    """Whether the server is gone or going; a statement that is wrong, or lost a deadlock (class 40), is no outage."""
    if isinstance(problem, ServiceDown):
        return True
    if str(getattr(getattr(problem, "orig", problem), "pgcode", None) or "").startswith("40"):
        return False
    return isinstance(problem, OperationalError | InterfaceError | psycopg2.OperationalError | psycopg2.InterfaceError)


outage = Outage("postgres")
#: Seconds for which a web request retries after a dropped connection; a longer outage is answered with 503.
WEB_RETRY_SECONDS = 0.3


def retry_on_outage(work: Callable[[], T], seconds: float) -> T:
    """Runs `work`, and again when PostgreSQL went away meanwhile, for so many seconds.

    Only for work that may run twice: reads, and statements under a claim's fence. Raises ServiceDown.
    """
    pause, longest_pause = OUTAGE_BACKOFF
    deadline = time.monotonic() + seconds
    while True:
        try:
            result = work()
        except ServiceDown:  # whoever raised it has retried already
            raise
        except Exception as problem:
            if not is_outage(problem):
                raise
            if time.monotonic() + pause > deadline:
                raise ServiceDown("postgres does not answer") from problem
            outage.noticed(problem)
            time.sleep(pause)
            pause = min(pause * 2, longest_pause)
        else:
            outage.over()
            return result
