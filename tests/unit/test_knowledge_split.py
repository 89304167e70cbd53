"""A text becomes knowledge items: none too long, each with its title, nothing lost and nothing twice."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.knowledge.split import PART, SEPARATOR, TITLE, parts, split

TABLE = "| size | price |\n| --- | --- |\n" + "\n".join(f"| {n} cm | {n * 7} EUR |" for n in range(400))
LIST = "\n".join(f"- point {n}, which says more than a word or two" for n in range(120))


@given(st.text(st.sampled_from("ab.! \n#-|`=é\U0001f600。"), max_size=400), st.integers(2, 30))
def test_parts_lose_nothing_but_space(text: str, limit: int) -> None:
    found = parts(text, limit)
    assert all(part == part.strip() and 0 < len(part) <= limit for part in found)
    assert "".join("".join(found).split()) == "".join(text.split())


@given(st.lists(st.tuples(st.integers(0, 6), st.text("abcd", min_size=1, max_size=6)), max_size=30))
def test_each_word_of_a_page_is_there_once(lines: list[tuple[int, str]]) -> None:
    """Headings are in titles, and in a content only if no title has them."""
    words = [f"{word}{number}" for number, (_, word) in enumerate(lines)]
    text = "\n\n".join("#" * level + " " * bool(level) + word for word, (level, _) in zip(words, lines, strict=True))
    items = split("Page", text)
    contents = " ".join(content for _, content in items).split()
    titles = {name for title, _ in items for name in title.split(SEPARATOR)}
    assert {*contents, *titles} - {"Page"} == set(words)
    assert len(contents) == len(set(contents))
    assert all(title == "Page" or title.startswith("Page" + SEPARATOR) for title, _ in items)


def test_a_page_keeps_its_headings() -> None:
    text = (
        "# Shop\nWelcome.\n\n## Shipping\n### Abroad\nTen days.\n### Home ###\nTwo days.\n"
        "\n```\n# no heading\n```\n\nReturns\n-------\nWithin **30** days.\n\n- a\n---\n- b\n"
    )
    assert split("Shop", text) == [
        ("Shop", "Welcome."),
        ("Shop › Shipping › Abroad", "Ten days."),
        ("Shop › Shipping › Home", "Two days.\n\n```\n# no heading\n```"),
        ("Shop › Returns", "Within **30** days.\n\n- a\n---\n- b"),
    ]


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        (TABLE, "| 399 cm | 2793 EUR |"),
        (LIST, "- point 119, which says more than a word or two"),
        ("\n\n".join(f"Paragraph {n}. " + "It goes on. " * 20 for n in range(30)), "It goes on."),
        ("One sentence that is the same as all of the others. " * 200, "One sentence that is the same as all of the others."),
        ("配送には十日かかります。" * 500, "配送には十日かかります。"),
    ],
    ids=["table", "list", "paragraphs", "sentences", "japanese"],
)
def test_a_long_text_is_cut_where_it_hurts_least(text: str, piece: str) -> None:
    items = split("Page", text)
    assert {title for title, _ in items} == {"Page"}
    assert all(PART / 4 < len(content) <= PART for _, content in items)
    assert sum(content.count(piece) for _, content in items) == text.count(piece)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\u2028"])
def test_any_end_of_line_counts(end: str) -> None:
    assert split("Page", f"# One{end}First.{end}{end}# Two{end}Second.") == [("Page › One", "First."), ("Page › Two", "Second.")]


def test_long_headings_are_not_lost() -> None:
    heading = " ".join(f"word{n}" for n in range(80))
    question = "Why " * 200 + "?"
    [(title, content)] = split(question, "Because.")
    assert len(title) <= TITLE
    assert content == f"{question}\n\nBecause."
    assert split("Q " * 200, "# no heading", has_headings=False) == [(" ".join(["Q"] * 200), "# no heading")]
    deep = "\n".join("#" * level + f" {'level' * 30} {level}" for level in range(1, 7))
    assert split("Page", f"# {heading}\nBody.")[0][1] == f"{heading}\n\nBody."
    assert all(len(title) <= TITLE for title, _ in split("Page " * 90, f"{deep}\nBody."))


@pytest.mark.parametrize(("title", "text", "expected"), [
    ("", "A first line\nand more", [("A first line and more", "A first line\nand more")]),
    (" ", "", []),
    ("Page", " \n\n ", []),
    ("Pa\x00ge", "b\x00c\ud800", [("Pa\ufffdge", "b\ufffdc?")]),
])  # fmt: skip
def test_odd_pages(title: str, text: str, expected: list[tuple[str, str]]) -> None:
    assert split(title, text) == expected


def test_a_huge_page_is_split_in_time() -> None:
    """Nothing backtracks: a megabyte of what patterns begin with takes no longer than a megabyte of words."""
    for text in (
        "#" * 1_000_000,
        "\n \n" * 300_000,
        "." * 1_000_000,
        "= \n" * 300_000,
        "x" * 1_000_000 + "!",
        "# " + " #" * 500_000,
        "# a\n" * 50_000,
    ):
        assert sum(len(re.sub(r"\s", "", content)) for _, content in split("Page", text)) <= len(text) * 1.1
