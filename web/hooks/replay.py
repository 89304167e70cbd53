"""Stores once more what came for an account that nobody had, if its number or session is connected by now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from shared import db
from shared.models import InboundReject
from web.hooks import hook_modules
from web.hooks.inbox import UNKNOWN_ACCOUNT

#: Rejects that are read at once: each is a whole request, of 3 MB at most, and a week of a busy number does not fit into memory.
PAGE = 10


@dataclass(frozen=True)
class Replayed:
    """What became of a reject; only one that was replayed is deleted."""

    id: int
    source: str
    subject: str
    outcome: str


REPLAYED, NOT_CONNECTED = "replayed", "not connected"


def replay() -> Iterator[Replayed]:
    """Goes through all of them, oldest first. Nothing twice: who replays after a crash finds the messages accepted."""
    hooks = hook_modules()
    for reject in _rejects():
        subject = reject.subject or ""
        stored = hooks[reject.source].replay(subject, json.loads(reject.payload))
        if stored:
            with db.connection():
                reject.delete_instance()
        yield Replayed(reject.id, reject.source, subject, REPLAYED if stored else NOT_CONNECTED)


def _rejects() -> Iterator[InboundReject]:
    after = 0
    while page := _page(after):
        yield from page
        after = page[-1].id


def _page(after: int) -> list[InboundReject]:
    """In the order in which they came, so that a conversation keeps its own."""
    rejects = InboundReject.select().where(InboundReject.reason == UNKNOWN_ACCOUNT, InboundReject.id > after)
    with db.connection():
        return list(rejects.order_by(InboundReject.id).limit(PAGE))
