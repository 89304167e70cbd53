# ruff: noqa: E501
"""Answers in JSON or in a fence, because somebody asked the model for that, and JSON that is the answer itself."""

from __future__ import annotations

import pytest

from shared.ai import completion
from shared.ai.failures import NoText
from shared.ai.wrapped import words_of


def parsed(content: str, finish_reason: str = "stop") -> str:
    answer = {"choices": [{"message": {"content": content}, "finish_reason": finish_reason}]}
    return completion.parse(answer, "m", [{"role": "user", "content": "?"}], ["hand_over"]).text


@pytest.mark.parametrize(
    "content",
    [
        '{"answer": "We ship."}', '{"Answer": "We ship.", "sources": [1]}', '[{"answer": "We ship."}]', '{"answer": {"text": "We ship."}}',
        '{"data": {"response": "We ship."}}', '{"action": "final_answer", "action_input": "We ship."}', '{"result": "We ship."}',
        '{"antwort": "We ship."}', '{"thoughts": "He is angry.", "Final Answer": "We ship."}', '{"output_text": "We ship."}',
        '{"content": [{"type": "text", "text": "We ship."}]}', '{"role": "assistant", "content": "We ship."}',
        "{'answer': 'We ship.', 'sources': None}", '```json\n{"assistant": "We ship."}\n```', '```\n{"answer": "<think>a</think>We ship."}\n```',
        '{"Reply to customer": "We ship."}', '{"bot_response": "We ship."}', '{"messages": [{"role": "assistant", "content": "We ship."}]}',
        'json\n{"answer": "We ship."}', '<json>{"answer": "We ship."}</json>', '{"answer": "We ship."}\n```', '```json5\n{"answer": "We ship."}\n```',
        '{"question": "Do you ship?", "answer": "We ship."}', '{"function": null, "parameters": {"answer": "We ship."}}',
    ],
)  # fmt: skip
def test_an_answer_in_json_is_read(content: str) -> None:
    assert parsed(content) == "We ship."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"answer": "We ship. Each order is \\"packed\\" by ha', 'We ship. Each order is "packed" by …'),
        ('```json\n{"response": "We ship.\\nFrom Bonn to all of Eur\\u00', "We ship.\nFrom Bonn to all of …"),
    ],
)
def test_an_answer_in_json_that_reached_its_limit_is_read(content: str, words: str) -> None:
    assert parsed(content, "length") == words


@pytest.mark.parametrize(
    "content",
    [
        '{"price": 5, "currency": "EUR"}', '{"name": "Ana"}', "{5}", '{"a": {"b": "c"}}', '[{"price": 5}, {"price": 6}]', "{'a'}",
        'Send {"answer": "yes"} to it.', '{"answer": ["a", "b"]}', '{"answer": 5}', '{"items": {"answer": "x"}}', "[1]",
        '{"customer_message": "Hi"}', '{"order_text": "x y"}', "JSON is {a format}", "Null", "Nan",
        '{"answer": false}', '{"messages": [{"role": "user", "content": "Hi"}]}',
    ],
)  # fmt: skip
def test_json_that_wraps_no_answer_is_said_as_it_is(content: str) -> None:
    assert parsed(content) == content


@pytest.mark.parametrize(
    "content", ["null", "undefined", "nan", " NaN\n", "[object Object]", "{}", "```json\n{}\n```", '""', '{"answer": ""}']
)
def test_what_a_program_writes_where_there_is_no_answer_is_none(content: str) -> None:
    with pytest.raises(NoText):
        parsed(content)


@pytest.mark.parametrize(
    "content", ['{"answer":' * 50_000 + '"a"' + "}" * 50_000, '{"answer": "' + "a" * 300_000, "{-" * 9_000 + "}"]
)
def test_no_answer_keeps_anybody_waiting(content: str) -> None:
    assert words_of(content)
