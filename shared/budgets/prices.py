"""What models cost, as the operator says: nobody else tells it reliably."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from shared import db
from shared.http.urls import normalize_url
from shared.models import ModelPrice


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


def address_of(base_url: str) -> str:
    """A base URL as calls name it. Raises UrlRefused."""
    return normalize_url(base_url, allow_private=True).rstrip("/")
