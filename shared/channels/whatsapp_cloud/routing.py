"""Who answers a thread, where several may: what Meta reports beside a number's own messages.

smb_message_echoes   what was written in the WhatsApp Business app, where a number is used in both (coexistence)
standby              copies of what another responder is to answer, and of what it answered
messaging_handovers  the thread is ours from now on (control_passed), or another's (control_taken)

Source: Meta's pages on Conversation Routing and coexistence (2026-10). No call of the API tells whose a thread is. One in which
the customer has not written for a day is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from shared.channels.inbound import (
    IgnoredItem,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundRevoke,
    MalformedItem,
    OwnerChange,
    get_id,
    get_objects,
    parse_item,
)
from shared.channels.kinds import Author
from shared.channels.whatsapp_cloud.messages import read_message

#: Who was written to: of an echo, and of the body of a call of the API, by phone number or by user id.
_RECIPIENT = ("to", "to_user_id", "recipient", "to_parent_user_id")


def echoes(value: dict[str, Any]) -> list[InboundItem]:
    """What a colleague wrote on the phone."""
    return [parse_item(_echo, raw) for raw in get_objects(value.get("message_echoes"))]


def _echo(raw: dict[str, Any]) -> InboundItem:
    names = [name for member in _RECIPIENT if (name := get_id(raw, member))]
    user_id = next(iter(names), "")
    if not user_id or not get_id(raw, "id"):
        return MalformedItem(raw=raw, reason="An echo has no " + ("id." if user_id else "to or to_user_id."))
    item = read_message(raw, user_id, "")
    if isinstance(item, InboundEdit | InboundRevoke):
        return replace(item, raw=raw, author=Author.COLLEAGUE)
    if not isinstance(item, InboundMessage):
        return IgnoredItem(raw=raw)
    others = tuple(name for name in dict.fromkeys(names) if name != user_id)
    # A template is sent by a program, to many: who answers it does not talk to a colleague.
    is_personal = item.may_answer and raw.get("type") != "template"
    return replace(item, raw=raw, author=Author.COLLEAGUE, identities=others, may_answer=is_personal)


def standby(copies: dict[str, Any], messages: list[InboundItem]) -> list[InboundItem]:
    """Copies of what is another responder's: kept, and whoever wrote it is in their hands. `messages`: those in it, parsed."""
    own_words = [parse_item(_answered, raw) for raw in get_objects(copies.get("message_echoes"))]
    return [*_kept(messages), *_kept(own_words)]


def _answered(raw: dict[str, Any]) -> InboundItem:
    """What another responder answered: the body of its call, beside an id and a time."""
    body = raw.get("message")
    return _echo({**raw, **(body if isinstance(body, dict) else {}), "id": raw.get("id")})


def _kept(items: list[InboundItem]) -> Iterator[InboundItem]:
    """A corrected message may be one that never came: then the correction is that message."""
    for item in items:
        message = item.message if isinstance(item, InboundEdit) else item
        if not isinstance(message, InboundMessage):
            yield item
            continue
        copy = replace(message, may_answer=False, metadata={**message.metadata, "standby": True})
        yield OwnerChange(raw=item.raw, external_user_id=message.external_user_id, owner="person")
        yield replace(item, message=copy) if isinstance(item, InboundEdit) else copy


def handover(value: dict[str, Any]) -> list[InboundItem]:
    """The thread changed hands."""
    names = [get_id(value, "sender", name) for name in ("phone_number", "wa_id", "user_id")]
    user_id = next(filter(None, names), "").lstrip("+")
    is_ours = isinstance(value.get("control_passed"), dict)
    if not user_id or not (is_ours or isinstance(value.get("control_taken"), dict)):
        return [MalformedItem(raw=value, reason="A handover has no sender, or neither control_passed nor control_taken.")]
    return [OwnerChange(raw=value, external_user_id=user_id, owner="bot" if is_ours else "person")]
