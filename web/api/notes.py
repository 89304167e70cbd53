"""/api/v1: what a business's people leave for each other: notes in a conversation, and answers that they use often."""

from __future__ import annotations

from typing import Any

from flask import Response
from marshmallow import fields

from shared import db
from shared.db.outage import repeat_refused
from shared.inbox import work
from shared.models import ConversationNote
from shared.payloads import Pattern
from shared.teaching.fields import text
from web.api.api import api, customer_id, existing, page
from web.api.messages import conversation_of
from web.api.schemas import PageQuerySchema, page_of, stored_id, stored_text, stored_time
from web.audited import audited
from web.parameters import BodySchema

#: Who wrote a note that names nobody.
AUTHOR = "API"
_NOTE = (ConversationNote.id, ConversationNote.author, ConversationNote.content, ConversationNote.created_at)


class NoteSchema(BodySchema):
    """A note. Customers and models never see it."""

    id = stored_id()
    author = stored_text()
    content = stored_text()
    created_at = stored_time()


class NewNoteSchema(BodySchema):
    """A note to be left."""

    what = "note"
    content = text(work.MAX_NOTE, required=True)
    author = text(work.MAX_AUTHOR, load_default=AUTHOR, metadata={"description": "Who says so."})


class QuickReplySchema(BodySchema):
    """An answer that is used often: `/shortcut` at the desk."""

    id = stored_id()
    shortcut = stored_text()
    content = stored_text()


class NewQuickReplySchema(BodySchema):
    """A quick reply; it replaces the one with its shortcut."""

    what = "quick reply"
    shortcut = fields.String(
        required=True,
        validate=Pattern(f"^{work.SHORTCUT}$", error="must have small letters, digits, - and _, and at most 40 of them"),
    )
    content = text(work.MAX_REPLY, required=True)


class QuickRepliesSchema(BodySchema):
    """All of a business's."""

    data = fields.List(fields.Nested(QuickReplySchema), required=True)


@api.get("/conversations/<int:conversation_id>/notes")
@api.query(PageQuerySchema)
@api.response(200, page_of("NotePageSchema", NoteSchema))
def list_notes(query: dict[str, Any], conversation_id: int) -> dict[str, Any]:
    """List the notes of a conversation"""
    conversation = conversation_of(conversation_id)
    return page(ConversationNote.select(*_NOTE).where(ConversationNote.conversation == conversation["id"]), **query)


@api.post("/conversations/<int:conversation_id>/notes")
@api.arguments(NewNoteSchema)
@api.response(201, NoteSchema)
def create_note(note: dict[str, Any], conversation_id: int) -> dict[str, Any]:
    """Leave a note in a conversation

    For the people who work at it: it is sent to nobody.
    """
    # Once more, if the conversation is erased at this moment: then it is not found.
    return repeat_refused(lambda: work.note(conversation_of(conversation_id)["id"], note["author"], note["content"]))


@api.get("/quick-replies")
@api.response(200, QuickRepliesSchema)
def list_quick_replies() -> dict[str, Any]:
    """List quick replies"""
    return {"data": work.quick_replies(customer_id())}


@api.post("/quick-replies")
@api.arguments(NewQuickReplySchema)
@api.response(200, QuickReplySchema)
@api.alt_response(409, response="CONFLICT")
def save_quick_reply(reply: dict[str, Any]) -> dict[str, Any]:
    """Save a quick reply

    It replaces the one with its shortcut, if there is one. A business has at most 500; 409: that many are there.
    """
    with db.transaction():
        saved = work.save_quick_reply(customer_id(), reply["shortcut"], reply["content"])
        audited("quick_reply.saved", "quick_reply", saved["id"], name=saved["shortcut"])
    return saved


@api.delete("/quick-replies/<int:reply_id>")
@api.response(204)
def delete_quick_reply(reply_id: int) -> Response:
    """Delete a quick reply"""
    with db.transaction():
        shortcut = existing(work.delete_quick_reply(customer_id(), reply_id), "quick reply")
        audited("quick_reply.deleted", "quick_reply", reply_id, name=shortcut)
    return Response(status=204)
