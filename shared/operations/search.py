"""Where an id leads that somebody pastes: ours of a message, job, conversation or event, a provider's, a phone number, a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from shared import db
from shared.channels import phone_numbers
from shared.db import sql
from shared.models import Conversation, Customer, DeadLetter, Job, Message, WebhookEvent
from shared.operations import journey
from shared.payloads import MAX_ROW_ID

queries = sql.load(__file__)

#: Hits of each kind that are shown.
HITS = 10
#: Characters of what is searched for; no id is longer.
LONGEST = 300
_NUMBER = re.compile(r"[0-9]{1,18}")
_PREFIXED = re.compile(r"(job|message|conversation|evt|customer)[-_ #]?([0-9]{1,18})", re.I)


def find(text: str) -> list[dict[str, Any]]:
    """Hits, each {kind, id, message_id, failure, label, codes, at}.

    Ids and numbers are found only as a whole, names of businesses by a part. `message_id` is of a message that has a journey;
    `failure` is the dead letter of a job, as the list of failures takes it.
    `label` has names; `codes` says in words of ours what it is, and how it stands: a role, a queue, a channel, a state.
    """
    text = text.strip().replace("\x00", "")[:LONGEST]
    hits: list[dict[str, Any]] = []
    match = _PREFIXED.fullmatch(text)
    number = match[2] if match else text
    if _NUMBER.fullmatch(number) and int(number) <= MAX_ROW_ID:
        kind = {"evt": "event"}.get(match[1].lower(), match[1].lower()) if match else None
        hits += [hit for hit in _by_number(int(number)) if kind in (None, hit["kind"])]
    if text and not match:
        hits += queries["by_provider_id"].rows(text=text, hits=HITS)
        hits += queries["accepted_by_provider_id"].rows(text=text, hits=HITS)
        hits += queries["by_address"].rows(addresses=_spellings(text), numbers=phone_numbers.beginnings(text), hits=HITS)
        hits += queries["by_customer_name"].rows(text=text, hits=HITS)
    unique = {(hit["kind"], hit["id"]): hit for hit in hits}
    known = journey.known({hit["message_id"] for hit in unique.values() if hit["message_id"]})
    return [{**hit, "message_id": hit["message_id"] if hit["message_id"] in known else None} for hit in unique.values()]


def _by_number(number: int) -> list[dict[str, Any]]:
    """Rows of ours with this id."""
    hits: list[dict[str, Any]] = []
    if message := db.row(Message.select(Message.id, Message.role, Message.created_at).where(Message.id == number)):
        hits.append(_hit("message", number, number, codes=[message["role"]], at=message["created_at"]))
    letter = db.row(DeadLetter.select().where(DeadLetter.job_id == number))
    failure = {"ids": letter["id"], "state": None if letter["state"] == "open" else letter["state"]} if letter else None
    if job := db.row(Job.select(Job.message_id, Job.queue, Job.state, Job.created_at).where(Job.id == number)):
        hits.append(_hit("job", number, job["message_id"], codes=[job["queue"], job["state"]], at=job["created_at"]))
    elif letter:
        hits.append(_hit("job", number, letter["message_id"], codes=[letter["queue"], "failed"], at=letter["failed_at"]))
    if row := db.row(Conversation.select(Conversation.channel, Conversation.updated_at).where(Conversation.id == number)):
        newest = db.scalar(Message.select(Message.id).where(Message.conversation == number).order_by(Message.id.desc()).limit(1))
        hits.append(_hit("conversation", number, newest, codes=[row["channel"]], at=row["updated_at"]))
    if event := db.row(WebhookEvent.select().where(WebhookEvent.id == number)):
        about = event["payload"].get("message_id")
        hits.append(_hit("event", number, about, label=event["event"], codes=[event["status"]], at=event["created_at"]))
    if customer := db.row(Customer.select().where(Customer.id == number)):
        hits.append(_hit("customer", number, label=customer["name"], at=customer["created_at"]))
    return [{**hit, "failure": failure if hit["kind"] == "job" else None} for hit in hits]


def _hit(
    kind: str, id: int, message_id: int | None = None, *, label: str = "", codes: Sequence[str] = (), at: Any
) -> dict[str, Any]:
    return {"kind": kind, "id": id, "message_id": message_id, "label": label, "codes": [*codes], "at": at}


def _spellings(text: str) -> list[str]:
    """As channels know somebody: an id may be written with blanks between its digits."""
    digits = re.sub(r"[+\s().-]", "", text)
    return sorted({text, digits} if _NUMBER.fullmatch(digits) else {text})
