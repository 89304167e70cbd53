"""The meter: each call to a model of which somebody has to know what it costs.

    before the call     the most that it can cost is reserved, in one statement of its own, if the customer has a budget at all
    an answer           what it did cost is settled in the statement that ends the job (`handed_over`), or after it if that fails
    a refusal           nothing was charged: the reservation is given back, and nothing is counted
    no answer           the provider may charge for it or not: the reservation stays, and the sweep counts it as spent

Whoever has no budget pays nothing for that: not even a round trip. So nobody knows of a call during which its process was killed.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.budgets.prices import called
from shared.config import settings
from shared.db import sql
from shared.db.prepared import Statement
from shared.errors import PermanentError, ServiceDown, Snooze

log = logging.getLogger(__name__)

queries = sql.load(__file__)
_reserve = Statement(queries["reserve_call"]).batched()

#: Seconds after which a reservation counts as spent that no job will settle: longer than any call takes.
ORPHANED = 900.0
#: UTF-8 bytes of a token, at the least: what is reserved has to suffice in every language.
BYTES_PER_TOKEN = 2
#: Tokens of a picture, in the models that take most for one, and of the frame around a message.
PICTURE, FRAME = 1_600, 8
#: PostgreSQL's integer.
MAX_TOKENS = 2**31 - 1


@dataclass(frozen=True)
class Payer:
    """For whom a call is made. Without a job, whoever makes it has to `book`."""

    customer_id: int
    chatbot_id: int | None = None
    message_id: int | None = None
    job_id: int | None = None
    claim: int | None = None


class Most(NamedTuple):
    """The most that a call can cost: tokens, and seconds of speech."""

    prompt_tokens: int
    completion_tokens: int = 0
    seconds: int = 0


class Unaffordable(Exception):
    """A budget does not pay for this call. `at_limit`: what its customer gets instead; `is_spent`: it is used up, and not only
    reserved for calls that are under way."""

    def __init__(self, budget: int, at_limit: str, text: str | None, model: str | None, is_spent: bool) -> None:
        super().__init__(f"budget {budget} is used up for this month")
        self.budget, self.at_limit, self.text, self.model, self.is_spent = budget, at_limit, text, model, is_spent


class Call:
    """One call, while it is made."""

    def __init__(self, kind: str, base_url: str, model: str) -> None:
        self._about = {"kind": kind, "base_url": base_url, "model": model}
        self.reservation: str | None = None
        self.cost: dict[str, Any] | None = None

    def paid(self, prompt_tokens: int, completion_tokens: int = 0, *, model: str | None = None, seconds: int = 0) -> None:
        """It was answered, by this model, and costs this much."""
        counts = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "seconds": seconds}
        self.cost = {**self._about, "answered_by": model or self._about["model"], **counts}


class Meter:
    """What the calls of one payer cost that are not booked yet."""

    def __init__(self, payer: Payer, *, has_budget: bool) -> None:
        self.payer, self.has_budget = payer, has_budget
        #: The budget whose cheaper model is asked: it may spend as much again.
        self.beyond: int | None = None
        #: The budget for which the customer gets no answer.
        self.refused_by: int | None = None
        self._calls: list[dict[str, Any]] = []

    @contextmanager
    def call(self, kind: str, base_url: str, model: str, most: Most) -> Iterator[Call]:
        """Around a call. Raises Unaffordable before it, if a budget does not pay for it.

        What the call raises has `usage` if it was charged all the same, or says whether it `may_be_charged`.
        """
        call = Call(kind, called(base_url), model)
        if self.has_budget:
            call.reservation = self._reserved(call, most)
        try:
            yield call
        except Exception as failure:
            if usage := getattr(failure, "usage", None):
                call.paid(usage.prompt_tokens, usage.completion_tokens, model=usage.model)
            if call.cost is not None or not _may_be_charged(failure):
                self._end(call)
            raise
        self._end(call)

    def take(self) -> list[dict[str, Any]]:
        """The calls for the statement that books them; from now on they are its business."""
        calls, self._calls = self._calls, []
        return calls

    def booking(self) -> dict[str, Any]:
        """All that is not booked yet, as usage_book_v2 takes it."""
        who = self.payer
        about = {"customer_id": who.customer_id, "chatbot_id": who.chatbot_id, "message_id": who.message_id}
        return {**about, "calls": self.take(), "refused_by": self.refused_by}

    @contextmanager
    def handed_over(self) -> Iterator[list[dict[str, Any]]]:
        """Around the statement that ends the payer's job and books these calls. Where it fails they are booked by themselves:
        what a call did cost does not depend on whether its answer could be kept, or was wanted any more."""
        calls = self.take()
        try:
            yield calls
        except Exception:
            self._calls = [*calls, *self._calls]
            self._book(queries["book_unless_completed"], job_id=self.payer.job_id, claim=self.payer.claim)
            raise

    def book(self) -> None:
        """Books what no other statement will. At most once: what was lost on the way is swept, and counts as spent."""
        self._book(queries["book"])

    def _book(self, query: sql.Query, **job: int | None) -> None:
        if not self._calls:
            return
        bookings = db.json([self.booking()])
        try:
            tickets = db.retry_on_outage(lambda: _once(query, bookings, job), settings().job_lease)
        except ServiceDown as problem:
            log.warning("usage_not_booked", extra={"reason": str(problem), "customer": self.payer.customer_id})
            return
        enqueue(tickets_of(tickets or ()))

    def _reserved(self, call: Call, most: Most) -> str | None:
        """The id of the reservation; None: the model is free, or no budget is concerned. Raises Unaffordable."""
        reservation = str(uuid.uuid4())
        values = {**call._about, **vars(self.payer), **most._asdict(), "id": reservation, "beyond": self.beyond}
        row = _reserve(values)
        if row is None or row["refused"] is None:
            return reservation if row and row["is_reserved"] else None
        raise Unaffordable(**row["refused"])

    def _end(self, call: Call) -> None:
        if call.cost is not None or call.reservation is not None:
            self._calls.append({**(call.cost or {}), "reservation": call.reservation})


def _once(query: sql.Query, bookings: Any, job: dict[str, int | None]) -> Any:
    """Raises ServiceDown where nobody knows whether it happened; then it must not be repeated."""
    try:
        return query.scalar(bookings=bookings, **job)
    except Exception as problem:
        if db.is_unknown(problem):
            raise db.service_down(problem) from problem
        raise


def _may_be_charged(failure: Exception) -> bool:
    """Whether a call that failed so may cost something. What is refused, or told to come back later, does not."""
    return bool(getattr(failure, "may_be_charged", not isinstance(failure, PermanentError | Snooze)))


def most_of_texts(texts: Sequence[str]) -> int:
    """The tokens of texts, at the most."""
    return min(MAX_TOKENS, sum(FRAME + math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN) for text in texts))


_current: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def metering(meter: Meter) -> Iterator[None]:
    """What this thread asks models for in the block runs through the meter, however deep it is asked."""
    token = _current.set(meter)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def metered(kind: str, base_url: str, model: str, most: Most) -> Iterator[Call]:
    """Around a call: through the meter of the block, if there is one. Raises Unaffordable."""
    meter = _current.get()
    if meter is None:
        yield Call(kind, base_url, model)
    else:
        with meter.call(kind, base_url, model, most) as call:
            yield call


def sweep() -> int:
    """Counts reservations as spent whose outcome stays unknown; returns how many."""
    swept = queries["sweep"].scalar(seconds=ORPHANED)
    enqueue(tickets_of(swept["tickets"]))
    return int(swept["reservations"])
