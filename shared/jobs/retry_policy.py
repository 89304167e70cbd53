"""When a stage tries a failed job again, and for how long a job may only be snoozed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from shared.config import settings


@dataclass(frozen=True)
class RetryPolicy:
    """Data of a stage, never a global constant.

    `delays`: seconds before the second attempt, the third, …; then the job fails for good.
    `jitter`: the share by which a delay may be longer or shorter, so that many do not come back at once.
    `max_age`: seconds after which a job that is only ever snoozed fails; None: JOB_MAX_AGE_SECONDS.
    """

    delays: tuple[float, ...] = (1.0, 2.0, 4.0)
    jitter: float = 0.0
    max_age: float | None = None

    @classmethod
    def doubling(cls, max_retries: int, min_backoff: int) -> RetryPolicy:
        """As Dramatiq says it: `max_retries` more attempts, the first after `min_backoff` ms, each wait twice the last."""
        return cls(tuple(min_backoff / 1000 * 2**retry for retry in range(max_retries)))

    @property
    def max_retries(self) -> int:
        """Attempts after the first."""
        return len(self.delays)

    @property
    def age_limit(self) -> float:
        """Seconds."""
        return settings().job_max_age if self.max_age is None else self.max_age

    def jittered(self) -> list[float]:
        """The delays of one job."""
        return [delay * random.uniform(1 - self.jitter, 1 + self.jitter) for delay in self.delays]
