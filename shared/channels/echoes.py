"""Who wrote what a gateway reports as sent from the phone: a colleague, or we ourselves, for it reports both alike.

What we sent has an id that we gave it, or that its gateway answered with. A report that is faster than the answer waits for it: a
takeover that nobody made is as bad as one that is missed. Meta reports by itself only what was written on the phone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import chain
from typing import Any

from shared.channels.delivery_status import apply_delivery_status, apply_parked
from shared.channels.formatting.text import to_whatsapp
from shared.channels.whatsapp_qr.ids import own_id
from shared.db import sql
from shared.jobs.ledger import Job

queries = sql.load(__file__)

#: Seconds for which a report waits for the answers of sends that had begun when it came: longer than a gateway takes to answer.
PATIENCE = 30.0
#: Seconds until such a report is looked at again.
WAIT = 1.0
#: Seconds for which a reply may be reported that has left without an id, or more than once; and how many of a conversation's
#: latest messages are looked at for it.
LOOK_BACK, LATEST = 3_600.0, 50


class Writer(StrEnum):
    """Who wrote a message that was reported as sent."""

    WE = "we"
    PERSON = "person"
    NOT_KNOWN_YET = "not_known_yet"


def writer_of(job: Job) -> Writer:
    """Whose message the job brings, by its payload."""
    payload = job.payload
    chatbot_id, external_id = payload["chatbot_id"], payload.get("external_id")
    if external_id is None:
        return Writer.PERSON
    # The sends first: one whose answer is stored between the two statements is in this list, or known by the next.
    sends = _sends_under_way(job) if payload["channel"] == "whatsapp_qr" else []
    if queries["is_known"].scalar(chatbot_id=chatbot_id, channel=payload["channel"], external_id=external_id):
        return Writer.WE
    echoed = _echoed(payload, sends)
    if echoed is not None:
        _keep_sent(echoed, external_id, chatbot_id)
        return Writer.WE
    is_awaited = any(send["is_open"] for send in sends) and job.age < PATIENCE
    return Writer.NOT_KNOWN_YET if is_awaited else Writer.PERSON


def _keep_sent(message_id: int, external_id: str, chatbot_id: int) -> None:
    """It has left, whatever its answer was or will be; what is reported of this id from now on is of this reply."""
    apply_delivery_status("SENT", message_id=message_id, provider_id=external_id, chatbot_id=chatbot_id)
    if queries["keep_id"].row(message_id=message_id, external_id=external_id) is not None:
        apply_parked([external_id])


def _sends_under_way(job: Job) -> list[dict[str, Any]]:
    names = {"chatbot_id": job.payload["chatbot_id"], "external_user_id": job.payload["external_user_id"]}
    return queries["sends_under_way"].rows(job_id=job.id, look_back=LOOK_BACK, latest=LATEST, **names)


def _echoed(payload: Mapping[str, Any], sends: Sequence[Mapping[str, Any]]) -> int | None:
    """Which of the sends was reported: the one with the id that we gave it. Else, for gateways that make ids of their own, one of
    the same words to the same person: many people are told the same at the same time.
    """
    words = payload["content"].split()
    same_id = (send["id"] for send in sends if payload["external_id"] == own_id(send["id"]))
    same_words = (
        send["id"]
        for send in sends
        if send["is_to_chat"] in (True, None) and words == to_whatsapp(send["content"], by_person=send["by_person"]).split()
    )
    return next(chain(same_id, same_words), None)
