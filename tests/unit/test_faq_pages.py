"""What a page tells search engines (JSON-LD), which anybody may write as they like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lxml import html

from shared.knowledge import faq

QUESTION = {"@type": "Question", "name": "When?", "acceptedAnswer": {"@type": "Answer", "text": "Two days."}}


def told(value: Any) -> list[tuple[str, str]]:
    page = f'<html><body><script type="application/ld+json">{json.dumps(value)}</script></body></html>'
    return faq.answers_to_search_engines(html.fromstring(page))


@pytest.mark.parametrize("kind", [None, 7, True, {}, "", [], ["Thing", None]])
def test_what_has_a_type_of_an_odd_kind_costs_no_question(kind: Any) -> None:
    assert told([{"@type": kind, "name": "x"}, QUESTION]) == [("When?", "Two days.")]


def test_questions_come_in_their_order_from_whatever_they_are_in() -> None:
    other = {**QUESTION, "@type": ["Question"], "name": "Where?"}
    assert [question for question, _ in told({"@graph": [{"mainEntity": [QUESTION]}, other]})] == ["When?", "Where?"]
