"""Where an answer stands in a completion, and what else a server leaves in it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.ai import completion

MESSAGES = [{"role": "user", "content": "Hello"}]
ENDS = ["<|im_end|>", "<|eot_id|>\n", " <end_of_turn>", "<｜end▁of▁sentence｜>", "<|end|><|endoftext|>", "<turn|>"]


def text_of(**choice: Any) -> str:
    return completion.parse({"choices": [{"finish_reason": "stop", **choice}]}, "m", MESSAGES).text


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_turn_is_none_of_the_answer(end: str) -> None:
    assert text_of(message={"content": f"Hi{end}"}) == "Hi"
    quoted = f"The mark {end.strip()} ends a turn."
    assert text_of(message={"content": quoted}) == quoted


@pytest.mark.parametrize(
    "choice",
    [{"message": "Hi"}, {"text": "Hi"}, {"delta": {"content": "Hi"}}, {"message": None, "delta": {"content": [{"text": "Hi"}]}}],
)
def test_an_answer_that_stands_elsewhere(choice: dict[str, Any]) -> None:
    assert text_of(**choice) == "Hi"
