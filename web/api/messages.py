"""/api/v1/conversations: what was said, and a message that the business itself says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, jsonify
from marshmallow import Schema, fields
from werkzeug.exceptions import NotFound

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.errors import InvalidPayload
from shared.payloads import MAX_CONTENT, check, not_blank
from web.api.api import api, body, customer_id, found_or_404, page_of, row_id, to_json
from web.parameters import idempotency_key, number, used_otherwise

_CONVERSATIONS = """
    select c.id, c.chatbot_id, c.channel, c.external_user_id, c.created_at, c.updated_at
    from conversation c join chatbot b on b.id = c.chatbot_id
    where b.customer_id = %(customer_id)s and c.id < %(before)s
      and (%(chatbot_id)s::bigint is null or c.chatbot_id = %(chatbot_id)s)
    order by c.id desc limit %(limit)s
"""

_CONVERSATION = """
    select c.id, c.channel from conversation c join chatbot b on b.id = c.chatbot_id
    where c.id = %(conversation_id)s and b.customer_id = %(customer_id)s
"""

_SHOWN = "m.id, m.conversation_id, m.role, m.content, m.status, m.reply_to, m.error, m.created_at, m.updated_at"

_MESSAGES = f"""
    select {_SHOWN} from message m join chatbot b on b.id = m.chatbot_id
    where m.conversation_id = %(conversation_id)s and b.customer_id = %(customer_id)s and m.id < %(before)s
    order by m.id desc limit %(limit)s
"""

_SAY = f"""
    with talk as (
        select c.id, c.chatbot_id, c.channel from conversation c join chatbot b on b.id = c.chatbot_id
        where c.id = %(conversation_id)s and b.customer_id = %(customer_id)s
    ), m as (
        insert into message (conversation_id, chatbot_id, channel, role, content, status, metadata, idempotency_key)
        select id, chatbot_id, channel, 'assistant', %(content)s, 'PENDING', '{{"source": "api"}}', %(key)s from talk
        on conflict (conversation_id, idempotency_key) where idempotency_key is not null do nothing
        returning *
    )
    select {_SHOWN}, job_add_v1(jsonb_build_array(
        outgoing_job_v1(%(customer_id)s, m.id, m.conversation_id, m.channel))) as tickets
    from m
"""

_SAID = f"select {_SHOWN} from message m where m.conversation_id = %(conversation_id)s and m.idempotency_key = %(key)s"


class NewMessage(Schema):
    """What a business says."""

    content = fields.String(required=True, validate=not_blank)


@api.get("/conversations")
def conversations() -> Response:
    """A page of conversations, newest first; `chatbot_id` for those of one."""
    return page_of(_CONVERSATIONS, chatbot_id=number("chatbot_id", None))


@api.get("/conversations/<int:conversation_id>/messages")
def messages(conversation_id: int) -> Response:
    """A page of a conversation's messages, newest first."""
    _conversation(conversation_id)
    return page_of(_MESSAGES, conversation_id=conversation_id)


@api.post("/conversations/<int:conversation_id>/messages")
def say(conversation_id: int) -> tuple[Response, int]:
    """Sends a message into a conversation: 202. The same Idempotency-Key again gives the first message, 200."""
    talk, key = _conversation(conversation_id), idempotency_key()
    content = check(NewMessage, "message", body())["content"]
    _fits(content, talk["channel"])
    params = {"conversation_id": talk["id"], "customer_id": customer_id(), "content": content, "key": key}
    said = db.row(_SAY, params)
    if said is None:
        return jsonify(_earlier(params)), 200
    enqueue(tickets_of(said.pop("tickets")))
    return jsonify(to_json(said)), 202


def _conversation(conversation_id: int) -> dict[str, Any]:
    params = {"conversation_id": row_id(conversation_id), "customer_id": customer_id()}
    return found_or_404(db.row(_CONVERSATION, params), "conversation")


def _fits(content: str, channel: str) -> None:
    if len(content) > MAX_CONTENT[channel]:
        problem = f"has {len(content)} characters; {channel} takes at most {MAX_CONTENT[channel]}"
        raise InvalidPayload("message", {"content": problem})


def _earlier(params: Mapping[str, Any]) -> dict[str, Any]:
    earlier = db.row(_SAID, params)
    if earlier is None:
        raise NotFound("the conversation is gone; want one of yours")
    if earlier["content"] != params["content"]:
        raise used_otherwise()
    return to_json(earlier)
