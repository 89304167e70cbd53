"""Takes once more what found no place when it came, if its number or session is connected by now."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from shared import db
from web.hooks import whatsapp_cloud, whatsapp_qr

#: Rejects that are read at once, of 32 kB at most: a week of a busy number is more than fits into memory.
PAGE = 200
# In the order in which it came, so that a conversation keeps its own.
_KEPT = "select id, source, subject, payload from inbound_reject where reason = any (%s) and id > %s order by id limit %s"
_FORGET = "delete from inbound_reject where id = %s"

_TAKE: dict[str, Callable[[str, dict[str, Any]], bool]] = {
    whatsapp_cloud.HOOK: whatsapp_cloud.replay_item,
    whatsapp_qr.HOOK: whatsapp_qr.replay_item,
}


@dataclass(frozen=True)
class Replayed:
    """What became of a reject; only one that was taken is forgotten."""

    id: int
    source: str
    subject: str
    outcome: str


TAKEN, NOT_CONNECTED, CUT_OFF = "taken", "not connected", "too long, was not kept whole"


def replay() -> Iterator[Replayed]:
    """Goes through all of them, oldest first. Nothing twice: who replays after a crash finds the messages accepted."""
    for kept in _kept():
        outcome = _again(kept)
        if outcome == TAKEN:
            db.rows(_FORGET, [kept["id"]])
        yield Replayed(kept["id"], kept["source"], kept["subject"] or "", outcome)


def _kept() -> Iterator[dict[str, Any]]:
    after = 0
    while page := db.rows(_KEPT, [[whatsapp_cloud.UNKNOWN_ACCOUNT, whatsapp_qr.UNKNOWN_ACCOUNT], after, PAGE]):
        yield from page
        after = page[-1]["id"]


def _again(kept: dict[str, Any]) -> str:
    try:
        payload = json.loads(kept["payload"])
    except ValueError:
        return CUT_OFF
    return TAKEN if _TAKE[kept["source"]](kept["subject"] or "", payload) else NOT_CONNECTED
