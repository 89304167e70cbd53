"""The audit: a row for each change that somebody makes, and for each look of an operator at customers' texts.

Written in the transaction of the change itself. `details` say what is what now (names, states, counts): never a message's text,
and never a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from peewee import JOIN, SQL, fn

from shared import db
from shared.config import settings
from shared.db import sql
from shared.db.pruning import delete_in_batches
from shared.models import AuditEntry, Customer, User

queries = sql.load(__file__)

#: An operator was shown customers' texts.
LOOK = "texts.read"


def record(
    action: str,
    subject: str,
    subject_id: int | None = None,
    details: Mapping[str, Any] | None = None,
    *,
    user: User | None,
    customer_id: int | None,
) -> int:
    """Adds a row; returns its id. `action` is like "chatbot.changed", `subject` the kind of what was changed, like "chatbot"."""
    return int(
        db.scalar(
            AuditEntry.insert(
                action=action,
                subject=subject,
                subject_id=subject_id,
                details=dict(details or {}),
                user=user.id if user else None,
                customer=customer_id,
            ).returning(AuditEntry.id)
        )
    )


def went_on(entry_id: int, **details: Any) -> None:
    """The change that a row tells of has gone on: these are its details now."""
    changed = AuditEntry.details.concat(details)
    db.rows(AuditEntry.update(details=changed).where(AuditEntry.id == entry_id))


def look_was_recorded(subject: str, subject_id: int | None, user: User, within: timedelta) -> bool:
    """Whether this user read the same a short while ago: pages that are open look again and again."""
    since = SQL(f"now() - interval '{int(within.total_seconds())} seconds'")
    is_look = AuditEntry.action == SQL(f"'{LOOK}'")  # a constant, for the index of looks
    same = is_look & (AuditEntry.user == user.id) & (AuditEntry.subject == subject) & (AuditEntry.at > since)
    which = AuditEntry.subject_id.is_null() if subject_id is None else AuditEntry.subject_id == subject_id
    return db.scalar(AuditEntry.select(AuditEntry.id).where(same, which).limit(1)) is not None


def entries(
    customer_id: int | None, *, user_id: int | None = None, action: str = "", before: int | None = None, limit: int = 50
) -> list[dict[str, Any]]:
    """Rows, newest first, each with `who`, `role` and `business`; of one customer, or of all.

    `action` is one, or the first word of several.
    """
    columns = (AuditEntry, User.name.alias("who"), User.role.alias("role"), Customer.name.alias("business"))
    rows = AuditEntry.select(*columns).join(User, JOIN.LEFT_OUTER, on=(AuditEntry.user == User.id))
    rows = rows.join(Customer, JOIN.LEFT_OUTER, on=(AuditEntry.customer == Customer.id))
    if customer_id is not None:
        rows = rows.where(AuditEntry.customer == customer_id)
    if user_id is not None:
        rows = rows.where(AuditEntry.user == user_id)
    if action:
        rows = rows.where(AuditEntry.action == action if "." in action else fn.audit_kind_v1(AuditEntry.action) == action)
    if before is not None:
        rows = rows.where(AuditEntry.id < before)
    return db.rows(rows.order_by(AuditEntry.id.desc()).limit(limit))


def prune() -> dict[str, int]:
    """Forgets rows that are older than KEEP_AUDIT_DAYS; returns how many are gone."""
    days = settings().keep_audit_days
    return {"audit_entries": delete_in_batches(queries["prune"], 0, days=days) if days else 0}
