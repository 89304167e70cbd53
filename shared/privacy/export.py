"""What is known of a person, as JSON, piece by piece: a conversation may have a hundred thousand messages.

It is what was known when it began: whoever reads slowly, with a key that is revoked meanwhile, learns of nothing that is new.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from peewee import fn

from shared import db
from shared.models import Chatbot, Contact, ContactIdentity, Conversation, ConversationNote, KnowledgeGap, Media, Message, User
from shared.people import audit

#: Messages that are read at a time.
PAGE = 200
#: What the pipeline needs, and says nothing of the person.
_INTERNAL = {"chatbot_id", "channel", "conversation_id", "revision", "idempotency_key"}
_MEDIA = (Media.id, Media.message, Media.kind, Media.mime, Media.filename, Media.size, Media.sha256, Media.state, Media.text)


def export(customer_id: int, contact_id: int, user: User | None = None, **by: Any) -> Iterator[str] | None:
    """The contact of a business; None if it has no such contact. `user`, `by`: as of erasure.erase, of who wants it."""
    own = (Contact.id == contact_id) & (Chatbot.customer == customer_id)
    contact = db.row(Contact.select(Contact).join(Chatbot).where(own))
    if contact is None:
        return None
    audit.record("contact.exported", "contact", contact_id, by, user=user, customer_id=customer_id)
    return _pieces(contact)


def _pieces(contact: dict[str, Any]) -> Iterator[str]:
    latest_message, latest_note = _latest(Message), _latest(ConversationNote)
    identities = ContactIdentity.select(
        ContactIdentity.family, ContactIdentity.name, ContactIdentity.created_at, ContactIdentity.left_at
    )
    head = {
        "exported_at": datetime.now(UTC),
        **contact,
        "identities": db.rows(identities.where(ContactIdentity.contact == contact["id"]).order_by(ContactIdentity.created_at)),
    }
    yield _json(head)[:-1] + ', "conversations": ['
    conversations = db.rows(Conversation.select().where(_is_of(contact)).order_by(Conversation.id))
    for number, conversation in enumerate(conversations):
        notes = {"notes": _notes(conversation["id"], latest_note)}
        yield (
            ("," if number else "")
            + "\n"
            + _json(_without(conversation, {"chatbot_id", "revision"}) | notes)[:-1]
            + ', "messages": ['
        )
        yield from _messages(conversation["id"], latest_message)
        yield "]}"
    yield "]}\n"


def _is_of(contact: dict[str, Any]) -> Any:
    """Also one that has no contact yet, as erasure.sql has it."""
    name = ContactIdentity.select().where(
        ContactIdentity.contact == contact["id"],
        ContactIdentity.family == fn.contact_family_v1(Conversation.channel),
        ContactIdentity.name == fn.contact_name_v1(Conversation.channel, Conversation.external_user_id),
    )
    is_unsettled = Conversation.contact.is_null() & (Conversation.chatbot == contact["chatbot_id"]) & fn.EXISTS(name)
    return (Conversation.contact == contact["id"]) | is_unsettled


def _latest(model: type[Message | ConversationNote]) -> int:
    """The id of the row that was added last."""
    return db.scalar(model.select(fn.max(model.id))) or 0


def _notes(conversation_id: int, latest: int) -> list[dict[str, Any]]:
    """What people of the business noted about the person, and who."""
    columns = (ConversationNote.author, ConversationNote.content, ConversationNote.created_at)
    notes = ConversationNote.select(*columns).where(
        ConversationNote.conversation == conversation_id, ConversationNote.id <= latest
    )
    return db.rows(notes.order_by(ConversationNote.id))


def _messages(conversation_id: int, latest: int) -> Iterator[str]:
    after, separator = 0, "\n"
    own = (Message.conversation == conversation_id) & (Message.id <= latest)
    oldest = Message.select().where(own).order_by(Message.id).limit(PAGE)
    while rows := db.rows(oldest.where(Message.id > after)):
        after = rows[-1]["id"]
        media, questions = _media([row["id"] for row in rows]), _questions([row["id"] for row in rows])
        for row in rows:
            more = {"media": media[row["id"]], "unanswered_question": questions.get(row["id"])}
            yield separator + _json(_without(row, _INTERNAL) | more)
            separator = ",\n"


def _media(message_ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    """Their files are at /api/v1/media/<id>; `text` is the transcript of a voice note, or a document's text."""
    found = defaultdict[int, list[dict[str, Any]]](list)
    for row in db.rows(Media.select(*_MEDIA).where(Media.message.in_(message_ids)).order_by(Media.message, Media.position)):
        found[row.pop("message_id")].append(row)
    return found


def _questions(message_ids: list[int]) -> dict[int, str]:
    """What a bot had no good answer to."""
    gaps = db.rows(KnowledgeGap.select(KnowledgeGap.message, KnowledgeGap.question).where(KnowledgeGap.message.in_(message_ids)))
    return {row["message_id"]: row["question"] for row in gaps}


def _without(row: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, default=lambda time: time.isoformat())
