"""What an update of Telegram reports: a message, an edit, a pressed button, a reaction.

Source: Bot API 9, Update. Only private chats are answered. A message's id counts within its chat, so ours has both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from shared.channels import nested_json, vcards
from shared.channels.inbound import (
    IgnoredItem,
    InboundBatch,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundReaction,
    MalformedItem,
    Media,
    get_objects,
    get_path,
    get_text,
    parse_item,
)
from shared.channels.kinds import Kind, MediaKind
from shared.channels.words import in_words

#: What Telegram is asked to report. Reactions come only to those who ask.
ALLOWED = ("message", "edited_message", "callback_query", "message_reaction")
#: A message's member -> the kind of file that it is. A GIF comes as an animation and a document: the first that fits counts.
_FILES = {
    "voice": MediaKind.VOICE,
    "audio": MediaKind.AUDIO,
    "animation": MediaKind.VIDEO,
    "video": MediaKind.VIDEO,
    "video_note": MediaKind.VIDEO,
    "sticker": MediaKind.STICKER,
    "document": MediaKind.DOCUMENT,
}
#: Characters of a quoted message that are kept.
MAX_QUOTE = 1_000
#: Members whose message somebody wrote; all others are news of the chat, and nobody waits for an answer to those.
_WRITTEN = (
    *("text", "photo", *_FILES, "location", "venue", "contact", "poll", "caption", "dice", "checklist", "paid_media", "story"),
    *("game", "web_app_data"),
)
#: A command: /start, /order_status 4711, /help@tea_bot. Nothing else begins like one: "/etc/hosts" is a text.
_COMMAND = re.compile(r"/([a-z0-9_]{1,32})(?:@\w+)?((?:\s.*)?)", re.I | re.S | re.ASCII)
#: Commands of somebody who wants to hear no more; a person sees them, and the bot is silent until the next message.
_NOT_ANSWERED = frozenset({"stop"})


def parse_body(bot_id: str, body: dict[str, Any]) -> InboundBatch:
    """An update, as what one bot was sent: exactly one item."""
    return InboundBatch(bot_id, [parse_item(_update, body)], body)


def pressed_button(body: dict[str, Any]) -> str:
    """The id of a callback query, which must be answered, or the button stays busy; "" of any other update."""
    return get_text(body, "callback_query", "id")


def _update(body: dict[str, Any]) -> InboundItem:
    for name, parser in _PARSERS.items():
        if isinstance(body.get(name), dict):
            return parser(body)
    return IgnoredItem(raw=body)


def message_id(chat_id: Any, number: Any) -> str:
    """Our id of a message."""
    return f"{chat_id}:{number}"


def _written(body: dict[str, Any]) -> InboundItem:
    return _message(body, body["message"])


def _edited(body: dict[str, Any]) -> InboundItem:
    message = body["edited_message"]
    item = _message(body, message)
    is_live = get_path(message, "location", "live_period") is not None  # moves by itself, every few seconds
    if not isinstance(item, InboundMessage) or "unsupported" in item.metadata or is_live:
        return item if isinstance(item, MalformedItem) else IgnoredItem(raw=body)
    return InboundEdit(raw=body, original_id=item.external_id, content=item.content, sent_at=item.sent_at, message=item)


def _message(body: dict[str, Any], message: dict[str, Any]) -> InboundItem:
    chat_id, number = get_path(message, "chat", "id"), message.get("message_id")
    if not isinstance(chat_id, int) or not isinstance(number, int):
        return MalformedItem(raw=body, reason="A message has no chat.id or message_id.")
    kind = next((name for name in _WRITTEN if message.get(name)), "gift" if get_text(message, "gift", "text") else "")
    if not _is_private(message) or not kind:
        return IgnoredItem(raw=body)
    data, media = _data(message), _media(message)
    command, argument = _command(message)
    if command == "start" and argument:
        data["referral"] = {"source_type": "link", "source_id": argument}
    words = in_words(data, _command_words(command, argument) or _words(message))
    metadata = {"profile_name": _name(message.get("from"))}
    if not words or media:
        metadata["attachment" if words else "unsupported"] = kind
    return InboundMessage(
        raw=body,
        external_user_id=str(chat_id),
        external_id=message_id(chat_id, number),
        content=words or f"[{kind}]",
        kind=Kind.SYSTEM if command in _NOT_ANSWERED else Kind.MEDIA if media else _kind(data),
        data=data,
        media=media,
        sent_at=_time(message.get("edit_date") or message.get("date")),
        metadata={name: value for name, value in metadata.items() if value},
    )


def _words(message: dict[str, Any]) -> str:
    """What was typed, also with a gift, with the addresses behind its words; the throw of a dice, the lines of a list."""
    text = get_text(message, "text") or get_text(message, "caption") or get_text(message, "gift", "text")
    marks = [*get_objects(message.get("entities")), *get_objects(message.get("caption_entities"))]
    links = [url for mark in marks if get_text(mark, "type") == "text_link" and (url := get_text(mark, "url")) not in text]
    tasks = [f"- {task}" for one in get_objects(get_path(message, "checklist", "tasks")) if (task := get_text(one, "text"))]
    dice = (get_text(message, "dice", "emoji"), get_path(message, "dice", "value"))
    thrown = f"{dice[0]} {dice[1]}" if all(dice) else ""
    lines = (text, *dict.fromkeys(links), get_text(message, "checklist", "title"), *tasks, thrown)
    return "\n".join(filter(None, lines))


def _command(message: dict[str, Any]) -> tuple[str, str]:
    """A command that was sent, and what is behind it; "" if the text is none."""
    found = _COMMAND.fullmatch(get_text(message, "text"))
    return (found[1].lower(), found[2].strip()) if found else ("", "")


def _command_words(command: str, argument: str) -> str:
    """What a person who pressed it would say: the bot that is started is greeted, in no language; others are their words."""
    if command in _NOT_ANSWERED:
        return f"/{command}"
    return "👋" if command == "start" else f"{command.replace('_', ' ')} {argument}".strip()


def _is_private(message: dict[str, Any]) -> bool:
    return get_path(message, "chat", "type") == "private" and get_path(message, "from", "is_bot") is not True


def _kind(data: dict[str, Any]) -> Kind:
    kinds = {"location": Kind.LOCATION, "contacts": Kind.CONTACT, "poll": Kind.POLL, "form": Kind.FORM}
    return next((kind for name, kind in kinds.items() if name in data), Kind.TEXT)


def _name(person: Any) -> str:
    return " ".join(filter(None, (get_text(person, "first_name"), get_text(person, "last_name"))))[:100]


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, int) and 0 < value < 100_000_000_000 else None


# ------------------------------------------------------------------------------------------------------------- contents


def _data(message: dict[str, Any]) -> dict[str, Any]:
    """What is more than words (shared/channels/words.py)."""
    found = {
        "quoted": _quoted(message),
        "location": _place(message),
        "contacts": _contacts(message.get("contact")),
        "poll": _poll(message.get("poll")),
        "form": _form(message.get("web_app_data")),
        "album": get_text(message, "media_group_id"),
    }
    return {name: value for name, value in found.items() if value}


def _quoted(message: dict[str, Any]) -> dict[str, Any]:
    """The message that is replied to; its words as well, or those of it that were picked, for we may not have it."""
    original, number = message.get("reply_to_message"), get_path(message, "reply_to_message", "message_id")
    text = get_text(message, "quote", "text") or get_text(original, "text") or get_text(original, "caption")
    quoted = {"id": message_id(get_path(message, "chat", "id"), number)} if isinstance(number, int) else {}
    return quoted | ({"text": text[:MAX_QUOTE]} if text else {})


def _place(message: dict[str, Any]) -> dict[str, Any]:
    """A venue has a location, and its message has it once more."""
    place, venue = message.get("location"), message.get("venue")
    place = place if isinstance(place, dict) else get_path(venue, "location")
    found = {
        "latitude": get_path(place, "latitude"),
        "longitude": get_path(place, "longitude"),
        "name": get_text(venue, "title"),
        "address": get_text(venue, "address"),
    }
    return {name: value for name, value in found.items() if value not in ("", None)}


def _contacts(contact: Any) -> list[dict[str, Any]]:
    """A card; the phone's own has more than a name and a number."""
    phone, card = get_text(contact, "phone_number"), vcards.read(_name(contact), get_text(contact, "vcard"))
    return [{**card, **({"phones": [phone]} if phone and "phones" not in card else {})}] if phone or card else []


def _poll(poll: Any) -> dict[str, Any]:
    options = [get_text(option, "text") for option in get_objects(get_path(poll, "options"))]
    return {"question": get_text(poll, "question"), "options": options} if isinstance(poll, dict) else {}


def _form(sent: Any) -> dict[str, Any]:
    """What a page that a button of the keyboard opened sends back: a text, mostly JSON."""
    said = get_text(sent, "data")
    answers = {"answer": said} if not isinstance(read := nested_json.read(said), dict) else read
    return {"name": get_text(sent, "button_text"), "answers": answers} if said else {}


def _media(message: dict[str, Any]) -> tuple[Media, ...]:
    """The message's file; of a picture, which comes in several sizes, the largest."""
    sizes = get_objects(message.get("photo"))
    if sizes:
        return _file(MediaKind.IMAGE, max(sizes, key=_area), "image/jpeg")
    name = next((name for name in _FILES if isinstance(message.get(name), dict)), "")
    return _file(_FILES[name], message[name]) if name else ()


def _area(size: dict[str, Any]) -> int:
    width, height = size.get("width"), size.get("height")
    return width * height if isinstance(width, int) and isinstance(height, int) else 0


def _file(kind: MediaKind, file: dict[str, Any], mime: str = "") -> tuple[Media, ...]:
    file_id, size = get_text(file, "file_id"), file.get("file_size")
    if not file_id:
        return ()
    media = Media(
        kind=kind,
        source={"file_id": file_id},
        mime=get_text(file, "mime_type") or mime or None,
        filename=get_text(file, "file_name") or None,
        size=size if isinstance(size, int) else None,
    )
    return (media,)


# ------------------------------------------------------------------------------------------------- buttons and reactions


def _pressed(body: dict[str, Any]) -> InboundItem:
    """A button of one of our messages; its title is in the message that Telegram sends along."""
    query = body["callback_query"]
    identity, data = get_text(query, "id"), get_text(query, "data")
    if "inline_message_id" in query:  # of a message that somebody shared in a chat that we do not know
        return IgnoredItem(raw=body)
    # Where the message is not told, it is that of the person's own chat, whose number is theirs.
    chat = get_path(query, "message", "chat") or {"id": get_path(query, "from", "id"), "type": "private"}
    chat_id = get_path(chat, "id")
    if not identity or not isinstance(chat_id, int):
        return MalformedItem(raw=body, reason="A callback_query has no id or message.chat.id.")
    if get_path(chat, "type") != "private" or not data:
        return IgnoredItem(raw=body)
    choice = {name: value for name, value in {"id": data, "title": _title(query, data)}.items() if value}
    number = get_path(query, "message", "message_id")
    quoted = {"quoted": {"id": message_id(chat_id, number)}} if isinstance(number, int) else {}
    return InboundMessage(
        raw=body,
        external_user_id=str(chat_id),
        external_id=f"callback:{identity}",
        content=in_words({"choice": choice}),
        kind=Kind.CHOICE,
        data={"choice": choice, **quoted},
        metadata={"profile_name": name} if (name := _name(query.get("from"))) else {},
    )


def _title(query: dict[str, Any], data: str) -> str:
    rows = get_path(query, "message", "reply_markup", "inline_keyboard")
    buttons = [button for row in (rows if isinstance(rows, list) else []) for button in get_objects(row)]
    return next((get_text(button, "text") for button in buttons if get_text(button, "callback_data") == data), "")


#: Reactions that have a type instead of an emoji: a star was paid.
_EMOJI = {"paid": "⭐"}


def _reacted(body: dict[str, Any]) -> InboundItem:
    reaction = body["message_reaction"]
    chat_id, number = get_path(reaction, "chat", "id"), reaction.get("message_id")
    if get_path(reaction, "chat", "type") != "private" or not isinstance(number, int):
        return IgnoredItem(raw=body)
    put = get_objects(reaction.get("new_reaction"))
    emoji = next((emoji for one in put if (emoji := get_text(one, "emoji") or _EMOJI.get(get_text(one, "type"), ""))), "")
    if put and not emoji:  # a picture of somebody's own
        return IgnoredItem(raw=body)
    return InboundReaction(raw=body, message_id=message_id(chat_id, number), emoji=emoji, external_user_id=str(chat_id))


_PARSERS: dict[str, Callable[[dict[str, Any]], InboundItem]] = {
    "message": _written,
    "edited_message": _edited,
    "callback_query": _pressed,
    "message_reaction": _reacted,
}
