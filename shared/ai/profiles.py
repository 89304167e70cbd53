"""What a model at an address takes, and the request in that form. A profile for each base URL and model says what it does not
take, as its refusals have taught (lessons.py), and what to send instead; null: leave it out.

    max_tokens          "max_completion_tokens" (OpenAI's reasoning models), null
    max_tokens_limit    the most it may be
    temperature         null
    temperature_limit   the most it may be
    system              null: no such role; the first user message begins with it
    tools               null
    stream              null; true: its answers are streams also where nobody watches
    stream_options      null
    pictures            null
    repeats_text        whether each piece of a stream repeats all before it (pieces.py)
    unmarked_thoughts   whether answers begin with thoughts that no marker opens (shared/ai/answer_text.py)

Each process reads all of them at its first call and every ten minutes; any other call asks nobody. What was learnt is forgotten
after a week, for servers are repaired: then a refusal is paid for once more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import SQL, fn

from shared import db
from shared.ai import answer_text
from shared.ai.prompt import Message
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
#: Another: the model has called a tool in a form that its server cannot read, and may do better the next time.
WITHOUT_TOOLS = "without_tools"
#: What no profile keeps.
OF_ONE_PROMPT = (ONCE, WITHOUT_PICTURES, WITHOUT_TOOLS)
#: Stands for what was said before the oldest turn, where that is ours: chat templates want the user to begin.
EARLIER = "[…]"
#: Stands for a picture that the model does not take.
UNSEEN = "[The customer sent a picture here, which you cannot see.]"


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


def arranged(messages: Iterable[Message], *, has_system_role: bool = True) -> list[Message]:
    """Neighbours of one role joined, the user first and last, no thoughts of earlier replies.

    `has_system_role` False: what the system message says is the beginning of the first user message.
    """
    system: list[str] = []
    turns: list[Message] = []
    for message in messages:
        role, text = message["role"], message["content"]
        if role == "system":
            system.append(text)
            continue
        text = answer_text.without_thoughts(text) if role == "assistant" else text
        if not text:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += f"\n\n{text}"
        else:
            turns.append({"role": role, "content": text})
        if pictures := message.get("pictures"):
            turns[-1]["pictures"] = (*turns[-1].get("pictures", ()), *pictures)
    if turns and turns[0]["role"] != "user":
        turns.insert(0, {"role": "user", "content": EARLIER})
    instructions = "\n\n".join(text for text in system if text)
    if not instructions:
        return turns
    if has_system_role or not turns:
        return [{"role": "system", "content": instructions}, *turns]
    return [{**turns[0], "content": f"{instructions}\n\n{turns[0]['content']}"}, *turns[1:]]


def as_parts(messages: Sequence[Message], *, can_see: bool) -> list[Message]:
    """The messages as they are sent: those with pictures in parts, or with a note in place of each."""
    return [_in_parts(message, can_see) if "pictures" in message else message for message in messages]


def _in_parts(message: Message, can_see: bool) -> Message:
    role, text, pictures = message["role"], message["content"], message["pictures"]
    if not can_see:
        return {"role": role, "content": "\n".join([text, *[UNSEEN] * len(pictures)])}
    shown = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    return {"role": role, "content": [{"type": "text", "text": text}, *shown]}
