"""Replays: what failed for good runs once more, as one bulk action over the dead letters of a filter.

A preview says what would become of each, in PostgreSQL's own words (dead_letter_verdict_v2), which the replay asks again when
its turn comes: what has arrived, was answered by a person, or cannot leave now stays as it is. So a replay may be
begun twice, stopped, and crash, and nobody gets a message twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import fn

from shared import db
from shared.broker.enqueue import Ticket, tickets_of
from shared.db import sql
from shared.models import DeadLetter
from shared.operations import bulk_actions, dead_letters
from shared.operations.dead_letters import Filter

queries = sql.load(__file__)

KIND = "replay"
#: Dead letters that a preview looks at; of more it says so.
PREVIEWED = 10_000
SAMPLES = 10

READY = "ready"
#: What a preview and an action say of those that are left out. An outcome that this version does not know is shown as it is.
REASONS: Mapping[str, str] = {
    "outcome_unknown": "the customer may already have it: the answer to the first send was lost",
    "answered": "a person has answered since, or has the conversation",
    "delivered": "it arrived, or was answered, after all",
    "window_closed": "WhatsApp's 24 hours are over; a template may be sent instead",
    "channel_down": "the channel cannot send at the moment",
    "closed": "the conversation was closed",
    "endpoint_off": "the endpoint was switched off",
    "under_way": "another job is at it",
    "gone": "the message, the event or the job's record is gone",
    "not_repeatable": "its owner repeats it, at the knowledge or by sending the file again",
    "done": "it was replayed or ignored meanwhile",
    "busy": "a worker had it in hand at that moment",
}


@dataclass(frozen=True)
class Preview:
    """What a replay would do. `left_out`: how many not, by reason; `samples` have their verdicts. `is_cut`: there are more."""

    where: Filter
    include_unknown: bool
    total: int
    ready: int
    left_out: Mapping[str, int]
    samples: Sequence[dict[str, Any]]

    @property
    def is_cut(self) -> bool:
        """Whether there are more than were looked at."""
        return self.total > self.ready + sum(self.left_out.values())


def preview(where: Filter, include_unknown: bool = False, most: int = PREVIEWED) -> Preview:
    """Looks at all that are meant, up to `most`, and changes nothing."""
    where = where.frozen()
    verdict = fn.dead_letter_verdict_v2(DeadLetter.id, include_unknown)
    meant = DeadLetter.select(verdict.alias("verdict")).where(*where.conditions).order_by(DeadLetter.id).limit(most)
    verdicts = Counter(row["verdict"] for row in db.rows(meant))
    ready = verdicts.pop(READY, 0)
    samples = dead_letters.page(where, SAMPLES, include_unknown=include_unknown)
    return Preview(where, include_unknown, dead_letters.count(where), ready, dict(verdicts.most_common()), samples)


def begin(
    where: Filter, by: str, *, include_unknown: bool = False, pace: float = bulk_actions.PACE, name: str | None = None
) -> int:
    """Replays what is meant and has failed until now; returns the bulk action's id."""
    where = where.frozen()
    criteria = where.as_json() | ({"include_unknown": True} if include_unknown else {})
    total = dead_letters.count(where)
    return bulk_actions.begin(KIND, criteria, total, by, pace=pace, name=name, customer_id=where.customer_id)


def step(action: Mapping[str, Any], limit: int) -> tuple[int | None, Mapping[str, int], Sequence[Ticket]]:
    """A step of the action (bulk_actions.Step)."""
    where = Filter.of_json(action["filter"])
    meant = DeadLetter.select(DeadLetter.id).where(*where.conditions, DeadLetter.id > action["position"])
    ids = [row["id"] for row in db.rows(meant.order_by(DeadLetter.id).limit(limit))]
    if not ids:
        return None, {}, []
    unknown = bool(action["filter"].get("include_unknown"))
    done = queries["replay"].rows(ids=ids, unknown=unknown, by=action["created_by"], action_id=action["id"])
    outcomes = Counter(row["result"]["outcome"] for row in done)
    return ids[-1], outcomes, [ticket for row in done for ticket in tickets_of(row["result"]["tickets"])]


def results(action_id: int) -> dict[str, int]:
    """What became by now of those that an action has run again: sent, waiting, failed (again)."""
    return {row["result"]: row["count"] for row in queries["results"].rows(action_id=action_id)}
