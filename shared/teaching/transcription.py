"""Who turns a chatbot's voice notes into text: an OpenAI-compatible /audio/transcriptions, its model and its key.

As with the providers of answers a key goes in and never comes out, and never moves to another address.
"""

from __future__ import annotations

from typing import Any

from marshmallow import fields as marshmallow_fields
from peewee import Case, fn

from shared import db
from shared.config import settings
from shared.db.credentials import encrypt
from shared.errors import InvalidPayload
from shared.models import Chatbot
from shared.payloads import Pattern, Schema
from shared.teaching import fields
from shared.teaching.providers import MAX_KEY, MAX_MODEL


class TranscriptionSchema(Schema):
    """Whom a chatbot asks."""

    model = fields.text(MAX_MODEL, required=True, metadata={"description": "Such as whisper-1 or gpt-4o-mini-transcribe."})
    base_url = fields.url(
        allow_private=lambda: settings().webhooks_to_private,
        allow_none=True,
        load_default=None,
        metadata={"description": "Of an OpenAI-compatible API; null: the operator's."},
    )
    language = marshmallow_fields.String(
        allow_none=True,
        load_default=None,
        validate=Pattern(r"^[a-z]{2,3}$", error="must be a language's code of two or three letters, such as pt"),
        metadata={"description": "What customers speak, such as pt; null: the model hears it."},
    )
    api_key = fields.secret(MAX_KEY, metadata={"description": "Needed with a base_url that is new here."})


def transcription_field(**options: Any) -> marshmallow_fields.Nested:
    """The field of a chatbot."""
    about = "Who writes down what voice notes say; null: nobody, and they get the unsupported_message."
    return marshmallow_fields.Nested(TranscriptionSchema, allow_none=True, metadata={"description": about}, **options)


def transcription() -> Case:
    """A column: whom a chatbot asks, without the key; null for nobody."""
    shown = fn.jsonb_build_object(
        "model",
        Chatbot.transcription_model,
        "base_url",
        Chatbot.transcription_base_url,
        "language",
        Chatbot.transcription_language,
        "has_key",
        Chatbot.transcription_api_key.is_null(False),
    )
    return Case(None, [(Chatbot.transcription_model.is_null(False), shown)])


def columns(given: dict[str, Any] | None, chatbot_id: int | None) -> dict[str, Any]:
    """The columns of what is given for a chatbot, whose key stays for the same address. Raises InvalidPayload without a key."""
    given = given or {}
    base_url, key = given.get("base_url"), given.get("api_key")
    if base_url is None and key:
        raise InvalidPayload("chatbot", {"transcription": "an api_key needs a base_url; the operator's has its own key"})
    stored = _stored_key(chatbot_id, base_url) if base_url and not key else None
    if base_url and not key and stored is None:
        raise InvalidPayload("chatbot", {"transcription": f"{base_url} needs an api_key"})
    return {
        "transcription_model": given.get("model"),
        "transcription_base_url": base_url,
        "transcription_language": given.get("language"),
        "transcription_api_key": encrypt(key.strip()) if key else stored,
    }


def _stored_key(chatbot_id: int | None, base_url: str) -> str | None:
    if chatbot_id is None:
        return None
    own = (Chatbot.id == chatbot_id) & (Chatbot.transcription_base_url == base_url)
    key: str | None = db.scalar(Chatbot.select(Chatbot.transcription_api_key).where(own))
    return key
