"""Replies while they are written: a worker's text on its way to the open page, through PostgreSQL.

A provider's tokens come faster than anybody reads, and many replies are written at once. So the threads that read them only note
what has come; one thread of the process writes the drafts of all, in one statement: the first piece of each at once, then ten
times a second at most. The row is replaced as a whole, so a write that was lost costs a moment and no text.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from shared import db
from shared.db import sql
from shared.db.prepared import Statement
from shared.errors import LeaseLost
from shared.jobs.ledger import Job
from shared.payloads import strip_invalid

log = logging.getLogger(__name__)

queries = sql.load(__file__)
_write_drafts = Statement(queries["write_drafts"], retry_seconds=0.0)
_mark_open = Statement(queries["mark_open"], retry_seconds=0.0)

#: Seconds for which a page counts as open; a web process says so again in half of that (web/widget/sse.py).
OPEN_SECONDS = 60.0
#: Seconds between two writes of a draft; more where it is long, so that it costs no more.
INTERVAL, CHARACTERS_PER_INTERVAL = 0.1, 8_000
#: Characters of a draft. The rest of such an essay comes with the message.
MAX_TEXT = 16_000
#: Drafts of one statement.
PAGE = 100
#: Seconds after which a write that failed is repeated.
PAUSE = 1.0
#: Seconds without a draft after which the thread ends.
IDLE = 60.0


class AnswerUnwanted(Exception):
    """Its conversation is `gone`, was `taken_over` by a person, or the bot was silenced in it (`braked`) while it wrote."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Draft:
    """The draft of one reply. Called with each new piece of its text; "" says that it starts over (shared/ai/stream.py).

    What it shows of an attempt that failed stays until the next one has text. Raises LeaseLost or AnswerUnwanted, if there is no
    point in going on.
    """

    def __init__(self, job: Job, message_id: int) -> None:
        self.job, self.message_id = job, message_id
        self.text = ""
        self.starts_over = False
        self.is_being_written = False
        self.due_at = 0.0
        self.stopped: Exception | None = None

    def __call__(self, piece: str) -> None:
        if self.stopped is not None:
            raise self.stopped
        if not piece:
            self.starts_over = True
            return
        _board.note(self, strip_invalid(piece.replace("\x00", "")))

    def close(self) -> None:
        """Nothing of it is written after that."""
        _board.forget(self)

    def row(self) -> dict[str, Any]:
        """What the statement takes."""
        job = self.job
        claimed_at = (job.loaded or {}).get("claimed_at")
        return {"job_id": job.id, "claim": job.claim, "claimed_at": claimed_at, "message_id": self.message_id, "text": self.text}

    def settle(self, row: dict[str, Any] | None) -> None:
        """What the statement answers."""
        self.due_at = time.monotonic() + INTERVAL * max(1.0, len(self.text) / CHARACTERS_PER_INTERVAL)
        if row is None:
            self.stopped = LeaseLost(f"job {self.job.id}: claim {self.job.claim} is over")
        elif reason := next((name for name in ("gone", "taken_over", "braked") if row[f"is_{name}"]), None):
            self.stopped = AnswerUnwanted(reason)


class _Board:
    """The drafts of this process that have text which is not written yet, and the thread that writes them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._dirty: dict[Draft, None] = {}
        self._has_thread = False

    def note(self, draft: Draft, piece: str) -> None:
        with self._changed:
            kept = "" if draft.starts_over else draft.text
            draft.text, draft.starts_over = (kept + piece)[:MAX_TEXT], False
            if draft in self._dirty or draft.text == kept:
                return
            self._dirty[draft] = None
            if not self._has_thread:
                self._begin_writing(draft)
            self._changed.notify_all()

    def _begin_writing(self, draft: Draft) -> None:
        try:
            threading.Thread(target=self._keep_writing, name="drafts", daemon=True).start()
            self._has_thread = True
        except RuntimeError:  # the system has no thread to spare; the next piece tries again
            del self._dirty[draft]

    def forget(self, draft: Draft) -> None:
        with self._changed:
            self._dirty.pop(draft, None)
            self._changed.wait_for(lambda: not draft.is_being_written)

    def _keep_writing(self) -> None:
        while drafts := self._due():
            try:
                self._write(drafts)
            finally:
                with self._changed:
                    for draft in drafts:
                        draft.is_being_written = False
                    self._changed.notify_all()

    def _due(self) -> list[Draft]:
        """Waits for drafts whose time has come, and takes them; none if there was nothing to do for long."""
        idle_from = time.monotonic()
        with self._changed:
            while True:
                now = time.monotonic()
                due = [draft for draft in self._dirty if draft.due_at <= now][:PAGE]
                if due or (not self._dirty and now - idle_from > IDLE):
                    break
                next_at = min((draft.due_at for draft in self._dirty), default=now + IDLE)
                self._changed.wait(next_at - now)
            for draft in due:
                del self._dirty[draft]
                draft.is_being_written = True
            self._has_thread = bool(due)
            return due

    def _write(self, drafts: list[Draft]) -> None:
        try:
            rows = _write_drafts.rows_by_item([draft.row() for draft in drafts])
            for draft, row in zip(drafts, rows, strict=True):
                draft.settle(row)
        except Exception as problem:  # a draft that is not written costs its reply nothing
            if not db.is_outage(problem):
                log.exception("draft_write_failed")
            for draft in drafts:
                draft.due_at = time.monotonic() + PAUSE


_board = _Board()


def mark_open(topics: list[str]) -> None:
    """Says that pages of these conversations are open now (Visitor.topic in web/widget/visitor.py)."""
    _mark_open.execute([{"topic": topic, "seconds": OPEN_SECONDS} for topic in topics])


def prune() -> dict[str, int]:
    """Forgets pages that were left, and drafts that nobody goes on with; returns how many drafts."""
    queries["prune_open_pages"].rows()
    return {"drafts": len(queries["prune_drafts"].rows())}
