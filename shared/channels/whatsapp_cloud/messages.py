"""What a message of Meta's says, in the types of shared/channels/inbound.py. To understand one type more, add it to `READERS`.

Source: Meta's Cloud API webhooks reference, messages (2026).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from shared.channels import nested_json
from shared.channels.inbound import (
    IgnoredItem,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundReaction,
    InboundRevoke,
    MalformedItem,
    Media,
    get_objects,
    get_path,
    get_text,
    get_time,
)
from shared.channels.kinds import Kind, MediaKind
from shared.channels.words import in_words

#: What nobody wrote and nobody waits for an answer to: the chat was opened, a notice of the system, a pin, what comes later.
SILENT = frozenset({
    "call", "call_log", "call_permission_reply", "call_permission_request", "ciphertext", "enc_reaction", "encrypted_reaction",
    "keep", "keep_in_chat", "media_placeholder", "phone_number_request", "pin", "pin_in_chat", "placeholder", "poll_update",
    "poll_vote", "protocol", "request_phone_number", "request_welcome", "system", "undo_keep_in_chat", "unkeep", "unpin",
    "unpin_in_chat",
})  # fmt: skip
#: Levels of edits of edits; Meta knows one.
MAX_DEPTH = 4


@dataclass(frozen=True)
class Content:
    """What a message is made of: the customer's own words, and what else there is."""

    kind: Kind = Kind.TEXT
    text: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    media: tuple[Media, ...] = ()


def read_message(raw: dict[str, Any], user_id: str, profile_name: str = "", depth: int = 0) -> InboundItem:
    """A message of this user. One without words that somebody wrote has `unsupported` in its metadata: no model can read it."""
    raw = _typed(raw)
    wamid, type_name = get_text(raw, "id"), get_text(raw, "type")
    if raw.get("group_id") or _is_silent(raw, type_name):
        return IgnoredItem(raw=raw)
    if type_name in _APPLIED:
        return _APPLIED[type_name](raw, user_id, profile_name, depth)
    content = READERS.get(type_name, _unknown)(raw)
    if content is None:
        return IgnoredItem(raw=raw)
    data = content.data | _surroundings(raw)
    words = in_words(data, content.text) if data else content.text
    metadata = {"profile_name": profile_name}
    if not words:
        words, metadata["unsupported"] = f"[{type_name[:40]}]", type_name[:40]
    elif content.kind is Kind.MEDIA:
        metadata["attachment"] = type_name[:40]
    return InboundMessage(
        raw=raw,
        external_user_id=user_id,
        external_id=wamid,
        kind=content.kind,
        content=words,
        data=data,
        media=content.media,
        sent_at=get_time(raw.get("timestamp")),
        metadata={name: value for name, value in metadata.items() if value},
    )


def _typed(raw: dict[str, Any]) -> dict[str, Any]:
    """The message; one that does not say its type is of that which it has the member of."""
    if get_text(raw, "type"):
        return raw
    named = (name for name in (*READERS, *_APPLIED) if isinstance(raw.get(name), dict | list))
    return {**raw, "type": next(named, "unknown")}


def _is_silent(raw: dict[str, Any], type_name: str) -> bool:
    """Meta says of some things in a second place what they are; an edit or a reaction that is `unsupported` cannot be applied."""
    unsupported = get_text(raw, "unsupported", "type")
    return bool({type_name, get_text(raw, "interactive", "type"), unsupported} & SILENT) or unsupported in _APPLIED


def _surroundings(raw: dict[str, Any]) -> dict[str, Any]:
    """What may stand beside any message: what it replies to, the product that it asks about, the ad that it comes from."""
    quoted, product, referral = get_text(raw, "context", "id"), get_path(raw, "context", "referred_product"), raw.get("referral")
    found: dict[str, Any] = {}
    if quoted:
        found["quoted"] = {"id": quoted}
    if isinstance(product, dict):
        found["product"] = _present(id=get_text(product, "product_retailer_id"), catalog_id=get_text(product, "catalog_id"))
    if isinstance(referral, dict):
        found["referral"] = {name: value for name, value in referral.items() if isinstance(value, str | int | float)}
    return found


# ------------------------------------------------------------------------------------------------- what becomes a message


def _text(raw: dict[str, Any]) -> Content | None:
    """Of nothing but blanks nobody needs to hear that we read only text."""
    body, words = get_path(raw, "text", "body"), get_text(raw, "text", "body")
    return Content(text=words) if words or not isinstance(body, str) or _surroundings(raw) else None


def _button(raw: dict[str, Any]) -> Content:
    """The quick reply of a template."""
    return _chosen(id=get_text(raw, "button", "payload"), title=get_text(raw, "button", "text"))


def _interactive(raw: dict[str, Any]) -> Content:
    """A button, a row of a list, a flow; of what Meta adds to them, the words."""
    inside = raw.get("interactive")
    named = get_path(inside, get_text(inside, "type"))
    answers = [one for one in (named, *(inside.values() if isinstance(inside, dict) else ())) if isinstance(one, dict)]
    answer = answers[0] if answers else {}
    if "response_json" in answer:
        return _form(answer)
    if not get_text(answer, "title") and not get_text(answer, "id"):
        return Content(text=get_text(answer, "body") or get_text(answer, "text"))
    return _chosen(**{name: get_text(answer, name) for name in ("id", "title", "description")})


def _chosen(**choice: str) -> Content:
    return Content(Kind.CHOICE, data={"choice": _present(**choice)})


def _form(answer: dict[str, Any]) -> Content:
    """Meta sends the answers as a JSON text within the JSON."""
    said, given = get_text(answer, "response_json"), answer["response_json"]
    answers = nested_json.storable(given) if isinstance(given, dict) else nested_json.read(said)
    if not isinstance(answers, dict):  # "" and null are no answer at all
        answers = {"answer": nested_json.storable(said)} if said and answers is not None else {}
    data = {"form": _present(name=get_text(answer, "name"), answers=answers)}
    return Content(Kind.FORM, "" if in_words(data) else get_text(answer, "body"), data)


def _media(raw: dict[str, Any], kind: MediaKind) -> Content:
    name = get_text(raw, "type")
    file = raw.get(name)
    file = file if isinstance(file, dict) else {}
    kind = MediaKind.VOICE if file.get("voice") is True else kind
    source = _present(id=get_text(file, "id"), url=get_text(file, "url"))
    media = Media(
        kind=kind,
        source=source,
        mime=get_text(file, "mime_type") or None,
        filename=get_text(file, "filename") or None,
        size=size if isinstance(size := file.get("file_size"), int) else None,
        sha256=get_text(file, "sha256") or None,
    )
    return Content(Kind.MEDIA, get_text(file, "caption"), media=(media,) if source else ())


def _location(raw: dict[str, Any]) -> Content:
    place = raw.get("location")
    named = place if isinstance(place, dict) else {}
    names = ("latitude", "longitude", "name", "address", "url")
    return Content(Kind.LOCATION, data={"location": {name: named[name] for name in names if _is_plain(named.get(name))}})


def _contacts(raw: dict[str, Any]) -> Content:
    return Content(Kind.CONTACT, data={"contacts": [_card(card) for card in get_objects(raw.get("contacts"))]})


def _card(card: dict[str, Any]) -> dict[str, Any]:
    parts = (get_text(card, "name", part) for part in ("first_name", "last_name"))
    phones = [get_text(one, "phone") or get_text(one, "wa_id") for one in get_objects(card.get("phones"))]
    return _present(
        name=get_text(card, "name", "formatted_name") or " ".join(filter(None, parts)),
        organization=get_text(card, "org", "company"),
        phones=[phone for phone in phones if phone],
        emails=[email for one in get_objects(card.get("emails")) if (email := get_text(one, "email"))],
        addresses=[address for one in get_objects(card.get("addresses")) if (address := _address(one))],
        urls=[url for one in get_objects(card.get("urls")) if (url := get_text(one, "url"))],
    )


def _address(one: dict[str, Any]) -> str:
    return ", ".join(text for name in ("street", "zip", "city", "state", "country") if (text := get_text(one, name)))


def _order(raw: dict[str, Any]) -> Content:
    items = [
        _present(
            id=get_text(item, "product_retailer_id"),
            name=get_text(item, "name"),
            quantity=item.get("quantity"),
            price=item.get("item_price"),
            currency=get_text(item, "currency"),
        )
        for item in get_objects(get_path(raw, "order", "product_items"))
    ]
    catalog, note = get_text(raw, "order", "catalog_id"), get_text(raw, "order", "text")
    return Content(Kind.ORDER, data={"order": _present(note=note, catalog_id=catalog, items=items)})


def _unknown(raw: dict[str, Any]) -> Content | None:
    """A type that is new to us is a message if it has words or a file, or if Meta has an error for what it could not pass on, as
    its type `unknown` of older versions has. Else nobody waits for an answer."""
    inside = raw.get(get_text(raw, "type"))
    words = next((text for name in ("body", "text", "caption", "title") if (text := get_text(inside, name))), "")
    if words:
        return Content(text=words)
    return Content(Kind.MEDIA) if get_text(inside, "mime_type") or get_objects(raw.get("errors")) else None


#: Meta's type -> what the message is made of.
READERS: dict[str, Callable[[dict[str, Any]], Content | None]] = {
    "text": _text,
    "button": _button,
    "interactive": _interactive,
    "image": partial(_media, kind=MediaKind.IMAGE),
    "video": partial(_media, kind=MediaKind.VIDEO),
    "audio": partial(_media, kind=MediaKind.AUDIO),
    "voice": partial(_media, kind=MediaKind.VOICE),
    "document": partial(_media, kind=MediaKind.DOCUMENT),
    "sticker": partial(_media, kind=MediaKind.STICKER),
    "location": _location,
    "contacts": _contacts,
    "order": _order,
    "unsupported": lambda _raw: Content(Kind.MEDIA),
}

# ------------------------------------------------------------------------------------ what is applied to an earlier message


def _edit(raw: dict[str, Any], user_id: str, profile_name: str, depth: int) -> InboundItem:
    original, inner = get_text(raw, "edit", "original_message_id"), get_path(raw, "edit", "message")
    if not original or not isinstance(inner, dict) or depth == MAX_DEPTH:
        return MalformedItem(raw=raw, reason="An edit has no " + ("message." if original else "original_message_id."))
    edited = read_message({**_without(raw, "type", "edit"), **inner, "id": raw.get("id")}, user_id, profile_name, depth + 1)
    if isinstance(edited, InboundEdit):
        return replace(edited, raw=raw, original_id=original)
    if not isinstance(edited, InboundMessage) or "unsupported" in edited.metadata:
        return IgnoredItem(raw=raw)
    message = replace(edited, raw=raw)
    return InboundEdit(raw=raw, original_id=original, content=edited.content, sent_at=edited.sent_at, message=message)


def _revoke(raw: dict[str, Any], user_id: str, _profile_name: str, _depth: int) -> InboundItem:
    original = get_text(raw, "revoke", "original_message_id")
    if not original:
        return MalformedItem(raw=raw, reason="A revoke has no original_message_id.")
    return InboundRevoke(raw=raw, original_id=original, external_user_id=user_id)


def _reaction(raw: dict[str, Any], user_id: str, _profile_name: str, _depth: int) -> InboundItem:
    message_id = get_text(raw, "reaction", "message_id")
    if not message_id:  # an encrypted one, for example
        return IgnoredItem(raw=raw)
    return InboundReaction(raw=raw, message_id=message_id, external_user_id=user_id, emoji=get_text(raw, "reaction", "emoji"))


_APPLIED: dict[str, Callable[[dict[str, Any], str, str, int], InboundItem]] = {
    "edit": _edit,
    "revoke": _revoke,
    "reaction": _reaction,
}


def _without(raw: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in raw.items() if name not in names}


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""
