"""Plays the conversations: all at once, and each person waits for an answer before going on."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from peewee import fn

from scripts.local.demo.http_client import HttpClient
from scripts.local.demo.script import Dialogue, Scenario, Turn
from shared import db
from shared.models import Job, Message

#: Seconds after which an answer is not waited for any more.
ANSWER_TIMEOUT = 60.0


class NoAnswer(Exception):
    """Something that should have happened did not."""


def perform(
    scenario: Scenario, client: HttpClient, answered: Callable[[Turn], None], beside: Callable[[], None] = lambda: None
) -> None:
    """Plays everything to its end, through the front door; `answered` is called after each turn. Raises NoAnswer.

    `beside` runs at the same time.
    """
    wait_for(client.is_open, "the front door did not open")
    with ThreadPoolExecutor(len(scenario.dialogues) + 1) as people:
        other = people.submit(beside)
        list(people.map(lambda dialogue: _converse(client, dialogue, answered), scenario.dialogues))
        other.result()
    open_jobs = Job.select(fn.COUNT(Job.id)).where(Job.closed_at.is_null(), Job.id > 0)
    wait_for(lambda: db.scalar(open_jobs) == 0, "jobs are still open")


def _converse(client: HttpClient, dialogue: Dialogue, answered: Callable[[Turn], None]) -> None:
    for number, turn in enumerate(dialogue.turns):
        turn.message_ids = [_say(client, dialogue, turn, f"{dialogue.user}-{number}") for _ in range(turn.copies)]
        if dialogue.has_to_wait:
            wait_for(partial(_reply, turn), f"no answer to {turn.says!r} was written")
        else:
            _hear(turn, answered)
    for turn in dialogue.turns if dialogue.has_to_wait else ():
        _hear(turn, answered)


def _hear(turn: Turn, answered: Callable[[Turn], None]) -> None:
    wait_for(lambda: (_reply(turn) or {}).get("status", "PENDING") != "PENDING", f"no answer to {turn.says!r}")
    answered(turn)


def _reply(turn: Turn) -> dict[str, Any] | None:
    return db.row(Message.select(Message.status).where(Message.reply_to == turn.message_ids[0]))


def _say(client: HttpClient, dialogue: Dialogue, turn: Turn, external_id: str) -> int:
    client.say(dialogue, turn.first or turn.says, external_id, turn.sends, turn.seconds_ago)
    wait_for(lambda: client.message_id(dialogue, external_id), f"{turn.says!r} was not saved")
    if turn.first:
        edit = {"original_message_id": external_id, "message": {"type": "text", "text": {"body": turn.says}}}
        client.say(dialogue, turn.says, f"{external_id}-edit", {"type": "edit", "edit": edit})
    return client.message_id(dialogue, external_id) or 0


def wait_for(happened: Callable[[], object], otherwise: str) -> None:
    """Raises NoAnswer with the other case if it does not happen."""
    deadline = time.monotonic() + ANSWER_TIMEOUT
    while not happened():
        if time.monotonic() > deadline:
            raise NoAnswer(f"{otherwise} after {ANSWER_TIMEOUT:.0f} s; the workers' log says why")
        time.sleep(0.05)
