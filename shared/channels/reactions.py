"""What happens to a send that the provider refused: the words in which each channel's table of errors is written."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import OutsideFailure, PermanentRefusal, Snooze
from shared.http import Response


@dataclass(frozen=True)
class Wait:
    """Throttled: sent again after the answer's Retry-After, or else after these seconds. Costs no attempt."""

    seconds: float


@dataclass(frozen=True)
class Retry:
    """The provider failed: costs an attempt, and the next one may do better."""


@dataclass(frozen=True)
class Fail:
    """It will never pass: the message is FAILED at once."""


Reaction = Wait | Retry | Fail


def error_of(reaction: Reaction, text: str, words: str, answer: Response, retryable: type[OutsideFailure]) -> Exception:
    """The exception by which a send stage hears of a reaction; `retryable` is the channel's own, for Retry.

    `words`: the provider's, for the message's own error.
    """
    match reaction:
        case Wait(seconds):
            return Snooze(answer.retry_after(seconds), text)
        case Retry():
            return retryable(text, words)
        case Fail():
            return PermanentRefusal(text, words)
