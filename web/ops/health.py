"""/healthz: this process answers. /readyz: it can take what comes; and whether Redis and the sweep are well.

Messages are accepted as long as PostgreSQL answers: taking every web process out of a load balancer because Redis is away
would turn messages that are only late into messages that were refused. So that is `degraded`, and no 503.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify

from shared import db
from shared.broker.redis_broker import get_broker
from shared.config import settings
from shared.jobs.sweep import swept_ago

health = Blueprint("health", __name__)
log = logging.getLogger(__name__)

#: A sweep may be this many intervals late, and never less than so many seconds: a large backlog takes one a while.
LATE, AT_LEAST = 6, 60.0


@health.get("/healthz")
def alive() -> Response:
    """200 as long as the process answers; asks nobody else."""
    return jsonify(status="ok")


@health.get("/readyz")
def ready() -> tuple[Response, int]:
    """503 if PostgreSQL does not answer, else 200; `status` is "ok" only if all `checks` are."""
    checks = {"postgres": _tried(_postgres), "redis": _tried(_redis), "sweep": _tried(_sweep)}
    able, good = checks["postgres"] == "ok", all(check == "ok" for check in checks.values())
    return jsonify(status="ok" if good else "degraded" if able else "not ready", checks=checks), 200 if able else 503


def _tried(check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as problem:  # whatever it is, it is not well
        log.warning("a check failed", extra={"check": check.__name__.strip("_"), "error": type(problem).__name__})
        return f"failed: {type(problem).__name__}"


def _postgres() -> str:
    db.rows("select 1")
    return "ok"


def _redis() -> str:
    client: Any = get_broker().client
    client.ping()
    return "ok"


def _sweep() -> str:
    ago, late = swept_ago(), max(AT_LEAST, LATE * settings().sweep_interval)
    if ago is None:
        return "never ran; want the process type maintenance"
    return "ok" if ago <= late else f"last ended {ago:.0f} s ago; want at most {late:.0f}"
