"""Who changed what: the audit row of a change at the desk or by the API, written in the transaction of the change itself."""

from __future__ import annotations

from typing import Any

from flask import g

from shared.people import audit

#: `by` of what a business's server does; its key has no user.
BY_API = "API"


def by_key() -> dict[str, Any]:
    """What a row says of who sent the request, with which key."""
    return {"by": BY_API, "key": g.key.name, "key_id": g.key.key_id}


def audited(action: str, subject: str, subject_id: int | None = None, **details: Any) -> int:
    """Records a change by who is logged in, or by whose server sent its key. Part of the change's transaction.

    At the desk in the customer of the page, or else the user's own: a login has no page yet. Returns the row's id.
    """
    if "key" in g:
        return audit.record(action, subject, subject_id, {**details, **by_key()}, user=None, customer_id=g.customer_id)
    customer_id = g.customer.id if g.get("customer") else g.user.customer_id
    return audit.record(action, subject, subject_id, details, user=g.user, customer_id=customer_id)
