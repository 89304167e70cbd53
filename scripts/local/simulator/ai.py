"""OpenAI's API: completions of the simulated model, whole or word by word, and embeddings."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import time
from typing import Any

from scripts.local.simulator import eyes, model
from scripts.local.simulator.errors import openai_error
from scripts.local.simulator.exchange import Reply, Request

_numbers = itertools.count(1)
#: Of the vectors that it makes; with fewer of them, two words would often have the same.
DIMENSIONS = 512


def complete(request: Request) -> Reply:
    """Chat completions: answers with the knowledge item of the prompt that fits the question best."""
    if not request.headers.get("authorization", "").startswith("Bearer ") and "api-key" not in request.headers:
        return openai_error(401, "No API key provided.", "invalid_api_key")
    sent = request.json()
    messages = eyes.as_texts(sent.get("messages") or [])
    if not messages:
        return openai_error(400, "'messages' is required")
    answer = model.answer(messages, [tool["function"]["name"] for tool in sent.get("tools") or []])
    identity = f"chatcmpl-{next(_numbers)}"
    message = answer.message(identity)
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if answer.tool else "stop"}
    prompt, completion = sum(len(m["content"]) for m in messages) // 4, len(answer.text or json.dumps(message)) // 4
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
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
    return Reply(200, body, accepted=True, text=text, answered_id=identity, tokens=usage["total_tokens"], events=events)


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
        return openai_error(401, "No API key provided.")
    if not texts or not all(texts):
        return openai_error(400, "'input' is empty")
    data = [{"object": "embedding", "index": number, "embedding": _bag_of_words(text)} for number, text in enumerate(texts)]
    tokens = sum(map(len, texts)) // 4
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"object": "list", "data": data, "model": sent.get("model"), "usage": usage}
    return Reply(200, body, accepted=True, key=str(sent.get("model")), text="\n---\n".join(texts))


def _bag_of_words(text: str) -> list[float]:
    vector = [0.0] * DIMENSIONS
    vector[0] = 0.01  # a text without words is none of length 0
    for word in model.words(text):
        vector[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big") % DIMENSIONS] += 1.0
    return vector
