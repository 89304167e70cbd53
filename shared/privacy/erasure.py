"""Erases a person: all that is known of them under any of their names, in one transaction.

What is on its way at that moment finds nothing to be written to: jobs are gone, so that what their workers come back with is
refused; conversations are locked before, so that nothing is saved into them afterwards. Files go right after the commit, or with
maintenance's next look. What providers deliver again is recognised by marks (marks.py); a new message begins a new contact.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from typing import Any

import redis
from peewee import OperationalError
from psycopg2.errors import DeadlockDetected, LockNotAvailable

from shared import db
from shared.broker.connection import outage
from shared.broker.redis_broker import get_broker
from shared.db import sql
from shared.db.busy import attempts
from shared.errors import ServiceDown
from shared.media import files
from shared.models import User
from shared.people import audit
from shared.privacy import marks
from shared.teaching import askers

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Attempts at an erasure.
TRIES = 20
#: Milliseconds that a statement waits for a row: less than PostgreSQL takes to notice a deadlock, so that it is we who give up.
LOCK_TIMEOUT = 100
#: Seconds that one statement may take: a business has millions of events.
PATIENCE = 60.0
#: Days for which messages get marks; older ones no provider delivers again.
MARKED_DAYS = 8
#: What Redis' patterns give a meaning to.
_GLOB = re.compile(r"[*?\[\]\\^-]")


def erase(customer_id: int, contact_id: int, user: User | None = None, **by: Any) -> dict[str, int] | None:
    """Erases a contact of a business; returns how much, or None if the business has no such contact.

    `user`, `by`: who did it, and by which way (`by="desk"`), for the audit, which keeps nothing of the person. Raises ServiceDown
    if others were at work on the same rows all the time; then nothing has happened.
    """
    erased = _erase_when_free(customer_id, contact_id, user, by)
    if erased is None:
        return None
    _forget_in_redis(erased.pop("visitors"))
    erased["files"] = _delete_files()
    log.info("contact_erased", extra={"customer": customer_id, "contact": contact_id, **erased})
    return erased


def _erase_when_free(customer_id: int, contact_id: int, user: User | None, by: dict[str, Any]) -> dict[str, Any] | None:
    for _ in attempts(TRIES):
        try:
            with db.patient(PATIENCE), db.transaction():
                db.rows(f"set local lock_timeout = {LOCK_TIMEOUT}")
                erased = _erase(customer_id, contact_id)
                if erased is not None:
                    about = {**by, "messages": erased["messages"], "events": erased["events"]}
                    audit.record("contact.erased", "contact", contact_id, about, user=user, customer_id=customer_id)
                return erased
        except OperationalError as problem:
            if not isinstance(getattr(problem, "orig", None), LockNotAvailable | DeadlockDetected):
                raise
    raise ServiceDown("the contact could not be erased, for its conversations are busy")


def _erase(customer_id: int, contact_id: int) -> dict[str, Any] | None:
    contact = queries["lock_contact"].row(contact_id=contact_id, customer_id=customer_id)
    if contact is None:
        return None
    chatbot_id: int = contact["chatbot_id"]
    who = {"chatbot_id": chatbot_id, "contact_id": contact_id}
    identities = queries["identities"].rows(contact_id=contact_id)
    conversations = queries["lock_conversations"].rows(**who)
    where = {"conversation_ids": [row["id"] for row in conversations]}
    queries["lock_arrivals"].rows(**who, **where)
    arrivals = queries["arrivals"].rows(customer_id=customer_id, **who)
    _keep_marks(chatbot_id, identities, [*queries["provider_ids"].rows(days=MARKED_DAYS, **where), *_ids(arrivals)])
    merged = [row["id"] for row in queries["merged"].rows(**where)]
    named = [*where["conversation_ids"], *merged]
    message_ids = [row["message_id"] for row in arrivals]
    # Dead letters name the conversations of then.
    jobs = {"customer_id": customer_id, "message_ids": message_ids, "conversation_ids": named}
    queries["delete_jobs"].rows(event_ids=[], **jobs)
    queries["delete_answers"].rows(customer_id=customer_id, contact_id=contact_id, conversation_ids=named)
    queries["delete_inbound"].rows(chatbot_id=chatbot_id, words=_words(row["name"] for row in identities), **where)
    hashes = [text for row in arrivals for text in row["hashes"] if text]
    queries["release_files"].rows(customer_id=customer_id, hashes=hashes, **where)
    askers.forget(named)
    deleted = queries["delete_conversations"].row(**where) or {}  # one row, of counts
    queries["delete_contact"].rows(contact_id=contact_id)
    names = [*(row["name"] for row in identities), *(row["external_user_id"] for row in conversations)]
    told_of = list(map(str, named))
    event_ids = queries["delete_events"].scalar(customer_id=customer_id, conversation_ids=told_of, names=names) or []
    queries["delete_jobs"].rows(event_ids=event_ids, **jobs)
    deleted["messages"] += sum(not row["is_saved"] for row in arrivals)
    visitors = [f"{chatbot_id}:widget:{row['external_user_id']}" for row in conversations if row["channel"] == "widget"]
    return {**deleted, "events": len(event_ids), "visitors": visitors}


def _ids(arrivals: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"id": row["message_id"], "external_id": row["external_id"]} for row in arrivals if row["external_id"]]


def _keep_marks(chatbot_id: int, identities: list[dict[str, Any]], messages: list[dict[str, Any]]) -> None:
    found = {marks.of_message(chatbot_id, row["external_id"])[0]: row["id"] for row in messages}
    found |= {marks.of_identity(chatbot_id, row["family"], row["name"])[0]: None for row in identities}
    queries["keep_marks"].rows(marks=db.json([{"mark": mark, "message_id": message} for mark, message in found.items()]))


def _words(names: Iterable[str]) -> str:
    """A pattern of PostgreSQL's: one of the names, not as a part of a longer one."""
    return rf"(^|[^0-9A-Za-z])({'|'.join(map(re.escape, names)) or '$.'})($|[^0-9A-Za-z])"


def _forget_in_redis(visitors: list[str]) -> None:
    """The request limits of the widget's visitors (web/request_limits.py), which would end by themselves within two minutes.

    Each is a walk through all keys; nobody else has such limits.
    """
    broker = get_broker()
    try:
        for key in visitors:
            literal = _GLOB.sub(r"\\\g<0>", key)
            pattern = f"{broker.namespace}:request-limit*visitor:{literal}/*"
            for name in broker.client.scan_iter(match=pattern, count=1_000):
                broker.client.delete(name)
    except redis.RedisError as problem:
        outage.noticed(problem)


def _delete_files() -> int:
    """Those that were released. If their storage is away, maintenance deletes them when it is back."""
    deleted = 0
    try:
        while count := files.delete_unwanted():
            deleted += count
            if count < files.BATCH:
                break
    except Exception:
        log.exception("files_not_deleted")
    return deleted
