"""Like questions are one group, whatever the order of their words; others are not."""

from __future__ import annotations

import time
from typing import Any

from shared.teaching import gaps


def rows(*questions: str, language: str = "english") -> list[dict[str, Any]]:
    """Questions as the table has them; their words are their stems here."""
    return [
        {
            "id": number,
            "question": question,
            "language": language,
            "words": question.lower().split(),
            "reason": "no_knowledge",
            "created_at": number,
        }
        for number, question in enumerate(questions, start=1)
    ]


def test_like_questions_are_one_group_and_the_most_asked_comes_first() -> None:
    groups = gaps.grouped(
        rows("sell bicycl", "gift card valid", "bicycl sell kid", "repair watch", "card gift", "electric bicycl sell"),
    )
    assert [group.ids() for group in groups] == [[1, 3, 6], [2, 5], [4]]
    assert groups[0].as_dict() == {
        "id": 1,
        "question": "electric bicycl sell",
        "count": 3,
        "last_asked_at": 6,
        "examples": ["bicycl sell kid", "sell bicycl"],
        "reason": "no_knowledge",
        "language": "english",
    }


def test_a_group_does_not_drift_from_its_first_question() -> None:
    assert [group.ids() for group in gaps.grouped(rows("a b c d", "c d e f", "e f g h"))] == [[1, 2], [3]]


def test_questions_without_words_are_alike_if_they_are_the_same() -> None:
    asked = [{**row, "words": []} for row in rows("Do you?", "do you?", "Can you?")]
    assert [group.ids() for group in gaps.grouped(asked)] == [[1, 2], [3]]


def test_words_of_two_languages_are_not_the_same() -> None:
    english, german = rows("rat")[0], rows("rat", language="german")[0]
    assert len(gaps.grouped([english, {**german, "id": 2}])) == 2


def test_as_many_as_are_kept_are_grouped_at_once() -> None:
    asked = rows(*(f"common word{number} more{number} other{number}" for number in range(gaps.KEPT)))
    begun = time.process_time()
    assert len(gaps.grouped(asked)) == gaps.KEPT
    assert time.process_time() - begun < 5
