"""The shape of a message in an answer of the API."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, pre_dump

from shared.channels.kinds import Kind, MediaKind
from shared.channels.outcomes import explanation
from web.api.schemas import page_of, stored_id, stored_text, stored_time
from web.parameters import BodySchema


class ProviderSchema(BodySchema):
    """The AI provider that a reply came from."""

    host = stored_text()
    position = fields.Integer(required=True, metadata={"description": "Its place in the chatbot's list; 1 is asked first."})


class UsedItemSchema(BodySchema):
    """An item of knowledge that a reply was written with."""

    id = stored_id()
    score = fields.Float(required=True, metadata={"description": "How well it fits the question."})
    cited = fields.Boolean(required=True, metadata={"description": "Whether the reply says that it is taken from it."})


class ShownLinkSchema(BodySchema):
    """A link that a reply shows."""

    title = stored_text()
    url = stored_text()


class ToolSchema(BodySchema):
    """What the bot did instead of answering."""

    name = stored_text("hand_over", "no_answer")
    reason = stored_text()


class MediaSchema(BodySchema):
    """A file that a message came with; its bytes are at /media/{id}."""

    id = stored_id()
    kind = stored_text(*MediaKind)
    mime = stored_text(allow_none=True)
    filename = stored_text(allow_none=True)
    size = fields.Integer(required=True, allow_none=True)
    sha256 = stored_text(allow_none=True)
    state = stored_text("waiting", "stored", "failed", "deleted")
    text = stored_text(allow_none=True, metadata={"description": "A voice note's transcript, a document's text."})
    error = stored_text(allow_none=True)


class MessageSchema(BodySchema):
    """What a user, the assistant, or a person of the business on the phone (agent) wrote."""

    id = stored_id()
    conversation_id = stored_id()
    role = stored_text("user", "assistant", "agent")
    kind = stored_text(*Kind)
    content = stored_text()
    data = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={"description": "What a message that is no text is made of, what it replies to, the reaction to it."},
    )
    sent_at = stored_time(allow_none=True, metadata={"description": "When it was written, by its channel's clock."})
    edited_at = stored_time(allow_none=True, metadata={"description": "When its author last changed it."})
    revoked_at = stored_time(allow_none=True, metadata={"description": "When its author deleted it: no model reads it any more."})
    status = stored_text("PENDING", "SENT", "DELIVERED", "READ", "FAILED", "SUPERSEDED")
    reply_to = stored_id(allow_none=True)
    error = stored_text(allow_none=True)
    error_code = stored_text(allow_none=True)
    error_explanation = stored_text(allow_none=True)
    provider = fields.Nested(ProviderSchema, required=True, allow_none=True)
    knowledge = fields.List(
        fields.Nested(UsedItemSchema), required=True, allow_none=True, metadata={"description": "Why this reply: best first."}
    )
    sources = fields.List(fields.Nested(ShownLinkSchema), required=True, allow_none=True)
    tool = fields.Nested(ToolSchema, required=True, allow_none=True)
    media = fields.List(fields.Nested(MediaSchema), required=True)
    created_at = stored_time()
    updated_at = stored_time()

    @pre_dump
    def _explain(self, message: dict[str, Any], **_: Any) -> dict[str, Any]:
        """An error that is over says nothing any more, nor does its code: a reply that failed on one phone arrived on another."""
        has_arrived = message["role"] != "user" and message["status"] in ("DELIVERED", "READ")
        error = None if has_arrived else message["error"]
        code = message["error_code"] if error else None
        return {**message, "error": error, "error_code": code, "error_explanation": explanation(code)}


MessagePageSchema = page_of("MessagePageSchema", MessageSchema)
