"""incoming-messages: saves what the customer wrote and hands it to the AI, with the plan's priority.

This stage only talks to PostgreSQL, so it claims nothing: one statement (incoming.sql) takes the job, does the work and
completes the job, for all jobs that the threads of the process have at the same moment.
"""

from __future__ import annotations

from shared.channels import contacts, echoes
from shared.channels.echoes import Writer
from shared.channels.kinds import Author
from shared.db import sql
from shared.errors import PermanentError, Snooze
from shared.jobs.completion import CompletionStatement, complete
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.stage import actor
from shared.queues import Queue

queries = sql.load(__file__)

save_message = CompletionStatement(queries["save_message"])


@actor(Queue.INCOMING, max_retries=3, min_backoff=1000, on_retry_exhausted=DeadLetter())
def receive(job: Job) -> None:
    """Finds or creates the conversation, saves the message, logs usage and adds the AI job. Raises PermanentError.

    A message that tells new names of its customer is left to the claimed job, which learns them before it saves the message. If
    they cannot be learnt now, the message is saved all the same: the next one tells them again. What a colleague wrote on the
    phone is left to it as well, for it may be an echo of what we sent.
    """
    payload = job.payload  # empty, unless the job is claimed
    is_persons = payload.get("author") == Author.COLLEAGUE
    if is_persons and (writer := echoes.writer_of(job)) is not Writer.PERSON:
        if writer is Writer.NOT_KNOWN_YET:
            raise Snooze(echoes.WAIT, "a message of ours is on its way, and this may be its echo")
        complete(job)
        return
    if identities := payload.get("identities"):
        contacts.learn(payload["chatbot_id"], payload["channel"], [payload["external_user_id"], *identities])
    if not save_message(job, {"names_learnt": bool(identities), "is_persons": is_persons}):
        raise PermanentError("the message's chatbot does not exist any more")
