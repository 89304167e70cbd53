"""What becomes of a reply whose call failed, and of the others of its account."""

from __future__ import annotations

import logging
import random

from shared.channels import health
from shared.channels.health import ChannelAccount
from shared.channels.outcomes import Reason, with_code
from shared.errors import OutcomeUnknown, OutsideFailure, Snooze
from shared.http import ConnectFailed
from shared.jobs.ledger import Job
from shared.jobs.stage import STAGES

log = logging.getLogger(__name__)

#: Seconds for which an account's replies wait that found no connection in all attempts of one.
UNREACHABLE_FOR = 15.0


def unreachable(job: Job, account: ChannelAccount, failure: ConnectFailed) -> Exception:
    """What becomes of a reply without a connection. Nothing has left, and nobody has refused anything: DNS, the network or a
    gateway is away, often for everybody. So after the stage's retries it waits, and all replies of the account with it."""
    if failure.is_cut or job.attempt <= STAGES[job.queue].retry.max_retries:
        return named(failure)
    health.slow_down(account, UNREACHABLE_FOR)
    log.warning("channel_unreachable", extra={**account.key, "error": str(failure), "seconds": UNREACHABLE_FOR})
    return Snooze(UNREACHABLE_FOR * random.uniform(1.0, 1.5), str(failure), Reason.PROVIDER_UNREACHABLE)


def named(failure: OutsideFailure) -> OutsideFailure:
    """Failures of the call itself have no code yet."""
    if failure.error_code is None:
        kinds = {OutcomeUnknown: Reason.OUTCOME_UNKNOWN, ConnectFailed: Reason.PROVIDER_UNREACHABLE}
        with_code(failure, next((reason for kind, reason in kinds.items() if isinstance(failure, kind)), Reason.REQUEST_REFUSED))
    return failure
