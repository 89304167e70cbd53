"""What a model at an address does not take, learnt from its refusals, and kept: a profile for each base URL and model.

A profile says what to send instead; null: leave it out.

    max_tokens          "max_completion_tokens" (OpenAI's reasoning models), null
    max_tokens_limit    the most it may be
    temperature         null
    temperature_limit   the most it may be
    system              null: no such role; the first user message begins with it
    tools               null
    stream              null
    stream_options      null
    pictures            null
    unmarked_thoughts   whether answers begin with thoughts that no marker opens (shared/ai/thoughts.py)

Each process reads all of them at its first call and every ten minutes; any other call asks nobody. What was learnt is forgotten
after a week, for servers are repaired: then a refusal is paid for once more.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from shared import db
from shared.ai.prompt import Message
from shared.ai.refusals import Complaint
from shared.models import ProviderProfile

log = logging.getLogger(__name__)

Profile = Mapping[str, Any]

#: Seconds for which a process keeps what it has read, and for which a profile counts since something was learnt.
CACHED, KEPT = 600.0, 7 * 86_400.0
#: Profiles that a process keeps at most.
MAX_CACHED = 5_000
#: Bytes of an address and a model that are kept in PostgreSQL (schema.sql).
MAX_KEY = 2_000
#: A lesson about a single prompt, which no profile keeps: what the context has left for the answer.
ONCE = "max_tokens_left"
#: Another: one of its pictures is refused, and perhaps no other.
WITHOUT_PICTURES = "without_pictures"
#: Tokens: a shorter answer is not worth asking for.
LEAST_ANSWER = 64

_LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
_STATUSES = frozenset({400, 404, 405, 415, 422, 500, 501})
#: A fault of the server that is one of the request after all; other faults pass, and teach nothing.
_UNSUPPORTED = re.compile(
    r"support|implement|not (allowed|available|enabled|permitted)|unknown|invalid|must|alternat|roles?\b", re.I
)
_NO_SYSTEM_ROLE = re.compile(
    r"system.?(role|message|prompt|instruction)s?\b.{0,60}(\bnot\b|n't|unsupported)|not support '?system|developer instruction"
    r"|alternat|roles? must|after role|expected last role|first message.{0,40}user|unsupported role|invalid role",
    re.I | re.S,
)
_NO_TOOLS = re.compile(r"\btools?\b|tool[ _-]?(use|choice|call)|function[ _-]?call", re.I)
_NO_STREAM = re.compile(r"\bstream(ing|ed)?\b", re.I)
_ABOUT_PICTURES = re.compile(
    r"image|picture|vision|visual|multi-?modal|modalit|content\b.{0,80}\b(string|str|text)\b|(string|str) type", re.I | re.S
)
_THIS_PICTURE = re.compile(
    r"too (large|big|many|small)|exceed|size|dimension|pixel|decod|corrupt|download|fetch|process|invalid image", re.I
)
_LIMIT = re.compile(r"too (large|big|high)|at most|less than|<=|≤|range|maximum|supports? up to|between|exceed|greater", re.I)
_CONTEXT = re.compile(r"(?:maximum context length (?:is|of)|must be <=)\D{0,3}(\d+)", re.I)
_PROMPT = re.compile(
    r"(\d+) tokens from the input"
    r"|(?:requested|given:?)[^(]{0,40}\((\d+) (?:in the|of text)|(?:has|contains) (?:at least )?(\d+) input tokens"
    r"|given: (\d+) `inputs`",
    re.I,
)


def of(base_url: str, model: str) -> Profile:
    """What is known of a model at an address."""
    with _reading:
        if _cache.read_at is None or time.monotonic() - _cache.read_at > CACHED:
            know(_read())
    return _cache.profiles.get((base_url, model), {})


def keep(base_url: str, model: str, lessons: Profile) -> None:
    """Adds what was learnt."""
    log.info("provider_profile_learnt", extra={"model": model, "lessons": sorted(lessons)})
    _cache.profiles[base_url, model] = {**of(base_url, model), **lessons}
    if len(f"{base_url}{model}".encode()) > MAX_KEY:
        return
    row = ProviderProfile.insert(base_url=base_url, model=model, lessons=lessons)
    learnt = {
        ProviderProfile.lessons: ProviderProfile.lessons.concat(SQL("excluded.lessons")),
        ProviderProfile.learnt_at: fn.now(),
    }
    db.rows(row.on_conflict(conflict_target=[ProviderProfile.base_url, ProviderProfile.model], update=learnt))


def know(profiles: dict[tuple[str, str], Profile]) -> None:
    """This is all that is known for now, by base URL and model."""
    _cache.profiles, _cache.read_at = profiles, time.monotonic()


def forget() -> None:
    """The next call reads them again."""
    _cache.read_at = None


@dataclass
class _Cache:
    profiles: dict[tuple[str, str], Profile]
    read_at: float | None = None


_cache, _reading = _Cache({}), threading.Lock()


def _read() -> dict[tuple[str, str], Profile]:
    is_fresh = ProviderProfile.learnt_at > SQL("now() - make_interval(secs => %s)", [KEPT])
    newest = ProviderProfile.select().where(is_fresh).order_by(ProviderProfile.learnt_at.desc()).limit(MAX_CACHED)
    return {(row["base_url"], row["model"]): row["lessons"] for row in db.rows(newest)}


def lesson(complaint: Complaint, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a refusal of this request teaches; {} if nothing that would change it."""
    if complaint.status not in _STATUSES or (complaint.status >= 500 and not _UNSUPPORTED.search(complaint.text)):
        return {}
    if (left := _left_for_answer(complaint.words, body)) is not None:
        return {ONCE: left} if left >= LEAST_ANSWER else {}  # the prompt is what is too long
    text = complaint.text
    for name in _LIMIT_NAMES:
        if name in body and re.search(rf"\b{name}\b", text):
            return _other_limit(name, complaint.words, body[name])
    if "temperature" in body and "temperature" in text:
        return {"temperature_limit": 1.0} if body["temperature"] > 1 else {"temperature": None}
    if "stream_options" in body and "stream_options" in text:
        return {"stream_options": None}
    if any(isinstance(message["content"], list) for message in body["messages"]) and _ABOUT_PICTURES.search(text):
        return {WITHOUT_PICTURES: True} if _THIS_PICTURE.search(text) else {"pictures": None}
    if "tools" in body and _NO_TOOLS.search(text):
        return {"tools": None}
    if (
        body["messages"][:1]
        and body["messages"][0]["role"] == "system"
        and (complaint.param.startswith("messages[0].role") or _NO_SYSTEM_ROLE.search(text))
    ):
        return {"system": None}
    if "stream" in body and _NO_STREAM.search(text):
        return {"stream": None}
    return {}


def _other_limit(name: str, words: str, sent: int) -> dict[str, Any]:
    """How to limit the answer where a limit was refused: its value is too high, or its name is wrong."""
    if _LIMIT.search(words):
        smaller = [int(number) for number in re.findall(r"\d+", words) if LEAST_ANSWER <= int(number) < sent]
        if smaller:
            return {"max_tokens_limit": max(smaller)}
    return {"max_tokens": "max_completion_tokens" if name == "max_tokens" else None}


def _left_for_answer(words: str, body: Mapping[str, Any]) -> int | None:
    """Tokens that the context has left for the answer, if it is the answer's limit that does not fit beside this prompt."""
    sent = next((body[name] for name in _LIMIT_NAMES if name in body), None)
    context, prompt = _CONTEXT.search(words), _PROMPT.search(words)
    if sent is None or context is None or prompt is None:
        return None
    left = int(context[1]) - int(next(number for number in prompt.groups() if number))
    return left if left < sent else None


def request_body(
    profile: Profile,
    *,
    model: str,
    messages: list[Message],
    temperature: float,
    max_tokens: int,
    tools: list[Any],
    is_streamed: bool = False,
) -> dict[str, Any]:
    """The request as this model takes it. `messages` are arranged already."""
    body: dict[str, Any] = {"model": model, "messages": messages}
    if profile.get("temperature", 1) is not None:
        body["temperature"] = min(temperature, profile.get("temperature_limit", temperature))
    name = profile.get("max_tokens", "max_tokens")
    if name is not None:
        limits = [profile[limit] for limit in ("max_tokens_limit", ONCE) if limit in profile]
        body[name] = min([max_tokens, *limits])
    if tools and profile.get("tools", 1) is not None:
        body["tools"] = tools
    if is_streamed and profile.get("stream", 1) is not None:
        body["stream"] = True
        if profile.get("stream_options", 1) is not None:
            body["stream_options"] = {"include_usage": True}
    return body
