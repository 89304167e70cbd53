"""Sends what the business itself writes into a conversation: through the API, or at the desk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from peewee import ModelInsert

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.models import Conversation, Message
from shared.queue_service import outgoing_job_tickets
from web import uploads
from web.api import outbound
from web.api.api import existing
from web.api.media import media_of
from web.parameters import key_reused
from web.uploads import FileRefused, Why

#: What an answer shows of a message.
MESSAGE = (
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


def send(
    customer_id: int,
    conversation: Mapping[str, Any],
    message: dict[str, Any],
    key: str | None,
    metadata: dict[str, Any],
    take_over: Callable[[], Any],
) -> tuple[dict[str, Any], int]:
    """The message, and 202 if it is new, or 200 if it was sent with this key before. Raises InvalidPayload, WindowClosed; of one
    with a `file` (uploads.File) StorageDown.

    `metadata` says who wrote it. `take_over` says in the same transaction whose the conversation is now, and returns tickets.
    """
    if earlier := _earlier(conversation["id"], message, key):
        return earlier, 200
    content, data = outbound.compose(message, conversation)
    outbound.check_window(conversation, data)
    if file := message.get("file"):
        file.keep(customer_id)
        metadata = metadata | uploads.said_with(content, file.kind)
    with db.transaction():
        # First, as workers/outgoing.sql does: two transactions never wait for each other.
        own = Conversation.select(Conversation.id).where(Conversation.id == conversation["id"])
        db.rows(own.for_update("FOR NO KEY UPDATE"))  # type: ignore[arg-type]  # peewee takes it
        reply = _insert(conversation, content, data, key, metadata, "media" if file else "text")
        sent = db.row(reply.returning(*MESSAGE, outgoing_job_tickets(customer_id)))
        if sent is None:
            return existing(_earlier(conversation["id"], message, key), "conversation"), 200
        if file:
            uploads.attach(customer_id, sent["id"], file)
        owner_tickets = take_over()
    enqueue(tickets_of([*sent.pop("tickets"), *owner_tickets]))
    return _with_media(sent), 202


def again(failed: Mapping[str, Any]) -> tuple[dict[str, Any], str] | None:
    """A message that failed, as it is sent once more, and the key by which that happens once. None: it has not failed."""
    if failed["status"] != "FAILED" or failed["role"] != "assistant":
        return None
    message: dict[str, Any] = {"content": failed["content"]}
    if failed["kind"] == "media":
        message = _file_again(failed)
    elif template := failed["data"].get("template"):
        message = {"template": {name: template[name] for name in ("name", "language", "parameters")}}
    elif "choices" in failed["data"]:
        message["choices"] = failed["data"]["choices"]
    return message, f"retry-{failed['id']}"


def _file_again(failed: Mapping[str, Any]) -> dict[str, Any]:
    """A file that failed to leave, with its caption. Raises FileRefused if it is no longer kept."""
    [sent] = media_of([failed["id"]])[failed["id"]]
    if sent["state"] != "stored":
        raise FileRefused(Why.GONE)
    file = uploads.Earlier(sent["id"], sent["kind"], sent["mime"], sent["size"], sent["sha256"], sent["filename"])
    return {"file": file, "content": "" if failed["content"] == uploads.label(file.kind) else failed["content"]}


def _with_media(message: dict[str, Any]) -> dict[str, Any]:
    """The message, with what it came with."""
    return {**message, "media": media_of([message["id"]])[message["id"]] if message["kind"] == "media" else []}


def _insert(
    conversation: Mapping[str, Any], content: str, data: dict[str, Any], key: str | None, metadata: dict[str, Any], kind: str
) -> ModelInsert:
    """The message's row; nothing if one with this key is there."""
    inbound = Message.alias()
    written = (inbound.conversation == conversation["id"]) & (inbound.role == "user")
    return Message.insert(
        conversation=conversation["id"],
        chatbot=conversation["chatbot_id"],
        channel=conversation["channel"],
        role="assistant",
        content=content,
        status="PENDING",
        metadata=metadata,
        data=data,
        kind=kind,
        idempotency_key=key,
        # To the name under which the customer last wrote.
        address=inbound.select(inbound.address).where(written).order_by(inbound.id.desc()).limit(1),
    ).on_conflict(
        action="ignore",
        conflict_target=[Message.conversation, Message.idempotency_key],
        conflict_where=Message.idempotency_key.is_null(False),
    )


def _earlier(conversation_id: int, given: dict[str, Any], key: str | None) -> dict[str, Any] | None:
    """What was sent with this key before; None if nothing was. Raises what `key_reused` makes for another request."""
    if key is None:
        return None
    same_key = (Message.conversation == conversation_id) & (Message.idempotency_key == key)
    take_over = Message.metadata["take_over"].as_json().alias("take_over")
    message = db.row(Message.select(*MESSAGE, take_over).where(same_key))
    if message is None:
        return None
    message = _with_media(message)
    if not outbound.is_same(given, message):
        raise key_reused()
    return message
