"""How a question to a provider fails, and whether another provider may do better (shared/ai/failover.py)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import OutsideFailure, PermanentRefusal, Snooze

#: Seconds to stay away when a provider says 429 and not for how long.
DEFAULT_THROTTLE = 5.0
#: What to do where a model has thought until its limit, and said nothing.
TOO_FEW_TOKENS = "max_tokens is too small for this model's thoughts, raise the chatbot's max_tokens"


@dataclass(frozen=True)
class Usage:
    """What an answer costs, in tokens. `is_estimated`: the provider did not say."""

    prompt_tokens: int
    completion_tokens: int
    model: str
    is_estimated: bool = False


class NotAnswered(Exception):
    """Base of all failures of a call to a provider."""

    #: Whether another provider may answer the same prompt: this one is down, busy, or refuses its key or model.
    another_may_answer = True
    #: What the answer cost that is of no use; None: nobody said.
    usage: Usage | None = None


class ProviderError(NotAnswered, OutsideFailure):
    """The provider failed, or its response is no completion. The next attempt may succeed."""

    #: Whether it may charge for the call: it may have answered, and we do not know what (shared/budgets/meter.py).
    may_be_charged = True


class NoAnswer(ProviderError):
    """There was no connection, or no whole response in time."""


class Throttled(NotAnswered, Snooze):
    """The provider takes no more for now (429); `retry_after`: for how many seconds, if it says so (shared/ai/patience.py)."""

    def __init__(self, reason: str, words: str, retry_after: float | None) -> None:
        self.retry_after = retry_after
        super().__init__(retry_after or DEFAULT_THROTTLE, reason)
        self.words = words


class Refusal(NotAnswered, PermanentRefusal):
    """The provider will never answer, by its own state: its key, quota, model or address."""


class KeyRefused(Refusal):
    """The provider does not take the key (401)."""


class RequestRefused(Refusal):
    """The request will never be answered: other providers would refuse it as well, unless nobody knows why this one does."""

    another_may_answer = False
    #: Whether a shorter prompt may be answered, or another provider: what this one says has no other meaning.
    may_be_too_long = False


class ContextTooLong(RequestRefused):
    """The model's context does not hold the prompt and the answer; a shorter prompt may be answered."""

    may_be_too_long = True


class NoText(RequestRefused):
    """An answer that was paid for and has no text for the customer: filtered, empty, or nothing but thoughts."""

    def __init__(self, reason: str, usage: Usage) -> None:
        super().__init__(reason)
        self.usage = usage


class NotTranscribed(OutsideFailure):
    """A voice note is no words yet: the provider did not answer, or is busy; the next attempt may be answered."""

    may_be_charged = True
