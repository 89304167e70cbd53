"""Endpoints that only fail are disabled after WEBHOOK_DISABLE_AFTER, and their business is told two fifths before that.

Its other endpoints hear of it (endpoint.disabled), and its owners by e-mail, where that is set up. One that is not called is left
alone: nobody knows whether it would still fail. Switched on again, it begins with a clean record.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.config import settings
from shared.db import sql
from shared.jobs.independent import run_each
from shared.telemetry import metrics
from shared.webhooks import notices

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: The share of the time after which the business is told: three of five days.
NOTICE = 0.6
#: Seconds within which the last attempt must have been: a day; and that pass at least between the notice and the end.
ALIVE = 86_400
#: Attempts that are looked at for a success, before somebody is told that there was none.
NEWEST = 100_000


def watch() -> int:
    """One pass; returns how many endpoints were disabled."""
    after = settings().webhook_disable_after
    found = queries["failing"].rows(notice=after * NOTICE, after=after, alive=ALIVE)
    return sum(run_each(partial(_watch, endpoint) for endpoint in found))


def _watch(endpoint: dict[str, Any]) -> bool:
    """Whether it was disabled."""
    is_due = endpoint["is_over"] or not endpoint["is_warned"]
    if is_due and queries["clear_record"].row(endpoint_id=endpoint["id"], newest=NEWEST):
        return False
    if endpoint["is_over"]:
        return _tell(endpoint, "disabled", "select webhook_endpoint_disable_v1(%s, 'failing')", [endpoint["id"]])
    if not endpoint["is_warned"]:
        _tell(endpoint, "failing", "select webhook_endpoint_warn_v1(%s, %s)", [endpoint["id"], endpoint["disables_at"]])
    return False


def _tell(endpoint: dict[str, Any], state: str, statement: str, arguments: list[Any]) -> bool:
    """Writes it, and tells of it; False if somebody was faster, or the endpoint works again."""
    with db.transaction():
        tickets = db.scalar(statement, arguments)
        if tickets is None:
            return False
        notices.add(endpoint["id"], state, endpoint["disables_at"])
    enqueue(tickets_of(tickets))
    if state == "disabled":
        log_end(endpoint["id"], endpoint["customer_id"], "failing")
    else:
        log.warning("endpoint_failing", extra={"endpoint": endpoint["id"], "customer": endpoint["customer_id"]})
        metrics.increment("endpoints", state)
    return True


def log_end(endpoint_id: int, customer_id: int, reason: str) -> None:
    """For whoever runs this: an endpoint was disabled, because it was only `failing`, or is `gone` (410)."""
    log.warning("endpoint_disabled", extra={"endpoint": endpoint_id, "customer": customer_id, "reason": reason})
    metrics.increment("endpoints", "disabled")
