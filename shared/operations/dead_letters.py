"""Dead letters: what failed for good, which of it is meant, and how it is grouped.

PostgreSQL writes a row when a job is closed as failed (the trigger job_died of schema.sql). Failures have few causes: they are
grouped by stage, channel and error code, each group with those whom it concerns and since when.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Self

from peewee import JOIN, Expression, fn

from shared import db
from shared.channels.outcomes import explanation
from shared.config import settings
from shared.db import sql
from shared.db.pruning import delete_in_batches
from shared.models import Chatbot, Contact, Conversation, Customer, DeadLetter

queries = sql.load(__file__)

#: What can become of one; schema.sql says what each means.
STATES = ("open", "replayed", "answered", "ignored")
#: Dead letters that are changed at once: whoever else wants one of them waits so long.
AT_ONCE = 1_000


@dataclass(frozen=True)
class Filter:
    """Which dead letters are meant. Empty: all open ones."""

    queue: str | None = None
    channel: str | None = None
    error_code: str | None = None
    customer_id: int | None = None
    chatbot_id: int | None = None
    endpoint_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: tuple[int, ...] | None = None
    state: str = "open"

    def as_json(self) -> dict[str, Any]:
        """What a bulk action keeps."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {name: time.isoformat() for name in ("since", "until") if (time := values[name]) is not None}
        return {name: list(value) if name == "ids" else value for name, value in values.items() if value is not None}

    @classmethod
    def of_json(cls, kept: Mapping[str, Any]) -> Self:
        """What `as_json` gave."""
        values = {name: value for name, value in kept.items() if name in {field.name for field in fields(cls)}}
        values |= {name: datetime.fromisoformat(values[name]) for name in ("since", "until") if name in values}
        return cls(**(values | ({"ids": tuple(values["ids"])} if "ids" in values else {})))

    def frozen(self) -> Self:
        """The same, without what fails from now on. By PostgreSQL's clock, as all of its times."""
        return self if self.until else replace(self, until=db.scalar("select clock_timestamp()"))

    @property
    def conditions(self) -> list[Expression]:
        """For the query of whoever asks."""
        conditions = [DeadLetter.state == self.state]
        for column in ("queue", "channel", "error_code", "customer_id", "chatbot_id", "endpoint_id"):
            if (value := getattr(self, column)) is not None:
                conditions.append(getattr(DeadLetter, column) == value)
        conditions += [DeadLetter.failed_at >= self.since] if self.since else []
        conditions += [DeadLetter.failed_at <= self.until] if self.until else []
        conditions += [DeadLetter.id.in_(self.ids)] if self.ids is not None else []
        return conditions


def groups() -> list[dict[str, Any]]:
    """Open ones by reason, the newest first: how many, of how many customers, since when, how many in each hour of the last day.

    `customer` is the name of the only customer, where there is one.
    """
    return [{**row, "explanation": explanation(row["error_code"])} for row in queries["groups"].rows()]


def failing_endpoints() -> list[dict[str, Any]]:
    """Endpoints whose events failed and are delivered again by themselves: how many, since when, and when next."""
    return queries["failing_endpoints"].rows()


def count(where: Filter, most: int | None = None) -> int:
    """How many there are; of more than `most`, so many."""
    meant = DeadLetter.select(DeadLetter.id).where(*where.conditions).limit(most)
    return int(db.scalar(meant.select_from(fn.count(meant.c.id))))


def count_repeatable(most: int) -> int:
    """How many open ones an operator can repeat, up to `most`: imports and files are for their owners."""
    return int(queries["count_repeatable"].scalar(most=most))


def page(where: Filter, limit: int, before: int | None = None, include_unknown: bool = False) -> list[dict[str, Any]]:
    """The newest that are meant, with the names of those whom they concern; `before`: the last id of the page before.

    `verdict` is what would become of each in a replay, with or without what may have arrived (`include_unknown`).
    """
    letters = (
        DeadLetter.select(
            DeadLetter,
            Customer.name.alias("customer_name"),
            Chatbot.name.alias("chatbot_name"),
            Contact.name.alias("contact_name"),
            Conversation.external_user_id,
            fn.dead_letter_verdict_v2(DeadLetter.id, include_unknown).alias("verdict"),
            Conversation.window_ends_at,
        )
        .join(Customer, JOIN.LEFT_OUTER, on=Customer.id == DeadLetter.customer)
        .join(Chatbot, JOIN.LEFT_OUTER, on=Chatbot.id == DeadLetter.chatbot_id)
        .join(Conversation, JOIN.LEFT_OUTER, on=Conversation.id == DeadLetter.conversation_id)
        .join(Contact, JOIN.LEFT_OUTER, on=Contact.id == Conversation.contact)
        .where(*where.conditions)
        .order_by(DeadLetter.id.desc())
        .limit(limit)
    )
    return db.rows(letters.where(DeadLetter.id < before) if before else letters)


def ignore(where: Filter, by: str, note: Callable[[int], None] = lambda _count: None) -> int:
    """Nothing is to be done about these; returns how many they were. Only open ones, and not what fails from now on.

    Some at a time, so that no lock is held long: whoever dies at it has ignored a part, and does it once more. `note` is called
    with how many are done, within the transaction that does them.
    """
    conditions, count = [*where.frozen().conditions, DeadLetter.state == "open"], 0
    while True:
        some = DeadLetter.select(DeadLetter.id).where(*conditions).order_by(DeadLetter.id).limit(AT_ONCE).for_update()
        ignored = DeadLetter.update(state="ignored", changed_by=by, changed_at=fn.now()).where(DeadLetter.id.in_(some))
        with db.transaction():
            done = len(db.rows(ignored.returning(DeadLetter.id)))
            count += done
            if done:
                note(count)
        if done < AT_ONCE:
            return count


def settle() -> int:
    """Closes those that arrived after all; returns how many."""
    settled, last = 0, {"failed_at": "-infinity", "id": 0}
    while page := queries["settle"].row(after=last["failed_at"], after_id=last["id"], page=AT_ONCE):
        settled, last = settled + page["settled"], page
    return settled


def prune() -> dict[str, int]:
    """Forgets old ones, and old bulk actions."""
    age = settings().keep_dead_letters_days * 86_400
    return {name: delete_in_batches(queries[f"prune_{name}"], age=age) for name in ("dead_letters", "bulk_actions")}
