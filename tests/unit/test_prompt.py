"""A prompt is bounded, whatever a business stores and its customers write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.ai import prompt
from shared.ai.knowledge import Item
from shared.channels.registry import CHANNELS

WORDS = "word " * 2_000_000


def items(*contents: str) -> list[Item]:
    """Knowledge, best first."""
    return [Item(number, f"Title {number}", content) for number, content in enumerate(contents, start=1)]


@pytest.mark.parametrize(
    ("contents", "kept"),
    [
        (["short"], [5]),
        (["x" * 8_000] * 2, [8_000] * 2),
        ([WORDS] * 5, [8_000, 8_000, 4_000]),
        (["x" * 8_000, "y" * 8_000, "z" * 3_900, "no room"], [8_000, 8_000, 3_900]),
        (["x" * 6_000_000, "the second"], [8_000, 10]),
    ],
)
def test_knowledge_has_a_budget(contents: list[str], kept: list[int]) -> None:
    fitting = prompt.fitting(items(*contents))
    assert [item.id for item in fitting] == list(range(1, len(kept) + 1)), "the best items stay"
    assert all(abs(most - len(item.content)) < prompt.WORD for item, most in zip(fitting, kept, strict=True))
    [system, *_] = prompt.build("You help.", items(*contents), [prompt.Turn("user", "?")])
    assert len(system["content"]) < prompt.KNOWLEDGE_BUDGET + 1_000


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("fits", 4, "fits"),
        ("one two three four", 12, "one two […]"),
        ("one\ntwo three four", 12, "one\ntwo […]"),
        ("onetwothreefour", 10, "onetwo […]"),
        ("我们两天内发货" * 4, 10, "我们两天内发 […]"),
        ("a " + "b" * 200, 100, "a " + "b" * 94 + " […]"),
    ],
)
def test_a_text_is_cut_at_a_word_and_says_so(text: str, limit: int, expected: str) -> None:
    assert prompt.cut(text, limit) == expected
    assert len(expected) <= limit


def test_the_oldest_turns_go_first_and_the_question_never() -> None:
    history = [prompt.Turn("user" if number % 2 == 0 else "assistant", f"{number} " + "x" * 30_000) for number in range(9)]
    question = prompt.Turn("user", "q" * 16_000)
    _, *turns = prompt.build("You help.", [], [*history, question])
    assert turns[-1] == {"role": "user", "content": question.text}
    assert [turn["content"][0] for turn in turns[:-1]] == ["3", "4", "5", "6", "7", "8"]
    assert all(len(turn["content"]) <= prompt.TURN_BUDGET and turn["content"].endswith(" […]") for turn in turns[:-1])


def test_an_ordinary_conversation_is_told_whole() -> None:
    said = [("user", "Hello"), ("assistant", "Hi!"), ("user", "When do you ship?")]
    history = [prompt.Turn(*turn) for turn in said]
    assert [(turn["role"], turn["content"]) for turn in prompt.build("You help.", [], history)[1:]] == said
    assert prompt.build("You help.", [], []) == [{"role": "system", "content": "You help."}]


def test_sql_reads_what_the_budgets_allow_and_one_character_more(root: Path) -> None:
    statement = (root / "workers" / "ai.sql").read_text()
    assert re.search(rf"left\(turn\.content, {prompt.TURN_BUDGET + 1}\)", statement)
    assert f"question.content, {prompt.ITEM_BUDGET + 1}) as items" in statement
    assert max(channel.max_content for channel in CHANNELS.values()) <= 16_000, "a question goes into the prompt whole"
