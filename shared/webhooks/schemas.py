"""What an event looks like: a JSON Schema (draft 2020-12) of each, and an example.

They are served (web/event_types.py), and tests check events of a run against them. A receiver ignores members that it does not
know: new ones may come, what is here stays.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from shared.channels.registry import CHANNELS
from shared.webhooks.events import EVENT_TYPES

Member = dict[str, Any]
DRAFT = "https://json-schema.org/draft/2020-12/schema"


def _id(description: str, example: int, **more: Any) -> Member:
    return {"type": "integer", "minimum": 1, "description": description, "examples": [example], **more}


def _text(description: str, *examples: Any, **more: Any) -> Member:
    return {"type": "string", "description": description, "examples": list(examples), **more}


def _time(description: str, example: str = "2026-11-26T18:04:05Z") -> Member:
    return _text(description, example, format="date-time")


def _or_null(member: Member) -> Member:
    return {**member, "type": [member["type"], "null"]}


_SEQUENCE = _id("Of two events of a conversation, the one with the larger number happened later. Numbers have gaps.", 4711)
_IS_TEST = {
    "type": "boolean",
    "const": True,
    "description": "It is about a test chat of the desk; of a customer's conversation it is not there.",
    "examples": [True],
}
_CHATBOT = {
    "chatbot_id": _id("The chatbot.", 1),
    "channel": {"type": "string", "enum": list(CHANNELS), "description": "The channel.", "examples": ["whatsapp_cloud"]},
}
_PERSON = {"external_user_id": _text("Who writes: a phone number, a visitor's id.", "4915112345678")}
_CONVERSATION = {"conversation_id": _id("The conversation.", 12), **_CHATBOT}
_MESSAGE = {"message_id": _id("The message.", 345), **_CONVERSATION}
_REPLY = {**_MESSAGE, "reply_to": _or_null(_id("The message that it answers; null: a person wrote it.", 344))}
_OWNER = {
    **_CONVERSATION,
    **_PERSON,
    "owner": {
        "type": "string",
        "enum": ["bot", "person", "closed"],
        "description": "Who may answer now.",
        "examples": ["person"],
    },
    "by": _text("Who changed that: api, phone, provider, bot, customer, idle, or desk.", "api"),
    "returns_at": _or_null(_time("When the bot answers again, if nobody writes until then; null: not by itself.")),
}
_ACCOUNT = {
    **_CHATBOT,
    "account": _text("The number, session or bot.", "4930123456"),
    "state": _text("ok, degraded, needs_login, held or banned.", "needs_login"),
    "reason": _or_null(_text("Why, in a code of ours.", "token_invalid")),
    "explanation": _or_null(_text("Why, in words.", "Meta does not accept the access token any more.")),
    "since": _time("Since when.", "2026-11-26T18:04:05.123456+00:00"),
}
_AMOUNT = {"type": "number", "description": "An amount of money, in the currency of the prices.", "examples": [12.5]}
_BUDGET = {
    "budget_id": _id("The budget.", 3),
    "chatbot_id": _or_null(_id("Whose; null: all chatbots of the customer.", 1)),
    "month": _text("The month.", "2026-11", pattern="^[0-9]{4}-[0-9]{2}$"),
    "tokens": _or_null(_id("The limit in tokens.", 1_000_000, minimum=0)),
    "spent_tokens": _id("Tokens that are used.", 812_345, minimum=0),
    "money": _or_null(_AMOUNT),
    "spent_money": _or_null(_AMOUNT),
    "at_limit": _text("What happens when it is used up.", "hand_over"),
}

#: The members of each event's data beside `sequence`. Those of `_OPTIONAL` may be missing.
_DATA: dict[str, dict[str, Member]] = {
    "message.received": {
        **_MESSAGE,
        **_PERSON,
        "content": _text("What the customer wrote, or what it is in words.", "When do you ship?"),
        "kind": _text("What it is, if it is no plain text.", "media"),
        "data": {"type": "object", "description": "What it says beside its words, if it is no plain text.", "examples": [{}]},
    },
    "message.sent": {
        **_REPLY,
        "provider_id": _or_null(_text("The channel's id of it, where it has one.", "wamid.HBgN")),
        "kind": _text("What it is, if it is no plain text.", "media"),
    },
    "message.delivered": _REPLY,
    "message.read": _REPLY,
    "message.failed": {
        **_REPLY,
        "error": _or_null(_text("Why, in words.", "The number is not on WhatsApp.")),
        "error_code": _or_null(_text("Why, in a code of ours.", "recipient_unreachable")),
    },
    "message.fallback": {**_REPLY, "error": _or_null(_text("Why the AI could not answer.", "the provider answered HTTP 500"))},
    "conversation.opened": {
        **_CONVERSATION,
        **_PERSON,
        "is_new": {
            "type": "boolean",
            "description": "Whether it began; false: it was closed, and begins again.",
            "examples": [True],
        },
    },
    "conversation.handoff": {
        **_CONVERSATION,
        **_PERSON,
        "message_id": _or_null(_id("The message that the bot, or a rule, did not want to answer.", 344)),
        "reason": _text("Why: asked, misses, loop, unsupported, provider_down, out_of_hours, budget or rule.", "asked"),
    },
    "conversation.assigned": _OWNER,
    "conversation.returned": _OWNER,
    "conversation.closed": _OWNER,
    "conversation.braked": {
        **_CONVERSATION,
        **_PERSON,
        "reason": _text("Why.", "the last messages are alike"),
        "until": _time("Until when the bot is silent."),
    },
    "channel.down": _ACCOUNT,
    "channel.up": _ACCOUNT,
    "template.status": {
        "channel": {"const": "whatsapp_cloud", "examples": ["whatsapp_cloud"]},
        "waba_id": _text("The WhatsApp business account.", "102290129340398"),
        "name": _text("The template's name.", "order_shipped"),
        "language": _text("Its language.", "de"),
        "status": _text("WhatsApp's: APPROVED, REJECTED, PAUSED, DISABLED, DELETED, …", "APPROVED"),
        "reason": _or_null(_text("Why it was rejected or paused.", None)),
    },
    "knowledge.gap": {
        **_MESSAGE,
        "knowledge_base_id": _id("Where nothing was found.", 1),
        "question": _text("The question.", "Do you ship to Iceland?"),
        "reason": _text("What was missing.", "no_knowledge"),
    },
    "budget.warning": _BUDGET,
    "budget.exhausted": _BUDGET,
    "endpoint.disabled": {
        "endpoint_id": _id("The endpoint.", 2),
        "url": _or_null(_text("Its URL.", "https://shop.example/hook")),
        "state": {"enum": ["failing", "disabled"], "description": "failing: it will be disabled.", "examples": ["failing"]},
        "reason": _text("failing: it only fails. gone: it answered 410.", "failing"),
        "failing_since": _or_null(_time("Since when.", "2026-11-23T18:04:05.123456+00:00")),
        "disables_at": _or_null(_time("When it will be disabled.", "2026-11-28T18:04:05.123456+00:00")),
    },
}
_OPTIONAL = {"message.received": {"kind", "data"}, "message.sent": {"provider_id", "kind"}}


@cache
def schema(event: str) -> dict[str, Any]:
    """The schema of an event as it is delivered."""
    members = {**_DATA[event], "sequence": _SEQUENCE, **({"is_test": _IS_TEST} if "conversation_id" in _DATA[event] else {})}
    data = {
        "type": "object",
        "properties": members,
        "required": [name for name in members if name not in _OPTIONAL.get(event, ()) and name != "is_test"],
    }
    envelope = {
        "id": _text("The same for every attempt: ignore one that you have seen.", "evt_678", pattern="^evt_[0-9]+$"),
        "type": {"const": event, "examples": [event]},
        "timestamp": _time("When it happened.", "2026-11-26T18:04:05.123Z"),
        "data": data,
    }
    return {
        "$schema": DRAFT,
        "$id": EVENT_TYPES[event].schema_path,
        "title": event,
        "description": EVENT_TYPES[event].meaning,
        "type": "object",
        "properties": envelope,
        "required": list(envelope),
    }


def example(event: str) -> dict[str, Any]:
    """An event as it is delivered."""
    envelope: dict[str, Any] = schema(event)["properties"]
    return {name: example_data(event) if name == "data" else member["examples"][0] for name, member in envelope.items()}


def example_data(event: str) -> dict[str, Any]:
    """Its data, with all that is always there."""
    data = schema(event)["properties"]["data"]
    return {name: data["properties"][name]["examples"][0] for name in data["required"]}
