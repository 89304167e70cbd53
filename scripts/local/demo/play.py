"""Plays the conversations: all at once, and each person waits for an answer before going on."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from scripts.local.demo.door import Door
from scripts.local.demo.script import Line, Play, Talk
from shared import db

#: Seconds after which an answer is not waited for any more.
PATIENCE = 60.0

_REPLY = "select id from message where reply_to = %s and status <> 'PENDING'"
_OPEN = "select count(*) from job where closed_at is null and id > 0"


class NoAnswer(Exception):
    """Something that should have happened did not."""


def perform(play: Play, door: Door, answered: Callable[[Line], None]) -> None:
    """Plays everything to its end, through the front door; `answered` is called after each line. Raises NoAnswer."""
    _wait_for(door.is_open, "the front door did not open")
    with ThreadPoolExecutor(len(play.talks)) as people:
        list(people.map(lambda talk: _converse(door, talk, answered), play.talks))
    _wait_for(lambda: db.scalar(_OPEN) == 0, "jobs are still open")


def _converse(door: Door, talk: Talk, answered: Callable[[Line], None]) -> None:
    for number, line in enumerate(talk.lines):
        line.message_ids = [_say(door, talk, line, f"{talk.user}-{number}") for _ in range(line.copies)]
        message_id = line.message_ids[0]
        _wait_for(lambda asked=message_id: db.row(_REPLY, [asked]), f"no answer to {line.says!r}")  # type: ignore[misc]  # mypy cannot infer lambda defaults
        answered(line)


def _say(door: Door, talk: Talk, line: Line, external_id: str) -> int:
    door.say(talk, line.says, external_id)
    _wait_for(lambda: door.message_id(talk, external_id), f"{line.says!r} was not saved")
    return door.message_id(talk, external_id) or 0


def _wait_for(happened: Callable[[], object], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise NoAnswer(f"{otherwise} after {PATIENCE:.0f} s; the workers' log says why")
        time.sleep(0.05)
