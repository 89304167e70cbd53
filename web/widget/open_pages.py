"""Says which pages are open, so that the AI's replies to them are shown while they are written."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Protocol

from shared import db
from shared.channels.widget import drafts
from web.widget.visitor import Visitor

log = logging.getLogger(__name__)


class Stream(Protocol):
    """A stream to a page, and when that page was last said to be open."""

    visitor: Visitor
    marked_at: float


def mark(streams: Iterable[Stream]) -> None:
    """Says it of those for which it is due. Messages are read all the same where PostgreSQL takes no writes."""
    now = time.monotonic()
    due = {stream.visitor.topic: stream for stream in streams if now - stream.marked_at > drafts.OPEN_SECONDS / 2}
    if not due:
        return
    try:
        drafts.mark_open(list(due))
    except Exception as problem:
        if not db.is_outage(problem):
            log.exception("open_page_not_marked")
        return
    for stream in due.values():
        stream.marked_at = now
