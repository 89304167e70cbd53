"""What an update of Telegram reports: a message, an edit, a pressed button, a reaction.

Source: Bot API 10.3, Update. Only private chats are answered. A message's id counts within its chat, so ours has both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from shared.channels.inbound import (
    IgnoredItem,
    InboundBatch,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundReaction,
    MalformedItem,
    get_id,
    get_objects,
    get_path,
    get_text,
    get_time,
    integer,
    parse_item,
)
from shared.channels.kinds import Kind
from shared.channels.telegram.contents import FILES, data_of, kind_of, media_of, message_id, name_of, words_of
from shared.channels.words import in_words

#: What Telegram is asked to report. Reactions come only to those who ask.
ALLOWED = ("message", "edited_message", "callback_query", "message_reaction")
#: Members whose message somebody wrote; all others are news of the chat, and nobody waits for an answer to those.
_WRITTEN = (
    *("text", "photo", *FILES, "paid_media", "location", "venue", "contact", "poll", "caption", "dice", "checklist", "story"),
    *("game", "web_app_data", "rich_message", "invoice", "giveaway", "giveaway_winners", "users_shared", "chat_shared"),
)
#: What people see and nobody is asked to answer, unless it has words.
_GIVEN = ("gift", "unique_gift", "successful_payment", "refunded_payment")
#: A command: /start, /order_status 4711, /help@tea_bot. Nothing else begins like one: "/etc/hosts" is a text.
_COMMAND = re.compile(r"/([a-z0-9_]{1,32})(?:@\w+)?((?:\s.*)?)", re.I | re.S | re.ASCII)
#: What a link may give to /start; anything else behind that was typed.
_PAYLOAD = re.compile(r"[\w-]{1,64}", re.ASCII)
#: Commands of somebody who wants to hear no more; a person sees them, and the bot is silent until the next message.
_NOT_ANSWERED = frozenset({"stop"})


def parse_body(bot_id: str, body: dict[str, Any]) -> InboundBatch:
    """An update, as what one bot was sent: exactly one item."""
    return InboundBatch(bot_id, [parse_item(_update, body)], body)


def pressed_button(body: dict[str, Any]) -> str:
    """The id of a callback query, which must be answered, or the button stays busy; "" of any other update."""
    return get_id(body, "callback_query", "id")


def _update(body: dict[str, Any]) -> InboundItem:
    for name, parser in _PARSERS.items():
        if isinstance(body.get(name), dict):
            return parser(body)
    return IgnoredItem(raw=body)


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
    chat_id, number = integer(get_path(message, "chat", "id")), integer(message.get("message_id"))
    if chat_id is None or number is None:
        return MalformedItem(raw=body, reason="A message has no chat.id or message_id.")
    kind = next((name for name in (*_WRITTEN, *_GIVEN) if message.get(name)), "")
    if not _is_private(message) or not kind:
        return IgnoredItem(raw=body)
    data, media = data_of(message), media_of(message)
    command, argument = _command(message)
    typed = argument
    if command == "start" and _is_payload(message, argument):
        data["referral"], typed = {"source_type": "link", "source_id": argument}, ""
    words = in_words(data, _command_words(command, typed) or words_of(message))
    if kind == "text" and not words:  # nobody needs to hear that we read only text
        return IgnoredItem(raw=body)
    metadata = {"profile_name": name_of(message.get("from")), "topic": _topic(message)}
    is_silent = (command in _NOT_ANSWERED and not typed) or (kind in _GIVEN and not words)
    if (not words or media) and not is_silent:
        metadata["attachment" if words else "unsupported"] = kind
    return InboundMessage(
        raw=body,
        external_user_id=str(chat_id),
        external_id=message_id(chat_id, number),
        content=words or f"[{kind}]",
        kind=Kind.SYSTEM if is_silent else Kind.MEDIA if media else kind_of(data),
        data=data,
        media=media,
        sent_at=get_time(message.get("edit_date") or message.get("date")),
        metadata={name: value for name, value in metadata.items() if value},
    )


def _topic(message: Any) -> int | None:
    """The topic of a private chat in which it was written; replies go there as well (workers/telegram.sql)."""
    is_in_one = get_path(message, "is_topic_message") is True
    return integer(get_path(message, "message_thread_id")) if is_in_one else None


def _command(message: dict[str, Any]) -> tuple[str, str]:
    """A command that was sent, and what is behind it; "" if the text is none."""
    found = _COMMAND.fullmatch(get_text(message, "text"))
    return (found[1].lower(), found[2].strip()) if found else ("", "")


def _is_payload(message: dict[str, Any], argument: str) -> bool:
    """Whether a link has put it there, and nobody typed it: one word, in the command's line."""
    return bool(_PAYLOAD.fullmatch(argument)) and get_text(message, "text").endswith(f" {argument}")


def _command_words(command: str, typed: str) -> str:
    """What a person who pressed it would say: the bot that is started is greeted, in no language; others are their words, as is
    what was typed behind one."""
    if command == "start":
        return typed or "👋"
    if command in _NOT_ANSWERED and not typed:
        return f"/{command}"
    return f"{command.replace('_', ' ')} {typed}".strip()


def _is_private(message: dict[str, Any]) -> bool:
    return get_path(message, "chat", "type") == "private" and get_path(message, "from", "is_bot") is not True


# ------------------------------------------------------------------------------------------------- buttons and reactions


def _pressed(body: dict[str, Any]) -> InboundItem:
    """A button of one of our messages; its title is in the message that Telegram sends along."""
    query = body["callback_query"]
    identity, data = get_id(query, "id"), get_text(query, "data")
    if "inline_message_id" in query:  # of a message that somebody shared in a chat that we do not know
        return IgnoredItem(raw=body)
    # Where the message is not told, it is that of the person's own chat, whose number is theirs.
    chat = get_path(query, "message", "chat") or {"id": get_path(query, "from", "id"), "type": "private"}
    chat_id = integer(get_path(chat, "id"))
    if not identity or chat_id is None:
        return MalformedItem(raw=body, reason="A callback_query has no id or message.chat.id.")
    if get_path(chat, "type") != "private" or not data:
        return IgnoredItem(raw=body)
    choice = {name: value for name, value in {"id": data, "title": _title(query, data)}.items() if value}
    number = get_path(query, "message", "message_id")
    quoted = {"quoted": {"id": message_id(chat_id, number)}} if isinstance(number, int) else {}
    metadata = {"profile_name": name_of(query.get("from")), "topic": _topic(query.get("message"))}
    return InboundMessage(
        raw=body,
        external_user_id=str(chat_id),
        external_id=f"callback:{identity}",
        content=in_words({"choice": choice}),
        kind=Kind.CHOICE,
        data={"choice": choice, **quoted},
        metadata={name: value for name, value in metadata.items() if value},
    )


def _title(query: dict[str, Any], data: str) -> str:
    rows = get_path(query, "message", "reply_markup", "inline_keyboard")
    buttons = [button for row in (rows if isinstance(rows, list) else []) for button in get_objects(row)]
    return next((get_text(button, "text") for button in buttons if get_text(button, "callback_data") == data), "")


#: Reactions that have a type instead of an emoji: a star was paid.
_EMOJI = {"paid": "⭐"}


def _reacted(body: dict[str, Any]) -> InboundItem:
    reaction = body["message_reaction"]
    chat_id, number = integer(get_path(reaction, "chat", "id")), integer(reaction.get("message_id"))
    if get_path(reaction, "chat", "type") != "private" or number is None:
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
