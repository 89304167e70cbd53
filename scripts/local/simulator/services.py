"""What each service answers without a fault, as the vendors' documentation of 2026 describes it."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from collections.abc import Callable
from typing import Any

from scripts.local.simulator import (
    eyes,
    files,
    gateways,
    graph_accounts,
    graph_messages,
    model,
    presence,
    speech,
    telegram,
    templates,
)
from scripts.local.simulator.exchange import Reply, Request
from scripts.local.simulator.site import SITE

Service = Callable[[Request], Reply]

_numbers = itertools.count(1)
#: Of the vectors that it makes; with fewer of them, two words would often have the same.
DIMENSIONS = 512
#: The oldest Graph API version that Meta supports in November 2026.
OLDEST_GRAPH = 21
#: Recipients whose number ends so are not on WhatsApp.
NOBODY = "0000404"


def kind_of(request: Request) -> str:
    """The service that a request belongs to; "" for none."""
    return "typing" if presence.is_typing(request) else _kind_of(request.path)


def _kind_of(path: str) -> str:
    if telegram.is_telegram(path):
        return "telegram"
    if path.partition("?")[0].endswith("/chat/completions"):  # Azure's has a version behind it
        return "ai"
    if path.partition("?")[0].endswith("/audio/transcriptions"):
        return "transcription"
    if path.endswith("/embeddings"):
        return "embeddings"
    if re.fullmatch(r"/v[\d.]+/\d+/messages", path):
        return "graph"
    if re.fullmatch(r"/v[\d.]+/\d+/message_templates(\?.*)?", path):
        return "templates"
    if graph_accounts.is_account(path):
        return "graph_account"
    if path.startswith("/whatsapp_business/attachments/") or re.fullmatch(r"/v[\d.]+/[\w.-]+", path):
        return "graph_media"
    if path.startswith("/api/files/"):
        return "waha_file"
    if path.startswith("/chat/getBase64FromMediaMessage/"):
        return "evolution_file"
    if path == "/api/sendText" or path.startswith("/api/"):
        return "waha"
    if path.startswith(("/message/sendText/", "/instance/")):
        return "evolution"
    if path.startswith(("/site/", "/robots.txt", "/sitemap.xml")):
        return "site"
    return "webhook" if path.startswith("/customer/") else ""


def complete(request: Request) -> Reply:
    """Chat completions: answers with the knowledge item of the prompt that fits the question best."""
    if not request.headers.get("authorization", "").startswith("Bearer ") and "api-key" not in request.headers:
        return Reply(
            401, {"error": {"message": "No API key provided.", "type": "invalid_request_error", "code": "invalid_api_key"}}
        )
    sent = request.json()
    messages = eyes.as_texts(sent.get("messages") or [])
    if not messages:
        return Reply(400, {"error": {"message": "'messages' is required", "type": "invalid_request_error", "code": None}})
    answer = model.answer(messages, [tool["function"]["name"] for tool in sent.get("tools") or []])
    identity = f"chatcmpl-{next(_numbers)}"
    message = answer.message(identity)
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if answer.tool else "stop"}
    prompt_tokens = sum(len(m["content"]) for m in messages) // 4
    completion_tokens = len(answer.text or json.dumps(message)) // 4
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    body = {
        "id": identity,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": sent.get("model", "?"),
        "choices": [choice],
        "usage": usage,
    }
    events = _events(body, bool((sent.get("stream_options") or {}).get("include_usage"))) if sent.get("stream") else []
    text = next(iter(model.question_in(messages)), "")
    tokens = prompt_tokens + completion_tokens
    return Reply(200, body, accepted=True, text=text, answered_id=identity, tokens=tokens, events=events)


def _events(body: dict[str, Any], with_usage: bool) -> list[bytes]:
    """A completion as the chunks of a stream, a word in each."""
    about = {"id": body["id"], "object": "chat.completion.chunk", "created": body["created"], "model": body["model"]}
    [choice] = body["choices"]
    words = re.findall(r"\s*\S+", choice["message"]["content"] or "")
    calls = [{"index": number, **call} for number, call in enumerate(choice["message"].get("tool_calls", ()))]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
    deltas += [{"tool_calls": [call]} for call in calls]
    chunks = [{**about, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({**about, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if with_usage:
        chunks.append({**about, "choices": [], "usage": body["usage"]})
    return [*(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks), b"data: [DONE]\n\n"]


def embed(request: Request) -> Reply:
    """Embeddings that know no meanings: each word has a direction of its own, so texts are alike as far as they share words."""
    sent = request.json()
    texts = sent.get("input") or []
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return Reply(401, {"error": {"message": "No API key provided.", "type": "invalid_request_error", "code": None}})
    if not texts or not all(texts):
        return Reply(400, {"error": {"message": "'input' is empty", "type": "invalid_request_error", "code": None}})
    data = [{"object": "embedding", "index": number, "embedding": _bag_of_words(text)} for number, text in enumerate(texts)]
    tokens = sum(map(len, texts)) // 4
    body = {
        "object": "list",
        "data": data,
        "model": sent.get("model"),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    return Reply(200, body, accepted=True, key=str(sent.get("model")), text="\n---\n".join(texts))


def _bag_of_words(text: str) -> list[float]:
    vector = [0.0] * DIMENSIONS
    vector[0] = 0.01  # a text without words is none of length 0
    for word in model.words(text):
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % DIMENSIONS] += 1.0
    return vector


def _graph_error(status: int, code: int, message: str, details: str) -> Reply:
    data = {"messaging_product": "whatsapp", "details": details}
    return Reply(
        status,
        {
            "error": {
                "message": f"(#{code}) {message}",
                "type": "OAuthException",
                "code": code,
                "error_data": data,
                "fbtrace_id": "AbC123",
            }
        },
    )


def graph(request: Request) -> Reply:
    """POST /{version}/{phone_number_id}/messages."""
    sent = request.json()
    recipient = sent.get("to") or sent.get("recipient") or ""
    text = graph_messages.words_of(sent)
    reply = _graph_reply(request, recipient, text)
    reply.key, reply.text, reply.sender = recipient, text, request.path.split("/")[2]
    reply.callback_data = sent.get("biz_opaque_callback_data", "")
    return reply


def _refused_by_graph(request: Request) -> Reply | None:
    """What Meta refuses whatever is asked."""
    version = int(re.findall(r"/v(\d+)", request.path)[0])
    if version < OLDEST_GRAPH:
        return _graph_error(400, 2635, "You are calling a deprecated version of the Ads API", f"v{version} is no longer usable")
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return _graph_error(401, 190, "Invalid OAuth access token", "The access token could not be decrypted")
    return None


def _graph_reply(request: Request, recipient: str, text: str) -> Reply:
    if refused := _refused_by_graph(request):
        return refused
    if not recipient or not text:
        return _graph_error(400, 100, "Invalid parameter", "to (or recipient) and text.body are required")
    if len(text) > 4096:
        return _graph_error(400, 100, "Invalid parameter", "text.body must be at most 4096 characters long")
    if wrong := graph_messages.refusal(request.json()):
        return _graph_error(400, wrong[0], "Invalid message", wrong[1])
    if recipient.endswith(NOBODY):
        return _graph_error(400, 131026, "Message undeliverable", "Message Undeliverable: the recipient is not a WhatsApp user")
    identity = "wamid." + hashlib.sha256(f"{next(_numbers)}{time.time_ns()}".encode()).hexdigest()[:20].upper()
    body = {
        "messaging_product": "whatsapp",
        "contacts": [{"input": recipient, "wa_id": recipient}],
        "messages": [{"id": identity, "message_status": "accepted"}],
    }
    return Reply(200, body, accepted=True, answered_id=identity)


def waha(request: Request) -> Reply:
    """POST /api/sendText, and sessions: their making, their code, their state."""
    if (reply := gateways.waha(request)) is not None:
        return reply
    sent = request.json()
    session, chat, text = sent.get("session", ""), sent.get("chatId", ""), sent.get("text", "")
    if session.startswith("unknown-"):
        return Reply(404, {"message": f"Session {session} not found", "statusCode": 404}, key=chat)
    if session.startswith("stopped-"):
        problem = "Session status is not as expected. Try again later or restart the session"
        return Reply(422, {"error": problem, "session": session, "status": "STOPPED", "expected": ["WORKING"]}, key=chat)
    if not chat or not text:
        return Reply(400, {"message": "chatId and text are required", "statusCode": 400})
    identity = f"true_{chat}_{sent.get('id') or f'3EB0{next(_numbers):016X}'}"
    body = {
        "id": identity,
        "timestamp": int(time.time()),
        "from": "1@c.us",
        "fromMe": True,
        "to": chat,
        "body": text,
        "ack": 1,
        "ackName": "SERVER",
    }
    return Reply(201, body, accepted=True, key=chat, text=text, answered_id=identity, sender=session)


def evolution(request: Request) -> Reply:
    """POST /message/sendText/{instance}, and instances: their making, their code, their state."""
    if (reply := gateways.evolution(request)) is not None:
        return reply
    instance = request.path.rsplit("/", 1)[-1]
    sent = request.json()
    number, text = str(sent.get("number", "")), sent.get("text", "")
    refused = _evolution_refusal(instance, number, text)
    return refused or _evolution_sent(instance, number, text, sent.get("messageId"))


def _evolution_refusal(instance: str, number: str, text: str) -> Reply | None:
    if instance.startswith("unknown-"):
        missing = f'The "{instance}" instance does not exist'
        return Reply(404, {"status": 404, "error": "Not Found", "response": {"message": [missing]}}, key=number)
    if instance.startswith("stopped-"):  # Evolution answers 400 for Baileys' exceptions as well
        closed = {"status": 400, "error": "Bad Request", "response": {"message": ["Error: Connection Closed"]}}
        return Reply(400, closed, key=number)
    if not number or not text:
        return Reply(400, {"status": 400, "error": "Bad Request", "response": {"message": [["number and text are required"]]}})
    if number.split("@")[0].endswith(NOBODY):
        unknown_number = {"exists": False, "jid": f"{number}@s.whatsapp.net", "number": number}
        return Reply(400, {"status": 400, "error": "Bad Request", "response": {"message": [unknown_number]}}, key=number)
    return None


def _evolution_sent(instance: str, number: str, text: str, own_id: str | None) -> Reply:
    identity = own_id or f"3EB0{next(_numbers):016X}"
    chat = number if "@" in number else f"{number}@s.whatsapp.net"
    body = {
        "key": {"remoteJid": chat, "fromMe": True, "id": identity},
        "status": "PENDING",
        "message": {"conversation": text},
        "messageType": "conversation",
        "messageTimestamp": int(time.time()),
    }
    return Reply(201, body, accepted=True, key=chat, text=text, answered_id=identity, sender=instance)


def customer(request: Request) -> Reply:
    """A customer's webhook endpoint."""
    return Reply(200, {"ok": True}, accepted=True, key=request.path)


SERVICES: dict[str, Service] = {
    "ai": complete,
    "embeddings": embed,
    "transcription": speech.transcribe,
    "graph": graph,
    "typing": presence.show,
    "telegram": telegram.answer,
    "templates": lambda request: _refused_by_graph(request) or templates.listed(request),
    "graph_account": lambda request: _refused_by_graph(request) or graph_accounts.answer(request),
    "graph_media": files.graph_media,
    "waha": waha,
    "waha_file": files.waha_file,
    "evolution": evolution,
    "evolution_file": files.evolution_file,
    "webhook": customer,
    "site": SITE.serve,
}
