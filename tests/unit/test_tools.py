"""The built-in tools: as OpenAI's API takes them, in words for a provider that has none, and what a model makes of both."""

from __future__ import annotations

import json

import pytest

from shared.ai import tools


@pytest.mark.parametrize("tool", tools.TOOLS.values(), ids=lambda tool: tool.name)
def test_a_definition_has_one_argument(tool: tools.Tool) -> None:
    function = tool.definition()["function"]
    assert function["name"] == tool.name
    assert list(function["parameters"]["properties"]) == function["parameters"]["required"] == [tool.argument]
    assert tool.default in {*tool.choices, ""}


@pytest.mark.parametrize(
    ("tool", "given", "value"),
    [
        (tools.HAND_OVER, "frustration", "frustration"),
        (tools.HAND_OVER, "the customer's secret is 1234", "other"),
        (tools.HAND_OVER, None, "other"),
        (tools.HAND_OVER, ["frustration"], "other"),
        (tools.NO_ANSWER, "off_topic", "off_topic"),
        (tools.NO_ANSWER, "asked_for_human", "no_knowledge"),
        (tools.SEARCH, " return\n policy ", "return policy"),
        (tools.SEARCH, "x" * 5_000, "x" * tools.MAX_QUERY),
        (tools.SEARCH, {"q": 1}, ""),
    ],
)
def test_a_reason_is_one_of_the_list(tool: tools.Tool, given: object, value: str) -> None:
    assert tool.value({tool.argument: given}) == value
    assert tool.value({}) == tool.default


@pytest.mark.parametrize(
    ("has_knowledge", "has_found", "may_hand_over", "may_search", "names"),
    [
        (False, False, True, True, ["hand_over"]),
        (False, False, False, True, []),
        (True, True, True, True, ["hand_over", "no_answer"]),
        (True, False, True, True, ["hand_over", "search_knowledge"]),
        (True, False, False, False, ["no_answer"]),
    ],
)
def test_a_prompt_offers_what_helps(
    has_knowledge: bool, has_found: bool, may_hand_over: bool, may_search: bool, names: list[str]
) -> None:
    offered = tools.offered(has_knowledge=has_knowledge, has_found=has_found, may_hand_over=may_hand_over, may_search=may_search)
    assert [tool.name for tool in offered] == names


OFFERED = (tools.HAND_OVER, tools.SEARCH)
NAMES = [tool.name for tool in OFFERED]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ('{"tool": "hand_over", "reason": "loop"}', ("hand_over", {"reason": "loop"})),
        ('```json\n{"tool": "hand_over", "reason": "loop"}\n```', ("hand_over", {"reason": "loop"})),
        ("{'tool': 'hand_over', 'reason': 'loop',}", ("hand_over", {"reason": "loop"})),
        ('{"name": "search_knowledge", "arguments": {"query": "returns"}}', ("search_knowledge", {"query": "returns"})),
        ('{"tool": "hand_over"}', ("hand_over", {})),
        ('[{"name": "hand_over", "arguments": {"reason": "loop"}}]', ("hand_over", {"reason": "loop"})),
        ('<tool_call>\n{"name": "hand_over", "arguments": {"reason": "loop"}}\n</tool_call>', ("hand_over", {"reason": "loop"})),
        ('Wait. <tool_call>{"name": "hand_over", "arguments": {"reason": "loop"}}', ("hand_over", {"reason": "loop"})),
        ('[TOOL_CALLS][{"name": "hand_over", "arguments": {"reason": "loop"}}]', ("hand_over", {"reason": "loop"})),
        ('<|python_tag|>{"name": "hand_over", "parameters": {"reason": "loop"}}', ("hand_over", {"reason": "loop"})),
        ('<|tool_call|>[{"name": "hand_over", "arguments": {"reason": "loop"}}]', ("hand_over", {"reason": "loop"})),
        ('<function=hand_over>{"reason": "loop"}</function>', ("hand_over", {"reason": "loop"})),
        ("<tool_call>\n<function=hand_over>\n</function>\n</tool_call>", ("hand_over", {})),
        ('{"tool": "no_answer", "reason": "policy"}', None),
        ('<tool_call>{"name": "no_answer"}</tool_call>', None),
        ('Write {"tool": "hand_over"} yourself.', None),
        ('{"price": 5}', None),
        ("We ship in two days.", None),
    ],
)
def test_a_call_in_words_is_the_whole_answer(text: str, call: tuple[str, dict[str, str]] | None) -> None:
    assert tools.call_in(text, NAMES) == call


def test_the_instruction_names_each_call_as_it_is_read() -> None:
    _, *lines = tools.instruction(tool.definition() for tool in OFFERED).splitlines()
    for line, tool in zip(lines, OFFERED, strict=True):
        call, _, description = line.partition("}: ")
        assert tools.call_in(call + "}", NAMES) is not None
        assert json.loads(call + "}")["tool"] == tool.name
        assert description == tool.description
