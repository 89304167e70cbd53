"""What PostgreSQL's errors mean to us: SQLSTATE classes decide, each with a word for the log and a consequence."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, TypeVar

import peewee
import psycopg2

from shared.db import refusals
from shared.dns.services import SILENT, UNKNOWN
from shared.errors import ServiceDown
from shared.telemetry.outage import Outage

T = TypeVar("T")

#: Seconds between attempts to reach a database that is down, at first and at most.
OUTAGE_BACKOFF = (0.1, 2.0)
#: Times that a statement is repeated at once which PostgreSQL refused for its connection's or another transaction's sake.
REPEATS = 2
#: Seconds for which a web request retries after a dropped connection; a longer outage is answered with 503.
WEB_RETRY_SECONDS = 0.3


class Consequence(Enum):
    """What follows from an error that is not the statement's own fault."""

    RECONNECT = "not with this connection: it is closed, and another one made"
    WAIT = "not now: the connection is good, and the statement may succeed later"
    NONE = "the transaction lost against another one: nothing is wrong with PostgreSQL"


class Kind(NamedTuple):
    """What an error means. `repeat`: nothing has happened, and the same again, at once, may well succeed."""

    word: str
    consequence: Consequence
    repeat: bool = False


#: Of a connection only; of a statement it is the statement's own fault.
_BAD_SETTING = Kind("a setting was refused (DATABASE_URL's options, PGOPTIONS, PGTZ or PGDATESTYLE)", Consequence.RECONNECT)
_LOST = Kind("connection lost", Consequence.RECONNECT)
#: By SQLSTATE or the beginning of one, the longest that fits. What is not here is the statement's own fault.
KINDS = {
    "08": _LOST,
    "08001": Kind("cannot be reached", Consequence.RECONNECT),
    "08004": Kind("refuses the connection", Consequence.RECONNECT),  # in words that only the log has
    "08DNS": Kind(SILENT, Consequence.RECONNECT),  # three states of ours: PostgreSQL has none for these
    "08NAM": Kind(UNKNOWN, Consequence.RECONNECT),
    "08TLS": Kind("TLS failed", Consequence.RECONNECT),
    "0A000": Kind("a prepared statement is out of date", Consequence.RECONNECT, repeat=True),
    "23503": Kind("refers to a row that went meanwhile", Consequence.NONE, repeat=True),
    "25006": Kind("read only", Consequence.RECONNECT, repeat=True),
    "25P03": Kind("idle in a transaction for too long", Consequence.RECONNECT),
    "25P04": Kind("transaction too long", Consequence.RECONNECT),
    "26": Kind("a prepared statement was lost", Consequence.RECONNECT, repeat=True),
    "28": Kind("credentials refused", Consequence.RECONNECT),
    "3D000": Kind("no such database", Consequence.RECONNECT),
    "40": Kind("lost against another transaction", Consequence.NONE, repeat=True),
    "40003": _LOST,  # statement_completion_unknown
    "42501": Kind("permission denied", Consequence.WAIT),  # a restored or moved database, whose grants somebody completes
    "42P05": Kind("a prepared statement is there twice", Consequence.RECONNECT, repeat=True),
    "53": Kind("out of resources", Consequence.WAIT),
    "53100": Kind("disk full", Consequence.WAIT),
    "53200": Kind("out of memory", Consequence.WAIT),
    "53300": Kind("too many connections", Consequence.WAIT),
    "53400": Kind("a limit of its settings is used up, most likely temp_file_limit", Consequence.WAIT),
    "53QUO": Kind("a quota of its provider is used up", Consequence.WAIT),  # a state of ours
    "57014": Kind("statement too slow", Consequence.WAIT),
    "57CAN": Kind("cancelled for somebody who does not wait for it", Consequence.NONE, repeat=True),  # a state of ours
    "57P01": Kind("shutting down", Consequence.RECONNECT),
    "57P02": Kind("crashed", Consequence.RECONNECT),
    "57P03": Kind("starting up or shutting down", Consequence.RECONNECT),
    "57P04": Kind("no such database", Consequence.RECONNECT),
    "57P05": Kind("connection idle for too long", Consequence.RECONNECT, repeat=True),
    "58": Kind("input/output error", Consequence.WAIT),
    "XX002": Kind("an index is corrupted", Consequence.WAIT),  # until somebody runs reindex; rows (XX001) nothing brings back
}
#: What poolers give all that they refuse; the text has the reason.
_STATES_OF_POOLERS = ("08P01", "XX000")
#: How PostgreSQL says that not the time was over but somebody asked it to end the statement (pg_cancel_backend). In another
#: language than English it is a statement that was too slow, which is begun anew as well.
_CANCELLED, _ASKED_FOR = "57014", "user request"
#: Words that others ask for.
TOO_MANY, TOO_SLOW = KINDS["53300"].word, KINDS["57014"].word


class StatementOverdue(psycopg2.OperationalError):
    """No answer within the time that a statement may take: the connection was cut, and what became of it is not known."""


class PoolerIsFull(psycopg2.OperationalError):
    """A connection pooler has taken the client and has no connection to the server left for it."""


class Unsuitable(psycopg2.OperationalError):
    """No connection that DATABASE_URL leads to can do; somebody has to change a setting, which the text names.

    It has no subclasses: peewee knows an error by its class, or by that one's base, and no further.
    """


class SchemaDiffers(psycopg2.OperationalError):
    """The database is not of this code's age; the text says what to do about it (shared/db/schema_age.py)."""


def kind_of(problem: BaseException) -> Kind | None:
    """What an error of psycopg2 or peewee means; None where the statement is at fault, or it is no error of a database."""
    reported = getattr(problem, "orig", problem)
    state = getattr(reported, "pgcode", None)
    if state in _STATES_OF_POOLERS:
        return _kind_of_state(refusals.known_state_of(str(reported).lower()) or state)
    if state == _CANCELLED and _ASKED_FOR in str(reported):
        return KINDS["57CAN"]
    if state:
        return _kind_of_state(state)
    if isinstance(reported, StatementOverdue):
        return Kind("no answer in time", Consequence.RECONNECT)
    if isinstance(reported, PoolerIsFull):
        return KINDS["53300"]
    if isinstance(reported, SchemaDiffers | Unsuitable):
        return Kind(str(reported), Consequence.WAIT)
    if isinstance(
        reported, psycopg2.OperationalError | psycopg2.InterfaceError | peewee.OperationalError | peewee.InterfaceError
    ):
        state = refusals.state_of(str(reported))
        return _BAD_SETTING if state == "22023" else _kind_of_state(state)
    return None


def _kind_of_state(state: str) -> Kind | None:
    return KINDS.get(state, KINDS.get(state[:2]))


def is_outage(problem: BaseException) -> bool:
    """Whether PostgreSQL, or the connection to it, is at fault; a statement that is wrong, or lost a deadlock, is no outage."""
    kind = kind_of(problem)
    return isinstance(problem, ServiceDown) or (kind is not None and kind.consequence is not Consequence.NONE)


def is_passing(problem: BaseException) -> bool:
    """Whether the same may succeed later: an outage, or lost against another transaction as often as it was repeated."""
    return isinstance(problem, ServiceDown) or kind_of(problem) is not None


def is_unknown(problem: BaseException) -> bool:
    """Whether nobody knows if the statement happened: it was sent, and no answer came. What PostgreSQL refused has not."""
    reported = getattr(problem, "orig", problem)
    return isinstance(reported, StatementOverdue) or ((kind := kind_of(problem)) is not None and kind.word == _LOST.word)


def word_for(problem: BaseException) -> str:
    """What is wrong with PostgreSQL, in a few words."""
    if isinstance(problem, ServiceDown):
        return word_for(problem.__cause__) if problem.__cause__ else str(problem)
    kind = kind_of(problem)
    return kind.word if kind else type(problem).__name__


outage = Outage("postgres", word_for)
#: Where one of these is wrong, what reads goes on, and what writes where there is room already.
_ONLY_WRITES = frozenset(KINDS[state].word for state in ("25006", "42501", "53", "53100", "53400", "58"))


def refuses_writes() -> bool:
    """Whether PostgreSQL refuses writes, or has in this outage, and answers all the same."""
    return outage.has_been(_ONLY_WRITES)


def answered() -> None:
    """PostgreSQL has done what a statement asked: the end of an outage, unless only a write can tell
    (shared/jobs/write_check.py)."""
    if not refuses_writes():
        outage.over()


def service_down(problem: BaseException) -> ServiceDown:
    """What callers are told of an outage."""
    if isinstance(problem, ServiceDown):
        return problem
    down = ServiceDown(f"PostgreSQL: {word_for(problem)}")
    down.__cause__ = problem  # its word, also where it is raised without a `from`
    return down


def repeat_refused(work: Callable[[], T]) -> T:
    """Runs `work`, and at once again where PostgreSQL refused it for its connection's or another transaction's sake."""
    for _ in range(REPEATS):
        try:
            return work()
        except Exception as problem:
            kind = kind_of(problem)
            if kind is None or not kind.repeat:
                raise
    return work()


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
                raise service_down(problem) from problem
            outage.noticed(problem)
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, longest_pause)
        else:
            answered()
            return result
