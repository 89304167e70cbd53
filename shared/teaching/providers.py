"""The AI providers of a chatbot, in the order in which they are asked: the first is in its own columns, the others in rows.

A key goes in, and never comes out. It stays as it is where a list names the same address without a key, and never moves
to another address.
"""

from __future__ import annotations

from typing import Any

from marshmallow import fields as marshmallow_fields
from marshmallow import validate
from peewee import SQL, CompoundSelectQuery, Expression, fn

from shared import db
from shared.config import settings
from shared.db.credentials import encrypt
from shared.errors import InvalidPayload
from shared.models import Chatbot, ChatbotProvider
from shared.payloads import Schema
from shared.teaching import fields

#: As schema.sql numbers them.
MAX_PROVIDERS = 5
MAX_MODEL = 200
MAX_KEY = 1_000


class ChatbotProviderSchema(Schema):
    """One provider."""

    base_url = fields.url(
        allow_private=lambda: settings().webhooks_to_private,
        allow_none=True,
        load_default=None,
        metadata={"description": "Of an OpenAI-compatible API, like https://api.mistral.ai/v1; null: the operator's."},
    )
    model = fields.text(MAX_MODEL, required=True)
    timeout = fields.decimal(
        1, 300, allow_none=True, load_default=None, metadata={"description": "Seconds for a call; null: AI_TIMEOUT_SECONDS."}
    )
    api_key = fields.secret(MAX_KEY, metadata={"description": "Needed with a base_url that is new here."})


def provider_list(**options: Any) -> marshmallow_fields.List[Any]:
    """The field of a chatbot."""
    some = validate.Length(1, MAX_PROVIDERS, error=f"must name 1 to {MAX_PROVIDERS} providers")
    about = "Asked in this order, each when those before it fail. A list that is given replaces the whole list."
    return marshmallow_fields.List(
        marshmallow_fields.Nested(ChatbotProviderSchema), validate=some, metadata={"description": about}, **options
    )


def providers() -> Expression:
    """A column: a chatbot's providers, without their keys."""
    first = fn.jsonb_build_array(
        _shown(Chatbot.provider_base_url, Chatbot.model, Chatbot.provider_timeout, Chatbot.provider_api_key)
    )
    shown = _shown(ChatbotProvider.base_url, ChatbotProvider.model, ChatbotProvider.timeout, ChatbotProvider.api_key)
    others = ChatbotProvider.select(fn.jsonb_agg(shown).order_by(ChatbotProvider.position))
    rest = fn.COALESCE(others.where(ChatbotProvider.chatbot == Chatbot.id), SQL("'[]'::jsonb"))
    return Expression(first, "||", rest)


def store(chatbot_id: int, given: list[dict[str, Any]]) -> None:
    """Replaces a chatbot's providers, in a transaction of the caller's. Raises InvalidPayload if a key is missing."""
    keys = {row["base_url"]: row["api_key"] for row in db.rows(_stored_keys(chatbot_id))}
    rows = [{**one, "api_key": _key(one, keys)} for one in given]
    first, *others = rows
    own = {"provider_base_url": first["base_url"], "provider_api_key": first["api_key"]}
    own |= {"model": first["model"], "provider_timeout": first["timeout"]}
    db.rows(Chatbot.update(**own).where(Chatbot.id == chatbot_id))
    db.rows(ChatbotProvider.delete().where(ChatbotProvider.chatbot == chatbot_id))
    for position, row in enumerate(others, 2):
        db.rows(ChatbotProvider.insert(chatbot=chatbot_id, position=position, **row))


def _shown(base_url: Any, model: Any, timeout: Any, api_key: Any) -> Any:
    has_key = api_key.is_null(False)
    return fn.jsonb_build_object("base_url", base_url, "model", model, "timeout", timeout, "has_key", has_key)


def _stored_keys(chatbot_id: int) -> CompoundSelectQuery:
    own = Chatbot.select(Chatbot.provider_base_url.alias("base_url"), Chatbot.provider_api_key.alias("api_key"))
    others = ChatbotProvider.select(ChatbotProvider.base_url, ChatbotProvider.api_key)
    return own.where(Chatbot.id == chatbot_id) | others.where(ChatbotProvider.chatbot == chatbot_id)


def _key(one: dict[str, Any], keys: dict[str | None, str | None]) -> str | None:
    base_url, given = one["base_url"], one.get("api_key")
    if base_url is None:
        if given:
            raise InvalidPayload("chatbot", {"providers": "an api_key needs a base_url; the operator's provider has its own key"})
        return None
    if given:
        return encrypt(given.strip())
    if keys.get(base_url) is None:
        raise InvalidPayload("chatbot", {"providers": f"{base_url} needs an api_key"})
    return keys[base_url]
