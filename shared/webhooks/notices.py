"""E-mails to owners about endpoints that only fail, or are gone (410): each is a row until the mail server has taken it.

Several are sent at a time, for a mail server may be slow. What it did not take is tried again, later each time, for about a day.
One whose endpoint was repaired meanwhile is not sent.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any

from peewee import SQL

from shared import db
from shared.db import sql
from shared.jobs.independent import run_each
from shared.models import EndpointNotice
from shared.people import mail

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Sent at a time; and how many times over in one pass, while the server takes them.
BATCH, BATCHES = 8, 10
#: Seconds in which one must be sent or refused, or somebody else tries it: several times the patience with a mail server.
LEASE = 300
#: Seconds before the second attempt, doubled before each further one, up to the longest; and attempts in all: 25 hours.
FIRST_WAIT, LONGEST_WAIT, ATTEMPTS = 60, 2 * 3600, 18

_TEXTS = {
    "failing": (
        "A webhook endpoint fails",
        "Your webhook endpoint {url} (number {endpoint_id}) has answered nothing but failures for days.\n\n"
        "If that goes on, it will be disabled at {disables_at:%Y-%m-%d %H:%M} UTC, and hears of no more events.",
    ),
    "disabled": (
        "A webhook endpoint was disabled",
        "Your webhook endpoint {url} (number {endpoint_id}) has answered nothing but failures for days.\n\n"
        "It was disabled, and hears of no more events. Once it works, switch it on again. What failed can be delivered again.",
    ),
    "gone": (
        "A webhook endpoint was disabled",
        "Your webhook endpoint {url} (number {endpoint_id}) has answered that it is gone for good (HTTP 410).\n\n"
        "It was disabled at once, and hears of no more events. If that was a mistake, switch it on again. What failed can be"
        " delivered again.",
    ),
}


def add(endpoint_id: int, state: str, disables_at: datetime) -> None:
    """Tells the owners of an endpoint's business that it is `failing` or `disabled`, in the caller's transaction."""
    if mail.is_on():
        queries["add"].rows(endpoint_id=endpoint_id, state=state, disables_at=disables_at)


def send_due() -> int:
    """One pass; returns how many the mail server has taken. Ends early where it takes none."""
    if not mail.is_on():  # any more: they wait
        return 0
    total = 0
    with ThreadPoolExecutor(BATCH, "notices") as threads:
        for _ in range(BATCHES):
            notices = queries["claim"].rows(batch=BATCH, lease=LEASE)
            sending = {threads.submit(_send, notice): notice for notice in notices if notice["is_true"]}
            settling = [partial(_settle, notice, True) for notice in notices if not notice["is_true"]]
            # Each as soon as it is sent: one that hangs, or cannot be settled, makes no other one be sent twice.
            run_each(chain(settling, (partial(_settle, sending[sent], sent.result()) for sent in as_completed(sending))))
            taken = sum(sent.result() for sent in sending)
            total += taken
            if len(notices) < BATCH or not taken:
                break
    return total


def _send(notice: dict[str, Any]) -> bool:
    try:
        subject, text = _TEXTS["gone" if notice["disabled_reason"] == "gone" else notice["state"]]
        return mail.send(notice["email"], subject, text.format(**notice))
    except Exception:  # a fault of ours with this one; it is tried again like one that the server did not take
        log.exception("endpoint_notice_failed", extra={"notice": notice["id"], "endpoint": notice["endpoint_id"]})
        return False


def _settle(notice: dict[str, Any], is_done: bool) -> None:
    own = EndpointNotice.id == notice["id"]
    if is_done or notice["attempts"] >= ATTEMPTS:
        if not is_done:
            log.error("endpoint_notice_given_up", extra={"endpoint": notice["endpoint_id"], "attempts": notice["attempts"]})
        db.rows(EndpointNotice.delete().where(own))
        return
    wait = min(FIRST_WAIT * 2 ** (notice["attempts"] - 1), LONGEST_WAIT)
    due_at = SQL("now() + make_interval(secs => %s)", [wait])
    db.rows(EndpointNotice.update(due_at=due_at).where(own))
