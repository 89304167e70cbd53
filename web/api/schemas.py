"""The shapes of /api/v1: each is written once, reads or writes the JSON, and becomes a schema of the OpenAPI document."""

from __future__ import annotations

from typing import Any

from marshmallow import INCLUDE, Schema, ValidationError, fields, validate

from shared.channels.ownership import OWNERS
from shared.channels.registry import CHANNELS
from shared.config import MAX_REDELIVERIES, MAX_REDELIVERY_DELAY, settings
from shared.http.urls import MAX_URL, UrlRefused, normalize_url
from shared.payloads import MAX_ROW_ID, not_blank
from shared.queue_service import STATES
from shared.queues import Queue
from shared.teaching.chatbots import MAX_RETURN_MINUTES
from shared.teaching.fields import whole
from shared.webhooks.events import DEFAULT_EVENTS, EVENTS
from web.parameters import BodySchema, Day, QuerySchema, WholeNumber

#: Rows of a page at most, and where the request does not say.
MAX_PAGE, PAGE = 100, 50
#: Days of one answer about usage at most, and where the request does not say.
MAX_DAYS, DAYS = 366, 30


def stored_id(**options: Any) -> fields.Integer:
    """The id of a row in an answer."""
    return fields.Integer(required=True, validate=validate.Range(1, MAX_ROW_ID), **options)


def stored_text(*choices: str, **options: Any) -> fields.String:
    return fields.String(required=True, validate=validate.OneOf(choices) if choices else None, **options)


def stored_time(**options: Any) -> fields.DateTime:
    """A time in an answer."""
    return fields.DateTime(required=True, **options)


def _boolean(**options: Any) -> fields.Boolean:
    return fields.Boolean(truthy={True}, falsy={False}, **options)


def _number(**options: Any) -> fields.Integer:
    return fields.Integer(required=True, **options)


class ProblemSchema(Schema):
    """RFC 9457."""

    class Meta:
        unknown = INCLUDE

    type = stored_text()
    title = stored_text()
    status = _number()
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
        metadata={"minLength": 1, "maxLength": max(channel.max_content for channel in CHANNELS.values()), "pattern": r"\S"},
    )


class OwnerSchema(BodySchema):
    """Who answers a conversation."""

    what = "conversation"
    owner = fields.String(required=True, validate=validate.OneOf(OWNERS, error="must be one of " + ", ".join(OWNERS)))
    return_after_minutes = whole(
        0,
        MAX_RETURN_MINUTES,
        metadata={"description": "Without a message, until a person's goes back to the bot; 0: it does not. Else as before."},
    )


ConversationPageSchema = page_of("ConversationPageSchema", ConversationSchema)


# ---- webhooks


class _Url(fields.String):
    """Loads the URL as it is stored and called."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        try:
            return normalize_url(super()._deserialize(value, attr, data, **options), allow_private=settings().webhooks_to_private)
        except UrlRefused as problem:
            raise ValidationError(str(problem)) from None


def _url(**options: Any) -> fields.String:
    # The pattern is narrower than what is taken, but every URL that fits it is, and is stored as it was given.
    pattern = r"^https?://([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\.){1,3}[a-z]{2,20}(/[A-Za-z0-9/_-]*)?$"
    described = {"format": "uri", "maxLength": MAX_URL, "pattern": pattern}
    return _Url(metadata=described, **options)


def _events(**options: Any) -> fields.List[Any]:
    name = fields.String(validate=validate.OneOf(EVENTS, error="must be one of " + ", ".join(EVENTS)))
    return fields.List(name, validate=validate.Length(min=1, error="must name at least one event"), **options)


def _schedule(**options: Any) -> fields.List[Any]:
    described = {"description": "Seconds between attempts at an event that failed; null: the platform's, empty: no more."}
    length = validate.Length(max=MAX_REDELIVERIES, error=f"must have at most {MAX_REDELIVERIES} steps")
    return fields.List(whole(1, MAX_REDELIVERY_DELAY), validate=length, allow_none=True, metadata=described, **options)


class EndpointSchema(BodySchema):
    """Where a business hears of events."""

    id = stored_id()
    url = stored_text()
    events = _events(required=True)
    active = _boolean(required=True)
    redelivery_schedule = _schedule(required=True)
    created_at = stored_time()


class EndpointWithSecretSchema(EndpointSchema):
    """With the secret that signs deliveries (Standard Webhooks), when it is new."""

    secret = fields.String(metadata={"description": "whsec_…, shown once."})


class NewEndpointSchema(BodySchema):
    """An endpoint to be created."""

    what = "webhook endpoint"
    url = _url(required=True)
    events = _events(load_default=list(DEFAULT_EVENTS))
    active = _boolean(load_default=True)
    redelivery_schedule = _schedule(load_default=None)


class EndpointChangesSchema(BodySchema):
    """What changes; what is not named, or null, stays."""

    what = "webhook endpoint"
    url = _url(allow_none=True)
    events = _events(allow_none=True)
    active = _boolean(allow_none=True)
    redelivery_schedule = _schedule()
    rotate_secret = _boolean(load_default=False, metadata={"description": "Makes a new secret, which the answer shows once."})


class EventSchema(BodySchema):
    """One event for one endpoint, and how its delivery went."""

    id = stored_id()
    endpoint_id = stored_id()
    event = stored_text()
    status = stored_text("PENDING", "DELIVERED", "FAILED")
    attempts = _number()
    response_status = _number(allow_none=True)
    error = stored_text(allow_none=True)
    created_at = stored_time()
    delivered_at = stored_time(allow_none=True)
    next_attempt_at = stored_time(
        allow_none=True, metadata={"description": "When one that failed is tried again by itself; null: not any more."}
    )


class RedeliverySchema(BodySchema):
    """An event that is delivered again."""

    id = stored_id()
    status = stored_text("PENDING")


EndpointPageSchema = page_of("EndpointPageSchema", EndpointSchema)
EventPageSchema = page_of("EventPageSchema", EventSchema)


# ---- queues and usage

StatesSchema = BodySchema.from_dict({state: _number() for state in STATES}, name="StatesSchema")
QueuesSchema = BodySchema.from_dict(
    {queue.value: fields.Nested(StatesSchema, required=True) for queue in Queue}, name="QueuesSchema"
)


class UsageQuerySchema(QuerySchema):
    """Which days."""

    first_day = Day(data_key="from", metadata={"description": "First day (UTC); without it, the days up to today."})
    days = WholeNumber(1, MAX_DAYS, load_default=DAYS, metadata={"description": "How many days."})
