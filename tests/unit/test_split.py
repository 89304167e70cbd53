"""A long text in parts: none too long, none empty, no word lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.channels.sending import split_message

TEXT = st.text(st.sampled_from("ab. \n\U0001f600é"), max_size=60).filter(str.strip)


@given(TEXT, st.integers(2, 12))
def test_nothing_but_space_is_lost_between_parts(text: str, limit: int) -> None:
    parts = split_message(text, limit)
    assert all(part.strip() and len(part.encode("utf-16-le")) <= 2 * limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short", ["short"]),
        ("One line.\n\nTwo words", ["One line.", "Two words"]),
        ("One line\nand another", ["One line", "and another"]),
        ("It ends. It begins again", ["It ends.", "It begins", "again"]),
        ("word another more", ["word another", "more"]),
        ("x" * 30, ["x" * 14, "x" * 14, "xx"]),
        ("\U0001f600" * 8, ["\U0001f600" * 7, "\U0001f600"]),
    ],
)
def test_a_text_is_cut_at_the_best_break(text: str, expected: list[str]) -> None:
    assert split_message(text, 14) == expected
