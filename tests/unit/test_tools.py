"""The built-in tools: as OpenAI's API takes them, in words for a provider that has none, and what a model makes of both."""

from __future__ import annotations

import json
from typing import cast

import pytest

from shared.ai import calls, reply, tools
from shared.ai.context import Context


@pytest.mark.parametrize("tool", tools.TOOLS.values(), ids=lambda tool: tool.name)
def test_a_definition_has_one_argument(tool: tools.Tool) -> None:
    function = tool.definition["function"]
    assert function["name"] == tool.name
    assert list(function["parameters"]["properties"]) == function["parameters"]["required"] == [tool.argument]
    assert tool.default in {*tool.choices, ""}


@pytest.mark.parametrize(
    ("tool", "given", "value"),
    [
        (tools.HAND_OVER, "frustration", "frustration"),
        (tools.HAND_OVER, "the customer's secret is 1234", "other"),
        (tools.HAND_OVER, None, "other"),
        (tools.HAND_OVER, ["frustration"], "frustration"),
        (tools.HAND_OVER, "Asked for human.", "asked_for_human"),
        (tools.HAND_OVER, "asked-for-human", "asked_for_human"),
        (tools.NO_ANSWER, "off_topic", "off_topic"),
        (tools.NO_ANSWER, "asked_for_human", "no_knowledge"),
        (tools.SEARCH, " return\n policy ", "return policy"),
        (tools.SEARCH, "x" * 5_000, "x" * tools.MAX_QUERY),
        (tools.SEARCH, {"q": 1}, ""),
    ],
)
def test_a_reason_is_one_of_the_list(tool: tools.Tool, given: object, value: str) -> None:
    assert tool.value({tool.argument: given}) == value
    assert tool.value({"another_name": given}) == value, "there is but one that it may mean"
    assert tool.value({}) == tool.value({"a": "x", "b": "y"}) == tool.default


@pytest.mark.parametrize(
    ("has_knowledge", "has_found", "handover_message", "may_search", "names"),
    [
        (False, False, "A person comes.", True, ["hand_over"]),
        (False, False, None, True, []),
        (True, True, "A person comes.", True, ["hand_over", "no_answer"]),
        (True, False, "A person comes.", True, ["hand_over", "search_knowledge"]),
        (True, False, None, False, ["no_answer"]),
    ],
)
def test_a_prompt_offers_what_helps(
    has_knowledge: bool, has_found: bool, handover_message: str | None, may_search: bool, names: list[str]
) -> None:
    context = cast(Context, {"has_knowledge": has_knowledge, "handover_message": handover_message})
    offered = reply.offered_tools(context, has_found=has_found, may_search=may_search)
    assert [tool.name for tool in offered] == names


OFFERED = (tools.HAND_OVER, tools.SEARCH)


def test_the_instruction_names_each_call_as_it_is_read() -> None:
    _, *lines = tools.instruction(tool.definition for tool in OFFERED).splitlines()
    for line, tool in zip(lines, OFFERED, strict=True):
        call, _, description = line.partition("}: ")
        assert calls.in_text(call + "}", [tool.name]) is not None
        assert json.loads(call + "}")["tool"] == tool.name
        assert description == tool.description
