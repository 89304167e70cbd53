"""Bulk actions: something done to many rows, at a pace, that survives the process which does it.

An action is a row. Whoever begins one freezes which rows are meant: a filter and a time. The runner of workers/maintenance.py
takes a step of each running action about once a second. What a step does, what it counts and how far it came commit together,
so after a crash the next step begins exactly behind the last one that counts. Two runners never step the same action.

A kind of action is a function in STEPS of workers/maintenance.py, `step(action, limit)`. It works on at most `limit` rows with
ids above `action["position"]`, in their order, within the open transaction, and returns
- the id of the last one; None if there are no more,
- how many came to which outcome: {"replayed": 18, "window_closed": 2}, added to `counts`,
- tickets to enqueue after the commit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from shared import db
from shared.broker.enqueue import Ticket, enqueue
from shared.db import sql
from shared.errors import Refused
from shared.jobs.independent import run_each
from shared.models import BulkAction

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: The row of a running action, how many rows to do at most; see above.
Step = Callable[[Mapping[str, Any], int], tuple[int | None, Mapping[str, int], Sequence[Ticket]]]

#: Rows a second, unless whoever begins an action says otherwise: an outage's backlog in minutes, beside the daily traffic.
PACE = 20.0
#: Rows a second, at the least and at the most: what one runner can do.
SLOWEST, FASTEST = 1.0, 200.0
#: Rows of one step: their locks are held until it commits.
STEP = 200
#: Kinds of which each row has a transaction of its own. A replay locks conversations in the order of dead letters; whoever saves
#: messages does so in another one.
SINGLY = frozenset({"replay"})


def check_pace(pace: float) -> None:
    """Raises Refused for rows a second that no runner keeps."""
    if not SLOWEST <= pace <= FASTEST:
        most, least = f"{FASTEST:g}", f"{SLOWEST:g}"
        raise Refused("A pace is from %(least)s to %(most)s a second, not %(given)s.", least=least, most=most, given=f"{pace:g}")


def begin(
    kind: str,
    criteria: Mapping[str, Any],
    total: int,
    by: str,
    *,
    pace: float = PACE,
    name: str | None = None,
    customer_id: int | None = None,
) -> int:
    """Begins an action over the rows that match `criteria` and are not newer than now; returns its id. Raises Refused."""
    check_pace(pace)
    action = BulkAction.insert(
        kind=kind,
        filter=dict(criteria),
        total=total,
        created_by=by,
        pace=pace,
        name=name or None,
        customer=customer_id,
    )
    action_id = int(db.scalar(action.returning(BulkAction.id)))
    log.info("bulk_action_begun", extra={"action": action_id, "kind": kind, "total": total, "by": by})
    return action_id


def stop(action_id: int, by: str) -> bool:
    """Ends an action after the step that is under way; False if it had ended."""
    stopped = queries["stop"].row(id=action_id, by=by) is not None
    if stopped:
        log.info("bulk_action_stopped", extra={"action": action_id, "by": by})
    return stopped


def find(kind: str, action_id: int) -> dict[str, Any] | None:
    """The row of an action of this kind."""
    return db.row(BulkAction.select().where(BulkAction.kind == kind, BulkAction.id == action_id))


def newest(kind: str, limit: int = 20) -> list[dict[str, Any]]:
    """Actions of a kind, newest first."""
    return db.rows(BulkAction.select().where(BulkAction.kind == kind).order_by(BulkAction.id.desc()).limit(limit))


def run(steps: Mapping[str, Step]) -> int:
    """Takes a step of each running action whose kind this process knows; returns how many rows were done.

    What a step raises is raised when the other actions have had theirs: one that always fails must not stop them.
    """
    running = BulkAction.select(BulkAction.id).where(BulkAction.state == "running", BulkAction.kind.in_(list(steps)))
    return sum(run_each(partial(_step, row["id"], steps) for row in db.rows(running.order_by(BulkAction.id))))


def _step(action_id: int, steps: Mapping[str, Step]) -> int:
    """Does what is due of an action; returns how many rows were done."""
    done, left = _take_rows(action_id, steps)
    while left:
        more, left = _take_rows(action_id, steps, left)
        done += more
    return done


def _take_rows(action_id: int, steps: Mapping[str, Step], left: int | None = None) -> tuple[int, int]:
    """One transaction of a step, over the `left` rows or all that are due; returns how many were done, and how many are left.

    The action is read anew in each: it may have been stopped, and the next rows are behind its new position.
    """
    with db.transaction():
        action = queries["lock"].row(id=action_id)
        if action is None:  # another runner has it, or it has ended
            return 0, 0
        if left is None:
            left = min(STEP, int(action["due"]))
        if not left:
            return 0, 0
        size = 1 if action["kind"] in SINGLY else left
        position, counts, tickets = steps[action["kind"]](action, size)
        queries["advance"].rows(id=action_id, position=position, counts=db.json(dict(counts)))
    enqueue(tickets)
    if position is None:
        log.info("bulk_action_done", extra={"action": action_id, "kind": action["kind"]})
        left = size
    return sum(counts.values()), left - size
