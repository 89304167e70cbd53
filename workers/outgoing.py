"""outgoing-messages: routes a reply by its channel. A widget's is SENT here; the open page reads it from the database.

Like incoming-messages it is one statement (outgoing.sql). Where a channel's replies go says the table `channel`, which the
registry mirrors (shared/channels/registry.py); there is no default.
"""

from __future__ import annotations

from shared.channels import failed_replies
from shared.db import sql
from shared.errors import PermanentError
from shared.jobs.completion import CompletionStatement
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue

queries = sql.load(__file__)

route_reply = CompletionStatement(queries["route_reply"])


@actor(
    Queue.OUTGOING,
    max_retries=3,
    min_backoff=1000,
    on_retry_exhausted=DeadLetter(failed_replies.queries["dead_letter"]),
    attempt_failed=failed_replies.queries["attempt_failed"],
)
def route(job: Job) -> None:
    """Marks a widget's reply SENT, or hands it to its channel's send stage. Raises PermanentError if there is none."""
    if not route_reply(job):
        raise PermanentError("there is no reply to deliver: it is gone, or was delivered before")
