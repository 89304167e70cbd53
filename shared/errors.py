"""How a stage says what became of a job. Only `shared.stage` maps these to the ledger."""

from __future__ import annotations


class Snooze(Exception):
    """Not now: throttled, or not its turn. Costs no attempt; bounded by the job's age.

    `delay` is in seconds.
    """

    def __init__(self, delay: float, reason: str) -> None:
        super().__init__(reason)
        self.delay = delay


class RateLimited(Snooze):
    """Snooze, for a rate limit of ours: nobody outside was asked."""


class PermanentError(Exception):
    """It will never pass: a bad payload, a refused recipient, a spent quota. The message is the reason."""


class OutcomeUnknown(Exception):
    """A request left and its answer never came: the other side may have acted on it."""


class LeaseLost(Exception):
    """The job was taken over, finished or given up meanwhile: this execution's result must not count."""


class InvalidPayload(ValueError):
    """A producer sent something that the queue does not take.

    `errors` maps each field to what it got and what it wants.
    """

    def __init__(self, what: str, errors: dict[str, str]) -> None:
        details = "; ".join(f"{field}: {problem}" for field, problem in sorted(errors.items()))
        super().__init__(f"{what} refused: {details}")
        self.errors = errors


class UnknownChatbot(InvalidPayload):
    """There is no chatbot of that id."""

    def __init__(self, chatbot_id: int) -> None:
        super().__init__("message", {"chatbot_id": f"there is no chatbot {chatbot_id}; want the id of an existing one"})


class ServiceDown(Exception):
    """PostgreSQL or Redis does not answer; nothing is wrong with the job."""
