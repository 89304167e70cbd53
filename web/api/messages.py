"""/api/v1/conversations: conversations, their messages, and messages that the business itself sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import request
from peewee import JOIN, ModelSelect, Node, fn
from werkzeug.exceptions import Conflict, RequestEntityTooLarge

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels import ownership
from shared.db.outage import repeat_refused
from shared.errors import InvalidPayload
from shared.inbox import work
from shared.models import Chatbot, Contact, Conversation, MergedConversation, Message
from web import uploads
from web.api import sending
from web.api.api import api, customer_id, existing, page, row_or_404
from web.api.forms import MULTIPART, form_with_file
from web.api.idempotency import REPLAYED
from web.api.media import media_of
from web.api.message_schemas import MessagePageSchema, MessageSchema
from web.api.outbound_schemas import FileMessageSchema, OwnMessageSchema
from web.api.schemas import (
    ConversationPageSchema,
    ConversationQuerySchema,
    ConversationSchema,
    OwnerSchema,
    PageQuerySchema,
)
from web.audited import audited
from web.hardening import MAX_BODY, max_body
from web.parameters import IdempotencyHeader, parser

#: A body, a status, and headers.
Answer = tuple[dict[str, Any], int, dict[str, str]]

_CONVERSATION = (
    Conversation.id,
    Conversation.chatbot,
    Conversation.channel,
    Conversation.external_user_id,
    Conversation.created_at,
    Conversation.updated_at,
    Conversation.owner,
    Conversation.owner_since,
    Conversation.assigned_to_id,
    Conversation.returns_at,
    Conversation.braked_until,
    Conversation.handed_over_at,
    Conversation.handover_reason,
    Conversation.window_ends_at,
    Conversation.is_test,
    Conversation.contact,
    Contact.name.alias("contact_name"),
)

#: What the audit says of who answers now.
_ACTIONS = {"person": "conversation.assigned", "bot": "conversation.returned", "closed": "conversation.closed"}


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
    return conversation_of(conversation_id, *_CONVERSATION)


@api.patch("/conversations/<int:conversation_id>")
@api.arguments(OwnerSchema)
@api.response(200, ConversationSchema)
@api.alt_response(409, response="CONFLICT")
def update_conversation(change: dict[str, Any], conversation_id: int) -> dict[str, Any]:
    """Say who answers a conversation

    With a person the bot is silent, and what it was about to say does not leave. Back with the bot, it answers what the customer
    wrote last, unless somebody has; where the bot has it already and is silent (`braked_until`), it answers again. A closed
    conversation opens again when the customer writes.
    """
    conversation, minutes = conversation_of(conversation_id), change.get("return_after_minutes")
    if user_id := change.get("assigned_to"):
        if all(one["id"] != user_id for one in work.colleagues(customer_id())):
            raise InvalidPayload(
                "conversation", {"assigned_to": "there is no such colleague who may log in; GET /team lists them"}
            )
        _give(conversation["id"], user_id, minutes)
    else:
        with db.transaction():
            tickets = ownership.assign(conversation["id"], change["owner"], "api", minutes)
            _note(_ACTIONS[change["owner"]], conversation["id"])
        enqueue(tickets_of(tickets))
    return conversation_of(conversation_id, *_CONVERSATION)


@api.get("/conversations/<int:conversation_id>/messages")
@api.query(PageQuerySchema)
@api.response(200, MessagePageSchema)
def list_messages(query: dict[str, Any], conversation_id: int) -> dict[str, Any]:
    """List the messages of a conversation"""
    conversation = conversation_of(conversation_id)
    found = page(Message.select(*sending.MESSAGE).where(Message.conversation == conversation["id"]), **query)
    media = media_of(row["id"] for row in found["data"])
    return {**found, "data": [{**row, "media": media[row["id"]]} for row in found["data"]]}


@api.post("/conversations/<int:conversation_id>/messages")
@api.doc(
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": OwnMessageSchema}, MULTIPART: {"schema": FileMessageSchema}},
    }
)
@api.arguments(IdempotencyHeader, location="headers", error_status_code=400)
@api.response(202, MessageSchema)
@api.alt_response(409, response="CONFLICT")
@api.alt_response(408, response=HTTPStatus(408).name)
@api.alt_response(413, response=HTTPStatus(413).name)  # Python 3.13 has other names for 413 and 422
@api.alt_response(415, response="UNSUPPORTED_MEDIA_TYPE")
@api.alt_response(422, response=HTTPStatus(422).name)
@api.alt_response(
    200, schema=MessageSchema, description="The Idempotency-Key was used before: the message of then.", success=True
)
@max_body(uploads.MAX_FILE + uploads.FORM, uploads.IN_MEMORY)
def send_message(header: dict[str, Any], conversation_id: int) -> Answer:
    """Send a message into a conversation

    A text, with choices or without, or a `template`, as a person would: the conversation is theirs from then on, and the bot is
    silent until it goes back to it. A message that a system sends by itself, such as "your order has left", says
    `"take_over": false`. On WhatsApp Cloud a text is refused with 409 once `window_ends_at` is over; the problem document lists
    the `templates` that may be sent. A picture or another file is sent as multipart/form-data, with a caption or without.
    """
    with _given() as message:
        # Once more, if the conversation becomes a part of another one at this moment.
        return _replayed(*repeat_refused(lambda: _send(conversation_id, message, header.get("key"))))


@contextmanager
def _given() -> Iterator[dict[str, Any]]:
    """What is to be sent, as the request has it."""
    if request.mimetype != MULTIPART:
        if (request.content_length or 0) > MAX_BODY:  # only a file may be larger
            request.max_content_length = MAX_BODY
            raise RequestEntityTooLarge
        yield parser.parse(OwnMessageSchema, request, location="json")
        return
    file, given = form_with_file(FileMessageSchema)
    with uploads.arriving(file.stream, file.mimetype, file.filename or "") as upload:
        yield {**given, "file": upload}


def _send(conversation_id: int, message: dict[str, Any], key: str | None) -> tuple[dict[str, Any], int]:
    conversation = conversation_of(conversation_id)

    def take_over() -> Any:
        return ownership.assign(conversation["id"], "person", "api") if message["take_over"] else []

    about = {"source": "api", "take_over": message["take_over"]}
    return sending.send(customer_id(), conversation, message, key, about, take_over)


@api.post("/conversations/<int:conversation_id>/messages/<int:message_id>/retry")
@api.response(202, MessageSchema)
@api.alt_response(409, response="CONFLICT")
@api.alt_response(200, schema=MessageSchema, description="It was sent again before: that message.", success=True)
def resend_message(conversation_id: int, message_id: int) -> Answer:
    """Send a failed message again

    As a new message; asked twice it is sent once. Who answers the conversation stays.
    """

    def send() -> tuple[dict[str, Any], int]:
        conversation = conversation_of(conversation_id)
        own = (Message.conversation == conversation["id"]) & (Message.id == message_id)
        message, key = existing(
            sending.again(row_or_404(Message.select(*sending.MESSAGE).where(own), "message")), "failed message"
        )
        return sending.send(customer_id(), conversation, message, key, {"source": "api"}, list)

    return _replayed(*repeat_refused(send))


def _replayed(message: dict[str, Any], status: int) -> Answer:
    """The answer; of a message that was sent before it says so."""
    return message, status, {REPLAYED: "true"} if status == 200 else {}


def _note(action: str, conversation_id: int, **details: Any) -> None:
    """Records what was done to a conversation, in its transaction. Raises NotFound if it was erased meanwhile."""
    conversation_of(conversation_id)
    audited(action, "conversation", conversation_id, **details)


def _give(conversation_id: int, user_id: int, minutes: int | None) -> None:
    """To a colleague, whoever has it."""
    has_it = Conversation.select(Conversation.assigned_to_id).where(Conversation.id == conversation_id)
    try:
        note = partial(_note, _ACTIONS["person"], conversation_id, user=user_id)
        work.take(conversation_id, user_id, db.scalar(has_it), note, by="api", minutes=minutes)
    except work.Taken as faster:
        raise Conflict(
            f"{faster} That happened at this moment: look whether you still want to give it to somebody else."
        ) from None


def _own(conversations: ModelSelect[Conversation]) -> ModelSelect[Conversation]:
    whose = conversations.join(Chatbot).join_from(Conversation, Contact, JOIN.LEFT_OUTER)
    return whose.where(Chatbot.customer == customer_id())


def conversation_of(conversation_id: int, *columns: Node) -> dict[str, Any]:
    """The conversation of this id, or the one that it has become a part of."""
    is_window_closed = fn.COALESCE(Conversation.window_ends_at <= fn.NOW(), False).alias("is_window_closed")
    read = Conversation.select(*(columns or (Conversation.id, Conversation.chatbot, Conversation.channel, is_window_closed)))
    merged = MergedConversation.select(MergedConversation.conversation).where(MergedConversation.id == conversation_id)
    is_it = (Conversation.id == conversation_id) | (Conversation.id == merged)
    return row_or_404(_own(read).where(is_it), "conversation")
