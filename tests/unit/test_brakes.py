"""When a bot falls silent: bots that answer bots do, people who write a lot do not."""

from __future__ import annotations

import pytest

from shared.ai.brakes import Reply, reason
from shared.setting_types import parse_rate

LIMIT = parse_rate("60/10m")
TEXT = "Thank you for contacting Tire House. We are away until Monday."


def replies(
    count: int, *, every: float = 5.0, pause: float | None = 4.0, is_same: bool = False, is_alike: bool = False
) -> list[Reply]:
    """The bot's replies, newest first."""
    return [Reply(number * every, pause, is_same, is_alike) for number in range(count)]


@pytest.mark.parametrize(
    ("seen", "question", "expected"),
    [
        (replies(5, is_same=True), TEXT, "same_text"),
        (replies(5, is_same=True, every=400), TEXT, "same_text"),
        ([*replies(3, is_same=True), *replies(20), *replies(2, is_same=True)], TEXT, "same_text"),  # two texts in turns
        (replies(10, is_alike=True, every=180), "Your request no. 4711 has been received.", "same_text"),
        (replies(60, every=9.9), "What about that?", "too_many_replies"),
        (replies(60, every=9.9, pause=None), "What about that?", "too_many_replies"),
        (replies(30, every=1.0, pause=0.2), "Ticket 4711 was updated.", "instant_answers"),
    ],
)
def test_a_loop_is_braked(seen: list[Reply], question: str, expected: str) -> None:
    assert reason(seen, question, LIMIT) == expected


@pytest.mark.parametrize(
    ("seen", "question"),
    [
        ([], "Hello"),
        (replies(20, every=3.0, pause=1.5), "and then"),  # twenty short lines in a minute
        (replies(20, every=3.0, pause=None), "and then"),
        (replies(4, is_same=True), TEXT),  # asks a fifth time
        (replies(40, is_same=True), "Are you open today?"),
        (replies(9, is_alike=True, every=180), "Where is my order no. 4711, please?"),  # asks for a tenth one
        (replies(40, is_alike=True, pause=None), "Where is my order no. 4711, please?"),
        (replies(40, is_alike=True), "4711 0815 4711 0815 4711 0815 ok?"),
        (replies(20, is_same=True, pause=None), TEXT),  # pasted twenty times before the first reply
        (replies(59, every=5.0), "What about that?"),
        (replies(100, every=11.0), "What about that?"),  # a long talk
        ([*replies(29, pause=0.5), Reply(200, 8.0, False), *replies(60, every=1000, pause=0.5)], "once more"),
    ],
)
def test_a_person_is_not(seen: list[Reply], question: str) -> None:
    assert reason(seen, question, LIMIT) is None


def test_without_a_limit_only_loops_are_braked() -> None:
    assert reason(replies(100, every=1.0), "What about that?", None) is None
    assert reason(replies(100, is_same=True), TEXT, None) == "same_text"
