"""The shapes of webhook endpoints, of their events, and of events that are read."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate

from shared.channels.registry import CHANNELS
from shared.config import settings
from shared.http import headers
from shared.http.urls import MAX_URL, UrlRefused, normalize_url
from shared.payloads import Pattern, strip_invalid
from shared.setting_types import MAX_REDELIVERIES, MAX_REDELIVERY_DELAY
from shared.teaching.fields import HTTP, row_id, switch, whole
from shared.webhooks import endpoints
from shared.webhooks.events import DEFAULT_EVENTS, EVENTS
from web.api.schemas import MAX_PAGE, PAGE, page_of, stored_id, stored_number, stored_text, stored_time
from web.parameters import BodySchema, QuerySchema, WholeNumber


class _Url(fields.String):
    """Loads the URL as it is stored and called."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> str:
        try:
            return normalize_url(super()._deserialize(value, attr, data, **options), allow_private=settings().webhooks_to_private)
        except UrlRefused as problem:
            raise ValidationError(str(problem)) from None


def _url(description: str = "", **options: Any) -> fields.String:
    described = {"format": "uri", "maxLength": MAX_URL, "pattern": HTTP, **({"description": description} if description else {})}
    return _Url(metadata=described, **options)


def _events(**options: Any) -> fields.List[Any]:
    name = fields.String(validate=validate.OneOf(EVENTS, error="must be one of " + ", ".join(EVENTS)))
    return fields.List(name, validate=validate.Length(min=1, error="must name at least one event"), **options)


def _schedule(**options: Any) -> fields.List[Any]:
    described = {"description": "Seconds between attempts at an event that failed; null: the platform's, empty: no more."}
    length = validate.Length(max=MAX_REDELIVERIES, error=f"must have at most {MAX_REDELIVERIES} steps")
    return fields.List(whole(1, MAX_REDELIVERY_DELAY), validate=length, allow_none=True, metadata=described, **options)


def _chatbots(**options: Any) -> fields.List[Any]:
    described = {"description": "Whose events it hears of, beside what is about no chatbot; null: all."}
    length = validate.Length(1, 100, error="must name 1 to 100 chatbots; null: all")
    return fields.List(row_id(), validate=length, allow_none=True, metadata=described, **options)


def _channels(**options: Any) -> fields.List[Any]:
    described = {"description": "Whose events it hears of, beside what is about no channel; null: all."}
    name = fields.String(validate=validate.OneOf(CHANNELS, error="must be one of " + ", ".join(CHANNELS)))
    length = validate.Length(1, 20, error="must name at least one channel; null: all")
    return fields.List(name, validate=length, allow_none=True, metadata=described, **options)


def _description(**options: Any) -> fields.String:
    return fields.String(validate=[validate.Length(max=200, error="must have at most 200 characters"), _storable], **options)


def _storable(text: str) -> None:
    if strip_invalid(text) != text:
        raise ValidationError("must not contain NUL or half of a surrogate pair")


class HeaderSchema(BodySchema):
    """A header that is sent besides."""

    name = fields.String(required=True, validate=Pattern(endpoints.HEADER_NAME, error="must be a header's name, like X-Shop"))
    value = fields.String(
        required=True,
        validate=[
            validate.Length(1, endpoints.MAX_HEADER, error=f"must have 1 to {endpoints.MAX_HEADER} characters"),
            Pattern(headers.VALUE, error="must be printable ASCII, without blanks at its ends"),
        ],
    )


class _Headers(fields.List[Any]):
    """Loads values by name. They are encrypted, and never shown: they may have a secret of the business."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **options: Any) -> Any:
        headers: list[Any] = super()._deserialize(value, attr, data, **options)
        if len({one["name"].lower() for one in headers}) < len(headers):
            raise ValidationError("must name each header once")
        return {one["name"]: one["value"] for one in headers}


def _headers(**options: Any) -> _Headers:
    described = {"description": "Headers that are sent besides, like Authorization; their values are never shown. null: none."}
    length = validate.Length(max=endpoints.MAX_HEADERS, error=f"must be at most {endpoints.MAX_HEADERS}")
    return _Headers(fields.Nested(HeaderSchema), validate=length, allow_none=True, metadata=described, **options)


def _rate(**options: Any) -> fields.String:
    described = {"description": "Attempts in a time, like 10/1s or 600/1m; what is over it waits for its turn. null: no limit."}
    rate = Pattern(r"^[1-9][0-9]{0,4}/[1-9][0-9]{0,3}[smh]$", error="must be a count and a time, like 10/1s or 600/1m")
    return fields.String(validate=rate, allow_none=True, metadata=described, **options)


class EndpointSchema(BodySchema):
    """Where a business hears of events."""

    id = stored_id()
    url = stored_text(allow_none=True, metadata={"description": "null: its events are read with GET /events."})
    description = fields.String(required=True)
    events = fields.List(fields.String(), required=True)
    chatbots = _chatbots(required=True)
    channels = _channels(required=True)
    header_names = fields.List(
        fields.String(),
        required=True,
        allow_none=True,
        metadata={"description": "Of its own headers. null: they cannot be decrypted any more; set them again."},
    )
    rate_limit = _rate(required=True)
    active = switch(required=True)
    paused = switch(required=True, metadata={"description": "Its events wait."})
    redelivery_schedule = _schedule(required=True)
    rotation_ends_at = stored_time(
        allow_none=True, metadata={"description": "Until when a secret before this one signs as well."}
    )
    failing_since = stored_time(allow_none=True, metadata={"description": "Since when it has only failed."})
    disabled_reason = stored_text(
        "failing", "gone", allow_none=True, metadata={"description": "Why it is not active, if it was not you."}
    )
    created_at = stored_time()


class EndpointWithSecretSchema(EndpointSchema):
    """With the secret that signs deliveries (Standard Webhooks), when it is new."""

    secret = fields.String(metadata={"description": "whsec_…, shown once."})


class NewEndpointSchema(BodySchema):
    """An endpoint to be created."""

    what = "webhook endpoint"
    url = _url(
        required=True,
        allow_none=True,
        description="null: nothing is pushed, and its events are kept to be read with GET /events.",
    )
    description = _description(load_default="")
    events = _events(load_default=list(DEFAULT_EVENTS))
    chatbots = _chatbots(load_default=None)
    channels = _channels(load_default=None)
    headers = _headers(load_default=None)
    rate_limit = _rate(load_default=None)
    active = switch(load_default=True)
    paused = switch(load_default=False)
    redelivery_schedule = _schedule(load_default=None)


class EndpointChangesSchema(BodySchema):
    """What changes; what is not named stays, and so does null where null means nothing."""

    what = "webhook endpoint"
    url = _url(allow_none=True)
    description = _description(allow_none=True)
    events = _events(allow_none=True)
    chatbots = _chatbots()
    channels = _channels()
    headers = _headers()
    rate_limit = _rate()
    active = switch(allow_none=True)
    paused = switch(allow_none=True)
    redelivery_schedule = _schedule()
    rotate_secret = switch(
        load_default=False,
        metadata={
            "description": "Makes a new secret, which the answer shows once. Those before sign as well, each for 24 hours."
        },
    )


class TestEventSchema(BodySchema):
    """Which event is tried."""

    what = "test event"
    event = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.OneOf(EVENTS, error="must be one of " + ", ".join(EVENTS)),
        metadata={"description": "Without it: the first one that the endpoint hears of."},
    )


class EventsQuerySchema(QuerySchema):
    """Which events are read, oldest first."""

    endpoint_id = WholeNumber(metadata={"description": "An endpoint without a URL; not needed if there is one only."})
    after = WholeNumber(0, load_default=0, metadata={"description": "`next` of the answer before; else from the beginning."})
    limit = WholeNumber(1, MAX_PAGE, load_default=PAGE, metadata={"description": "Events of a page."})
    event = fields.String(
        validate=validate.OneOf(EVENTS, error="must be one of " + ", ".join(EVENTS)),
        metadata={"description": "Only events of this kind."},
    )
    chatbot_id = WholeNumber(metadata={"description": "Only events of this chatbot."})
    conversation_id = WholeNumber(metadata={"description": "Only events of this conversation."})
    channel = fields.String(
        validate=validate.OneOf(CHANNELS, error="must be one of " + ", ".join(CHANNELS)),
        metadata={"description": "Only events of this channel."},
    )


class ReadEventSchema(BodySchema):
    """An event, as it would be pushed; the schemas of its data are listed at /webhooks/events."""

    id = stored_text(metadata={"description": "evt_…"})
    type = stored_text()
    timestamp = fields.String(required=True, metadata={"format": "date-time"})
    data = fields.Dict(keys=fields.String(), required=True)


class ReadEventsSchema(BodySchema):
    """Events, oldest first."""

    data = fields.List(fields.Nested(ReadEventSchema), required=True)
    next = fields.Integer(
        required=True, metadata={"description": "For `after` of the next call, also where there are no events yet."}
    )
    has_more = switch(
        required=True,
        metadata={
            "description": "Whether more are there by now. May be true where `data` is empty: a call looks at 5,000 events."
        },
    )


class EventSchema(BodySchema):
    """One event for one endpoint, and how its delivery went."""

    id = stored_id()
    endpoint_id = stored_id()
    event = stored_text()
    status = stored_text("PENDING", "DELIVERED", "FAILED")
    attempts = stored_number()
    response_status = stored_number(allow_none=True)
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
