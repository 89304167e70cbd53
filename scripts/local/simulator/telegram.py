"""Telegram's Bot API: a bot whose token is any that looks like one, its chats, buttons, files and updates.

Chats whose number ends in 0403 have blocked the bot, in 0404 do not exist, nor do topics whose number ends in 404; a token
that ends in REVOKED is revoked. An update that is POSTed to /bot<token>/__update waits for getUpdates.
"""

from __future__ import annotations

import itertools
import re
import time
from collections import defaultdict
from typing import Any

from scripts.local.simulator import telegram_files
from scripts.local.simulator.exchange import Reply, Request

_PATH = re.compile(r"/bot(?P<token>(?P<bot>\d+):[\w-]+)/(?P<method>\w+)")
_FILE = re.compile(r"/file/bot(?P<token>\d+:[\w-]+)/(?P<path>[\w/.-]+)")
#: What every file is: the beginning of a voice note.
FILE = b"OggS\x00\x02" + bytes(range(64)) * 8
_numbers = itertools.count(1)
_updates: dict[str, list[dict[str, Any]]] = defaultdict(list)
_webhooks: dict[str, dict[str, Any]] = {}


def is_telegram(path: str) -> bool:
    """Whether a path is of the Bot API."""
    return bool(_PATH.fullmatch(path) or _FILE.fullmatch(path))


def answer(request: Request) -> Reply:
    """POST /bot<token>/<method>, GET /file/bot<token>/<path>."""
    if _FILE.fullmatch(request.path):
        return Reply(200, FILE, accepted=True, headers={"Content-Type": "application/octet-stream"})
    path = _PATH.fullmatch(request.path)
    assert path is not None  # is_telegram
    if path["token"].endswith("REVOKED"):
        return _refused(401, "Unauthorized")
    if path["method"] in telegram_files.METHODS:
        reply = _send_file(path["bot"], path["method"], request)
    else:
        method = _METHODS.get(path["method"])
        reply = method(path["bot"], request.json()) if method else _refused(404, "Not Found: method not found")
    reply.sender = path["bot"]
    return reply


def _done(result: Any, **noted: Any) -> Reply:
    return Reply(200, {"ok": True, "result": result}, accepted=True, **noted)


def _refused(status: int, description: str, **parameters: Any) -> Reply:
    more = {"parameters": parameters} if parameters else {}
    return Reply(status, {"ok": False, "error_code": status, "description": description, **more})


def _send(bot: str, sent: dict[str, Any]) -> Reply:
    chat, text = str(sent.get("chat_id", "")), str(sent.get("text", ""))
    reply = _refused_text(text) or _refused_chat(chat, sent) or _sent(bot, chat, {"text": text}, sent)
    reply.key, reply.text, reply.topic = chat, text, sent.get("message_thread_id")
    return reply


def _send_file(bot: str, method: str, request: Request) -> Reply:
    sent, file, wrong = telegram_files.read(method, request)
    chat, caption = sent.get("chat_id", ""), sent.get("caption", "")
    content = {method.removeprefix("send").lower(): {"file_id": f"file_{next(_numbers)}"}, "caption": caption}
    reply = (_refused(*wrong) if wrong else _refused_chat(chat, sent)) or _sent(bot, chat, content, {})
    reply.key, reply.text, reply.file = chat, caption, file
    reply.topic = int(sent["message_thread_id"]) if "message_thread_id" in sent else None
    return reply


def _refused_text(text: str) -> Reply | None:
    if not text:
        return _refused(400, "Bad Request: message text is empty")
    if len(text.encode("utf-16-le")) // 2 > 4096:
        return _refused(400, "Bad Request: message is too long")
    return None


def _refused_chat(chat: str, sent: dict[str, Any]) -> Reply | None:
    if chat.endswith("0403"):
        return _refused(403, "Forbidden: bot was blocked by the user")
    if chat.endswith("0404") or not chat:
        return _refused(400, "Bad Request: chat not found")
    if str(sent.get("message_thread_id", "")).endswith("404"):
        return _refused(400, "Bad Request: message thread not found")
    return None


def _sent(bot: str, chat: str, content: dict[str, Any], sent: dict[str, Any]) -> Reply:
    number = next(_numbers)
    message: dict[str, Any] = {
        "message_id": number,
        "from": {"id": int(bot), "is_bot": True, "first_name": "Bot"},
        "chat": {"id": int(chat), "type": "private"},
        "date": int(time.time()),
        **content,
    }
    if "reply_markup" in sent:
        message["reply_markup"] = sent["reply_markup"]
    buttons = [button["text"] for row in sent.get("reply_markup", {}).get("inline_keyboard", []) for button in row]
    return _done(message, answered_id=f"{chat}:{number}", callback_data=", ".join(buttons))


def _get_updates(bot: str, sent: dict[str, Any]) -> Reply:
    if bot in _webhooks:
        return _refused(
            409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete it first"
        )
    waiting = _updates[bot] = [update for update in _updates[bot] if update["update_id"] >= sent.get("offset", 0)]
    return _done(waiting[: sent.get("limit", 100)])


def _add_update(bot: str, update: dict[str, Any]) -> Reply:
    _updates[bot].append(update)
    return _done(True)


def _set_webhook(bot: str, sent: dict[str, Any]) -> Reply:
    url = str(sent.get("url", ""))
    if not url.startswith("https://"):
        return _refused(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
    _webhooks[bot] = sent
    return _done(True, key=url)


def _delete_webhook(bot: str, _sent: dict[str, Any]) -> Reply:
    _webhooks.pop(bot, None)
    return _done(True)


def _webhook_info(bot: str, _sent: dict[str, Any]) -> Reply:
    return _done({"url": _webhooks.get(bot, {}).get("url", ""), "pending_update_count": len(_updates[bot])})


_METHODS = {
    "getMe": lambda bot, _sent: _done({"id": int(bot), "is_bot": True, "first_name": "Bot", "username": f"bot{bot}_bot"}),
    "sendMessage": _send,
    "answerCallbackQuery": lambda _bot, sent: _done(True, key=str(sent.get("callback_query_id"))),
    "getFile": lambda _bot, sent: _done({"file_id": sent.get("file_id"), "file_path": "voice/file_1.oga"}),
    "getUpdates": _get_updates,
    "__update": _add_update,
    "setWebhook": _set_webhook,
    "deleteWebhook": _delete_webhook,
    "getWebhookInfo": _webhook_info,
}
