"""How a stage says what becomes of a job (only shared/jobs/stage.py turns these into a state of the ledger), and how people hear
that what they asked for is refused.

Anything else that a stage raises is an attempt that failed: it is retried by the stage's policy.
"""

from __future__ import annotations


class Snooze(Exception):
    """Not now: throttled, or not its turn. The job runs again in `delay` seconds; costs no attempt, bounded by the job's age.

    `error_code`: why, in a code of ours, for a job that becomes too old. `untried`: no provider was called, neither now nor under
    an earlier claim of the job.
    """

    untried = False

    def __init__(self, delay: float, reason: str, error_code: str | None = None) -> None:
        super().__init__(reason)
        self.delay, self.error_code = delay, error_code


class RateLimited(Snooze):
    """A rate limit of our own is reached; no provider was called."""


class WaitsForService(Snooze):
    """PostgreSQL is unavailable, and nothing is wrong with the job: it waits without limit."""


class OutsideFailure(Exception):
    """Somebody outside failed or refused; nothing of ours is broken, so there is no traceback.

    The text is ours: host, status, code. `words` are theirs, and may repeat a customer's message: they go to the row that its
    customer sees, and never to logs, Sentry or the job. `level` is that of the log line (None: as the stage says).
    """

    def __init__(self, reason: str, words: str = "") -> None:
        super().__init__(reason)
        self.words = words
        self.level: int | None = None
        #: Why, in a code of ours; of a send (shared/channels/outcomes.py).
        self.error_code: str | None = None
        #: What went wrong with a call that got no whole answer (shared/http/failures.py).
        self.call_code: str | None = None


class PermanentError(Exception):
    """The job can never succeed, by a fault of ours or of its producer: a bad payload, poison. The message is the reason."""


class PermanentRefusal(OutsideFailure, PermanentError):
    """Somebody outside will never take it: a refused recipient, a spent quota, an address that cannot be called."""


class OutcomeUnknown(OutsideFailure):
    """A request was sent, but no response came: the other side may have acted on it."""


class JobParked(Exception):
    """The stage has given the job back itself, until something is there that it waits for; nothing is left to record."""


class LeaseLost(Exception):
    """The job was claimed by another worker, finished or given up meanwhile, so this execution's result must not count."""


class Refused(Exception):
    """What somebody asks for cannot be done as things are; the text says why, and what to do.

    The desk translates `text`, in which `values` are named: "%(name)s is the last owner".
    """

    def __init__(self, text: str, **values: object) -> None:
        super().__init__(text % values if values else text)
        self.text, self.values = text, values


class InvalidPayload(ValueError):
    """A producer's payload breaks the queue's rules. `errors` maps each field to what is wrong with it."""

    def __init__(self, what: str, errors: dict[str, str]) -> None:
        details = "; ".join(f"{field}: {problem}" for field, problem in sorted(errors.items()))
        super().__init__(f"{what} refused: {details}")
        self.errors = errors


class UnknownChatbot(InvalidPayload):
    """No chatbot has this id."""

    def __init__(self, chatbot_id: int) -> None:
        super().__init__("message", {"chatbot_id": f"there is no chatbot {chatbot_id}; use the id of an existing one"})


class ServiceDown(Exception):
    """PostgreSQL is unavailable; nothing is wrong with the job."""
