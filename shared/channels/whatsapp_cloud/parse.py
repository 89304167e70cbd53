"""Meta's webhook, read: which number it was for, who wrote what, and how far our replies got.

Source: Meta's Cloud API webhooks reference of 2026. A contact may be known by phone number, by business-scoped user id
(BSUID), or by both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from shared.channels.inbound import DeliveryStatus, InboundMessage, MalformedItem, get_path, objects, text

STATUSES = {"sent": "SENT", "delivered": "DELIVERED", "read": "READ", "played": "READ", "failed": "FAILED"}
#: Types that nobody waits for an answer to.
SILENT = frozenset({"reaction", "system"})
_CALLBACK = re.compile(r"msg_(\d{1,18})")


def changes(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The values of all changes of all entries that tell of messages."""
    found = [change for entry in objects(body.get("entry")) for change in objects(entry.get("changes"))]
    return [change["value"] for change in found if change.get("field") == "messages" and isinstance(change.get("value"), dict)]


def pieces(value: dict[str, Any], fits: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """A change as several, in order, each with as many of its messages and statuses as fit; one item is not cut."""
    messages, statuses = _listed(value, "messages"), _listed(value, "statuses")
    if len(messages) + len(statuses) < 2 or fits(value):
        yield value
        return
    m, s = len(messages) // 2, len(statuses) // 2
    halves = (
        ((messages, []), ([], statuses))
        if messages and statuses
        else ((messages[:m], statuses[:s]), (messages[m:], statuses[s:]))
    )
    for some, others in halves:
        yield from pieces({**value, "messages": some, "statuses": others, "contacts": _contacts_of(value, some)}, fits)


def _listed(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    return found if isinstance(found, list) else []


def _contacts_of(value: dict[str, Any], messages: list[Any]) -> list[dict[str, Any]]:
    """Those who wrote them; the only one of a change may be meant without being named."""
    contacts, senders = objects(value.get("contacts")), set()
    for raw in objects(messages):
        senders |= {text(raw.get("from")), text(raw.get("from_user_id"))} - {""}
    return (
        contacts
        if len(contacts) < 2
        else [one for one in contacts if senders & {text(one.get("wa_id")), text(one.get("user_id"))}]
    )


def message(raw: dict[str, Any], contacts: list[dict[str, Any]]) -> InboundMessage | None:
    """A message; None for one that needs no answer. Raises MalformedItem."""
    kind, wamid = text(raw.get("type")) or "unknown", text(raw.get("id"))
    user = text(raw.get("from")) or text(raw.get("from_user_id"))
    contact = _contact(raw, contacts)
    user = user or text(contact.get("wa_id")) or text(contact.get("user_id"))
    if not wamid or not user:
        raise MalformedItem("a message without " + ("id" if not wamid else "from and from_user_id"))
    if kind in SILENT:
        return None
    said, metadata = _said(raw, kind), {"profile_name": text(get_path(contact, "profile", "name")) or None}
    if not said:
        said, metadata["unsupported"] = f"[{kind[:40]}]", kind[:40]
    elif kind not in ("text", "button", "interactive"):
        metadata["attachment"] = kind[:40]
    return InboundMessage(user, said, wamid, {name: value for name, value in metadata.items() if value})


def _contact(raw: dict[str, Any], contacts: list[dict[str, Any]]) -> dict[str, Any]:
    known = {text(raw.get("from")), text(raw.get("from_user_id"))} - {""}
    for contact in contacts:
        if known & {contact.get("wa_id"), contact.get("user_id")}:
            return contact
    return contacts[0] if len(contacts) == 1 and not known else {}


def _said(raw: dict[str, Any], kind: str) -> str:
    """The words of a message: typed, chosen from buttons or lists, or under a picture."""
    if kind == "text":
        return text(get_path(raw, "text", "body"))
    if kind == "button":
        return text(get_path(raw, "button", "text")) or text(get_path(raw, "button", "payload"))
    if kind == "interactive":
        chosen = get_path(raw, "interactive", text(get_path(raw, "interactive", "type")))
        return text(get_path(chosen, "title")) or text(get_path(chosen, "body"))
    return text(get_path(raw, kind, "caption"))


def status(raw: dict[str, Any]) -> DeliveryStatus | None:
    """A status; None for one that says nothing of the way of a message. Raises MalformedItem."""
    wamid, said = text(raw.get("id")), text(raw.get("status"))
    if not wamid or not said:
        raise MalformedItem("a status without " + ("status" if wamid else "id"))
    if said not in STATUSES:
        return None
    ours = _CALLBACK.fullmatch(text(raw.get("biz_opaque_callback_data")))
    return DeliveryStatus(STATUSES[said], wamid, int(ours[1]) if ours else None, _error(raw) if said == "failed" else None)


def _error(raw: dict[str, Any]) -> str:
    error = next(iter(objects(raw.get("errors"))), {})
    words = [text(error.get("message")) or text(error.get("title")), text(get_path(error, "error_data", "details"))]
    return f"WhatsApp Cloud: code {error.get('code')}, " + (": ".join(word for word in words if word) or "no reason given")
