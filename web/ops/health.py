"""/healthz: this process answers. /readyz: whether work can be done, and if not, what is missing.

Each check does what the work does: it writes to PostgreSQL, to Redis and where files are kept, and asks when each queue was
last taken from. Messages are accepted as long as PostgreSQL takes them: taking every web process out of a load balancer because
Redis or a worker is down would refuse messages that are only delayed. So that is `degraded`, and no 503, unless `?strict` asks.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import redis
from flask import Blueprint, Response, jsonify, request

from shared import db, queues
from shared.broker import census
from shared.broker.connection import outage, word_for
from shared.broker.probe import probe
from shared.broker.redis_broker import DEAD_AFTER
from shared.channels.registry import CHANNELS
from shared.config import settings
from shared.db import schema_age
from shared.db.database_id import database_id
from shared.errors import ServiceDown
from shared.jobs import scheduled, stored_secrets
from shared.jobs.sweep import swept_ago
from shared.media.folder import StorageDown
from shared.media.storage import storage
from web.ops.write_check import postgres_write

health = Blueprint("health", __name__)
log = logging.getLogger(__name__)

#: A sweep may be this many intervals late, and never less than so many seconds: a large backlog takes one a while.
LATE, AT_LEAST = 6, 60.0
#: Seconds for which an answer is given again: anybody may ask, and asking writes.
FRESH = 0.5
#: Seconds for which it is not asked again whether the key opens what is stored: each column of secrets is read.
SELDOM = 30
#: Said where another system's .env was copied. Each takes the other's jobs, which come back late, by the sweep.
_STRANGERS = (
    "workers of another database use this Redis and take jobs of this one; give each system a REDIS_NAMESPACE of its own, and "
    "restart workers whose database was moved; this process's log says which"
)
#: Said where scripts/migrate --post came too early: what the workers of the last release do fails, and is done by others.
_OUTDATED = (
    "workers of an earlier release run, and scripts/migrate --post has removed what they need: jobs that they take wait; replace "
    "them; this process's log says which"
)
#: Seconds after which it is logged again why a check still fails: those who ask every second must not fill the log.
LOGGED_AGAIN = 60.0
#: How a check begins that raised; a text without it says what slows work down.
FAILED = "failed"

Checks = dict[str, str]


@health.get("/healthz")
def alive() -> Response:
    """200 as long as the process answers; asks nobody else."""
    return jsonify(status="ok")


@health.get("/readyz")
def ready() -> tuple[Response, int]:
    """503 if PostgreSQL takes no writes, and with `?strict` unless all is well; `status` is "ok" only if all `checks` are."""
    checks = _latest.get()
    is_ready, is_well = not checks["postgres"].startswith(FAILED), all(check == "ok" for check in checks.values())
    status = "ok" if is_well else "degraded" if is_ready else "not ready"
    return jsonify(status=status, checks=checks), 200 if is_well or (is_ready and "strict" not in request.args) else 503


def problems() -> Checks:
    """What is not well, without what was not asked because what it needs had failed."""
    checks = _latest.get()
    needed_failed = {name for name in checks if any(checks[needed].startswith(FAILED) for needed in _NEEDS.get(name, ()))}
    return {name: said for name, said in checks.items() if said != "ok" and name not in needed_failed}


def noticed_ago(check: str) -> float:
    """Seconds since this process has known that a check is not well: its own requests notice an outage before anybody asks."""
    outages = {"postgres": db.outage, "redis": outage}
    known = outages[check].lasts() if check in outages else None
    return max(known or 0.0, _reasons.fails_for(check))


class _Latest:
    """The latest answer. One caller at a time asks again; the others get the one before, if there is any."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        self._checks: Checks | None = None
        self._at = 0.0

    def get(self) -> Checks:
        if self._asking.acquire(blocking=self._checks is None):
            try:
                if self._checks is None or time.monotonic() - self._at >= FRESH:
                    self._checks = _run_all()
                    self._at = time.monotonic()
            finally:
                self._asking.release()
        assert self._checks is not None
        return self._checks


class _Reasons:
    """Why checks fail, as it was logged last, and when."""

    def __init__(self) -> None:
        self._logged: dict[str, tuple[str, float]] = {}
        self._failing_since: dict[str, float] = {}

    def note(self, check: str) -> None:
        """It does not pass, since now or before."""
        self._failing_since.setdefault(check, time.monotonic())

    def fails_for(self, check: str) -> float:
        """Seconds since it passed; 0 if it passes."""
        return time.monotonic() - self._failing_since.get(check, time.monotonic())

    def log(self, check: str, reason: str) -> None:
        """Unless it was the same a moment ago."""
        before, at = self._logged.get(check, ("", 0.0))
        if reason != before or time.monotonic() - at >= LOGGED_AGAIN:
            self._logged[check] = reason, time.monotonic()
            log.warning("health_check_failed", extra={"check": check, "reason": reason})

    def forget(self, check: str) -> None:
        """It passes now, so that the next failure is a new one."""
        self._logged.pop(check, None)
        self._failing_since.pop(check, None)


def _run_all() -> Checks:
    """What needs a service that failed is not asked: it would wait for that once more, and say the same."""
    checks = Checks()
    for name, check in _CHECKS.items():
        failed = next((checks[needed] for needed in _NEEDS.get(name, ()) if checks[needed].startswith(FAILED)), None)
        checks[name] = failed or _run(name, check)
        if checks[name] == "ok":
            _reasons.forget(name)
        else:
            _reasons.note(name)
    return checks


def _run(name: str, check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as problem:  # whatever it is, the checked service is not well
        word = _word(problem)
        _reasons.log(name, word)
        return f"{FAILED}: {word}"


def _word(problem: Exception) -> str:
    if isinstance(problem, redis.RedisError):
        outage.noticed(problem)
        return word_for(problem)
    return db.word_for(problem) if isinstance(problem, ServiceDown) or db.is_outage(problem) else type(problem).__name__


def _redis() -> str:
    """One that is full, or a replica, still answers what reads; one whose ACL lacks a command or a channel, all others."""
    probe()
    outage.over()
    return "ok"


def _storage() -> str:
    """Whether files can be kept. Anybody may ask, so why not is in the log alone."""
    try:
        storage().check()
    except StorageDown as problem:
        _reasons.log("storage", str(problem))
        return f"{FAILED}: takes no files; this process's log says why"
    return "ok"


class _Credentials:
    """Whether CREDENTIALS_KEY is this database's. Anybody may ask, so which secrets it does not open is in the log alone."""

    def __init__(self) -> None:
        self._answer, self._until = "ok", float("-inf")

    def __call__(self) -> str:
        if time.monotonic() >= self._until:
            self._answer, self._until = self._ask(), time.monotonic() + SELDOM
        return self._answer

    def _ask(self) -> str:
        closed = [column for column, is_open in stored_secrets.newest_open().items() if not is_open]
        if not closed:
            return "ok"
        reason = f"CREDENTIALS_KEY does not open the newest of {', '.join(closed)}"
        _reasons.log("credentials", reason)
        return f"{FAILED}: CREDENTIALS_KEY does not open stored secrets; this process's log says which"


def _sweep() -> str:
    ago, limit = swept_ago(), max(AT_LEAST, LATE * settings().sweep_interval)
    if ago is None:
        return "never ran; start the process type maintenance"
    return "ok" if ago <= limit else f"last ended {ago:.0f} s ago, at most {limit:.0f} s are expected; is maintenance running?"


def _scheduler() -> str:
    """Whether the scheduler triggers its jobs. Where no process does them, the check of the sweep says so."""
    ago = scheduled.ran_ago()
    if ago is None or ago <= scheduled.LATE:
        return "ok"
    return f"its jobs last ran {ago:.0f} s ago, some are due each minute; start the process type scheduler"


def _workers() -> str:
    """Whether somebody takes jobs of each queue that is used, and nobody who cannot do them; a worker looks every 4 s, also when
    busy."""
    living = census.workers()
    if (ours := database_id()) and (strangers := census.strangers(living, ours)):
        _reasons.log("workers", f"work for another database: {strangers}")
        return _STRANGERS
    with db.connection() as database:
        needed = schema_age.newest_post(database.session)
    if outdated := census.older_than(living, needed):
        _reasons.log("workers", f"of an earlier release than the database: {outdated}")
        return _OUTDATED
    taken = census.taken_ago()
    silent = [
        f"{queue} ({queues.PROCESS_TYPES[queue]}): {_since(ago)}"
        for queue in queues.Queue
        if (ago := max(taken.get(lane, float("inf")) for lane in queues.lanes(queue).values())) > DEAD_AFTER and _is_used(queue)
    ]
    return f"nobody takes jobs of {'; '.join(silent)}" if silent else "ok"


def _is_used(queue: queues.Queue) -> bool:
    """Whether a queue carries anything: that of a channel on which no business has an account does not."""
    tables = [one.account_table for one in CHANNELS.values() if one.send_queue is queue]
    return all(db.scalar(f"select exists (select from {table} where active)") for table in tables)


def _since(ago: float) -> str:
    return "never" if ago == float("inf") else f"for {ago:.0f} s"


_CHECKS: dict[str, Callable[[], str]] = {
    "postgres": postgres_write,
    "redis": _redis,
    "storage": _storage,
    "credentials": _Credentials(),
    "sweep": _sweep,
    "scheduler": _scheduler,
    "workers": _workers,
}
#: What a check asks; it comes after these.
_NEEDS = {"credentials": ("postgres",), "sweep": ("redis",), "scheduler": ("redis",), "workers": ("redis", "postgres")}
_reasons = _Reasons()
_latest = _Latest()
