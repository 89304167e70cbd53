"""Who a person is, under all the names that channels have for them: phone number, @lid, business-scoped user id.

One person is one contact, and has one conversation on each channel. A new conversation gets its contact by a trigger; names that
turn out to be one person's are learnt here. The functions that merge are in schema.sql (contact_learn_v1, conversation_merge).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from shared import db
from shared.db import sql
from shared.db.busy import attempts
from shared.errors import ServiceDown
from shared.privacy import marks

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Attempts at learning names.
TRIES = 12
#: Conversations that get their contact by one statement, and seconds of a sweep for all of them: an old database has millions.
BATCH, SWEEP_SECONDS = 100, 1.0
#: Seconds after which a name that its person gave up is forgotten: a week. Nobody gets a used phone number sooner.
KEEP_LEFT = 7 * 86_400


def learn(chatbot_id: int, channel: str, names: Sequence[str], moved_to: str | None = None) -> bool:
    """These names are one person's: their contacts become one, and so do their conversations. Learning again changes nothing,
    also if the person was erased meanwhile.

    `moved_to`: the one of them that replaces the others, where a person changed their number. False if others were at work on the
    same conversations all the time; then nothing has happened.
    """
    names_of_one = {"chatbot_id": chatbot_id, "channel": channel, "names": list(names)}
    for _ in attempts(TRIES):
        if queries["learn"].scalar(**names_of_one, moved_to=moved_to, marks=_marks(chatbot_id, channel, names)):
            return True
    log.warning("names_not_learnt", extra={"chatbot": chatbot_id, "channel": channel})
    return False


def learn_for_good(chatbot_id: int, channel: str, names: Sequence[str], moved_to: str | None = None) -> None:
    """As `learn`, for what a provider says once. Raises ServiceDown if it was not learnt, so that the provider repeats it."""
    if not db.retry_on_outage(lambda: learn(chatbot_id, channel, names, moved_to), db.WEB_RETRY_SECONDS):
        raise ServiceDown("the names of a contact could not be learnt, for its conversations are busy")


def is_erased(chatbot_id: int, channel: str, names: Sequence[str]) -> bool:
    """Whether a person of one of these names was erased, and has not written since."""
    known = _marks(chatbot_id, channel, names)
    return bool(queries["is_erased"].scalar(marks=known, chatbot_id=chatbot_id, channel=channel, names=list(names)))


def _marks(chatbot_id: int, channel: str, names: Sequence[str]) -> list[str]:
    return [mark for name in names for mark in marks.of_name(chatbot_id, channel, name)]


def settle() -> int:
    """For the sweep: gives their contact to conversations without one, or makes them a part of the one that their contact has.

    They are older than contacts, or were begun by a worker of the last release. Returns how many are settled.
    """
    settled, after, deadline = 0, 0, time.monotonic() + SWEEP_SECONDS
    while rows := queries["settle"].rows(after=after, batch=BATCH):
        settled += sum(row["is_settled"] for row in rows)
        after = rows[-1]["id"]
        if len(rows) < BATCH or time.monotonic() > deadline:
            break
    if settled:
        log.info("conversations_settled", extra={"conversations": settled})
    return settled


def prune() -> dict[str, int]:
    """Forgets names that were given up some days ago: they may be another person's one day. Returns how many."""
    return {"left_names": len(queries["forget_left"].rows(age=KEEP_LEFT))}
