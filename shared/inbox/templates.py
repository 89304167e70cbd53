"""WhatsApp's approved templates as a person chooses and fills them in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from shared import db
from shared.channels.inbound import get_objects, get_text
from shared.channels.whatsapp_cloud.template_store import APPROVED
from shared.models import WhatsappTemplate

_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}", re.ASCII)
#: Templates that are offered.
MOST = 100


def offered(waba_id: str | None) -> list[dict[str, Any]]:
    """Approved templates: `name`, `language`, `text` to look at, and `places` to fill in, as (name of the field, its label)."""
    one = WhatsappTemplate
    approved = (one.waba_id == waba_id) & (one.status == APPROVED)
    rows = db.rows(
        one.select(one.name, one.language, one.components).where(approved).order_by(one.name, one.language).limit(MOST)
    )
    return [{**row, "text": _text(row), "places": list(_places(row))} for row in rows]


def _parts(template: Mapping[str, Any]) -> dict[str, Any]:
    return {get_text(part, "type").lower(): part for part in get_objects(template["components"])}


def _text(template: Mapping[str, Any]) -> str:
    parts = _parts(template)
    return "\n\n".join(filter(None, (get_text(parts.get(name, {}), "text") for name in ("header", "body", "footer"))))


def _places(template: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    parts = _parts(template)
    header = parts.get("header", {})
    if get_text(header, "format").upper() in ("IMAGE", "VIDEO", "DOCUMENT"):
        yield "header.link", "https://…"
    for name in ("header", "body"):
        for place in dict.fromkeys(_PLACE.findall(get_text(parts.get(name, {}), "text"))):
            yield f"{name}.{place}", f"{{{{{place}}}}}"
    for number, button in enumerate(get_objects(parts.get("buttons", {}).get("buttons"))):
        if _PLACE.search(get_text(button, "url")):
            yield f"buttons.{number}", get_text(button, "text")
