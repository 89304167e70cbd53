"""/api/v1/chatbots: a business's chatbots and their settings (shared/teaching/chatbots.py)."""

from __future__ import annotations

from typing import Any

from flask import Response

from shared import db
from shared.models import Chatbot
from shared.teaching import chatbots
from shared.teaching.chatbots import CHATBOT, ChatbotChangesSchema, ChatbotSchema
from web.api.api import MAX_TEXT_BODY, api, customer_id, existing, page, row_or_404
from web.api.schemas import PageQuerySchema
from web.api.teaching_schemas import ChatbotPageSchema, StoredChatbotSchema
from web.audited import audited
from web.hardening import max_body


@api.get("/chatbots")
@api.query(PageQuerySchema)
@api.response(200, ChatbotPageSchema)
def list_chatbots(query: dict[str, Any]) -> dict[str, Any]:
    """List chatbots"""
    return page(Chatbot.select(*CHATBOT).where(Chatbot.customer == customer_id()), **query)


@api.post("/chatbots")
@api.arguments(ChatbotSchema)
@api.response(201, StoredChatbotSchema)
@api.alt_response(409, response="CONFLICT")
@max_body(MAX_TEXT_BODY)
def create_chatbot(chatbot: dict[str, Any]) -> dict[str, Any]:
    """Create a chatbot

    What is not given has a default. Without a knowledge base it knows nothing of the business. 409: there are 100 already.
    """
    with db.transaction():
        created = chatbots.create_chatbot(customer_id(), chatbot)
        audited("chatbot.created", "chatbot", created["id"], name=created["name"])
    return created


@api.get("/chatbots/<int:chatbot_id>")
@api.response(200, StoredChatbotSchema)
def get_chatbot(chatbot_id: int) -> dict[str, Any]:
    """Get a chatbot"""
    return row_or_404(Chatbot.select(*CHATBOT).where(chatbots.is_own(customer_id(), chatbot_id)), "chatbot")


@api.patch("/chatbots/<int:chatbot_id>")
@api.arguments(ChatbotChangesSchema)
@api.response(200, StoredChatbotSchema)
@max_body(MAX_TEXT_BODY)
def update_chatbot(changes: dict[str, Any], chatbot_id: int) -> dict[str, Any]:
    """Update a chatbot

    What is not named stays.
    """
    named = ", ".join(sorted(changes))
    with db.transaction():
        changed = existing(chatbots.change_chatbot(customer_id(), chatbot_id, changes), "chatbot")
        if named:
            audited("chatbot.changed", "chatbot", chatbot_id, name=changed["name"], changed=named)
    return changed


@api.delete("/chatbots/<int:chatbot_id>")
@api.response(204)
@api.alt_response(409, response="CONFLICT")
def delete_chatbot(chatbot_id: int) -> Response:
    """Delete a chatbot

    Only one that has no conversations; its WhatsApp number and QR session are disconnected with it.
    """
    with db.transaction():
        name = existing(chatbots.delete_chatbot(customer_id(), chatbot_id), "chatbot")
        audited("chatbot.deleted", "chatbot", chatbot_id, name=name)
    return Response(status=204)
