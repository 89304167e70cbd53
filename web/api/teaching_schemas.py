"""The shapes of chatbots and knowledge as the API answers them; what it is given is in shared/teaching."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from shared.payloads import not_blank
from shared.teaching.chatbots import ChatbotSchema
from shared.teaching.knowledge import BaseSchema, ItemSchema
from web.api.schemas import MAX_PAGE, PAGE, PageQuerySchema, page_of, stored_id, stored_time
from web.parameters import BodySchema, QuerySchema, WholeNumber

#: Characters of a question that is tried out; longer ones do not fit into an address.
MAX_QUESTION = 2_000


class StoredProviderSchema(BodySchema):
    """A provider; its key is not shown."""

    base_url = fields.String(required=True, allow_none=True)
    model = fields.String(required=True)
    timeout = fields.Float(required=True, allow_none=True)
    has_key = fields.Boolean(required=True, metadata={"description": "Whether it has a key of its own."})


class StoredTranscriptionSchema(BodySchema):
    """Who writes down what voice notes say; the key is not shown."""

    model = fields.String(required=True)
    base_url = fields.String(required=True, allow_none=True)
    language = fields.String(required=True, allow_none=True)
    has_key = fields.Boolean(required=True)


class _Stored(Schema):
    """Of an answer that has the fields of a body: all of them are there."""

    def on_bind_field(self, _name: str, field: fields.Field[Any]) -> None:
        field.required = True


class StoredChatbotSchema(_Stored, ChatbotSchema):
    """A chatbot with its settings."""

    id = stored_id()
    public_key = fields.String(required=True, metadata={"description": "How pages name it: data-chatbot, /widget/pk_…"})
    providers = fields.List(fields.Nested(StoredProviderSchema), required=True)
    transcription = fields.Nested(StoredTranscriptionSchema, required=True, allow_none=True)
    allowed_origins = fields.List(fields.String(), required=True, metadata={"description": "Sites as browsers name them."})
    created_at = stored_time()


class StoredBaseSchema(_Stored, BaseSchema):
    """A knowledge base."""

    id = stored_id()
    items = fields.Integer(required=True, metadata={"description": "How many there are."})
    embedded_model = fields.String(
        required=True, allow_none=True, metadata={"description": "Whose vectors are complete, and serve; null: none yet."}
    )
    embedding_error = fields.String(
        required=True, allow_none=True, metadata={"description": "Why vectors could not be made; null once they are there."}
    )


class SourceSchema(BodySchema):
    """Where an import took an item from."""

    id = stored_id()
    kind = fields.String(required=True, metadata={"description": "file, url or sitemap."})
    name = fields.String(required=True, metadata={"description": "The file's name, or the address that was given."})
    location = fields.String(required=True, metadata={"description": "The file, or the page that it stands on."})
    fetched_at = fields.String(required=True, metadata={"format": "date-time", "description": "When it was read last."})


class StoredItemSchema(_Stored, ItemSchema):
    """A knowledge item."""

    id = stored_id()
    knowledge_base_id = stored_id()
    url = fields.String(allow_none=True)
    source = fields.Nested(SourceSchema, required=True, allow_none=True, metadata={"description": "Null: written by hand."})
    created_at = stored_time()
    updated_at = stored_time()


class ItemQuerySchema(PageQuerySchema):
    """Which items."""

    source_id = WholeNumber(metadata={"description": "Only items of this source."})
    is_active = fields.Boolean(
        truthy={"true"},
        falsy={"false"},
        error_messages={"invalid": "must be true or false."},
        metadata={"description": "true: only items that chatbots may use; false: only those that are switched off."},
    )


class QuestionSchema(QuerySchema):
    """What a customer might ask."""

    q = fields.String(
        required=True,
        error_messages={"required": "must be given: a question, as ?q=Do+you+ship."},
        validate=[not_blank, validate.Length(max=MAX_QUESTION, error=f"must have at most {MAX_QUESTION} characters")],
        metadata={"description": "A question, as a customer would write it."},
    )


class FoundItemSchema(BodySchema):
    """An item that fits a question; `content` is its beginning."""

    id = stored_id()
    title = fields.String(required=True)
    content = fields.String(required=True)
    url = fields.String(required=True, allow_none=True)
    score = fields.Float(required=True)


class FoundSchema(Schema):
    """What a chatbot would find, best first."""

    data = fields.List(fields.Nested(FoundItemSchema), required=True)


class GapQuerySchema(QuerySchema):
    """How many questions."""

    limit = WholeNumber(1, MAX_PAGE, load_default=PAGE, metadata={"description": "Of those that were asked most."})


class GapSchema(BodySchema):
    """A question that a chatbot had no answer to, with those like it."""

    id = stored_id()
    question = fields.String(required=True, metadata={"description": "As it was asked last."})
    count = fields.Integer(required=True, metadata={"description": "How often it was asked."})
    last_asked_at = stored_time()
    examples = fields.List(fields.String(), required=True, metadata={"description": "Other words in which it was asked."})
    reason = fields.String(required=True, metadata={"description": "Why it had no answer the last time, such as no_knowledge."})
    language = fields.String(required=True, metadata={"description": "Of the knowledge base."})


class GapsSchema(Schema):
    """Questions without an answer, those that were asked most first."""

    data = fields.List(fields.Nested(GapSchema), required=True)
    total = fields.Integer(required=True, metadata={"description": "How many there are."})


ChatbotPageSchema = page_of("ChatbotPageSchema", StoredChatbotSchema)
BasePageSchema = page_of("BasePageSchema", StoredBaseSchema)
ItemPageSchema = page_of("ItemPageSchema", StoredItemSchema)
