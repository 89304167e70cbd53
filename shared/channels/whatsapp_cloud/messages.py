"""What a message of Meta's says, in the types of shared/channels/inbound.py. To understand one type more, add it to `READERS`.

Source: Meta's Cloud API webhooks reference, messages (2026).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
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
    get_id,
    get_objects,
    get_path,
    get_text,
    get_time,
    integer,
    is_true,
    present,
)
from shared.channels.kinds import Kind, MediaKind
from shared.channels.whatsapp_cloud import contents
from shared.channels.whatsapp_cloud.contents import Content
from shared.channels.words import in_words

#: What nobody wrote and nobody waits for an answer to: the chat was opened, a notice of the system, a pin, what comes later.
SILENT = frozenset({
    "album", "call", "call_log", "call_permission_reply", "call_permission_request", "ciphertext", "disappearing_mode",
    "e2e_notification", "enc_reaction", "encrypted_reaction", "ephemeral_setting", "event_edit", "event_response", "keep",
    "keep_in_chat", "media_placeholder", "phone_number_request", "pin", "pin_in_chat", "pinned_message", "placeholder",
    "poll_edit", "poll_result_snapshot", "poll_update", "poll_vote", "protocol", "request_phone_number", "request_welcome",
    "scheduled_call_edit", "secret_encrypted", "sender_key_distribution", "status_mention", "status_notification", "system",
    "undo_keep_in_chat", "unkeep", "unpin", "unpin_in_chat",
})  # fmt: skip
#: Levels of edits of edits, of which Meta knows one; of a form's answers.
MAX_DEPTH = 4
#: Files of a form that are fetched.
MAX_FILES = 10


def read_message(raw: dict[str, Any], user_id: str, profile_name: str, depth: int = 0) -> InboundItem:
    """A message of this user. One without words that somebody wrote has `unsupported` in its metadata: no model can read it."""
    raw = _typed(raw)
    wamid, type_name = get_id(raw, "id"), get_text(raw, "type").lower()
    if _is_of_a_group(raw) or _is_silent(raw, type_name):
        return IgnoredItem(raw=raw)
    if type_name in _APPLIED:
        return _APPLIED[type_name](raw, user_id, profile_name, depth)
    wrapped = get_path(raw, type_name, "message")
    if isinstance(wrapped, dict) and depth < MAX_DEPTH:
        return _as_itself(
            raw, read_message({**_without(raw, "type", type_name), **wrapped, "id": wamid}, user_id, profile_name, depth + 1)
        )
    content = READERS.get(type_name, _unknown)(raw)
    if content is None:
        return IgnoredItem(raw=raw)
    data = content.data | _surroundings(raw)
    words = in_words(data, content.text) if data else content.text
    metadata = {"profile_name": profile_name}
    if not words:
        label = (get_id(raw, "unsupported", "type") or type_name)[:40]
        words, metadata["unsupported"] = f"[{label}]", label
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
    """The message with a type that names its member: some say the type in capitals, others not at all."""
    if said := get_text(raw, "type"):
        return raw if said in raw else {**raw, "type": said.lower()}
    named = (name for name in (*READERS, *_APPLIED) if isinstance(raw.get(name), dict | list))
    return {**raw, "type": next(named, "unknown")}


def _as_itself(raw: dict[str, Any], inner: InboundItem) -> InboundItem:
    """What a message within another is (disappearing, to be seen once), as the one that came."""
    if isinstance(inner, InboundEdit) and inner.message is not None:
        inner = replace(inner, message=replace(inner.message, raw=raw))
    return replace(inner, raw=raw)


def _is_of_a_group(raw: dict[str, Any]) -> bool:
    return bool(raw.get("group_id")) or get_text(raw, "recipient_type").lower() == "group"


def _is_silent(raw: dict[str, Any], type_name: str) -> bool:
    """Meta says of some things in a second place what they are; an edit or a reaction that is `unsupported` cannot be applied."""
    unsupported = get_text(raw, "unsupported", "type").lower()
    return bool({type_name, get_text(raw, "interactive", "type").lower(), unsupported} & SILENT) or unsupported in _APPLIED


def _surroundings(raw: dict[str, Any]) -> dict[str, Any]:
    """What may stand beside any message: what it replies to, the product that it asks about, the ad that it comes from."""
    quoted, product, referral = get_id(raw, "context", "id"), get_path(raw, "context", "referred_product"), raw.get("referral")
    found: dict[str, Any] = {}
    if quoted:
        found["quoted"] = {"id": quoted}
    if isinstance(product, dict):
        found["product"] = present(id=get_id(product, "product_retailer_id"), catalog_id=get_id(product, "catalog_id"))
    if isinstance(referral, dict):
        plain = {name: value for name, value in referral.items() if isinstance(value, str | int | float)}
        found["referral"] = plain | present(greeting=get_text(referral, "welcome_message", "text"))
    return present(**found)


# ------------------------------------------------------------------------------------------------- what becomes a message


def _text(raw: dict[str, Any]) -> Content | None:
    """Of nothing but blanks nobody needs to hear that we read only text; beside them there may be an ad, a product."""
    body = get_path(raw, "text", "body") if isinstance(raw.get("text"), dict) else raw.get("text")
    words = get_id({"body": body}, "body")
    return Content(text=words) if words or not isinstance(body, str) or in_words(_surroundings(raw)) else None


def _button(raw: dict[str, Any]) -> Content:
    """The quick reply of a template."""
    return _chosen(id=get_id(raw, "button", "payload"), title=get_id(raw, "button", "text"))


def _interactive(raw: dict[str, Any]) -> Content:
    """A button, a row of a list, a flow; of what Meta adds to them, the words."""
    inside = raw.get("interactive")
    if shown := _shown(inside):
        return Content(text=shown)
    named = get_path(inside, get_text(inside, "type").lower())
    answers = [one for one in (named, *(inside.values() if isinstance(inside, dict) else ())) if isinstance(one, dict)]
    answer = answers[0] if answers else {}
    if "response_json" in answer:
        return _form(answer)
    if not get_id(answer, "title") and not get_id(answer, "id"):
        words = get_text(answer, "body") or get_text(answer, "text")
        return Content(text=words) if words else _given(get_text(inside, "type"), answer)
    return _chosen(**{name: get_id(answer, name) for name in ("id", "title", "description")})


def _given(name: str, answer: dict[str, Any]) -> Content:
    """What somebody has given in an answer that is new to us: a way to pay, for example."""
    answers = present(**nested_json.storable(answer))
    return Content(Kind.FORM, data={"form": present(name=name, answers=answers)}) if answers else Content()


def _shown(inside: Any) -> str:
    """What the business itself sent, for its customer to choose from: in an echo of it."""
    said = (get_text(inside, "header", "text"), get_text(inside, "body", "text"))
    return "\n".join(filter(None, said)) if isinstance(get_path(inside, "action"), dict) else ""


def _template(raw: dict[str, Any]) -> Content | None:
    """What another program of the business sent: its name, and what stands in its places."""
    parts = get_objects(get_path(raw, "template", "components"))
    filled = [get_text(one, "text") for part in parts for one in get_objects(part.get("parameters"))]
    name = get_text(raw, "template", "name")
    return Content(text=f"{name}: {', '.join(filter(None, filled))}".removesuffix(": ")) if name else None


def _chosen(**choice: str) -> Content:
    return Content(Kind.CHOICE, data={"choice": present(**choice)})


def _form(answer: dict[str, Any]) -> Content:
    """Meta sends the answers as a JSON text within the JSON."""
    said, given = get_text(answer, "response_json"), answer["response_json"]
    answers = nested_json.storable(given) if isinstance(given, dict) else nested_json.read(said)
    answers = nested_json.read(answers) if isinstance(answers, str) else answers  # JSON within JSON within JSON
    if not isinstance(answers, dict):  # "" and null are no answer at all
        answers = {"answer": nested_json.storable(said)} if said and answers is not None else {}
    data = {"form": present(name=get_text(answer, "name"), answers=answers)}
    files = tuple(islice(_given_files(answers), MAX_FILES))
    return Content(Kind.FORM, "" if in_words(data) else get_text(answer, "body"), data, files)


def _given_files(answers: Any, levels: int = MAX_DEPTH) -> Iterator[Media]:
    """Pictures and documents that were given with a form: {"photos": [{"id", "mime_type", "sha256", "file_name"}]}."""
    for value in answers.values() if isinstance(answers, dict) and levels else ():
        for one in get_objects(value):
            mime = get_text(one, "mime_type").lower()
            if mime and get_id(one, "id"):
                yield _file(one, _KINDS_OF_FILES.get(mime.partition("/")[0], MediaKind.DOCUMENT))
            else:
                yield from _given_files(one, levels - 1)


def _media(raw: dict[str, Any], kind: MediaKind) -> Content:
    file = raw.get(get_text(raw, "type"))
    file = file if isinstance(file, dict) else {}
    media = _file(file, MediaKind.VOICE if is_true(file.get("voice")) else kind)
    return Content(Kind.MEDIA, get_text(file, "caption"), media=(media,) if media.source else ())


def _file(file: dict[str, Any], kind: MediaKind) -> Media:
    return Media(
        kind=kind,
        source=present(id=get_id(file, "id"), url=get_text(file, "url")),
        mime=get_text(file, "mime_type") or None,
        filename=get_text(file, "filename") or get_text(file, "file_name") or None,
        size=integer(file.get("file_size")),
        sha256=get_text(file, "sha256") or None,
    )


def _unknown(raw: dict[str, Any]) -> Content | None:
    """A type that is new to us is a message if it has words or a file, or if Meta has an error for what it could not pass on, as
    its type `unknown` of older versions has. Else nobody waits for an answer."""
    inside = raw.get(get_text(raw, "type"))
    words = next((text for name in _WORDS if (text := get_text(inside, name))), "")
    if mime := get_text(inside, "mime_type").lower():
        return _media(raw, _KINDS_OF_FILES.get(mime.partition("/")[0], MediaKind.DOCUMENT))
    if words:
        return Content(text=words)
    return Content(Kind.MEDIA) if get_objects(raw.get("errors")) else None


#: Where types that are new to us may have words.
_WORDS = ("body", "text", "caption", "title", "question", "name", "description")
_KINDS_OF_FILES = {"image": MediaKind.IMAGE, "audio": MediaKind.AUDIO, "video": MediaKind.VIDEO}


#: Meta's type -> what the message is made of.
READERS: dict[str, Callable[[dict[str, Any]], Content | None]] = {
    "text": _text,
    "button": _button,
    "interactive": _interactive,
    "image": partial(_media, kind=MediaKind.IMAGE),
    "video": partial(_media, kind=MediaKind.VIDEO),
    "audio": partial(_media, kind=MediaKind.AUDIO),
    "voice": partial(_media, kind=MediaKind.VOICE),
    "ptt": partial(_media, kind=MediaKind.VOICE),
    "document": partial(_media, kind=MediaKind.DOCUMENT),
    "sticker": partial(_media, kind=MediaKind.STICKER),
    "location": contents.location,
    "live_location": contents.location,
    "contacts": contents.contacts,
    "order": contents.order,
    "template": _template,
    "unsupported": lambda _raw: Content(Kind.MEDIA),
}

# ------------------------------------------------------------------------------------ what is applied to an earlier message


def _edit(raw: dict[str, Any], user_id: str, profile_name: str, depth: int) -> InboundItem:
    original, inner = get_id(raw, "edit", "original_message_id"), get_path(raw, "edit", "message")
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
    original = get_id(raw, "revoke", "original_message_id")
    if not original:
        return MalformedItem(raw=raw, reason="A revoke has no original_message_id.")
    return InboundRevoke(raw=raw, original_id=original, external_user_id=user_id)


def _reaction(raw: dict[str, Any], user_id: str, _profile_name: str, _depth: int) -> InboundItem:
    message_id = get_id(raw, "reaction", "message_id")
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
