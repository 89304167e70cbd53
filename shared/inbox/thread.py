"""One conversation, as people see it: messages and notes in the order of time, whose it is, who the customer is."""

from __future__ import annotations

from typing import Any

from shared import db
from shared.db import sql
from shared.models import ConversationNote, Media
from shared.payloads import MAX_ROW_ID

queries = sql.load(__file__)

#: Messages of a page.
PAGE = 60
_FILE = (Media.id, Media.kind, Media.mime, Media.filename, Media.size, Media.state, Media.text, Media.error)


def conversation(customer_id: int, conversation_id: int) -> dict[str, Any] | None:
    """The conversation of this id, or the one that it has become a part of; None if the customer has none such."""
    return queries["conversation"].row(customer_id=customer_id, conversation_id=conversation_id)


def entries(conversation_id: int, before: int | None = None) -> tuple[list[dict[str, Any]], int | None]:
    """A page of messages and the notes between them, oldest first, and the id `before` which the page above it ends."""
    newest = queries["messages"].rows(conversation_id=conversation_id, before=before or MAX_ROW_ID, limit=PAGE + 1)
    messages = newest[:PAGE]
    rest = messages[-1]["id"] if len(newest) > PAGE else None
    media = _media([message["id"] for message in messages])
    shown = [{**message, "media": media.get(message["id"], [])} for message in messages]
    since = newest[PAGE]["created_at"] if rest else None  # where the page above ends, so that a note between two pages is on one
    until = messages[0]["created_at"] if before and messages else None
    shown += _notes(conversation_id, since, until)
    return sorted(shown, key=lambda entry: (entry["created_at"], entry["id"])), rest


def contact(contact_id: int | None, conversation_id: int) -> dict[str, Any]:
    """The names by which channels know the person, and their other conversations."""
    found = queries["contact"].row(contact_id=contact_id, conversation_id=conversation_id)
    assert found is not None, "it is one row of aggregates"
    return found


def _media(messages: list[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    if messages:
        files = Media.select(Media.message, *_FILE).where(Media.message.in_(messages)).order_by(Media.message, Media.position)
        for row in db.rows(files):
            found.setdefault(row.pop("message_id"), []).append(row)
    return found


def _notes(conversation_id: int, since: Any, until: Any) -> list[dict[str, Any]]:
    notes = ConversationNote.select().where(ConversationNote.conversation == conversation_id)
    if since is not None:
        notes = notes.where(ConversationNote.created_at >= since)
    if until is not None:
        notes = notes.where(ConversationNote.created_at < until)
    rows = db.rows(notes.order_by(ConversationNote.id).limit(500))
    return [{**note, "role": "note", "media": [], "form_key": note["idempotency_key"]} for note in rows]
