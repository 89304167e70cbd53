"""The shapes of /api/v1: each is written once, reads or writes the JSON, and becomes a schema of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, validate, validates_schema

from shared.channels.ownership import OWNERS
from shared.channels.registry import CHANNELS
from shared.payloads import MAX_ROW_ID, not_blank
from shared.queue_service import STATES
from shared.queues import Queue
from shared.teaching.chatbots import MAX_RETURN_MINUTES
from shared.teaching.fields import row_id, whole
from web.parameters import BodySchema, Day, QuerySchema, WholeNumber

#: Rows of a page at most, and where the request does not say.
MAX_PAGE, PAGE = 100, 50
#: Days of one answer about usage at most, and where the request does not say.
MAX_DAYS, DAYS = 366, 30


def stored_id(**options: Any) -> fields.Integer:
    """The id of a row in an answer."""
    return fields.Integer(required=True, validate=validate.Range(1, MAX_ROW_ID), **options)


def stored_text(*choices: str, **options: Any) -> fields.String:
    """A text in an answer, one of `choices` where there are any."""
    return fields.String(required=True, validate=validate.OneOf(choices) if choices else None, **options)


def stored_time(**options: Any) -> fields.DateTime:
    """A time in an answer."""
    return fields.DateTime(required=True, **options)


def stored_number(**options: Any) -> fields.Integer:
    """A number in an answer."""
    return fields.Integer(required=True, **options)


class ProblemSchema(Schema):
    """RFC 9457."""

    class Meta:
        unknown = INCLUDE

    type = stored_text()
    title = stored_text()
    status = stored_number()
    detail = stored_text(metadata={"description": "What is wrong, and what is right."})
    errors = fields.Dict(keys=fields.String(), values=fields.String(), metadata={"description": "Each wrong member of the body."})


# ---- pages


class PageQuerySchema(QuerySchema):
    """Which page of a list, newest first."""

    limit = WholeNumber(1, MAX_PAGE, load_default=PAGE, metadata={"description": "Rows of a page."})
    before = WholeNumber(metadata={"description": "`next` of the page before."})


def page_of(name: str, row: type[Schema]) -> type[Schema]:
    """A page of such rows."""
    members: dict[str, fields.Field[Any]] = {
        "data": fields.List(fields.Nested(row), required=True),
        "next": stored_id(allow_none=True, metadata={"description": "For `before` of the next page; null on the last one."}),
    }
    return BodySchema.from_dict(members, name=name)


# ---- conversations and messages


class ConversationSchema(BodySchema):
    """One person on one channel of a chatbot."""

    id = stored_id()
    chatbot_id = stored_id()
    channel = stored_text()
    external_user_id = stored_text()
    created_at = stored_time()
    updated_at = stored_time()
    owner = stored_text(
        *OWNERS, metadata={"description": "Who answers: the bot, a person; closed: the bot, once the customer writes."}
    )
    owner_since = stored_time(allow_none=True)
    assigned_to = stored_id(allow_none=True, metadata={"description": "Whose of the team it is, while a person answers."})
    returns_at = stored_time(
        allow_none=True,
        metadata={"description": "When a person's goes back to the bot, if nobody writes before; null: not by itself."},
    )
    braked_until = stored_time(
        allow_none=True, metadata={"description": "Until when the bot is silent, because it met another bot."}
    )
    handed_over_at = stored_time(
        allow_none=True, metadata={"description": "When the bot handed it over to a person. Null again once one has come."}
    )
    handover_reason = stored_text(allow_none=True)
    window_ends_at = stored_time(
        allow_none=True,
        metadata={"description": "WhatsApp Cloud: until when you may send any text, not only templates."},
    )
    is_test = fields.Boolean(
        required=True,
        metadata={"description": "A test chat of the desk, which is not in the inbox. Its events are sent as any other's."},
    )
    contact_id = stored_id(allow_none=True, metadata={"description": "Whose it is; null for some seconds at most."})
    contact_name = stored_text(
        allow_none=True, metadata={"description": "As the person calls themself, where the channel tells it."}
    )


class ConversationQuerySchema(PageQuerySchema):
    """Which conversations."""

    chatbot_id = WholeNumber(metadata={"description": "Only conversations of this chatbot."})
    owner = fields.String(
        validate=validate.OneOf(OWNERS, error="must be one of " + ", ".join(OWNERS)),
        metadata={"description": "Only conversations that these answer."},
    )


class NewMessageSchema(BodySchema):
    """What a visitor of the widget says."""

    what = "message"
    content = fields.String(
        required=True,
        validate=not_blank,
        metadata={"maxLength": max(channel.max_content for channel in CHANNELS.values())},
    )


class OwnerSchema(BodySchema):
    """Who answers a conversation."""

    what = "conversation"
    owner = fields.String(required=True, validate=validate.OneOf(OWNERS, error="must be one of " + ", ".join(OWNERS)))
    return_after_minutes = whole(
        0,
        MAX_RETURN_MINUTES,
        metadata={
            "description": "Without a message, until it goes back to the bot; 0: never. Else as before. Only with `person`."
        },
    )
    assigned_to = row_id(metadata={"description": "Whose of the team it is from now on; only with the owner `person`."})

    @validates_schema
    def _check_persons(self, change: dict[str, Any], **_: Any) -> None:
        beside = [name for name in ("assigned_to", "return_after_minutes") if name in change]
        if beside and change.get("owner") != "person":
            raise ValidationError({name: ["must come with the owner person"] for name in beside})


ConversationPageSchema = page_of("ConversationPageSchema", ConversationSchema)


# ---- queues and usage

StatesSchema = BodySchema.from_dict({state: stored_number() for state in STATES}, name="StatesSchema")
QueuesSchema = BodySchema.from_dict(
    {queue.value: fields.Nested(StatesSchema, required=True) for queue in Queue}, name="QueuesSchema"
)


class UsageQuerySchema(QuerySchema):
    """Which days."""

    first_day = Day(data_key="from", metadata={"description": "First day (UTC); without it, the days up to today."})
    days = WholeNumber(1, MAX_DAYS, load_default=DAYS, metadata={"description": "How many days."})
