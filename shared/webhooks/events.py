"""The events that a business may hear of: the only list in Python. A test compares it with `webhook_event_names` in schema.sql.

An event is made by one of four functions of schema.sql, by what it is about: message_event_v2, conversation_event_v1,
channel_event_v1, customer_event_v1. What they return goes to job_complete_v2 and its siblings, or to events_add_v1. A new event
is a line here, a migration with the two functions that list names, its schema (schemas.py), a line in
workers/README.md, and its German in web/translations/de: that of its meaning in webhooks.po, of its schema in events.po.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class EventType:
    """A kind of event."""

    name: str
    #: When it happens, for who reads the list.
    meaning: str
    #: Whether an endpoint hears of it that does not say what it wants.
    by_default: bool = True

    @property
    def schema_path(self) -> str:
        """Where the JSON Schema of its data is served."""
        return f"/api/v1/events/schemas/{self.name}"


_ALL = (
    EventType("message.received", "A customer wrote a message."),
    EventType("message.sent", "A reply left: the channel took it, or the open page of the widget may show it."),
    EventType("message.delivered", "A reply arrived at the customer's phone.", by_default=False),
    EventType("message.read", "The customer read a reply.", by_default=False),
    EventType("message.failed", "A reply could not be sent, or did not arrive."),
    EventType("message.fallback", "The AI could not answer a message, and the customer gets the chatbot's fallback message."),
    EventType("conversation.opened", "A conversation began, or one that was closed began again."),
    EventType("conversation.handoff", "The bot, or a rule, asked for a person to answer."),
    EventType("conversation.assigned", "A person answers now, and the bot is silent; or the conversation was closed."),
    EventType("conversation.returned", "The bot answers again."),
    EventType("conversation.closed", "The conversation was closed. It opens again when the customer writes."),
    EventType("conversation.braked", "The bot is silent for a while, because it seems to talk to another bot."),
    EventType("channel.down", "A channel's account cannot send; its replies wait."),
    EventType("channel.up", "A channel's account can send again."),
    EventType("template.status", "WhatsApp approved, rejected, paused or deleted a message template."),
    EventType("knowledge.gap", "A question had no good answer in the knowledge base."),
    EventType("budget.warning", "Most of a budget is used."),
    EventType("budget.exhausted", "A budget is used up."),
    EventType("endpoint.disabled", "A webhook endpoint will soon be disabled, or was, because its deliveries fail."),
)
EVENT_TYPES = MappingProxyType({event.name: event for event in _ALL})
EVENTS = tuple(EVENT_TYPES)
DEFAULT_EVENTS = tuple(event.name for event in _ALL if event.by_default)
