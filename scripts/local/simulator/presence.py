"""Read marks and typing, as Meta, WAHA, Evolution and Telegram take them: answered, and recorded as the kind `typing`."""

from __future__ import annotations

import re

from scripts.local.simulator.exchange import Reply, Request

_PATHS = re.compile(
    r"/api/(sendSeen|startTyping|stopTyping|[^/]+/presence)|/chat/(sendPresence|markMessageAsRead)/[^/]+|/bot[^/]+/sendChatAction"
)


def is_typing(request: Request) -> bool:
    """Whether a request shows what somebody does, and sends no message."""
    # In a text, the quotes would be escaped.
    return bool(_PATHS.fullmatch(request.path)) or b'"typing_indicator"' in request.body or b'"status": "read"' in request.body


def show(request: Request) -> Reply:
    """`key`: the chat or the message, `text`: what was done."""
    sent = request.json()
    if sent.get("messaging_product"):
        does = "read, typing" if "typing_indicator" in sent else "read"
        return Reply(200, {"success": True}, accepted=True, key=str(sent.get("message_id", "")), text=does)
    if "action" in sent:
        return Reply(200, {"ok": True, "result": True}, accepted=True, key=str(sent.get("chat_id")), text=str(sent["action"]))
    read = sent.get("readMessages") or [{}]
    key = sent.get("chatId") or sent.get("number") or read[0].get("remoteJid", "")
    does = sent.get("presence") or request.path.removeprefix("/api/").removeprefix("/chat/").split("/")[0]
    return Reply(201, {"result": True}, accepted=bool(key), key=key, text=does)
