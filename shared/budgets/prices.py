"""What models cost, as the operator says: nobody else tells it reliably."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from marshmallow import ValidationError, validates_schema

from shared import db
from shared.config import settings
from shared.http.urls import UrlRefused, normalize_url
from shared.models import Chatbot, ChatbotProvider, ModelPrice
from shared.payloads import Schema
from shared.teaching import fields

#: Of a million tokens, or of a minute.
MAX_PRICE = 1_000_000
#: Bytes of address and model together: both are the key of a row.
MAX_KEY = 2_000
#: Characters of a model's name.
MAX_MODEL = 200
#: Models without a price that are listed.
_LISTED = 100


class PriceSchema(Schema):
    """What a model costs."""

    what = "price"
    base_url = fields.url(allow_private=lambda: True, required=True)
    model = fields.text(MAX_MODEL, required=True)
    prompt = fields.decimal(0, MAX_PRICE, required=True)
    completion = fields.decimal(0, MAX_PRICE, required=True)
    minute = fields.decimal(0, MAX_PRICE, load_default=0.0)

    @validates_schema(skip_on_field_errors=True)
    def _check(self, price: dict[str, Any], **_: Any) -> None:
        if len((price["base_url"] + price["model"]).encode()) > MAX_KEY:
            raise ValidationError(f"must have at most {MAX_KEY:,} bytes together with the model", "base_url")


def prices() -> list[dict[str, Any]]:
    """All prices."""
    return db.rows(ModelPrice.select().order_by(ModelPrice.base_url, ModelPrice.model))


def set_price(base_url: str, model: str, prompt: Decimal, completion: Decimal, minute: Decimal = Decimal(0)) -> str:
    """Sets what a million tokens of a model cost, and a minute of speech; returns the address as it is kept. Raises UrlRefused.

    It counts for the calls that are saved from now on.
    """
    address = address_of(base_url)
    values = {ModelPrice.prompt: prompt, ModelPrice.completion: completion, ModelPrice.minute: minute}
    new = ModelPrice.insert({ModelPrice.base_url: address, ModelPrice.model: model, **values})
    db.rows(new.on_conflict(conflict_target=[ModelPrice.base_url, ModelPrice.model], update=values))
    return address


def remove_price(base_url: str, model: str) -> bool:
    """Forgets a model's price; False: it had none."""
    is_it = (ModelPrice.base_url == address_of(base_url)) & (ModelPrice.model == model)
    return bool(db.rows(ModelPrice.delete().where(is_it).returning(ModelPrice.model)))


def without_price() -> list[dict[str, Any]]:
    """Models that chatbots ask and that have no price: {base_url, model}, by name."""
    first = Chatbot.select(Chatbot.provider_base_url.alias("base_url"), Chatbot.model.alias("model"))
    asked = first | ChatbotProvider.select(ChatbotProvider.base_url, ChatbotProvider.model)
    pairs = {(called(row["base_url"] or settings().openai_base_url), row["model"]) for row in db.rows(asked)}
    pairs -= {(row["base_url"], row["model"]) for row in prices()}
    return [{"base_url": base_url, "model": model} for model, base_url in sorted((pair[1], pair[0]) for pair in pairs)][:_LISTED]


def address_of(base_url: str) -> str:
    """A base URL as prices name it. Raises UrlRefused."""
    address, question_mark, query = normalize_url(base_url, allow_private=True).partition("?")
    return (address.rstrip("/") + question_mark + query).rstrip("/")


@lru_cache(maxsize=1_024)
def called(base_url: str) -> str:
    """The base URL of a call, as prices name it; one that no price can have stays as it is."""
    try:
        return address_of(base_url)
    except UrlRefused:
        return base_url.rstrip("/")
