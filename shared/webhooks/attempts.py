"""An attempt to deliver an event: what its row (webhook_attempt) tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared import http
from shared.errors import OutsideFailure, PermanentError
from shared.jobs.ledger import Job
from shared.payloads import strip_invalid
from shared.webhooks.triggers import Trigger

#: Bytes of an answer that are kept.
MAX_ANSWER = 4096


@dataclass
class Attempt:
    """An attempt, and its call if there was one."""

    number: int
    trigger: Trigger
    phases: http.Phases = field(default_factory=http.Phases)
    answer: http.Response | None = None

    @classmethod
    def of(cls, job: Job) -> Attempt:
        """The job's next. An attempt that was lost with its worker has no row, and yet a number, where the job knows of it."""
        recorded = job.loaded["attempts"] if job.loaded else 0
        asked = job.payload.get("trigger") if isinstance(job.payload, Mapping) else None  # it may be garbage
        return cls(max(recorded + 1, job.attempt), next((one for one in Trigger if one == asked), Trigger.FIRST))

    def row(self) -> dict[str, Any]:
        """For SQL."""
        row = {
            "number": self.number,
            "trigger": self.trigger,
            "ms": self.phases.ms,
            "seconds": sum(self.phases.ms.values()) / 1000,
        }
        if self.answer is not None:
            text = strip_invalid(self.answer.body[:MAX_ANSWER].decode("utf-8", "replace"))
            row |= {"response_status": self.answer.status, "answer": text}
        return row

    def failed_row(self, problem: Exception) -> dict[str, Any]:
        """For SQL, of an attempt that failed."""
        return {**self.row(), "error_code": self._error_code(problem)}

    def _error_code(self, problem: Exception) -> str:
        """Of a call without an answer as shared/http/failures.py says, else by the answer's status."""
        if self.answer is not None:
            return f"http_{self.answer.status}"
        if isinstance(problem, OutsideFailure) and problem.call_code:
            return problem.call_code
        # Something of ours went wrong, or the job grew too old while there was no room for its call.
        return "not_called" if isinstance(problem, PermanentError) else "internal"
