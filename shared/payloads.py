"""What a producer may send: the job payloads.

Two come from outside (`IncomingMessage`, `WebhookDelivery`); the others are what a stage writes for the next, and name
rows instead of carrying them: the ledger keeps ids, messages keep texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import marshmallow
from marshmallow import EXCLUDE, RAISE, ValidationError, fields, validate, validates_schema

from shared.channels.kinds import Author, Kind
from shared.channels.registry import CHANNELS, channel
from shared.errors import InvalidPayload, PermanentError
from shared.queues import Queue

#: Characters of ids that others make.
MAX_ID = 255
#: PostgreSQL's bigint.
MAX_ROW_ID = 2**63 - 1


def id_in(text: str) -> int | None:
    """The id that a text of an address or a form is, in plain digits; None if it is none."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0
    return number if 0 < number <= MAX_ROW_ID else None


#: Unix seconds: the year 5138, beyond which a provider's clock counts something else than seconds.
MAX_TIME = 100_000_000_000


def strip_invalid(text: str) -> str:
    """NUL and half surrogate pairs, which PostgreSQL refuses, become replacement characters."""
    if text.isascii():
        return text.replace("\x00", "\ufffd") if "\x00" in text else text
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


#: Stands where the middle of a text was.
_LEFT_OUT = "\n[… {} characters left out …]\n"


def without_middle(text: str, limit: int) -> str:
    """The text; of one beyond the limit the beginning and the end, for there the question often stands, and what is missing."""
    if len(text) <= limit:
        return text
    half = (limit - len(_LEFT_OUT.format(len(text)))) // 2
    return text[:half] + _LEFT_OUT.format(len(text) - 2 * half) + text[-half:]


class Schema(marshmallow.Schema):
    """Of what others send: it names what it knows to whoever writes something else."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        names = (field.data_key or name for name, field in self.load_fields.items())
        self.error_messages["unknown"] = f"is unknown here; known: {', '.join(names)}"


def _row_id(**options: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(1, MAX_ROW_ID, error="must be a positive row id"), **options)


#: Characters that nobody sees: blanks, what Unicode ignores (Default_Ignorable_Code_Point), an empty cell of Braille. Those
#: beyond U+FFFF are apart, for the patterns of the OpenAPI document do not know them.
INVISIBLE = (
    r"\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
_VISIBLE = re.compile(rf"[^{INVISIBLE}\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")


def is_blank(text: str) -> bool:
    """Whether nobody would see anything of a text. An emoji of several that are joined is seen, and so is any word."""
    return _VISIBLE.search(text) is None


def not_blank(text: str) -> None:
    """A marshmallow check of texts that people read. Raises ValidationError."""
    if is_blank(text):
        raise ValidationError("must not be empty")
    if strip_invalid(text) != text:
        raise ValidationError("must not contain NUL or half of a surrogate pair")


class Pattern(validate.Regexp):
    """The whole text fits. The pattern is in the OpenAPI document as well, where the end is `$` and `\\Z` the letter Z."""

    def __call__(self, value: Any) -> Any:
        if self.regex.fullmatch(value) is None:
            raise ValidationError(self._format_error(value))
        return value


def _outside_id(**options: Any) -> fields.String:
    return fields.String(
        validate=[not_blank, validate.Length(max=MAX_ID, error=f"must have at most {MAX_ID} characters")], **options
    )


_channel = validate.OneOf(CHANNELS, error="must be one of " + ", ".join(CHANNELS))


class IncomingMessage(Schema):
    """A message that a customer of our customer wrote."""

    chatbot_id = _row_id(required=True)
    channel = fields.String(required=True, validate=_channel)
    external_user_id = _outside_id(required=True)
    content = fields.String(required=True, validate=not_blank)
    external_id = _outside_id(load_default=None, allow_none=True)
    metadata = fields.Dict(keys=fields.String(), load_default=dict)
    # What a plain text has none of: a payload has these only where they say something (shared/channels/kinds.py).
    kind = fields.String(validate=validate.OneOf([*Kind], error="must be one of " + ", ".join(Kind)))
    author = fields.String(validate=validate.OneOf([*Author], error="must be one of " + ", ".join(Author)))
    may_answer = fields.Boolean()
    sent_at = fields.Float(validate=validate.Range(0, MAX_TIME, error="must be a time in Unix seconds"))
    edited_at = fields.Float(validate=validate.Range(0, MAX_TIME, error="must be a time in Unix seconds"))
    data = fields.Dict(keys=fields.String())
    media = fields.List(fields.Dict(keys=fields.String()))
    identities = fields.List(_outside_id())

    @validates_schema(skip_on_field_errors=True)
    def content_fits_channel(self, data: Mapping[str, Any], **_: Any) -> None:
        """Each channel has its own limit."""
        length, limit = len(data["content"]), channel(data["channel"]).max_inbound
        if length > limit:
            raise ValidationError(f"must have at most {limit} characters on {data['channel']}, and has {length}", "content")


class StoredIncoming(IncomingMessage):
    """The same as the job keeps it: with the id that its message will have."""

    message_id = _row_id(required=True)


class Answer(Schema):
    """ai-processing: the message to be answered."""

    message_id = _row_id(required=True)
    conversation_id = _row_id(required=True)


class MediaFetch(Answer):
    """media-fetch: the message whose media are to be fetched."""


class Outgoing(Schema):
    """outgoing-messages: the reply to be routed."""

    message_id = _row_id(required=True)
    conversation_id = _row_id(required=True)
    channel = fields.String(required=True, validate=_channel)


class Send(Schema):
    """The send queues of channels: the reply to be sent."""

    message_id = _row_id(required=True)


class WebhookDelivery(Schema):
    """What other code asks to be delivered to one endpoint."""

    endpoint_id = _row_id(required=True)
    event = fields.String(
        required=True, validate=validate.Regexp(r"[a-z]+(\.[a-z_]+)+\Z", error="must be a name like message.sent")
    )
    data = fields.Dict(keys=fields.String(), required=True)


class StoredDelivery(Schema):
    """webhook-delivery: the event to be delivered."""

    webhook_event_id = _row_id(required=True)


class Import(Schema):
    """knowledge-import: the document to be read; without one, the source whose documents are to be found."""

    source_id = _row_id(required=True)
    document_id = _row_id(load_default=None, allow_none=True)


class Embedding(Schema):
    """knowledge-embedding: the knowledge base whose vectors are to be made."""

    knowledge_base_id = _row_id(required=True)


_STORED: dict[Queue, type[Schema]] = {
    Queue.INCOMING: StoredIncoming,
    Queue.MEDIA: MediaFetch,
    Queue.AI: Answer,
    Queue.OUTGOING: Outgoing,
    Queue.WHATSAPP_CLOUD: Send,
    Queue.WHATSAPP_QR: Send,
    Queue.TELEGRAM: Send,
    Queue.WEBHOOKS: StoredDelivery,
    Queue.KNOWLEDGE_IMPORT: Import,
    Queue.KNOWLEDGE_EMBEDDING: Embedding,
}
_readers = {queue: schema(unknown=EXCLUDE) for queue, schema in _STORED.items()}


#: What is right, where marshmallow says only what is not: a text of a form, an API's or a queue's says both (`in_plain_words`).
_PLAIN = {
    "Missing data for required field": "must be given",
    "Field may not be null": "must not be null",
    "Invalid type": "must be an object",
    "Invalid input type": "must be an object",
    "Not a valid mapping type": "must be an object",
    "Not a valid list": "must be a list",
    "Not a valid string": "must be a text",
    "Not a valid boolean": "must be true or false",
    "Not a valid integer": "must be a whole number",
    "Not a valid number": "must be a number",
    "Number too large": "must be a smaller number",
    "Special numeric values (nan or infinity) are not permitted": "must be a number",
}
#: Names of fields whose values no error repeats.
_SECRET = re.compile("key|secret|token|password")


@cache
def _strict(schema: type[Schema]) -> Schema:
    return schema(unknown=RAISE)  # made once: it copies all its fields each time


def check(schema: type[Schema], what: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The data as the schema loads it. Raises InvalidPayload, which names each field, what is wrong with it and what it got."""
    try:
        return dict(_strict(schema).load(data))
    except ValidationError as problem:
        raise refusal(what, _messages(problem), data) from None


def refusal(what: str, messages: Mapping[str, Any], data: Mapping[str, Any]) -> InvalidPayload:
    """What `check` raises for a schema's messages; for those who load one themselves."""
    return InvalidPayload(what, {name: _first(texts, data.get(name), name) for name, texts in messages.items()})


def in_plain_words(text: str) -> str:
    """A schema's text without a full stop; of marshmallow's own what they mean."""
    text = text.rstrip(".")
    return _PLAIN.get(text, text)


def read(queue: Queue, payload: Any) -> dict[str, Any]:
    """The payload of a claimed job. Raises PermanentError: garbage does not get better."""
    try:
        return dict(_readers[queue].load(payload))
    except ValidationError as problem:
        raise PermanentError(f"bad payload: {_messages(problem)}") from None


def _messages(problem: ValidationError) -> dict[str, Any]:
    return dict(problem.normalized_messages())  # type: ignore[no-untyped-call]  # marshmallow's one untyped method


def _first(texts: Any, value: Any, name: str) -> str:
    """The first thing that is wrong, with what was there; and where in a list or an object: "number 2, model: must be given"."""
    where = ""
    while isinstance(texts, dict):
        key, texts = next(iter(texts.items()))
        if key == "key" and _inside(value, key) is None:  # fields.Dict, of a member's name
            value = name
        elif key == "value" and not isinstance(value, dict):  # fields.Dict, of what a member holds
            continue
        elif key != "_schema":  # that is the object as a whole
            value, name = _inside(value, key), str(key)
            where += (", " if where else "") + (f"number {key + 1}" if isinstance(key, int) else name)
    text = in_plain_words(str(next(iter(texts)) if isinstance(texts, list) else texts))
    got = "a text" if isinstance(value, str) and _SECRET.search(name) else _shape(value)
    is_told = text == "must not be null" or text.endswith(f"got {got}")
    return f"{where}{': ' if where else ''}{text}{'' if is_told else f' (got {got})'}"


def _inside(value: Any, key: Any) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        return None


def _shape(value: Any) -> str:
    """What was sent, short enough for a log and without a customer's words."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else f"a list of {len(value)}"
    if isinstance(value, str):
        return f"a text of {len(value)} characters" if len(value) > 40 or " " in value else repr(value)
    if isinstance(value, bool):
        return "true" if value else "false"  # as JSON has it
    return "nothing" if value is None else repr(value)[:40]
