# ruff: noqa: E501
"""Calls of tools as families of models write them, and as servers hand them on; and what is none."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from shared.ai import calls, completion, tools
from shared.ai.calls import ToolCall
from shared.ai.failures import NoText
from shared.ai.visible_text import VisibleText

MESSAGES = [{"role": "user", "content": "Hello"}]
NAMES = ["hand_over", "search_knowledge"]

#: All of them call hand_over, because of "loop".
IN_TEXT = {
    "Qwen coder": "<tool_call>\n<function=hand_over>\n<parameter=reason>\nloop\n</parameter>\n</function>\n</tool_call>",
    "Qwen coder, half": "<function=hand_over>\n<parameter=reason>\nloop\n</parameter>\n</function>",
    "Hermes": 'Wait. <tool_call>\n{"name": "hand_over", "arguments": {"reason": "loop"}}\n</tool_call>',
    "GLM": "<tool_call>hand_over\n<arg_key>reason</arg_key>\n<arg_value>loop</arg_value>\n</tool_call>",
    "Hunyuan": '<tool_call>hand_over\n```json\n{"reason": "loop"}\n```\n</tool_call>',
    "Hunyuan 3": "<tool_calls:opensource>\n<tool_call:opensource>hand_over<tool_sep:opensource>\n<arg_key:opensource>reason"
    "</arg_key:opensource>\n<arg_value:opensource>loop</arg_value:opensource>\n</tool_call:opensource>\n</tool_calls:opensource>",
    "LongCat": "<longcat_tool_call>hand_over\n<longcat_arg_key>reason</longcat_arg_key>\n<longcat_arg_value>loop</longcat_arg_value>",
    "DeepSeek V3": '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>hand_over\n```json\n{"reason": "loop"}\n```',
    "DeepSeek V3.1": '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>hand_over<｜tool▁sep｜>{"reason": "loop"}<｜tool▁call▁end｜>',
    "DeepSeek V3.2": '<｜DSML｜function_calls>\n<｜DSML｜invoke name="hand_over">\n<｜DSML｜parameter name="reason" string="true">loop'
    "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
    "Step": '<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜><steptml:invoke name="hand_over">'
    '<steptml:parameter name="reason">loop</steptml:parameter></steptml:invoke>',
    "Kimi": "<|tool_calls_section_begin|><|tool_call_begin|>functions.hand_over:0<|tool_call_argument_begin|>"
    '{"reason": "loop"}<|tool_call_end|><|tool_calls_section_end|>',
    "MiniMax": '<minimax:tool_call>\n<invoke name="hand_over">\n<parameter name="reason">loop</parameter>\n</invoke>',
    "Claude": '<function_calls>\n<invoke name="hand_over">\n<parameter name="reason">loop</parameter>\n</invoke>\n</function_calls>',
    "Seed": "<seed:tool_call>\n<function=hand_over>\n<parameter=reason>loop</parameter>\n</function>\n</seed:tool_call>",
    "Mistral": '[TOOL_CALLS][{"name": "hand_over", "arguments": {"reason": "loop"}}]',
    "Mistral Small": '[TOOL_CALLS]hand_over[ARGS]{"reason": "loop"}',
    "Magistral": '[TOOL_CALLS]hand_over{"reason": "loop"}',
    "Llama 3": '<|python_tag|>{"name": "hand_over", "parameters": {"reason": "loop"}}',
    "Llama 4": '<|python_start|>[hand_over(reason="loop")]<|python_end|>',
    "Functionary": '<function=hand_over>{"reason": "loop"}</function>',
    "Functionary 3.2": '>>>hand_over\n{"reason": "loop"}',
    "Gemini": "```tool_code\nprint(default_api.hand_over(reason='loop'))\n```",
    "Gemma": '```tool_code\nhand_over(reason="loop")\n```',
    "Gemma 4": '<|tool_call>call:hand_over{reason:<|"|>loop<|"|>}<tool_call|>',
    "FunctionGemma": "<start_function_call>call:hand_over{reason:<escape>loop<escape>}<end_function_call>",
    "Granite": '<function_call> {"name": "hand_over", "arguments": {"reason": "loop"}} </function_call>',
    "Phi": '<|tool_call|>[{"name": "hand_over", "arguments": {"reason": "loop"}}]<|/tool_call|>',
    "Phi mini": 'functools[{"name": "hand_over", "arguments": {"reason": "loop"}}]',
    "Cohere": '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "hand_over", "parameters": {"reason": "loop"}}]<|END_ACTION|>',
    "Cohere of old": 'Action: ```json\n[{"tool_name": "hand_over", "parameters": {"reason": "loop"}}]\n```',
    "InternLM": '<|action_start|><|plugin|>\n{"name": "hand_over", "parameters": {"reason": "loop"}}<|action_end|>',
    "Nemotron": '<TOOLCALL>[{"name": "hand_over", "arguments": {"reason": "loop"}}]</TOOLCALL>',
    "Jamba": '<tool_calls>[{"name": "hand_over", "arguments": {"reason": "loop"}}]</tool_calls>',
    "OLMo": '<function_calls>hand_over(reason="loop")</function_calls>',
    "LFM": '<|tool_call_start|>[hand_over(reason="loop")]<|tool_call_end|>',
    "Apertus": '<|tools_prefix|>[{"hand_over": {"reason": "loop"}}]<|tools_suffix|>',
    "Harmony": '<|channel|>commentary to=functions.hand_over <|constrain|>json<|message|>{"reason": "loop"}<|call|>',
    "Harmony, thinking": "<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>commentary to=functions.hand_over "
    '<|constrain|>json<|message|>{"reason":"loop"}<|call|>',
    "Harmony, the other way": '<|start|>assistant to=functions.hand_over<|channel|>commentary json<|message|>{"reason":"loop"}',
    "Harmony without marks": 'assistantcommentary to=functions.hand_over json{"reason": "loop"}',
    "as told": '{"tool": "hand_over", "reason": "loop"}',
    "as told, in a fence": '```json\n{"tool": "hand_over", "reason": "loop"}\n```',
    "as told, after words": 'I will hand you over.\n\n{"tool": "hand_over", "reason": "loop"}',
    "as told, after words, in a fence": 'One moment.\n```json\n{"tool": "hand_over", "reason": "loop"}\n```',
    "as told, before words": '{"tool": "hand_over", "reason": "loop"}\n\nA colleague will help you.',
    "as told, twice": '{"tool": "hand_over", "reason": "loop"}\n{"tool": "hand_over", "reason": "loop"}',
    "as told, with a title": 'Tool call: {"tool": "hand_over", "reason": "loop"}',
    "as told, as a text": '"{\\"tool\\": \\"hand_over\\", \\"reason\\": \\"loop\\"}"',
    "single quotes and a comma too many": "{'tool': 'hand_over', 'reason': 'loop',}",
    "a writer's quotes": "{“tool”: “hand_over”, “reason”: “loop”}",
    "no quotes": '{tool: "hand_over", reason: "loop"}',
    "OpenAI's, in words": '{"type": "function", "function": {"name": "hand_over", "arguments": "{\\"reason\\": \\"loop\\"}"}}',
    "a whole message": '{"tool_calls": [{"id": "1", "function": {"name": "hand_over", "arguments": "{\\"reason\\": \\"loop\\"}"}}]}',
    "the name as a key": '{"hand_over": {"reason": "loop"}}',
    "LangChain": '{"action": "hand_over", "action_input": {"reason": "loop"}}',
    "ReAct": 'Thought: he is angry\nAction: hand_over\nAction Input: {"reason": "loop"}',
    "Python": 'hand_over(reason="loop")',
    "Python, in code": '`hand_over("loop")`',
    "Python, in a list": '[hand_over(reason="loop")]',
    "JavaScript": 'functions.hand_over({"reason": "loop"})',
    "a name and its object": 'hand_over: {"reason": "loop"}',
    "a name and its reason": "hand_over: loop",
    "a tag": '<hand_over reason="loop" />',
    "tags": "<hand_over>\n<reason>loop</reason>\n</hand_over>",
    "a tag for each": "<tool>hand_over</tool><reason>loop</reason>",
    "a tag of its own": "<hand_over>loop</hand_over>",
    "a tag behind words": "One moment. <hand_over>loop</hand_over>",
    "a tag that names it": '<tool name="hand_over">loop</tool>',
    "ReAct behind words": 'Sorry.\nAction: hand_over\nAction Input: {"reason": "loop"}',
    "two lines": "Tool: hand_over\nReason: loop",
    "Python behind words": 'I will get somebody.\n\nhand_over(reason="loop")',
    "Python behind words, in a fence": 'Ok.\n```python\nhand_over(reason="loop")\n```',
    "Python in two lines": 'Ok.\nhand_over(\n    reason="loop",\n)',
    "an object behind a sentence": 'Ok. {"tool": "hand_over", "reason": "loop"}',
    "brackets behind a sentence": "I'll hand you over. [hand_over: loop]",
    "brackets with a label": "Ok.\n[Tool: hand_over, reason: loop]",
    "an aside": "*calls hand_over with reason loop*",
    "a line with its reason": "Ok.\nhand_over: loop",
}  # fmt: skip


def parsed(message: dict[str, Any], names: list[str] = NAMES) -> completion.Completion:
    return completion.parse({"choices": [{"message": message, "finish_reason": "stop"}]}, "m", MESSAGES, names)


@pytest.mark.parametrize("family", IN_TEXT)
def test_a_call_that_a_server_has_left_in_the_text(family: str) -> None:
    answer = parsed({"content": IN_TEXT[family]})
    assert answer.text == ""
    assert answer.tool is not None
    assert (answer.tool.name, tools.HAND_OVER.value(answer.tool.arguments)) == ("hand_over", "loop")


@pytest.mark.parametrize(
    "text",
    [
        "hand_over", "[hand_over]", "**hand_over**", "`hand_over()`", '{"tool": "hand_over"}', "{{hand_over}}", "/hand_over", "*hand_over*",
        "[[hand_over]]", "<<hand_over>>", "@hand_over", "HAND_OVER", "(hand_over)", "<tool>hand_over</tool>", "<call:hand_over>",
        "Sure. {{hand_over}}", "Sure.\n/hand_over", "I'll hand you over. [hand_over]", "I'll hand you over [hand_over]", "Ok. hand_over",
        "One moment 🙂 hand_over()", "[hand_over] I am connecting you.", "hand_over\n\nI am connecting you.", "**Tool call:** hand_over",
        "Function call: hand_over()", "Ok.\n---\nhand_over", "(calling hand_over...)", "马上为您转接。[hand_over]", "Ok.\n> hand_over",
    ],
)  # fmt: skip
def test_a_name_alone_is_a_call(text: str) -> None:
    assert parsed({"content": text}).tool == calls.ToolCall("hand_over", {})


@pytest.mark.parametrize(
    "text",
    [
        'Write {"tool": "hand_over"} yourself.', '{"price": 5}', "We ship in two days.", "I can use hand_over for that.",
        "See [hand_over].", '{"a": "hand_over"}', "# hand_over\nIt is a tool.",
        "We have a hand_over: it is easy.", "Use to=functions.hand_over there.",
        "I hand you over, one moment.", "Our handover desk: [hand over here] or call {desk}.", "Is hand_over (the tool) slow?",
        "- hand_over\n- search", "1. hand_over\n2. more", "f(hand_over)", "Call us: 030 1234", "Action: we call you.", "Use {name} here.",
        "The field {hand_over} is in it.", "Say “hand_over”, or hand_over, or both.", "https://shop.example/hand_over", "Compare a <tool and a [TOOL] here.",
    ],
)  # fmt: skip
def test_what_is_no_call_is_said(text: str) -> None:
    answer = parsed({"content": text})
    assert (answer.text, answer.tool) == (text, None)


IN_FIELDS: list[dict[str, Any]] = [
    {"tool_calls": [{"function": {"name": name, "arguments": '{"reason": "loop"}'}}]}
    for name in (
        *("functions.hand_over", "hand_over<|channel|>commentary", "functions.hand_over:0", " hand_over\n"),
        *("HAND_OVER", "Hand_Over", "handOver", "HandOver", "hand-over", "Hand over", "functions.handOver:0"),
    )
] + [
    {"function_call": {"name": "HAND_OVER", "arguments": '{"reason": "loop"}'}},
    {"content": '{"name": "HAND_OVER", "arguments": {"reason": "loop"}}'},
    {"content": '<tool_call>{"name": "handOver", "arguments": {"reason": "loop"}}</tool_call>', "tool_calls": []},
    {"content": '<tool_call>HAND_OVER\n{"reason": "loop"}</tool_call>'},
    {"content": 'HAND_OVER(reason="loop")'},
    {"content": '{"HAND_OVER": {"reason": "loop"}}'},
    {"content": '{"name": "hand_over commentary", "arguments": {"reason": "loop"}}'},
    {"content": '{"action": "hand_over to a human", "reason": "loop"}'},
    {"content": '{"hand_over now": {"reason": "loop"}}'},
    {"tool_calls": {"function": {"name": "hand_over", "arguments": {"reason": "loop"}}}},
    {"tool_calls": [{"name": "hand_over", "parameters": {"reason": "loop"}}]},
    {"tool_calls": [{"name": "hand_over", "input": {"reason": "loop"}}]},
    {"tool_calls": [{"function": {"name": "hand_over", "args": {"reason": "loop"}}}]},
    {"tool_calls": [{"function": {"name": "hand_over", "arguments": json.dumps('{"reason": "loop"}')}}]},
    {"tool_calls": [{"function": {"name": "hand_over", "arguments": '[{"reason": "loop"}]'}}]},
    {"tool_calls": [{"function": {"name": "hand_over", "arguments": '{"reason": "loop"}{"reason": "loop"}'}}]},
    {"tool_calls": [{"function": {"name": "hand_over", "arguments": "{'reason': 'loop'}"}}]},
    {"tool_calls": '[{"name": "hand_over", "arguments": {"reason": "loop"}}]'},
    {"content": [{"type": "text", "text": ""}, {"type": "tool_use", "name": "hand_over", "input": {"reason": "loop"}}]},
    {"content": [{"functionCall": {"name": "hand_over", "args": {"reason": "loop"}}}]},
]


@pytest.mark.parametrize("message", IN_FIELDS)
def test_a_call_in_fields_of_any_shape(message: dict[str, Any]) -> None:
    assert parsed(message).tool == calls.ToolCall("hand_over", {"reason": "loop"})


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("""{"tool": "search_knowledge", "query": "what's the \\"big\\" policy"}""", 'what\'s the "big" policy'),
        ('<|tool_call_begin|>functions.search_knowledge:0<|tool_call_argument_begin|>{"query": "a \\"b\\" {c}"}', 'a "b" {c}'),
        ("<function=search_knowledge>\n<parameter=query>\nwhat's new?\n</parameter>\n</function>", "what's new?"),
        ("""search_knowledge(query="what's new?")""", "what's new?"),
        ("""{'tool': 'search_knowledge', 'query': "what's new?",}""", "what's new?"),
        ('{"tool": "search_knowledge", "q": "returns"}', "returns"),
        ("search_knowledge: returns", "returns"),
    ],
)
def test_a_search_has_all_of_its_query(text: str, query: str) -> None:
    call = parsed({"content": text}).tool
    assert call is not None
    assert tools.SEARCH.value(call.arguments) == query


@pytest.mark.parametrize("names", [NAMES, []])
@pytest.mark.parametrize(
    "call",
    [
        '<tool_call>{"name": "weather", "arguments": {}}</tool_call>',
        "<tool_call>\n<function=weather>\n</function>\n</tool_call>",
        '[TOOL_CALLS]weather{"city": "Bonn"}',
        '<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{}<|tool_call_end|>',
        '<minimax:tool_call>\n<invoke name="weather">\n</invoke>\n</minimax:tool_call>',
        '<tool_call>{"name": "wea',
        "<tool_code>print(weather())</tool_code>",
        '{"tool": "no_answer", "reason": "policy"}',
        '```json\n{"name": "no_answer"}\n```',
        "[no_answer]",
        "<no_answer>policy</no_answer>",
        'no_answer(reason="policy")',
    ],
)  # fmt: skip
def test_a_call_that_nobody_can_make_is_not_for_the_customer(call: str, names: list[str]) -> None:
    answer = parsed({"content": f"We ship in two days.\n{call}"}, names)
    assert (answer.text, answer.tool) == ("We ship in two days.", None)
    with pytest.raises(NoText):
        parsed({"content": call}, names)


@pytest.mark.parametrize(
    "call", ['{"name": "get_order", "arguments": {"id": 5}}', '{"type": "function", "name": "x", "arguments": {}}']
)
def test_a_call_of_a_tool_that_a_model_made_up_is_not_for_the_customer(call: str) -> None:
    with pytest.raises(NoText):
        parsed({"content": call})


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Ana B", "arguments": {}}',
        '{"name": "Ana", "price": 5}',
        '{"name": "a"} {"name": "b"}',
        '{"handover": false, "a": 1}',
    ],
)
def test_what_is_written_as_a_call_and_is_none_is_said(text: str) -> None:
    assert parsed({"content": text}).text == text


RESULTS = [
    '<tool_response>\n{"name": "hand_over", "content": "done"}\n</tool_response>', "<TOOL_RESULT>secret</TOOL_RESULT>",
    "<function_results>\n<result><tool_name>hand_over</tool_name><stdout>secret</stdout></result>\n</function_results>",
    "<function_results><tool_result>secret</tool_result><tool_result>secret</tool_result></function_results>",
    "[TOOL_RESULTS] {\"content\": \"secret\"} [/TOOL_RESULTS]", "[TOOL_RESULTS]secret[TOOL_RESULTS]secret[/TOOL_RESULTS]",
    "<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>secret<｜tool▁output▁end｜><｜tool▁outputs▁end｜>",
    "<|tool_response>response:hand_over{secret}<tool_response|>", "<|tool_response|>secret<|/tool_response|>",
    "<|tool_output|>secret<|tool_output_end|>", '<|START_TOOL_RESULT|>[{"tool": "hand_over"}]<|END_TOOL_RESULT|>',
    "```tool_outputs\nsecret\n```", "<tool_code_output>secret</tool_code_output>",
    '<minimax:tool_result id="1">secret</minimax:tool_result>', "<function_response>hand_over</function_response>",
    "<tool-response>secret</tool-response>", "</tool_response>",
]  # fmt: skip


@pytest.mark.parametrize("result", RESULTS)
def test_a_result_that_a_model_makes_up_is_neither_a_call_nor_for_the_customer(result: str) -> None:
    for text, said in ((f"{result}\nHi.", "Hi."), (f"Yes.\n{result}\nHi.", "Yes.\n\nHi."), (f"Hi.\n{result}", "Hi.")):
        answer = parsed({"content": text})
        assert (answer.text, answer.tool) == (said, None)
        shown, draft = "", VisibleText()
        for character in text:
            piece, starts_over = draft.feed(character)
            shown += piece
            assert not starts_over
            assert said.startswith(shown.rstrip())
    with pytest.raises(NoText):
        parsed({"content": result})


def test_a_result_without_an_end_goes_on_to_the_end() -> None:
    assert parsed({"content": "Hi.\n<tool_response>secret <tool_response>secret"}).text == "Hi."
    assert parsed({"content": '<tool_call>{"name": "hand_over"}</tool_call><tool_response>no_answer'}).tool == ToolCall(
        "hand_over", {}
    )


@pytest.mark.parametrize(
    "text", ["Your <output> is here", "The tool response was quick.", "[Tools] [content]", "A <tool> and its <result>"]
)
def test_what_only_looks_like_a_result_is_said(text: str) -> None:
    assert parsed({"content": text}).text == text


def test_words_behind_such_a_call_stay() -> None:
    assert parsed({"content": "One.\n<tool_call>{}</tool_call>\nTwo."}).text == "One.\n\nTwo."


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>" + "{" * 200_000,
        '{"a":' * 100_000 + "hand_over",
        "<" * 300_000 + "hand_over", ": {" * 100_000 + "hand_over",
        "hand_over(" * 60_000, "<parameter=a>" * 30_000 + "<tool_call>hand_over", "<tool_call>hand_over" + "<a>" * 50_000,
        "`" * 300_000 + "hand_over", "[TOOL_CALLS]hand_over" + "\\" * 300_000, "a." * 150_000 + "hand_over",
        "<tool_call>hand_over<a>" + " " * 300_000,
        "[TOOL_CALLS]hand_over " + "a" * 300_000,
        "\n" * 300_000 + "x hand_over",
        "\nhand_over(\"'" * 30_000, "\nhand_over(" * 30_000, "* " * 150_000 + "hand_over", "🙂" * 200_000 + "hand_over", "<a " * 100_000 + "hand_over",
        "use the tool call: " * 20_000 + "hand_over", "hand_over" + "\n\n- - " * 60_000, "<tool>" * 50_000 + "hand_over",
        "Action:\n" * 40_000 + "hand_over", " " * 300_000 + "hand_over", "to=" * 100_000 + "<|start|>" * 20_000 + "hand_over",
    ],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_a_text_of_nothing_but_beginnings_hangs_nobody(text: str) -> None:
    begun = time.process_time()
    calls.in_text(text, NAMES)
    calls.in_channels(text, NAMES)
    calls.removed(text, NAMES)
    calls.begins(text, NAMES, goes_on=True)
    assert time.process_time() - begun < 10, "quadratic: minutes"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"hand_over": false, "answer": "We ship."}', "We ship."),
        ('{"hand_over": "no", "no_answer": null, "answer": "We ship."}', "We ship."),
        ('{"search_knowledge": "", "answer": "We ship."}', "We ship."),
        ('```json\n{"answer": "We ship.", "hand_over": false}\n```', "We ship."),
        ("{'hand_over': False, 'answer': 'We ship.'}", "We ship."),
        ("hand_over: false\n\nWe ship.", "We ship."),
        ("We ship.\n**hand_over:** no", "We ship."),
        ("[hand_over=false] We ship.", "We ship."),
        ("[hand_over: **no**]\nWe ship.", "We ship."),
        ('We ship.\n{"hand_over": false}', "We ship."),
    ],
)
def test_a_tool_that_an_answer_says_it_does_not_call_is_not_called(text: str, said: str) -> None:
    answer = parsed({"content": text}, [*NAMES, "no_answer"])
    assert (answer.text, answer.tool) == (said, None)


@pytest.mark.parametrize(
    "text",
    [
        '{"hand_over": null}',
        '{"hand_over": true, "answer": "One moment."}',
        "hand_over: no knowledge",
        "Hi.\nhand_over: no-match",
    ],
)
def test_a_tool_that_is_named_without_a_no_is_called(text: str) -> None:
    answer = parsed({"content": text})
    assert answer.tool is not None
    assert answer.tool.name == "hand_over"
