"""The message templates of Meta's simulated business accounts: GET /{version}/{WABA}/message_templates, by pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from scripts.local.simulator.exchange import Reply, Request

_BODY = {"type": "BODY", "text": "Hi {{1}}, your order {{2}} has left."}
_NAMED = {"type": "BODY", "text": "Hi {{first_name}}, may we help you again?"}
_BUTTONS = {"type": "BUTTONS", "buttons": [{"type": "QUICK_REPLY", "text": "Yes"}, {"type": "QUICK_REPLY", "text": "Stop"}]}


def _template(number: int, name: str, language: str, *components: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": str(1689556908129000 + number),
        "name": name,
        "language": language,
        "status": "APPROVED",
        "category": "UTILITY",
        "components": list(components),
        "quality_score": {"score": "GREEN", "date": 1739321024},
        "rejected_reason": "NONE",
        **more,
    }


#: Every business account has these.
TEMPLATES = [
    _template(1, "order_update", "en_US", _BODY),
    _template(2, "order_update", "pt_BR", {"type": "BODY", "text": "Oi {{1}}, seu pedido {{2}} saiu."}),
    _template(3, "come_back", "en_US", _NAMED, {"type": "FOOTER", "text": "The shop"}, _BUTTONS, category="MARKETING"),
    _template(4, "summer", "en_US", _BODY, status="REJECTED", rejected_reason="PROMOTIONAL"),
]


def find(name: str, language: str) -> dict[str, Any] | None:
    """The approved template of this name and language."""
    these = (one for one in TEMPLATES if (one["name"], one["language"], one["status"]) == (name, language, "APPROVED"))
    return next(these, None)


def listed(request: Request) -> Reply:
    """A page of them."""
    parts = urlsplit(request.path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    begin, limit = int(query.get("after", 0)), int(query.get("limit", 25))
    base = parts._replace(query="").geturl()
    paging: dict[str, Any] = {"cursors": {"before": str(begin), "after": str(begin + limit)}}
    if begin + limit < len(TEMPLATES):
        paging["next"] = f"{base}?limit={limit}&after={begin + limit}"
    return Reply(200, {"data": TEMPLATES[begin : begin + limit], "paging": paging}, accepted=True, key=parts.path.split("/")[2])
