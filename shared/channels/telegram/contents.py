"""What a message of Telegram is made of: its words, its files, a place, cards, a poll.

Source: Bot API 10.3, Message.
"""

from __future__ import annotations

from typing import Any

from shared.channels import nested_json, vcards
from shared.channels.inbound import Media, get_id, get_objects, get_path, get_text, integer, present
from shared.channels.kinds import Kind, MediaKind
from shared.channels.telegram import rich
from shared.channels.words import in_words, quoted

#: A message's member -> the kind of file that it is. A GIF comes as an animation and a document: the first that fits counts.
FILES = {
    "voice": MediaKind.VOICE,
    "audio": MediaKind.AUDIO,
    "animation": MediaKind.VIDEO,
    "video": MediaKind.VIDEO,
    "video_note": MediaKind.VIDEO,
    "sticker": MediaKind.STICKER,
    "document": MediaKind.DOCUMENT,
    "voice_note": MediaKind.VOICE,
    "live_photo": MediaKind.VIDEO,
}
#: Files of one message that are fetched.
MAX_FILES = 10


def message_id(chat_id: Any, number: Any) -> str:
    """Our id of a message."""
    return f"{chat_id}:{number}"


def words_of(message: dict[str, Any]) -> str:
    """What was typed, also with a gift, with the addresses behind its words; the throw of a dice, the lines of a list, the emoji
    that a sticker stands for, what an invoice or a prize that somebody forwards is about."""
    text = _text(message) or get_text(message, "gift", "text")
    marks = [*get_objects(message.get("entities")), *get_objects(message.get("caption_entities"))]
    links = [url for mark in marks if get_text(mark, "type") == "text_link" and (url := get_text(mark, "url")) not in text]
    tasks = [f"- {task}" for one in get_objects(get_path(message, "checklist", "tasks")) if (task := get_text(one, "text"))]
    dice = (get_text(message, "dice", "emoji"), get_path(message, "dice", "value"))
    thrown = f"{dice[0]} {dice[1]}" if all(dice) else ""
    sticker = get_text(message, "sticker", "emoji")
    things = (("checklist", "title"), ("invoice", "title"), ("invoice", "description"), ("giveaway", "prize_description"))
    about = (get_text(message, *path) for path in things)
    lines = (text, *dict.fromkeys(links), *about, *tasks, thrown, sticker)
    return "\n".join(filter(None, lines))


def _text(message: Any) -> str:
    return get_text(message, "text") or get_text(message, "caption") or rich.words_of(get_path(message, "rich_message"))


def kind_of(data: dict[str, Any]) -> Kind:
    kinds = {"location": Kind.LOCATION, "contacts": Kind.CONTACT, "poll": Kind.POLL, "form": Kind.FORM}
    return next((kind for name, kind in kinds.items() if name in data), Kind.TEXT)


def name_of(person: Any) -> str:
    return " ".join(filter(None, (get_text(person, "first_name"), get_text(person, "last_name"))))[:100]


def data_of(message: dict[str, Any]) -> dict[str, Any]:
    """What is more than words (shared/channels/words.py)."""
    return present(quoted=_quoted(message), **_things(message), album=get_text(message, "media_group_id"))


def _things(message: dict[str, Any]) -> dict[str, Any]:
    return present(
        location=_place(message),
        contacts=_contacts(message.get("contact")),
        poll=_poll(message.get("poll")),
        form=_form(message.get("web_app_data")),
    )


def _quoted(message: dict[str, Any]) -> dict[str, Any]:
    """The message that is replied to, with its words or those of them that were picked. One of another chat has no id in ours."""
    original = message.get("reply_to_message")
    number = integer(get_path(original, "message_id"))
    replied_to = original or message.get("external_reply")
    said = in_words(_things(replied_to), words_of(replied_to)) if isinstance(replied_to, dict) else ""
    quoted_id = "" if number is None else message_id(get_path(message, "chat", "id"), number)
    return quoted(quoted_id, get_text(message, "quote", "text") or said)


def _place(message: dict[str, Any]) -> dict[str, Any]:
    """A venue has a location, and its message has it once more."""
    place, venue = message.get("location"), message.get("venue")
    place = place if isinstance(place, dict) else get_path(venue, "location")
    return present(
        latitude=get_path(place, "latitude"),
        longitude=get_path(place, "longitude"),
        name=get_text(venue, "title"),
        address=get_text(venue, "address"),
    )


def _contacts(contact: Any) -> list[dict[str, Any]]:
    """A card; the phone's own has more than a name and a number."""
    phone, card = get_id(contact, "phone_number"), vcards.read(name_of(contact), get_text(contact, "vcard"))
    return [{**card, **({"phones": [phone]} if phone and "phones" not in card else {})}] if phone or card else []


def _poll(poll: Any) -> dict[str, Any]:
    options = [get_text(option, "text") for option in get_objects(get_path(poll, "options"))]
    return {"question": get_text(poll, "question"), "options": options} if isinstance(poll, dict) else {}


def _form(sent: Any) -> dict[str, Any]:
    """What a page that a button of the keyboard opened sends back: a text, mostly JSON."""
    said = get_text(sent, "data")
    answers = {"answer": said} if not isinstance(read := nested_json.read(said), dict) else read
    return {"name": get_text(sent, "button_text"), "answers": answers} if said else {}


def media_of(message: dict[str, Any]) -> tuple[Media, ...]:
    """The message's file, those that were paid for, or those of a rich message; of a picture, which comes in several sizes, the
    largest."""
    sizes = get_objects(message.get("photo")) or get_objects(get_path(message, "live_photo", "photo"))
    if sizes:
        return _file(MediaKind.IMAGE, max(sizes, key=_area), "image/jpeg")
    name = next((name for name in FILES if isinstance(message.get(name), dict)), "")
    if name:
        return _file(FILES[name], message[name])
    holders = (*get_objects(get_path(message, "paid_media", "paid_media")), *rich.blocks_of(message.get("rich_message")))
    return tuple(file for holder in holders for file in media_of(holder))[:MAX_FILES]


def _area(size: dict[str, Any]) -> int:
    return (integer(size.get("width")) or 0) * (integer(size.get("height")) or 0)


def _file(kind: MediaKind, file: dict[str, Any], mime: str = "") -> tuple[Media, ...]:
    file_id = get_text(file, "file_id")
    if not file_id:
        return ()
    media = Media(
        kind=kind,
        source={"file_id": file_id},
        mime=get_text(file, "mime_type") or mime or None,
        filename=get_text(file, "file_name") or None,
        size=integer(file.get("file_size")),
    )
    return (media,)
