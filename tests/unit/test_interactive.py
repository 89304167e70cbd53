"""Choices as Meta takes them: buttons or a list, within all limits, whatever the choices are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.local.simulator import graph_messages
from shared.channels.choices import MAX_CHOICES, MAX_DESCRIPTION, MAX_TITLE, Choice
from shared.channels.whatsapp_cloud.interactive import with_choices


def shown(text: str, *choices: Choice) -> tuple[str, list[tuple[str, str]]]:
    """The kind of the last message, and the titles and descriptions of its choices."""
    interactive = with_choices(text, choices)[-1]["interactive"]
    return interactive["type"], [(one["title"], one.get("description", "")) for one in graph_messages.choices_of(interactive)]


A, B, C, D = (Choice(letter, f"Choice {letter}") for letter in "ABCD")
#: Choices, and how Meta is to show them.
SHOWN: dict[str, tuple[list[Choice], tuple[str, list[tuple[str, str]]]]] = {
    "one": ([A], ("button", [("Choice A", "")])),
    "three": ([A, B, C], ("button", [("Choice A", ""), ("Choice B", ""), ("Choice C", "")])),
    "four are a list": ([A, B, C, D], ("list", [(f"Choice {letter}", "") for letter in "ABCD"])),
    "a description is a list": ([Choice("a", "Home", "Two days"), B], ("list", [("Home", "Two days"), ("Choice B", "")])),
    "a title of 20 is a button": ([Choice("a", "x" * 20)], ("button", [("x" * 20, "")])),
    "a title of 21 is a list": ([Choice("a", "x" * 21)], ("list", [("x" * 21, "")])),
    "a title that is cut is whole below": (
        [Choice("a", "Delivery times and costs abroad")],
        ("list", [("Delivery times and…", "Delivery times and costs abroad")]),
    ),
    "titles that begin alike are numbered": (
        [Choice("a", "Delivery times and costs at home"), Choice("b", "Delivery times and costs abroad")],
        (
            "list",
            [
                ("1. Delivery times and…", "Delivery times and costs at home"),
                ("2. Delivery times and…", "Delivery times and costs abroad"),
            ],
        ),
    ),
}


@pytest.mark.parametrize("case", SHOWN)
def test_buttons_or_a_list(case: str) -> None:
    choices, expected = SHOWN[case]
    assert shown("What?", *choices) == expected


def test_a_long_text_goes_before_its_choices() -> None:
    earlier, last = with_choices("First. " * 150, [A])
    assert earlier["type"] == "text"
    assert (last["type"], len(last["interactive"]["body"]["text"]) <= 1024) == ("interactive", True)


_TITLE = st.text(st.sampled_from("ab x😀"), min_size=1, max_size=MAX_TITLE).map(str.strip).filter(bool)
_CHOICE = st.tuples(_TITLE, st.text("abc", max_size=MAX_DESCRIPTION))


@given(
    st.lists(_CHOICE, min_size=1, max_size=MAX_CHOICES, unique_by=lambda one: one[0]), st.text("ab. ", min_size=1, max_size=3000)
)
def test_meta_takes_whatever_choices_there_are(choices: list[tuple[str, str]], text: str) -> None:
    offered = [Choice(str(number), title, description) for number, (title, description) in enumerate(choices)]
    body: dict[str, Any] = with_choices(text.strip() or "x", offered)[-1]
    assert graph_messages.refusal(body) is None
