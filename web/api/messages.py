"""/api/v1/conversations: conversations, their messages, and messages that the business itself sends."""

from __future__ import annotations

from typing import Any

from peewee import JOIN, ModelSelect, Node, fn

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels import ownership
from shared.db.outage import repeat_refused
from shared.models import Chatbot, Contact, Conversation, MergedConversation, Message
from shared.queue_service import outgoing_job_tickets
from web.api import outbound
from web.api.api import api, customer_id, existing, page, row_id, row_or_404
from web.api.media import media_of
from web.api.message_schemas import MessagePageSchema, MessageSchema
from web.api.outbound_schemas import OwnMessageSchema
from web.api.schemas import (
    ConversationPageSchema,
    ConversationQuerySchema,
    ConversationSchema,
    OwnerSchema,
    PageQuerySchema,
)
from web.parameters import IdempotencyHeader, key_reused

_MESSAGE = (
    Message.id,
    Message.conversation,
    Message.role,
    Message.kind,
    Message.content,
    Message.data,
    Message.sent_at,
    Message.edited_at,
    Message.revoked_at,
    Message.status,
    Message.reply_to,
    Message.error,
    Message.metadata["error_code"].as_json().alias("error_code"),
    Message.metadata["provider"].as_json().alias("provider"),
    Message.metadata["knowledge"].as_json().alias("knowledge"),
    Message.metadata["sources"].as_json().alias("sources"),
    Message.metadata["tool"].as_json().alias("tool"),
    Message.created_at,
    Message.updated_at,
)


_CONVERSATION = (
    Conversation.id,
    Conversation.chatbot,
    Conversation.channel,
    Conversation.external_user_id,
    Conversation.created_at,
    Conversation.updated_at,
    Conversation.owner,
    Conversation.owner_since,
    Conversation.returns_at,
    Conversation.braked_until,
    Conversation.handed_over_at,
    Conversation.handover_reason,
    Conversation.window_ends_at,
    Conversation.contact,
    Contact.name.alias("contact_name"),
)


@api.get("/conversations")
@api.query(ConversationQuerySchema)
@api.response(200, ConversationPageSchema)
def list_conversations(query: dict[str, Any]) -> dict[str, Any]:
    """List conversations"""
    conversations = _own(Conversation.select(*_CONVERSATION))
    if chatbot_id := query.pop("chatbot_id", None):
        conversations = conversations.where(Conversation.chatbot == chatbot_id)
    if owner := query.pop("owner", None):
        conversations = conversations.where(Conversation.owner == owner)
    return page(conversations, **query)


@api.get("/conversations/<int:conversation_id>")
@api.response(200, ConversationSchema)
def get_conversation(conversation_id: int) -> dict[str, Any]:
    """Get a conversation"""
    return _conversation(conversation_id, *_CONVERSATION)


@api.patch("/conversations/<int:conversation_id>")
@api.arguments(OwnerSchema)
@api.response(200, ConversationSchema)
def update_conversation(change: dict[str, Any], conversation_id: int) -> dict[str, Any]:
    """Say who answers a conversation

    With a person the bot is silent, and what it was about to say does not leave. Back with the bot, it answers what the customer
    wrote last, unless somebody has. A closed conversation opens again when the customer writes.
    """
    conversation = _conversation(conversation_id)
    with db.transaction():
        tickets = ownership.assign(conversation["id"], change["owner"], "api", change.get("return_after_minutes"))
    enqueue(tickets_of(tickets))
    return _conversation(conversation_id, *_CONVERSATION)


@api.get("/conversations/<int:conversation_id>/messages")
@api.query(PageQuerySchema)
@api.response(200, MessagePageSchema)
def list_messages(query: dict[str, Any], conversation_id: int) -> dict[str, Any]:
    """List the messages of a conversation"""
    conversation = _conversation(conversation_id)
    found = page(Message.select(*_MESSAGE).where(Message.conversation == conversation["id"]), **query)
    media = media_of(row["id"] for row in found["data"])
    return {**found, "data": [{**row, "media": media[row["id"]]} for row in found["data"]]}


@api.post("/conversations/<int:conversation_id>/messages")
@api.arguments(IdempotencyHeader, location="headers", error_status_code=400)
@api.arguments(OwnMessageSchema)
@api.response(202, MessageSchema)
@api.alt_response(409, response="CONFLICT")
@api.alt_response(
    200, schema=MessageSchema, description="The Idempotency-Key was used before: the message of then.", success=True
)
def send_message(header: dict[str, Any], message: dict[str, Any], conversation_id: int) -> tuple[dict[str, Any], int]:
    """Send a message into a conversation

    A text, with choices or without, or a `template`, as a person would: the conversation is theirs from then on, and the bot is
    silent until it goes back to it. A message that a system sends by itself, such as "your order has left", says
    `"take_over": false`. On WhatsApp Cloud a text is refused with 409 once `window_ends_at` is over; the problem document lists
    the `templates` that may be sent.
    """
    # Once more, if the conversation becomes a part of another one at this moment.
    return repeat_refused(lambda: _send(conversation_id, message, header.get("key")))


def _send(conversation_id: int, message: dict[str, Any], key: str | None) -> tuple[dict[str, Any], int]:
    conversation, inbound = _conversation(conversation_id), Message.alias()
    if earlier := _earlier(conversation["id"], message, key):
        return earlier, 200
    content, data = outbound.compose(message, conversation)
    outbound.check_window(conversation, data)
    written = (inbound.conversation == conversation["id"]) & (inbound.role == "user")
    reply = (
        Message.insert(
            conversation=conversation["id"],
            chatbot=conversation["chatbot_id"],
            channel=conversation["channel"],
            role="assistant",
            content=content,
            status="PENDING",
            metadata={"source": "api"},
            data=data,
            idempotency_key=key,
            # To the name under which the customer last wrote.
            address=inbound.select(inbound.address).where(written).order_by(inbound.id.desc()).limit(1),
        )
        .on_conflict(
            action="ignore",
            conflict_target=[Message.conversation, Message.idempotency_key],
            conflict_where=Message.idempotency_key.is_null(False),
        )
        .returning(*_MESSAGE, outgoing_job_tickets(customer_id()))
    )
    with db.transaction():
        # First, as workers/outgoing.sql does: two transactions never wait for each other.
        db.rows("select from conversation where id = %s for no key update", [conversation["id"]])
        sent = db.row(reply)
        if sent is None:
            return existing(_earlier(conversation["id"], message, key), "conversation"), 200
        owner_tickets = ownership.assign(conversation["id"], "person", "api") if message["take_over"] else []
    enqueue(tickets_of([*sent.pop("tickets"), *owner_tickets]))
    return {**sent, "media": []}, 202


def _own(conversations: ModelSelect[Conversation]) -> ModelSelect[Conversation]:
    whose = conversations.join(Chatbot).join_from(Conversation, Contact, JOIN.LEFT_OUTER)
    return whose.where(Chatbot.customer == customer_id())


def _conversation(conversation_id: int, *columns: Node) -> dict[str, Any]:
    """The conversation of this id, or the one that it has become a part of."""
    is_window_closed = fn.COALESCE(Conversation.window_ends_at <= fn.NOW(), False).alias("is_window_closed")
    read = Conversation.select(*(columns or (Conversation.id, Conversation.chatbot, Conversation.channel, is_window_closed)))
    merged = MergedConversation.select(MergedConversation.conversation).where(MergedConversation.id == row_id(conversation_id))
    is_it = (Conversation.id == conversation_id) | (Conversation.id == merged)
    return row_or_404(_own(read).where(is_it), "conversation")


def _earlier(conversation_id: int, given: dict[str, Any], key: str | None) -> dict[str, Any] | None:
    """What was sent with this key before; None if nothing was. Raises what `key_reused` makes for another content."""
    if key is None:
        return None
    same_key = (Message.conversation == conversation_id) & (Message.idempotency_key == key)
    message = db.row(Message.select(*_MESSAGE).where(same_key))
    if message is None:
        return None
    if not outbound.is_same(given, message):
        raise key_reused()
    return {**message, "media": []}
