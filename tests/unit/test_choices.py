"""Choices of a reply: as they are kept, as text, and cut to what a channel shows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from shared.channels.choices import Choice, choices_in, length, numbered, shortened, stored


def test_a_choice_without_an_id_has_its_number() -> None:
    kept = stored([{"title": " Delivery \n times"}, {"id": "agent", "title": "A person", "description": "Mo-Fr"}])
    assert kept == [{"id": "1", "title": "Delivery times"}, {"id": "agent", "title": "A person", "description": "Mo-Fr"}]
    assert choices_in({"choices": kept}) == [Choice("1", "Delivery times"), Choice("agent", "A person", "Mo-Fr")]
    assert choices_in({}) == []
    assert numbered("What?", choices_in({"choices": kept})) == "What?\n\n1. Delivery times\n2. A person: Mo-Fr"
    assert numbered("What?", []) == "What?"


@pytest.mark.parametrize(
    ("alike", "member"),
    [
        ([{"title": "Yes"}, {"title": "YES "}], "title"),
        ([{"id": "a", "title": "Yes"}, {"id": "a", "title": "No"}], "id"),
        ([{"title": "Yes"}, {"id": "1", "title": "No"}], "id"),
    ],
)
def test_two_choices_that_are_alike_are_refused(alike: list[dict[str, str]], member: str) -> None:
    with pytest.raises(ValidationError, match=f"the same {member}"):
        stored(alike)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Opening hours", "Opening hours"),
        ("Exactly twenty chars", "Exactly twenty chars"),
        ("Delivery times and costs", "Delivery times and…"),
        ("Delivery times abroad, please", "Delivery times…"),
        ("Donaudampfschifffahrtsgesellschaft", "Donaudampfschifffah…"),
        ("Return my order - now please", "Return my order…"),
        ("😀" * 12, "😀" * 9 + "…"),
    ],
)
def test_a_long_title_is_cut_between_words(title: str, expected: str) -> None:
    assert shortened(title, 20) == expected


@given(st.text(st.sampled_from("ab -,😀é"), min_size=1, max_size=60).filter(lambda text: text == " ".join(text.split())))
def test_a_cut_title_always_fits(title: str) -> None:
    assert 0 < length(shortened(title, 20)) <= 20
