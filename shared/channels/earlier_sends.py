"""What an earlier send of the same reply leaves open: whether it arrived, and what a person's takeover means for it.

The next attempt of an ambiguous send waits for a status that settles it, then follows AMBIGUOUS_SEND.
"""

from __future__ import annotations

import logging

from shared.channels.outcomes import Reason, with_code
from shared.config import settings
from shared.db import sql
from shared.errors import PermanentRefusal, Snooze
from shared.jobs.completion import CompletionStatement
from shared.jobs.ledger import Job

log = logging.getLogger(__name__)
queries = sql.load(__file__)

_end_superseded = CompletionStatement(queries["end_superseded"])


def end_superseded(job: Job, message_id: int, parts_sent: int, ids: list[str]) -> None:
    """Ends the job of a reply that a person's takeover kept from leaving.

    Its question is asked anew if nobody has answered it; where an earlier send may have arrived, as AMBIGUOUS_SEND says.
    """
    conf = settings()
    values = {"message_id": message_id, "answer_within": conf.answer_within}
    may_have_left = parts_sent > 0
    if job.outcome_unknown_for is not None and queries["is_question_open"].scalar(**values):
        may_have_left = may_have_left or conf.ambiguous_send == "hold" or has_arrived(job, ids)
    log.info("reply_superseded")
    _end_superseded(job, values | {"queue": job.queue, "may_have_left": may_have_left})


def has_arrived(job: Job, ids: list[str]) -> bool:
    """Whether a status proves that an ambiguous send arrived. Raises Snooze while one may come, PermanentError to hold."""
    if ids and queries["has_status_arrived"].row(message_id=job.message_id, ids=ids) is not None:
        return True
    conf = settings()
    waited = job.outcome_unknown_for or 0.0
    if waited < conf.ambiguous_wait:
        raise Snooze(conf.ambiguous_wait - waited, "outcome unknown: waiting for a status of the earlier send")
    if conf.ambiguous_send == "hold":
        text = "outcome unknown: an earlier send may have arrived, and AMBIGUOUS_SEND=hold"
        raise with_code(PermanentRefusal(text), Reason.OUTCOME_UNKNOWN)
    log.warning("outcome_unknown_sending_again", extra={"waited": round(waited, 1)})
    return False
