"""Answers of nothing but repetitions, as a model that is stuck or a provider that means harm sends them: while a pattern is
looked for, no other thread of the worker runs."""

from __future__ import annotations

import time

import pytest

from shared.ai import completion
from shared.ai.failures import NotAnswered
from shared.ai.visible_text import VisibleText

NAMES = ("hand_over", "search_knowledge")
LENGTH = 200_000
TEXTS = {
    "nothing else": "{}",
    "blanks behind a name": "hand_over {} x",
    "blanks within words": "Hello {} hand_over",
    "line ends within words": "Hello\n{}\nhand_over",
    "stars": "Hello **{}** hand_over",
    "ends of turns": "hand_over {}\n{{",
    "thoughts without words": "Thinking...\n{}",
    "thoughts that are named": "<details {}\nhand_over",
    "thoughts under a head": "Thought: {}\nx",
    "a heading": "### Thinking\n{}",
    "a quote of thoughts": "> Thinking:\n{}",
    "lines of thoughts": "Reasoning:\n{}\n```",
    "a fold": "<details><summary>{}",
    "a fold of thoughts": "<details><summary>Thinking{}",
    "a plan": "<plan>{}",
    "a fence": "```{}a b\nhand_over",
    "colons": "hand_over{}(x",
}
PIECES = (
    " ",
    "\n",
    "*",
    "`",
    "<|im_end|>",
    "type=reasoning ",
    "> ",
    "_x\n",
    "<b> ",
    "\n**",
    "<plan>",
    "<answer>",
    "<grok:render>",
    "\n# Answer",
    "&lt;think ",
)


@pytest.mark.parametrize("shape", TEXTS.values(), ids=TEXTS)
def test_an_answer_of_repetitions_is_read_in_no_time(shape: str) -> None:
    begun = time.process_time()
    for piece in PIECES:
        answer = {"choices": [{"message": {"content": shape.format(piece * (LENGTH // len(piece)))}, "finish_reason": "stop"}]}
        try:
            completion.parse(answer, "m", [], NAMES, "Emma")
        except NotAnswered:
            pass  # nothing of it is an answer
    assert time.process_time() - begun < 20, "quadratic: minutes"


@pytest.mark.parametrize("piece", ["<|im_end|>", "&lt;think "])
def test_so_are_its_drafts(piece: str) -> None:
    visible, text = VisibleText(own_name="Emma"), "Hello " + piece * 5_000 + "\n{"
    begun = time.process_time()
    for start in range(0, len(text), 1_000):
        visible.feed(text[start : start + 1_000])
    assert time.process_time() - begun < 20


@pytest.mark.parametrize("marks", ["<|im_end|>", "<|im_end|> <|eot_id|>\n", "<end_of_turn>" * 3])
def test_what_ends_a_turn_is_taken_out_however_often_it_stands_there(marks: str) -> None:
    answer = {"choices": [{"message": {"content": f"We ship today.{marks}"}, "finish_reason": "stop"}]}
    assert completion.parse(answer, "m", [], NAMES).text == "We ship today."
