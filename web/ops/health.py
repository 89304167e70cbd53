"""/healthz: this process answers. /readyz: it can accept messages; and whether Redis and the sweep are well.

Messages are accepted as long as PostgreSQL answers: taking every web process out of a load balancer because Redis is down
would refuse messages that are only delayed. So a Redis that is down is `degraded`, and no 503.
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
    checks = {"postgres": _run(_postgres), "redis": _run(_redis), "sweep": _run(_sweep)}
    is_ready, is_well = checks["postgres"] == "ok", all(check == "ok" for check in checks.values())
    return jsonify(status="ok" if is_well else "degraded" if is_ready else "not ready", checks=checks), 200 if is_ready else 503


def _run(check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as problem:  # whatever it is, the checked service is not well
        log.warning("health_check_failed", extra={"check": check.__name__.strip("_"), "error": type(problem).__name__})
        return f"failed: {type(problem).__name__}"


def _postgres() -> str:
    db.rows("select 1")
    return "ok"


def _redis() -> str:
    client: Any = get_broker().client
    client.ping()
    return "ok"


def _sweep() -> str:
    ago, limit = swept_ago(), max(AT_LEAST, LATE * settings().sweep_interval)
    if ago is None:
        return "never ran; start the process type maintenance"
    return "ok" if ago <= limit else f"last ended {ago:.0f} s ago, at most {limit:.0f} s are expected; is maintenance running?"
