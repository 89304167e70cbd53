"""Contacts that are known only by a @lid, behind which WhatsApp hides their number: a WAHA gateway often knows whose phone it is.

Housekeeping asks for it, so that no message waits. What is learnt makes one contact and one conversation of the two names;
replies go to the address that was written from, as before.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from shared.channels import contacts
from shared.channels.whatsapp_qr import waha
from shared.channels.whatsapp_qr.gateway import key_of
from shared.db import sql
from shared.errors import OutsideFailure, PermanentError, Snooze

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Seconds until a @lid's next turn, after each answer that did not tell its number: a gateway learns numbers as time goes by.
#: After the last one, in a week, it is asked for once more whenever its session is connected again (session.py).
PAUSES = [60.0, 600.0, 3_600.0, 21_600.0, *[86_400.0] * 7]
#: Seconds until it is asked for again where the gateway did not answer, which costs none of its turns.
PAUSE = 60.0
#: @lids of one statement, of one run, and seconds of one: the next minute goes on.
BATCH, MOST, SECONDS = 10, 200, 20.0


def look_up() -> int:
    """Asks WAHA gateways for the phones behind @lids whose turn it is; returns how many were learnt."""
    learnt, deadline = 0, time.monotonic() + SECONDS
    silent_sessions: set[str] = set()
    for _ in range(MOST // BATCH):
        due = queries["claim_due"].rows(batch=BATCH, pause=PAUSE) if time.monotonic() < deadline else []
        if not due:
            break
        try:
            learnt += sum(_learn(row, silent_sessions) for row in due if not row["is_known"])
        except (OutsideFailure, Snooze) as failure:  # who hangs is asked once a minute
            log.warning("lid_lookup_failed", extra={"error": str(failure)})
            break
    if learnt:
        log.info("lids_learnt", extra={"count": learnt})
    return learnt


def _learn(row: dict[str, Any], silent_sessions: set[str]) -> bool:
    """Raises what shared.http raises. A session that does not answer is not asked again in this run."""
    if row["session_name"] in silent_sessions:
        return False
    phone = _ask(row)
    if phone is None:
        silent_sessions.add(row["session_name"])
        return False
    lid = {name: row[name] for name in ("chatbot_id", "family", "name", "lookups")}
    queries["count_turn"].rows(**lid, pauses=PAUSES)
    return bool(phone) and contacts.learn(row["chatbot_id"], "whatsapp_qr", [row["name"], phone])


def _ask(row: dict[str, Any]) -> str | None:
    try:
        key = key_of(row["session_name"], row["api_key"])
    except PermanentError as problem:
        log.warning("lid_lookup_failed", extra={"chatbot": row["chatbot_id"], "error": str(problem)})
        return None
    return waha.phone_behind(row["session_name"], key, row["name"])
