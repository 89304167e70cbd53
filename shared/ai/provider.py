"""The AI provider: any OpenAI-compatible chat completions endpoint. No retries: the queue retries. Only a request whose form
is refused is sent again at once, in the form that the model takes (profiles.py).

The openai client makes the call, over a transport of our HTTP room. Of its interface we use `post`: `chat.completions.create`
spends four times the CPU on checking dicts that we have built and a response of which we read six fields
(`scripts/bench provider-call` measures it).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx2
import openai

from shared.ai import completion, events, lessons, profiles, refusals
from shared.ai.calls import ToolCall
from shared.ai.clients import client, streaming
from shared.ai.completion import Completion
from shared.ai.failures import ContextTooLong, NoAnswer, NotAnswered, NoText, ProviderError, Refusal, RequestRefused, Throttled
from shared.ai.prompt import Message
from shared.ai.stream import MAX_STREAM_BYTES, AnswerStream, OnText
from shared.ai.tools import instruction
from shared.config import settings
from shared.errors import PermanentRefusal
from shared.http import code_of

__all__ = [
    "Completion",
    "ContextTooLong",
    "NoAnswer",
    "NoText",
    "NotAnswered",
    "Provider",
    "ProviderError",
    "Refusal",
    "RequestRefused",
    "Throttled",
    "ToolCall",
    "classify_error",
    "complete",
]

#: Lessons that one question may teach: each changes the request, and there are not more kinds of them.
MAX_LESSONS = 6
#: How a body begins that is a stream of server-sent events.
_STREAM = re.compile(rb"\s*(?:data|event|id|retry)?:")
#: Lines of one that say nothing.
_COMMENTS = re.compile(rb"(?m)^(?::|event:|id:|retry:)[^\r\n]*$")
_BAD_CHARACTERS = "AI provider: the base URL or the API key has characters that do not belong there"


@dataclass(frozen=True)
class Provider:
    """Whom to ask, and how: a chatbot's own settings, or else those of the environment."""

    base_url: str
    api_key: str
    model: str
    temperature: float
    max_tokens: int
    #: Seconds for the whole call; 0: AI_TIMEOUT_SECONDS.
    timeout: float = 0.0
    #: Whether it is a chatbot's own, whose address a customer gave.
    is_own: bool = False


class _Refused(Exception):
    """The provider's complaint about a request."""

    def __init__(self, complaint: refusals.Complaint) -> None:
        super().__init__(complaint.reason)
        self.complaint = complaint


def complete(
    provider: Provider,
    messages: list[Message],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    on_text: OnText | None = None,
    own_name: str = "",
) -> Completion:
    """Asks for one answer. `tools` are offered in OpenAI's form; the answer may call one instead of saying something.
    `on_text` is given its text while it comes, if the provider streams. The completion is what counts. `own_name`: what the bot
    is called, which models write before what they say.

    Raises Throttled, Refusal (bad key, no quota), RequestRefused (ContextTooLong, NoText), ProviderError (NoAnswer): all of them
    NotAnswered. Their texts are ours; the provider's words, which may repeat the prompt, are apart.
    """
    if not provider.api_key:
        raise Refusal("no API key: set OPENAI_API_KEY, or give the chatbot its own; any text will do where none is needed")
    asked, timeout = _client(provider), provider.timeout or settings().ai_timeout
    profile, learnt = profiles.of(provider.base_url, provider.model), dict[str, Any]()
    form = partial(_body, provider, messages, tools, is_streamed=on_text is not None)
    body = form(profile)
    for _ in range(MAX_LESSONS):
        known = {**profile, **learnt}
        stream = AnswerStream.of(provider.model, known, on_text or _nobody, own_name) if body.get("stream") else None
        try:
            answered = _ask(asked, timeout, body, stream)
        except _Refused as refused:
            learnt |= lessons.learn(refused.complaint, body)
            refused_body, body = body, form({**profile, **learnt})
            if body == refused_body:
                raise refusals.failure_of(refused.complaint) from None
        else:
            _keep(provider, learnt | (stream.lesson if stream else {}))
            names = [tool["function"]["name"] for tool in tools]
            return completion.parse(answered, provider.model, body["messages"], names, own_name)
    raise ProviderError(f"AI provider: it refused the request in {MAX_LESSONS} forms")


def _keep(provider: Provider, learnt: profiles.Profile) -> None:
    """What was learnt about the model, and not about this prompt alone."""
    lasting = {name: value for name, value in learnt.items() if name not in profiles.OF_ONE_PROMPT}
    if lasting:
        profiles.keep(provider.base_url, provider.model, lasting)


def _body(
    provider: Provider,
    messages: list[Message],
    tools: Sequence[Mapping[str, Any]],
    profile: profiles.Profile,
    is_streamed: bool,
) -> dict[str, Any]:
    if profiles.WITHOUT_TOOLS in profile:
        profile = {**profile, "tools": None}
    if tools and profile.get("tools", 1) is None:
        messages = [*messages[:1], {"role": "system", "content": instruction(tools)}, *messages[1:]]
    arranged = profiles.arranged(messages, has_system_role=profile.get("system", 1) is not None)
    can_see = profile.get("pictures", 1) is not None and profiles.WITHOUT_PICTURES not in profile
    return profiles.request_body(
        profile,
        model=provider.model,
        messages=profiles.as_parts(arranged, can_see=can_see),
        temperature=round(provider.temperature, 3),
        max_tokens=provider.max_tokens,
        tools=list(tools),
        is_streamed=is_streamed or profile.get("stream") is True,
    )


def _client(provider: Provider) -> openai.OpenAI:
    try:
        return client(provider.base_url, provider.api_key, not provider.is_own or settings().webhooks_to_private)
    except httpx2.InvalidURL:
        raise Refusal(_BAD_CHARACTERS) from None


def _ask(asked: openai.OpenAI, timeout: float, body: dict[str, Any], stream: AnswerStream | None) -> Any:
    """One request. Raises _Refused, or what else prevented an answer."""
    try:
        options = openai.RequestOptions(timeout=timeout)
        with streaming(stream.take, MAX_STREAM_BYTES) if stream else nullcontext():
            response = asked.post("/chat/completions", body=body, cast_to=httpx2.Response, options=options)
    except openai.APIStatusError as problem:
        raise _Refused(_complaint(problem)) from None
    except openai.APIError as problem:
        raise classify_error(problem) from problem
    except (httpx2.InvalidURL, UnicodeEncodeError):
        raise Refusal(_BAD_CHARACTERS) from None
    except PermanentRefusal as refused:  # the address may not be called
        raise Refusal(str(refused), refused.words) from None
    return _checked(_collected(stream) if stream else _json(response.content))


def classify_error(problem: openai.APIError) -> NotAnswered:
    """What the client's error means for the job."""
    match problem:
        case openai.APIStatusError():
            return refusals.failure_of(_complaint(problem))
        case openai.APIConnectionError():  # APITimeoutError is one
            failure = NoAnswer(f"AI provider: no answer: {problem.__cause__ or problem}")
            failure.may_be_charged = not isinstance(problem.__cause__, httpx2.ConnectError)
            return failure
        case _:
            return ProviderError(f"AI provider: {type(problem).__name__}")


def _complaint(problem: openai.APIStatusError) -> refusals.Complaint:
    return refusals.read(problem.status_code, problem.response.content, problem.response.headers)


def _collected(stream: AnswerStream) -> Any:
    """The answer that came as a stream. Raises what `on_text` raised, NoAnswer, or ProviderError for what is none."""
    stream.end()
    if not stream.is_whole:
        if not stream.has_begun and _COMMENTS.sub(b"", stream.beginning).strip():
            raise _no_completion(stream.beginning)
        where = "in the middle" if stream.has_begun else "before it began"
        raise NoAnswer(f"AI provider: its answer broke off {where}")
    answer = stream.completion()
    return _json(answer) if isinstance(answer, bytes) else answer


def _json(content: bytes) -> Any:
    try:
        return _unasked(content) if _STREAM.match(content) else json.loads(content)
    except (ValueError, RecursionError):
        if events.lines_of(content):
            return _unasked(content)
        if (answer := events.first_object(content)) is not None:
            return answer
        raise _no_completion(content) from None


def _checked(answer: Any) -> dict[str, Any]:
    """What came with status 200, as one completion. Raises _Refused if it is an error all the same."""
    complaint = refusals.within(answer)
    if complaint is not None:
        raise _Refused(complaint)
    if isinstance(answer, list) and answer and all(isinstance(part, dict) for part in answer):  # Gemini's own stream
        return _checked(_unasked(b"".join(b"data: %b\n\n" % json.dumps(part).encode() for part in answer)))
    if not isinstance(answer, dict):
        kind, words = code_of(type(answer).__name__), answer if isinstance(answer, str) else ""
        raise ProviderError(f"AI provider: not a completion ({kind})", refusals.excerpt(words))
    return answer


def _unasked(content: bytes) -> Any:
    """A stream that nobody asked for."""
    stream = AnswerStream(_nobody, expects_usage=True)
    stream.take(content)
    return _collected(stream)


def _nobody(_text: str) -> None:
    """Nobody watches."""


def _no_completion(content: bytes) -> ProviderError:
    text = content[:4_000].decode("utf-8", "replace").strip()
    what = "not JSON" if text else "an empty body"
    if _STREAM.match(content):
        what = "events of another kind; is it the address of an OpenAI-compatible API?"
    elif text[:1] == "<":
        what = "an HTML page; is the base URL complete, up to /v1?"
    return ProviderError(f"AI provider: not a completion, but {what}", refusals.excerpt(text))
