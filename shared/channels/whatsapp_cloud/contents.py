"""What messages of Meta's are made of: words, data, files; and what places, contact cards and orders say.

Source: Meta's Cloud API webhooks reference, messages (2026).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from shared.channels import vcards
from shared.channels.inbound import Media, get_id, get_objects, get_path, get_text, present
from shared.channels.kinds import Kind


@dataclass(frozen=True)
class Content:
    """What a message is made of: the customer's own words, and what else there is."""

    kind: Kind = Kind.TEXT
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    media: tuple[Media, ...] = ()


def location(raw: dict[str, Any]) -> Content:
    place = raw.get(get_text(raw, "type").lower())
    named = place if isinstance(place, dict) else {}
    names = ("latitude", "longitude", "name", "address", "url")
    return Content(Kind.LOCATION, data={"location": {name: named[name] for name in names if _is_plain(named.get(name))}})


def contacts(raw: dict[str, Any]) -> Content:
    return Content(Kind.CONTACT, data={"contacts": [_card(card) for card in get_objects(raw.get("contacts"))]})


def _card(card: dict[str, Any]) -> dict[str, Any]:
    """A card's members; what stands in its vCard only, from there."""
    parts = (get_text(card, "name", part) for part in ("first_name", "last_name"))
    phones = [get_id(one, "phone") or get_id(one, "wa_id") for one in get_objects(card.get("phones"))]
    return vcards.read("", get_text(card, "vcard")) | present(
        name=get_text(card, "name", "formatted_name") or " ".join(filter(None, parts)),
        organization=", ".join(text for name in ("company", "department", "title") if (text := get_text(card, "org", name))),
        phones=[phone for phone in phones if phone],
        emails=[email for one in get_objects(card.get("emails")) if (email := get_text(one, "email"))],
        addresses=[address for one in get_objects(card.get("addresses")) if (address := _address(one))],
        urls=[url for one in get_objects(card.get("urls")) if (url := get_text(one, "url"))],
    )


def _address(one: dict[str, Any]) -> str:
    return ", ".join(text for name in ("street", "zip", "city", "state", "country") if (text := get_text(one, name)))


def order(raw: dict[str, Any]) -> Content:
    items = [
        present(
            id=get_id(item, "product_retailer_id"),
            name=get_id(item, "name"),
            quantity=item.get("quantity"),
            price=item.get("item_price"),
            currency=get_text(item, "currency"),
        )
        for item in get_objects(get_path(raw, "order", "product_items"))
    ]
    catalog, note = get_id(raw, "order", "catalog_id"), get_id(raw, "order", "text")
    return Content(Kind.ORDER, data={"order": present(note=note, catalog_id=catalog, items=items)})


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""
