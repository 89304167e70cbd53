"""The templates of WhatsApp business accounts (WABAs), as Meta last told: by its list (template_sync.py) or by webhook.

A list that is out of date, because a webhook tells of a template that it lacks or Meta refused one, is `wanted`: it is read again
within a minute.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels.inbound import TemplateUpdate
from shared.db import sql
from shared.models import WhatsappBusiness, WhatsappCloudAccount, WhatsappTemplate

queries = sql.load(__file__)

#: What may be sent.
APPROVED = "APPROVED"
#: What its business should hear of.
STOPPED = frozenset({"REJECTED", "PAUSED", "DISABLED"})


def learn(account_id: int, waba_id: str) -> None:
    """A webhook, or who connects a number, says which WABA it is of."""
    with db.transaction():
        db.rows(WhatsappBusiness.insert(waba_id=waba_id).on_conflict_ignore())
        db.rows(WhatsappCloudAccount.update(waba_id=waba_id).where(WhatsappCloudAccount.id == account_id))


def store(waba_id: str, templates: Sequence[Mapping[str, Any]]) -> None:
    """Replaces what is known by the whole list."""
    enqueue(tickets_of(queries["store"].scalar(waba_id=waba_id, templates=json.dumps(templates))))


def store_failure(waba_id: str, reason: str) -> None:
    """Why the list could not be read; what is known stays."""
    db.rows(WhatsappBusiness.update(templates_error=reason).where(WhatsappBusiness.waba_id == waba_id))


def want(waba_id: str) -> None:
    """The list is out of date: it is read again soon."""
    db.rows(WhatsappBusiness.update(templates_synced_at=None).where(WhatsappBusiness.waba_id == waba_id))


def apply_update(update: TemplateUpdate) -> bool:
    """What a webhook tells of a template. Returns whether it is a template that is known."""
    changes = {"status": update.status, "quality": update.quality, "category": update.category, "reason": update.reason}
    names = {"provider_id": update.provider_id, "name": update.name, "language": update.language}
    [outcome] = db.retry_on_outage(
        partial(queries["apply_update"].rows, waba_id=update.waba_id, **names, **changes), db.WEB_RETRY_SECONDS
    )
    is_known = bool(outcome["is_known"])
    enqueue(tickets_of(outcome["tickets"]))
    if not is_known or update.is_changed or update.status == APPROVED:  # its text is not in the webhook
        db.retry_on_outage(partial(want, update.waba_id), db.WEB_RETRY_SECONDS)
    return is_known


def find(waba_id: str | None, name: str, language: str) -> dict[str, Any] | None:
    """The template of this name and language, whatever its status; None if it is not known."""
    is_it = (WhatsappTemplate.waba_id == waba_id) & (WhatsappTemplate.name == name) & (WhatsappTemplate.language == language)
    return db.row(WhatsappTemplate.select().where(is_it))


def listed(waba_id: str) -> list[dict[str, Any]]:
    """All of an account's, by name."""
    one = WhatsappTemplate
    return db.rows(one.select().where(one.waba_id == waba_id).order_by(one.name, one.language))


def business(waba_id: str) -> dict[str, Any]:
    """How its list stands."""
    return db.row(WhatsappBusiness.select().where(WhatsappBusiness.waba_id == waba_id)) or {}


def usable(waba_id: str | None, limit: int) -> list[dict[str, str]]:
    """The names and languages of approved templates, in their order."""
    one = WhatsappTemplate
    approved = (one.waba_id == waba_id) & (one.status == APPROVED)
    return db.rows(one.select(one.name, one.language).where(approved).order_by(one.name, one.language).limit(limit))
