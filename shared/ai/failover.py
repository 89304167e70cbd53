"""Whom an AI job asks: its chatbot's providers, in their order, each for its share of what is left of the person's patience.

What is a provider's fault moves on to the next: no connection, no answer in time, 429, 5xx, a refused key, an unknown model, a
spent quota; and a refusal for a reason that nobody knows. What is known to be the request's own fault does not: the next one
would refuse it too. A provider that keeps failing is asked last for a while (`Breaker`). When all have failed, the job waits, is
retried or fails as with a single one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from shared.ai import patience
from shared.ai.completion import Completion
from shared.ai.failures import KeyRefused, NotAnswered, ProviderError, RequestRefused, Throttled
from shared.ai.provider import Provider
from shared.budgets.meter import Unaffordable
from shared.config import host_of, settings
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure, PermanentError, Snooze
from shared.http.bulkhead import MAX_SLOTS, Bulkhead, NoRoom, Room, customer_room
from shared.telemetry import metrics

log = logging.getLogger(__name__)

#: Seconds of an attempt that follows one that failed, at the least: shorter ones would fail as well.
MIN_TIMEOUT = 10.0
#: Seconds for which it is not worth to ask one more provider.
MIN_SHARE = 1.0
#: Failures in a row that make a pause; a success forgets them. One may be chance, three hardly.
FAILURES_UNTIL_PAUSE = 3
#: Seconds of the first pause. After each one call finds out whether the service is back; if not, the next is twice as long.
PAUSE, LONGEST_PAUSE = 5.0, 60.0
#: Services that are remembered; beyond that all are asked again.
MOST_SERVICES = 4096
#: Whose key was refused, for whoever has to replace it.
_OWN_KEY, _PLATFORMS_KEY = "the chatbot's own key was refused", "the platform's key (OPENAI_API_KEY) was refused"
#: Why there is no answer of one provider; a PermanentError: its key cannot be had.
Failure = NotAnswered | PermanentError | NoRoom


@dataclass(frozen=True)
class Candidate:
    """One of a chatbot's providers as it is stored. No base URL: the platform's, with the key of the environment."""

    position: int
    base_url: str | None
    #: Encrypted.
    api_key: str | None
    model: str
    temperature: float
    max_tokens: int
    #: Seconds for a call; None: AI_TIMEOUT_SECONDS.
    timeout: float | None

    @property
    def host(self) -> str:
        """Its host, as logs and replies say it."""
        return host_of(self.base_url or settings().openai_base_url).lower()

    def provider(self, owner: str, timeout: float) -> Provider:
        """It with its key. Raises PermanentError if that cannot be had."""
        if (self.base_url is None) != (self.api_key is None):  # the key of the environment goes to nobody else's provider
            raise PermanentError(f"{owner} has one of provider_base_url and provider_api_key; set both, or none")
        return Provider(
            base_url=self.base_url or settings().openai_base_url,
            api_key=decrypt(self.api_key, owner) if self.api_key else settings().openai_api_key,
            model=self.model,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            timeout=timeout,
            is_own=self.base_url is not None,
        )


@dataclass(frozen=True)
class Question:
    """What the asking has to know of a job."""

    chatbot_id: int
    customer_id: int | None
    attempt: int
    #: Seconds for which providers have been tried before.
    tried_for: float


@dataclass(frozen=True)
class Answer:
    """A completion, and whose it is."""

    completion: Completion
    candidate: Candidate

    def origin(self) -> dict[str, Any]:
        """Who answered, for the reply's metadata."""
        return {"host": self.candidate.host, "position": self.candidate.position}


class Failover:
    """Asks chatbots' providers. `bulkhead`: around calls to their own; the platform's is the operator's to choose."""

    def __init__(self, bulkhead: Bulkhead) -> None:
        self.bulkhead, self.breaker = bulkhead, Breaker()

    def ask(self, question: Question, stored: Sequence[dict[str, Any]], call: Callable[[Provider], Completion]) -> Answer:
        """The first answer. Raises what becomes of the job if there is none: Unaffordable if nobody was asked, for its price."""
        begun, failures = time.monotonic(), list[tuple[Candidate, Failure]]()
        unaffordable: Unaffordable | None = None
        deadline = begun + attempt_time(question.attempt, question.tried_for)
        candidates = self._in_order(question, [Candidate(**row) for row in stored])
        for others, (candidate, is_paused) in zip(reversed(range(len(candidates))), candidates, strict=True):
            left = deadline - time.monotonic()
            is_full = any(isinstance(failure, NoRoom) for _, failure in failures)
            if failures and (left < MIN_SHARE or (is_paused and is_full)):  # one that works has room again soon
                break
            try:
                completion = self._call(question, candidate, timeout_of(candidate.timeout, left, others), call)
            except Unaffordable as refused:  # the next one may be free
                unaffordable = unaffordable or refused
            except (NotAnswered, PermanentError, NoRoom) as failure:
                if not _another_may_answer(failure):
                    _blame_owner(failure, candidate)
                    raise
                failures.append((candidate, failure))
                if others and not isinstance(failure, NoRoom):
                    _log_move(candidate, failure)
            else:
                if candidate.position != stored[0]["position"]:
                    metrics.increment("failovers")
                return Answer(completion, candidate)
        if unaffordable is not None and not failures:
            raise unaffordable
        raise _outcome(failures, question.tried_for + time.monotonic() - begun)

    def _in_order(self, question: Question, candidates: list[Candidate]) -> list[tuple[Candidate, bool]]:
        """As the chatbot has them, but those last that have failed of late, each with whether it is one of these."""
        if len(candidates) == 1:
            return [(candidates[0], False)]
        paused = [(candidate, not self.breaker.admits(_service(question, candidate))) for candidate in candidates]
        return sorted(paused, key=lambda pair: pair[1])

    def _call(
        self, question: Question, candidate: Candidate, timeout: float, call: Callable[[Provider], Completion]
    ) -> Completion:
        service, began = _service(question, candidate), self.breaker.now()
        try:
            asked = candidate.provider(f"chatbot {question.chatbot_id}", timeout)
            with self._slot(question, candidate):
                completion = call(asked)
        except (Throttled, PermanentError) as failure:
            if getattr(failure, "another_may_answer", True):  # the next question would fail as well
                self.breaker.failed(service, began, getattr(failure, "retry_after", None) or 0.0)
            raise
        except ProviderError:
            self.breaker.failed(service, began)
            raise
        self.breaker.succeeded(service)
        return completion

    def _slot(self, question: Question, candidate: Candidate) -> AbstractContextManager[None]:
        """Where a call to a chatbot's own provider needs room. What customers have in common is slowed by none of them."""
        if candidate.base_url is None:
            return nullcontext()
        host = candidate.host
        rooms = (
            Room("the chatbot's provider", (question.customer_id, host)),
            customer_room(question.customer_id),
            Room("the provider", host, least=MAX_SLOTS, times=4),
        )
        return self.bulkhead.slot(*rooms, age=question.tried_for)


@dataclass
class _Record:
    failures: int = 0
    pauses: int = 0
    paused_at: float = 0.0
    paused_until: float = 0.0


class Breaker:
    """What this process knows of services that failed: a circuit breaker that says which is not asked first.

    Not pybreaker: it holds a lock for the length of each call, so threads ask one at a time.
    """

    def __init__(self) -> None:
        self.now, self._lock = time.monotonic, threading.Lock()
        self._records: dict[Hashable, _Record] = {}

    def admits(self, service: Hashable) -> bool:
        """Whether to ask it now. After a pause one caller is let through; the others are not, until that one has an answer."""
        with self._lock:
            record, now = self._records.get(service), self.now()
            if record is None or not record.pauses:
                return True
            if now < record.paused_until:
                return False
            record.paused_until = now + _pause(record.pauses)
            return True

    def succeeded(self, service: Hashable) -> None:
        """It answered."""
        if service in self._records:
            with self._lock:
                self._records.pop(service, None)

    def failed(self, service: Hashable, began: float, pause: float | None = None) -> None:
        """A call that began then (by `now`) failed. `pause`: others would fail as well, for so long at the least."""
        with self._lock:
            if len(self._records) >= MOST_SERVICES:
                self._records.clear()
            record, now = self._records.setdefault(service, _Record()), self.now()
            if record.pauses and began < record.paused_at:
                return  # it was under way when the pause began, and says nothing new
            record.failures += 1
            if record.failures >= FAILURES_UNTIL_PAUSE or pause is not None:
                record.pauses += 1
                record.paused_at, record.paused_until = now, now + max(pause or 0.0, _pause(record.pauses))


def _pause(number: int) -> float:
    return min(LONGEST_PAUSE, PAUSE * 2.0 ** min(number - 1, 10))


def _service(question: Question, candidate: Candidate) -> tuple[Any, ...]:
    """What fails together. The key is in it, so that one that was repaired is tried at once."""
    customer_id = question.customer_id if candidate.base_url else None
    return customer_id, candidate.base_url, candidate.api_key, candidate.model


def attempt_time(attempt: int, tried_for: float) -> float:
    """Seconds for all calls of an attempt: what is left of the person's patience; for the first, one whole call at the least."""
    conf = settings()
    left = max(MIN_TIMEOUT, conf.ai_patience - tried_for)
    return max(conf.ai_timeout, left) if attempt == 1 else left


def timeout_of(wanted: float | None, left: float, others: int) -> float:
    """Seconds for a call of an attempt that has so many left, and after this call so many other providers to ask.

    `wanted`: the provider's own timeout, which may take more than its share, and leaves each of the others MIN_TIMEOUT.
    """
    share = left / (others + 1)
    return min(wanted, max(share, left - others * MIN_TIMEOUT)) if wanted else min(settings().ai_timeout, share)


def _another_may_answer(failure: Failure) -> bool:
    """Whether the next provider is worth asking: its context may be longer, or it takes what this one does not."""
    may_be_taken = isinstance(failure, RequestRefused) and failure.may_be_too_long
    return not isinstance(failure, NotAnswered) or failure.another_may_answer or may_be_taken


def _log_move(candidate: Candidate, failure: Failure) -> None:
    level = logging.WARNING if candidate.base_url is None else logging.INFO
    log.log(level, "provider_failed_over", extra={"host": candidate.host, "position": candidate.position, "error": str(failure)})


def _outcome(failures: Sequence[tuple[Candidate, Failure]], tried_for: float) -> Exception:
    """What becomes of a job whose providers have all failed: it waits if one of them asks for that, or else is tried again if
    one may answer then. Its text names them all."""
    outcomes = [_of_one(candidate, failure, tried_for) for candidate, failure in failures]
    waits = [outcome for outcome in outcomes if isinstance(outcome, Snooze)]
    if waits:
        outcome: Exception = min(waits, key=lambda wait: wait.delay)
    else:
        outcome = min(outcomes, key=lambda outcome: isinstance(outcome, PermanentError))
    if len(outcomes) > 1:
        texts = (f"{candidate.host}: {outcome}" for (candidate, _), outcome in zip(failures, outcomes, strict=True))
        outcome.args = ("; ".join(texts),)
    return outcome


def _of_one(candidate: Candidate, failure: Failure, tried_for: float) -> Exception:
    # Many questions, and answers: the provider is not the one to blame.
    is_busy = isinstance(failure, NoRoom) and not failure.is_failing
    if isinstance(failure, Snooze) and not is_busy:
        words, wait = getattr(failure, "words", ""), getattr(failure, "retry_after", None)
        outcome: Exception = patience.later(str(failure), tried_for, wait, words)
        outcome.__cause__ = failure
    else:
        outcome = failure
    if isinstance(outcome, KeyRefused):
        outcome.args = (f"{outcome}; {_PLATFORMS_KEY if candidate.base_url is None else _OWN_KEY}",)
    _blame_owner(outcome, candidate)
    return outcome


def _blame_owner(failure: Exception, candidate: Candidate) -> None:
    """A chatbot's own provider is its customer's to fix, and no error of ours."""
    if isinstance(failure, OutsideFailure) and candidate.base_url is not None:
        failure.level = logging.INFO
