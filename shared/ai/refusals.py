"""What a provider says when it does not answer, in whichever vendor's format, and what that means for the job."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shared.ai.failures import (
    TOO_FEW_TOKENS,
    ContextTooLong,
    KeyRefused,
    NotAnswered,
    ProviderError,
    Refusal,
    RequestRefused,
    Throttled,
)
from shared.ai.waits import wait_of
from shared.ai.wordings import (
    ABOUT_THE_PROVIDER,
    FILTERED,
    NO_SUCH_ADDRESS,
    PASSES,
    SPENT,
    STATUS_OF_CODE,
    STATUS_OF_NUMBER,
    STATUS_OF_WORDS,
    STRONG,
    THOUGHT_TO_THE_END,
    THROTTLED_WITHIN,
    TOO_LONG,
    TOO_LONG_ELSEWHERE,
    TOO_LONG_FOR_CREDIT,
    TOO_LONG_UNLESS_BUSY,
)
from shared.http import PASSING, code_of, number_of
from shared.payloads import strip_invalid

#: Characters of a provider's words that are kept.
MAX_WORDS = 300
#: Statuses that pass by themselves, besides 5xx: of a question also those of a call that was cancelled on its way (460, 499).
_PASSING = PASSING | {460, 499}
#: 420 and 498 (Groq: flex capacity exceeded) mean 429.
THROTTLING = frozenset({420, 429, 498})
#: Statuses about the request: another provider would refuse it as well.
_ABOUT_THE_REQUEST = frozenset({400, 406, 411, 413, 414, 415, 422, 431})

#: Those of them that say nothing of what is wrong with it.
_OF_ANY_KIND = frozenset({400, 422})
#: Statuses of which some mean that money is missing, and some that the provider is.
_MAY_BE_SPENT, _MAY_PASS = frozenset({400, 403, 429}), frozenset({400, 404, 422})
#: Statuses that gateways make of a limit or of a fault, while the code or the words still say which it is.
_MAY_BE_LIMITED = frozenset({400, 403, 404, 422, 424})
#: Statuses of a server that has too much to do: if it says for how long, it is asked then, and not three times before.
_BUSY = frozenset({503, 529})
#: Statuses of an address at which nothing answers chats.
_NO_ADDRESS = frozenset({404, 405})
#: What an answer has that is none of an error.
_RESULTS = ("choices", "text", "data")
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.I | re.S)


@dataclass(frozen=True)
class Complaint:
    """What a provider said instead of an answer. `words`, `param` and `types` are its own; `codes` look like codes."""

    status: int
    codes: tuple[str, ...] = ()
    #: Kinds of errors that this table does not know: any word may stand there, so that no log has it.
    types: tuple[str, ...] = ()
    words: str = ""
    param: str = ""
    #: Seconds.
    retry_after: float | None = None
    moved_to: str = ""
    #: Whether the HTTP status was 200, and `status` is what the error in it means.
    is_within_success: bool = False

    @property
    def text(self) -> str:
        """Everything it says, for patterns."""
        return f"{' '.join((*self.codes, *self.types))} {self.param} {self.words}"

    @property
    def reason(self) -> str:
        """The same in our words, for logs."""
        if self.moved_to:
            advice = "make that the base URL" if "://" in self.moved_to else "is the base URL complete?"
            return f"AI provider: HTTP {self.status}: it redirects to {self.moved_to}; {advice}"
        http = "HTTP 200 with the error" if self.is_within_success else f"HTTP {self.status}"
        codes = [code for code in self.codes if code != str(self.status)]
        status = str(self.status) if self.is_within_success and self.status else ""
        said = " ".join(part for part in ("AI provider:", http, status, *codes[:1]) if part)
        is_lost = self.status in _NO_ADDRESS and NO_SUCH_ADDRESS.search(self.words) and not re.search("model", self.words, re.I)
        return f"{said}; is the base URL complete, up to /v1?" if is_lost else said


def read(status: int, body: bytes, headers: Mapping[str, str]) -> Complaint:
    """The complaint of a response that is not 2xx."""
    text = body.decode("utf-8", "replace")
    said = _load(text)
    error = _error_in(said)
    location = headers.get("Location") if 300 <= status < 400 else None
    words = location or _words(said) or excerpt(text)
    wait = wait_of(text, headers)
    codes, types = _codes(error, said), _unknown_types(error, said)
    return Complaint(status, codes, types, words[:MAX_WORDS], _param(error, said), wait, _origin(location))


def within(answer: Any) -> Complaint | None:
    """The complaint in a body that came with status 200, or in a part of a stream; None if it has none."""
    error = _error_in(answer)
    if error is None and isinstance(answer, Mapping):
        if isinstance(answer.get("choices"), list) and answer["choices"]:
            error = _error_in(answer["choices"][0])
            answer = answer["choices"][0] if error is not None else answer
        elif not any(answer.get(name) for name in _RESULTS) and _words(answer):
            error = answer
    if error is None:
        return None
    codes, words = _codes(error, answer), _words(answer)[:MAX_WORDS]
    return Complaint(
        _status_within(error, answer, codes, words),
        codes,
        _unknown_types(error, answer),
        words,
        _param(error, answer),
        wait_of(json.dumps(answer, default=str), {}),
        is_within_success=True,
    )


def failure_of(complaint: Complaint) -> NotAnswered:
    """What a complaint means for the job."""
    reason, words, text = complaint.reason, complaint.words, complaint.text
    status = _meant(complaint)
    if status < 500 and FILTERED.search(text):
        return RequestRefused(reason, words)
    if THOUGHT_TO_THE_END.search(text):
        return RequestRefused(f"{reason}: {TOO_FEW_TOKENS}", words)
    if _is_too_long(status, text):
        return ContextTooLong(reason, words)
    if status in _MAY_BE_SPENT and SPENT.search(text):
        return Refusal(reason, words)
    if status in THROTTLING or (status in _BUSY and complaint.retry_after is not None) or _is_limit(status, text):
        return Throttled(reason, words, complaint.retry_after)
    if status >= 500 or status in _PASSING or not status or (status in _MAY_PASS and PASSES.search(text)):
        failure = ProviderError(reason, words)
        failure.may_be_charged = False
        return failure
    if status == 401:
        return KeyRefused(reason, words)
    if status not in _ABOUT_THE_REQUEST or complaint.param == "model" or ABOUT_THE_PROVIDER.search(text):
        return Refusal(reason, words)
    refused = RequestRefused(reason, words)
    refused.may_be_too_long = status in _OF_ANY_KIND
    return refused


def _meant(complaint: Complaint) -> int:
    """The status, or what a code says that knows better."""
    known = [STATUS_OF_CODE[code.lower()] for code in complaint.codes if code.lower() in STATUS_OF_CODE]
    strong = [STATUS_OF_CODE[code.lower()] for code in complaint.codes if code.lower() in STRONG]
    if strong:
        return strong[0]
    return max(known) if complaint.status in _MAY_BE_LIMITED and known and max(known) >= 429 else complaint.status


def _is_limit(status: int, text: str) -> bool:
    return (status >= 500 or status in _MAY_BE_LIMITED) and THROTTLED_WITHIN.search(text) is not None


def _is_too_long(status: int, text: str) -> bool:
    if status == 413 or (status == 429 and TOO_LONG.search(text)) or (status == 402 and TOO_LONG_FOR_CREDIT.search(text)):
        return True
    patterns = (TOO_LONG, TOO_LONG_UNLESS_BUSY, TOO_LONG_ELSEWHERE)
    return status in {400, 422, 500} and any(pattern.search(text) for pattern in patterns)


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _error_in(said: Any) -> Any:
    """The error of an answer: an object or a text. Gemini wraps it in a list."""
    said = said[0] if isinstance(said, list) and said else said
    if not isinstance(said, Mapping):
        return None
    if (error := error_of(said)) is not None:
        return error
    if isinstance(errors := said.get("errors"), list) and errors:  # Cloudflare
        return errors[0]
    if isinstance(base := said.get("base_resp"), Mapping) and base.get("status_code"):  # MiniMax
        return base
    kinds = (str(said.get("object")).lower(), said.get("type"))
    return said if "error" in kinds else None  # vLLM, Mistral


def error_of(holder: Mapping[str, Any]) -> Any:
    """Its error; None of one that says nothing: some have an empty one in each answer ({"message": "", "code": null})."""
    error = holder.get("error")
    if error is None and isinstance(groq := holder.get("x_groq"), Mapping):
        error = groq.get("error")
    return error if error and not (isinstance(error, Mapping) and not any(error.values())) else None


def _words(said: Any) -> str:
    """The first of error.message, error, message and detail that says something, and what a router was told (OpenRouter)."""
    error = _error_in(said)
    said = said[0] if isinstance(said, list) and said else said
    raw = ""
    if isinstance(error, Mapping) and isinstance(metadata := error.get("metadata"), Mapping):
        raw = _flat(metadata.get("raw"))
    for holder in (error, said):
        if isinstance(holder, str):
            return holder
        if isinstance(holder, Mapping):
            for name in ("message", "detail", "error_description", "error_msg", "status_msg", "Message", "msg", "error"):
                if words := _flat(holder.get(name)):
                    return strip_invalid(f"{words}: {raw}" if raw else words)
    return ""


def _flat(value: Any) -> str:
    """Words that may be a text, a list of them, or FastAPI's list of objects."""
    match value:
        case str():
            return value.strip()
        case list():
            return "; ".join(words for part in value[:5] if (words := _flat(part)))
        case Mapping():
            place = ".".join(str(part) for part in loc) if isinstance(loc := value.get("loc"), list) else ""
            words = _flat(value.get("msg") or value.get("message") or value.get("detail") or value.get("error"))
            return f"{place}: {words}" if place and words else words
        case _:
            return ""


def _codes(error: Any, said: Any) -> tuple[str, ...]:
    """Its codes and statuses, as far as they look like codes, and types that are known; names before numbers."""
    holders = [holder for holder in (error, said) if isinstance(holder, Mapping)]
    codes = [code_of(holder.get(name)) for holder in holders for name in ("code", "status")]
    codes += [kind for kind in _types(error, said) if kind.lower() in STATUS_OF_CODE]
    codes += [code_of(detail.get("reason")) for holder in holders for detail in _details(holder)]
    known = dict.fromkeys(code for code in codes if code and code != "error")
    return tuple(sorted(known, key=str.isdigit))


def _unknown_types(error: Any, said: Any) -> tuple[str, ...]:
    return tuple(kind for kind in _types(error, said) if kind.lower() not in STATUS_OF_CODE)


def _types(error: Any, said: Any) -> list[str]:
    """Which kind of error it is, in the provider's names."""
    return [code_of(holder.get("type")) for holder in (error, said) if isinstance(holder, Mapping)]


def _details(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    details = holder.get("details")
    return [detail for detail in details if isinstance(detail, Mapping)] if isinstance(details, list) else []


def _param(error: Any, said: Any) -> str:
    """Which part of the request it is about."""
    holders = [holder for holder in (error, said) if isinstance(holder, Mapping)]
    return next((str(holder["param"])[:MAX_WORDS] for holder in holders if isinstance(holder.get("param"), str)), "")


def _status_within(error: Any, answer: Any, codes: tuple[str, ...], words: str) -> int:
    """The status that an error in a 200 stands for; 0 if it does not say."""
    holders = [holder for holder in (error, answer) if isinstance(holder, Mapping)]
    for holder in holders:
        for name in ("code", "status", "status_code", "statusCode"):
            value = holder.get(name)
            number = number_of(str(value)) or 0
            if 400 <= number < 600 or number in STATUS_OF_NUMBER:
                return STATUS_OF_NUMBER.get(number, number)
    by_code = (STATUS_OF_CODE[code.lower()] for code in codes if code.lower() in STATUS_OF_CODE)
    return next(by_code, next((status for status, pattern in STATUS_OF_WORDS if pattern.search(words)), 0))


def _origin(location: str | None) -> str:
    """Where a redirect leads, without what may be secret."""
    parts = urlsplit(location or "")
    if location and not parts.scheme and not parts.netloc:
        return "another path of its own"
    return f"{parts.scheme}://{parts.hostname}" if parts.scheme in {"http", "https"} and parts.hostname else ""


def excerpt(text: str) -> str:
    """The words of a page, for a person."""
    return strip_invalid(" ".join(_TAG.sub(" ", text[:4_000]).split()))[:MAX_WORDS]
