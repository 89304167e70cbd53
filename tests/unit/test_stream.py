"""Streamed answers as providers send them, in pieces that end anywhere; and what of them a page may see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.ai import answer_text, calls, completion, headed_thoughts, named_calls, refusals, roles, template_turns, visible_text
from shared.ai.calls import MARK as CALL
from shared.ai.stream import AnswerStream
from shared.ai.tools import TOOLS
from shared.ai.visible_text import VisibleText

USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}


def chunk(content: Any = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"id": "c-1", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def wire(*chunks: Any, end: str = "\n\n", done: bool = True) -> bytes:
    told = [one if isinstance(one, str) else f"data: {json.dumps(one)}" for one in [*chunks, *(["data: [DONE]"] if done else [])]]
    return "".join(one + end for one in told).encode()


def read(body: bytes, size: int = 1 << 20, **options: Any) -> tuple[AnswerStream, list[str]]:
    """The stream's answer, given in pieces of this size, and what the page saw."""
    seen: list[str] = []
    stream = AnswerStream(seen.append, **{"expects_usage": True, **options})
    for at in range(0, len(body), size):
        stream.take(body[at : at + size])
    stream.end()
    return stream, seen


def answer_of(stream: AnswerStream) -> tuple[Any, Any, Any]:
    answer = stream.completion()
    assert isinstance(answer, dict)
    [choice] = answer["choices"]
    return choice["message"]["content"], choice["finish_reason"], answer.get("usage")


HELLO = (chunk("", role="assistant"), chunk("Hel"), chunk("lo ü😀"), chunk(finish="stop"))
LAST = {
    "choices empty": {"choices": [], "usage": USAGE},
    "choices null": {"choices": None, "usage": USAGE},
    "choices missing": {"usage": USAGE},
    "choices and usage": chunk("", usage=USAGE),
    "usage in the choice (Moonshot)": {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]},
}
USED = LAST["choices empty"]
ODD = {
    "comments": wire(": OPENROUTER PROCESSING", HELLO[0], ": keep-alive", *HELLO[1:], USED),
    "event, id and retry": b"retry: 5\n\n" + wire(*(f"event: x\nid: 1\ndata:{json.dumps(one)}" for one in HELLO), USED),
    "CRLF": wire(*HELLO, LAST["choices missing"], end="\r\n\r\n"),
    "a byte order mark": b"\xef\xbb\xbf" + wire(*HELLO, USED),
    "CR": wire(*HELLO, USED, end="\r\r"),
    "several data lines": wire(*("data: " + json.dumps(one, indent=1).replace("\n", "\ndata: ") for one in HELLO), USED),
    "no empty lines between": wire(*HELLO, USED, end="\n"),
    "no [DONE]": wire(*HELLO, USED, done=False),
    "no [DONE], no last line end": wire(*HELLO, USED, done=False).rstrip(),
    "the prompt's filter first (Azure)": wire({"choices": [], "prompt_filter_results": []}, *HELLO, USED),
    "usage in every chunk": wire(*({**one, "usage": None} for one in HELLO), USED),
    "a second answer": wire(HELLO[0], {"choices": [{"index": 1, "delta": {"content": "no"}}]}, *HELLO[1:], USED),
    "nonsense between": wire(HELLO[0], "data: {", "data: 7", "data: null", "nonsense", *HELLO[1:], USED),
    "parts": wire(*(chunk([{"type": "text", "text": text}]) for text in ("Hello ", "ü😀")), HELLO[3], USED),
    "half characters": wire(chunk("Hello ü\ud83d"), chunk("\ude00"), HELLO[3], USED),
    "bytes of characters": wire(chunk("Hello A"), chunk("B"), chunk("C"), HELLO[3], USED)
    .replace(b"A", b"\xc3").replace(b"B", b"\xbc\xf0\x9f").replace(b"C", b"\x98\x80"),
    "the whole message at once": wire({"choices": [{"message": {"content": "Hello ü😀"}, "finish_reason": "stop"}]}, USED),
    "texts (completions of old)": wire(*({"choices": [{"text": text}]} for text in ("Hello ", "ü😀")), HELLO[3], USED),
    "text in the delta": wire(*({"choices": [{"delta": {"text": text}}]} for text in ("Hello ", "ü😀")), HELLO[3], USED),
    "a delta that is a text": wire(*({"choices": [{"delta": text}]} for text in ("Hello ", "ü😀")), HELLO[3], USED),
    "choices that are one": wire({"choices": HELLO[1]["choices"][0]}, *HELLO[2:], USED),
    "wrapped": wire(*({"code": 0, "data": one} for one in HELLO), USED),
    "two in a line": wire(HELLO[0], "data: " + "".join(map(json.dumps, HELLO[1:3])), HELLO[3], USED),
    "two in a line, with their name": wire(HELLO[0], f"data: {json.dumps(HELLO[1])} data:{json.dumps(HELLO[2])}", HELLO[3], USED),
    "[DONE] in the last line": wire(*HELLO, f"data: {json.dumps(USED)}data: [DONE]", done=False),
    "an error that says nothing": wire(*({**one, "error": {"message": "", "code": None}} for one in HELLO), USED),
    "in lists": wire(*([one] for one in HELLO), USED),
    "DONE": wire(*HELLO, USED, "data: DONE", done=False),
    "quoted [DONE]": wire(*HELLO, USED, 'data: "[DONE]"', done=False),
    "all is well (MiniMax)": wire(*({**one, "base_resp": {"status_code": 0, "status_msg": ""}} for one in HELLO), USED),
    **{name: wire(*HELLO, last) for name, last in LAST.items()},
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_a_stream_is_read_however_it_looks(name: str) -> None:
    for size in (1, 7, 1 << 20):
        stream, seen = read(ODD[name], size)
        assert answer_of(stream) == ("Hello ü😀", "stop", USAGE)
        assert "".join(seen) == "Hello ü😀"
        assert seen[0] == "", "the first piece replaces what an earlier attempt left"
        assert stream.is_whole


def _sent(*told: tuple[str, Any]) -> bytes:
    """Events with their names, as vendors send them whose own streams are not OpenAI's."""
    return "".join(f"event: {name}\ndata: {json.dumps({'type': name, **event})}\n\n" for name, event in told).encode()


def _candidate(*parts: Any, **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, **more}]}


#: Pieces of Gemini's with what they are marked as. Its tags stand within the thoughts, or behind them, or are missing.
_THOUGHT = {"thought": True}
GEMINI: dict[str, list[tuple[str, Any]]] = {
    "tags": [("<thought>no", _THOUGHT), ("no", _THOUGHT), ("</thought>Hello ", None), ("ü😀", None)],
    "no tags": [("no", _THOUGHT), ("no", _THOUGHT), ("Hello ", None), ("ü😀", {"thought_signature": "c2VjcmV0"})],
    "an end that is a thought's": [("<thought>no", _THOUGHT), ("no</thought>", _THOUGHT), ("Hello ", None), ("ü😀", None)],
    "an answer behind the end": [("<thought>no", _THOUGHT), ("no</thought>Hello ", _THOUGHT), ("ü😀", None)],
    "a beginning without an end": [("<thought>no", _THOUGHT), ("Hello ", None), ("ü😀", None)],
    "tags and no marks": [("<thought>no", None), ("no", None), ("</thought>Hello ", None), ("ü😀", None)],
}
#: Streams in a vendor's own form, which all say the same for 9 and 3 tokens; then calls of a tool.
OWN_FORMS = {
    "Anthropic": _sent(
        ("message_start", {"message": {"id": "c-1", "model": "m-1", "usage": {"input_tokens": 9, "output_tokens": 1}}}),
        ("content_block_start", {"index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        ("content_block_delta", {"index": 0, "delta": {"type": "thinking_delta", "thinking": "no"}}),
        ("content_block_start", {"index": 1, "content_block": {"type": "text", "text": ""}}),
        ("ping", {}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": "Hello "}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": "ü😀"}}),
        ("content_block_stop", {"index": 1}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}),
        ("message_stop", {}),
    ),
    "Gemini": wire(
        _candidate({"text": "no", "thought": True}),
        _candidate({"text": "Hello "}),
        {
            **_candidate({"text": "ü😀"}, finishReason="STOP"),
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
        },
        done=False,
    ),
    **{
        f"Gemini, as OpenAI speaks: {name}": wire(
            *(
                {"choices": [{"delta": {"content": text, **({"extra_content": {"google": mark}} if mark else {})}}]}
                for text, mark in pieces
            ),
            HELLO[3],
            USED,
        )
        for name, pieces in GEMINI.items()
    },
    "OpenAI's Responses": _sent(
        ("response.created", {"response": {"id": "c-1", "status": "in_progress", "output": []}}),
        ("response.reasoning_summary_text.delta", {"delta": "no"}),
        ("response.output_text.delta", {"delta": "Hello "}),
        ("response.output_text.delta", {"delta": "ü😀"}),
        ("response.output_text.done", {"text": "Hello ü😀"}),
        (
            "response.completed",
            {
                "response": {
                    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello ü😀"}]}],
                    "usage": {"input_tokens": 9, "output_tokens": 3},
                }
            },
        ),
    ),
    "OpenAI's Responses, all at once": _sent(
        ("response.created", {"response": {"id": "c-1", "status": "in_progress", "output": []}}),
        ("response.reasoning_summary_text.delta", {"delta": "no"}),
        (
            "response.completed",
            {
                "response": {
                    "id": "c-1",
                    "output": [
                        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "no"}]},
                        {"type": "message", "content": [{"type": "output_text", "text": "Hello ü😀"}]},
                    ],
                    "usage": {"input_tokens": 9, "output_tokens": 3},
                }
            },
        ),
    ),
    "Cohere": _sent(
        ("message-start", {"id": "c-1", "delta": {"message": {"role": "assistant", "content": []}}}),
        ("content-start", {"index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}),
        ("content-delta", {"index": 0, "delta": {"message": {"content": {"text": "Hello "}}}}),
        ("content-delta", {"index": 0, "delta": {"message": {"content": {"text": "ü😀"}}}}),
        ("content-end", {"index": 0}),
        (
            "message-end",
            {"delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 9, "output_tokens": 3}}}},
        ),
    ),
    "Ollama": b"".join(
        json.dumps(line).encode() + b"\n"
        for line in (
            {"message": {"content": "", "thinking": "no"}, "done": False},
            {"message": {"content": "Hello "}, "done": False},
            {"message": {"content": "ü😀"}, "done": False},
            {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 3},
        )
    ),
    "Ollama's generate": b"".join(
        json.dumps(line).encode() + b"\n"
        for line in (
            {"response": "Hello ", "done": False},
            {"response": "ü😀", "done": False},
            {"response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 3},
        )
    ),
    "DashScope": wire(
        *(
            {"output": {"choices": [{"message": {"content": text}, "finish_reason": "null"}]}}
            for text in ("Hell", "Hello ", "Hello ü😀")
        ),
        {
            "output": {"choices": [{"message": {"content": "Hello ü😀"}, "finish_reason": "stop"}]},
            "usage": {"input_tokens": 9, "output_tokens": 3},
        },
        done=False,
    ),
    "Cloudflare": wire({"response": "Hello "}, {"response": "ü😀"}, {"response": "", "usage": USAGE}),
    "Bedrock": wire(
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"delta": {"reasoningContent": {"text": "no"}}, "contentBlockIndex": 0}},
        *({"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 1}} for text in ("Hello ", "ü😀")),
        {"messageStop": {"stopReason": "end_turn"}},
        {"metadata": {"usage": {"inputTokens": 9, "outputTokens": 3, "totalTokens": 12}}},
        done=False,
    ),
}
CALLS_IN_OWN_FORMS = {
    "Anthropic": _sent(
        ("content_block_start", {"index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "hand_over", "input": {}}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"reason": "lo'}}),
        ("content_block_delta", {"index": 1, "delta": {"type": "input_json_delta", "partial_json": 'op"}'}}),
        ("message_delta", {"delta": {"stop_reason": "tool_use"}}),
    ),
    "Gemini": wire(
        _candidate({"functionCall": {"name": "hand_over", "args": {"reason": "loop"}}}, finishReason="STOP"), done=False
    ),
    "OpenAI's Responses": _sent(
        (
            "response.output_item.added",
            {"output_index": 1, "item": {"type": "function_call", "name": "hand_over", "call_id": "t"}},
        ),
        ("response.function_call_arguments.delta", {"output_index": 1, "delta": '{"reason": "lo'}),
        ("response.function_call_arguments.delta", {"output_index": 1, "delta": 'op"}'}),
        ("response.completed", {"response": {"id": "c-1"}}),
    ),
    "Cohere": _sent(
        ("tool-plan-delta", {"delta": {"message": {"tool_plan": "no"}}}),
        (
            "tool-call-start",
            {"index": 0, "delta": {"message": {"tool_calls": {"id": "t", "function": {"name": "hand_over", "arguments": ""}}}}},
        ),
        (
            "tool-call-delta",
            {"index": 0, "delta": {"message": {"tool_calls": {"function": {"arguments": '{"reason": "loop"}'}}}}},
        ),
        ("message-end", {"delta": {"finish_reason": "TOOL_CALL"}}),
    ),
    "Bedrock": wire(
        {"contentBlockStart": {"start": {"toolUse": {"toolUseId": "t", "name": "hand_over"}}, "contentBlockIndex": 0}},
        *(
            {"contentBlockDelta": {"delta": {"toolUse": {"input": text}}, "contentBlockIndex": 0}}
            for text in ('{"reason": "lo', 'op"}')
        ),
        {"messageStop": {"stopReason": "tool_use"}},
        done=False,
    ),
}


@pytest.mark.parametrize("vendor", OWN_FORMS)
def test_a_stream_in_a_vendors_own_form_is_read(vendor: str) -> None:
    for size in (1, 1 << 20):
        stream, seen = read(OWN_FORMS[vendor], size)
        found = completion.parse(stream.completion(), "m", [{"role": "user", "content": "?"}])
        assert (found.text, found.prompt_tokens, found.completion_tokens) == ("Hello ü😀", 9, 3)
        assert "".join(seen) == "Hello ü😀"
        assert stream.is_whole


@pytest.mark.parametrize("vendor", CALLS_IN_OWN_FORMS)
def test_a_call_in_a_vendors_own_stream(vendor: str) -> None:
    stream, seen = read(CALLS_IN_OWN_FORMS[vendor])
    found = completion.parse(stream.completion(), "m", [{"role": "user", "content": "?"}], ["hand_over"])
    assert found.tool == calls.ToolCall("hand_over", {"reason": "loop"})
    assert seen == []


def _pieces(*texts: str, **options: Any) -> tuple[str, list[str], dict[str, Any]]:
    stream, seen = read(wire(*map(chunk, texts), chunk(finish="stop")), **options)
    return answer_of(stream)[0], seen, stream.lesson


@pytest.mark.parametrize(
    "texts",
    [
        ("We ship", "We ship in", "We ship in two days.", "We ship in two days."),
        ("We", "We ship in two", "We ship in two days."),
        ("We ship in two days", "We ship in two days."),
        ("We ship in two days.", "We ship in two days."),
    ],
)
def test_pieces_that_repeat_all_that_came_before_them(texts: tuple[str, ...]) -> None:
    text, seen, lesson = _pieces(*texts)
    assert text == "".join(seen) == texts[-1]
    assert seen.count("") == 1, "nothing that was shown is taken back"
    assert lesson == {"repeats_text": True}


@pytest.mark.parametrize(
    "texts",
    [
        ("ha", "ha", "ha"),
        ("1", "10", "0"),
        ("\n", "\n\n", "Hi"),
        ("We", "We", " ship"),
        ("Hi",),
        ("a ", "a b ", "c"),
        ("Ja", "Ja."),
    ],
)
def test_pieces_that_only_look_alike_follow_one_another(texts: tuple[str, ...]) -> None:
    text, seen, lesson = _pieces(*texts)
    assert (text, "".join(seen), lesson) == ("".join(texts), "".join(texts).lstrip(), {})


def test_what_a_model_is_known_to_repeat_is_so_from_the_second_piece_on() -> None:
    assert _pieces("Ja", "Ja.", repeats_text=True)[0] == "Ja."
    assert _pieces("Ja", ", gern", repeats_text=True)[::2] == ("Ja, gern", {"repeats_text": False})


def test_a_last_piece_that_has_the_whole_once_more() -> None:
    for last in (
        chunk("We ship.", "stop"),
        {"choices": [{"delta": {}, "message": {"content": "We ship."}, "finish_reason": "stop"}]},
    ):
        stream, seen = read(wire(chunk("We"), chunk(" ship."), last))
        assert answer_of(stream)[0] == "".join(seen) == "We ship."


def test_a_reason_with_each_piece_is_no_end() -> None:
    for reason in ("stop", "null", "NONE", ""):
        stream = AnswerStream(lambda _: None, expects_usage=True)
        for text in ("We", " ship."):
            assert stream.take(wire(chunk(text, reason), done=False)) is None


def test_a_price_is_not_taken_back() -> None:
    nothing = {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "completion_time": 1.5}}
    stream, _ = read(wire(*HELLO, USED, nothing))
    usage = answer_of(stream)[2]
    assert {name: usage[name] for name in USAGE} == USAGE


@given(st.text(), st.integers(1, 40))
@example("H", 1)
@example("\u25c1", 1)
@example("_Thinking", 1)
def test_any_text_is_put_together_and_shown(text: str, size: int) -> None:
    stream, seen = read(wire(*(chunk(one) for one in text), chunk(finish="stop")), size)
    assert answer_of(stream)[0] == text
    # as yet: the saved reply has it
    may_be_thought = any(word.startswith(text.strip()) for word in visible_text._BARE_BEGINNINGS)
    may_be_thought |= headed_thoughts.may_begin(text) or headed_thoughts.has_begun(text) or roles.may_begin(text.lstrip())
    may_be_call = named_calls.begins(text, TOOLS) is not None
    if not may_be_thought and not may_be_call and not any(character in text for character in f"{{{answer_text.TRIGGERS}"):
        assert "".join(seen) == text.lstrip()


@pytest.mark.parametrize("end", template_turns.ENDS)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_models_own_end_mark_never_shows(end: str, size: int) -> None:
    said = f"It is [here] for 5 <6. {end} {end}\n"
    pieces = [said[start : start + size] for start in range(0, len(said), size)]
    stream, seen = read(wire(*map(chunk, pieces), chunk(finish="stop")))
    assert ("".join(seen).rstrip(), seen.count(""), stream.lesson) == ("It is [here] for 5 <6.", 1, {})


@pytest.mark.parametrize("end", [one for one in template_turns.ENDS if not answer_text._FRAME.match(one)])
def test_a_mark_that_something_follows_is_text(end: str) -> None:
    said = f"The mark {end} ends a turn."
    stream, seen = read(wire(*map(chunk, said), chunk(finish="stop")))
    assert ("".join(seen), seen.count(""), stream.lesson) == (said, 1, {})


def test_what_is_struck_out_last_ends_with_its_tag() -> None:
    said = "Now <s>25 €</s>"
    assert roles.without_end(said) == said
    assert "".join(read(wire(*map(chunk, said), chunk(finish="stop")))[1]) == said


@pytest.mark.parametrize(
    ("body", "is_whole"),
    [
        (wire(*HELLO[:3], done=False), False),
        (wire(*HELLO, done=False)[:-30], False),
        (wire(*HELLO[:3]), True),
        (wire(*HELLO, done=False), True),
        (b"", False),
        (b": keep-alive\n\n", False),
        (wire(chunk("We ship."), done=False), True),
        (wire(chunk("We ship (in **two days!**)"), done=False), True),
        (wire(chunk("We ship on"), done=False), False),
        (wire(chunk("We ship. "), done=False) + b'data: {"choices": [{"del', False),
        (wire(chunk("We ship "), 'data: {"choices": [{"delta": {"content": "not', chunk("hing."), HELLO[3]), False),
        (wire(chunk("We ship "), f"data: {json.dumps(chunk('not'))}{{", chunk("hing."), HELLO[3]), True),
        (wire(*HELLO, 'data: {"choices": [{"delta": {"content": "'), True),
        (wire({"choices": [{"delta": {"tool_calls": [{"function": {"name": "x", "arguments": "{}"}}]}}]}, done=False), True),
        (wire({"choices": [{"delta": {"tool_calls": [{"function": {"name": "x", "arguments": "{"}}]}}]}, done=False), False),
    ],
)
def test_an_answer_that_broke_off_is_not_whole(body: bytes, is_whole: bool) -> None:
    assert read(body)[0].is_whole is is_whole


def test_an_error_in_the_middle_is_the_answer() -> None:
    for error in ({"message": "Overloaded", "code": 502}, "overloaded"):
        stream, _ = read(wire(*HELLO[:2], {"error": error, "choices": []}, done=False))
        assert stream.is_whole
        assert stream.completion() == {"error": error, "choices": []}


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (b'data: {"object": "error", "message": "secret", "code": 400}', 400),  # vLLM
        (b'error: {"code": 500, "message": "secret", "type": "server_error"}', 500),  # llama.cpp
        (b'event: error\ndata: {"code": "InvalidParameter", "message": "secret", "request_id": "1"}', 0),  # DashScope
        (b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "secret"}}', 503),
        (b"event: error\ndata: secret", 0),
        (b'event: error\ndata: "secret"', 0),
        (b'data: {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "secret"}}}', 500),
    ],
)
def test_an_error_in_the_middle_in_anybodys_form(event: bytes, status: int) -> None:
    stream, shown = read(wire(*HELLO[:2], done=False) + event + b"\n\n")
    assert stream.is_whole
    complaint = refusals.within(stream.completion())
    assert complaint is not None
    assert (complaint.status, complaint.words) == (status, "secret")
    assert "secret" not in "".join(shown)


@pytest.mark.parametrize(
    ("chunk", "status"),
    [
        ({"detail": "boom"}, 0), ({"errors": [{"message": "boom"}]}, 0),
        ({"error_code": 336501, "error_msg": "rate limit: boom"}, 429),
        ({"base_resp": {"status_code": 1002, "status_msg": "boom"}}, 429),
        ({"choices": [], "x_groq": {"id": "req_1", "error": "rate limit: boom"}}, 429),
        ({"error": {"message": "boom", "code": "9" * 5_000}}, 0), ({"error": {"message": "boom", "code": "502"}}, 502),
    ],
)  # fmt: skip
def test_what_a_provider_calls_an_error_ends_the_answer(chunk: dict[str, Any], status: int) -> None:
    stream, _ = read(wire(*HELLO[:2], chunk, done=False))
    complaint = refusals.within(stream.completion())
    assert complaint is not None
    assert (stream.is_whole, complaint.status) == (True, status)
    assert "boom" in complaint.words


def test_an_error_that_says_nothing_is_none() -> None:
    answer = {"error": {"message": "", "type": "", "code": None}, "choices": [{"message": {"content": "We ship."}}]}
    assert refusals.within(answer) is None
    assert refusals.within({**answer, "error": {"message": "", "code": 502}}) is not None


def test_lines_of_json_are_a_stream_too() -> None:
    for size in (1, 1 << 20):
        stream, _ = read(b"".join(json.dumps(one).encode() + b"\n" for one in (*HELLO, USED)), size)
        assert answer_of(stream) == ("Hello ü😀", "stop", USAGE)


def test_comments_before_an_answer_that_is_no_stream() -> None:
    for size in (1, 9, 1 << 20):
        stream, _ = read(b": keep-alive\n\n" * 40 + b': keep-alive\n\n{"choices": [{"message": {"content": "Hello"}}]}', size)
        whole = stream.completion()
        assert isinstance(whole, bytes)
        assert json.loads(whole)["choices"][0]["message"]["content"] == "Hello"


def test_a_call_as_it_was_of_old_comes_in_pieces() -> None:
    pieces = [{"function_call": {"name": "hand_over", "arguments": '{"rea'}}, {"function_call": {"arguments": 'son": "loop"}'}}]
    stream, _ = read(wire(*({"choices": [{"delta": piece}]} for piece in pieces), chunk(finish="function_call")))
    answer = stream.completion()
    assert isinstance(answer, dict)
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"] == {
        "name": "hand_over",
        "arguments": '{"reason": "loop"}',
    }


def test_a_byte_that_is_no_character_costs_no_more_than_itself() -> None:
    for broken, text in (("AB", "\ufffd\ufffd"), ("A", "\ufffd"), ("\tA", "\t\ufffd")):
        body = wire(chunk("Hello "), chunk(f"{broken}you."), HELLO[3]).replace(b"\\t", b"\t")
        stream, seen = read(body.replace(b"A", b"\xf0\x9f").replace(b"B", b"\xff"))
        assert (answer_of(stream)[0], "".join(seen)) == (f"Hello {text}you.",) * 2
        assert stream.is_whole


def test_an_argument_of_a_call_is_put_together_from_bytes_of_characters() -> None:
    parts = [{"index": 0, "function": {"name": "search_knowledge", "arguments": '{"query": "A'}}]
    parts += [{"index": 0, "function": {"arguments": 'B"}'}}]
    body = wire(*({"choices": [{"delta": {"tool_calls": [part]}}]} for part in parts), chunk(finish="tool_calls"))
    stream, _ = read(body.replace(b"A", b"\xc3").replace(b"B", b"\xbc"))
    answer = stream.completion()
    assert isinstance(answer, dict)
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"query": "ü"}'


def test_what_is_no_stream_is_given_as_it_came() -> None:
    for body in (b'\n {"choices": [{"message": {"content": "data: x"}}]}', b"<html>Bad gateway</html>", b"[1]"):
        for size in (1, 5, 1000):
            stream, seen = read(body, size)
            completion = stream.completion()
            assert isinstance(completion, bytes)
            assert (completion.strip(), seen, stream.is_whole) == (body.strip(), [], True)


def _tools_of(*parts: dict[str, Any]) -> list[tuple[Any, Any, Any]]:
    stream, seen = read(wire(*({"choices": [{"delta": {"tool_calls": [part]}}]} for part in parts), chunk(finish="tool_calls")))
    assert seen == []
    answer = stream.completion()
    assert isinstance(answer, dict)
    calls = answer["choices"][0]["message"]["tool_calls"]
    return [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls]


def test_tool_calls_come_in_pieces_or_whole() -> None:
    first = {"index": 0, "id": "t-1", "function": {"name": "hand_over", "arguments": ""}}
    pieces = [{"index": 0, "function": {"arguments": part}} for part in ('{"rea', 'son": "loop"}')]
    whole = [("t-1", "hand_over", '{"reason": "loop"}')]
    assert _tools_of(first, *pieces) == whole
    unnumbered = [{name: value for name, value in part.items() if name != "index"} for part in (first, *pieces)]
    assert _tools_of(*unnumbered) == whole
    both = [{"id": name, "function": {"name": name, "arguments": arguments}} for name, arguments in (("a", "{}"), ("b", {}))]
    assert _tools_of(*both) == [("a", "a", "{}"), ("b", "b", {})]


HAND_OVER = {"id": "t-1", "function": {"name": "hand_over", "arguments": ""}}
LOOP = [{"function": {"arguments": part}} for part in ('{"rea', 'son": "loop"}')]


@pytest.mark.parametrize(
    "parts",
    [
        [{"index": 0, **HAND_OVER}, {"index": 1, **LOOP[0]}, {"index": 2, **LOOP[1]}],
        [{"index": "0", **HAND_OVER}, *({"index": 0, **part} for part in LOOP)],
        [{"index": 0, **HAND_OVER}, *({"index": 0, "id": f"t-{n}", **part} for n, part in enumerate(LOOP, 2))],
        [{"index": 0, "name": "hand_over", "arguments": '{"reason": "loop"}'}],
        [{"index": 0, "function": {"name": "hand_", "arguments": ""}}, {"index": 0, "function": {"name": "over"}}, *LOOP],
        [{"index": 0, "function": {"name": "hand_over", "arguments": part}} for part in ('{"rea', '{"reason": "loop"}')],
        [{"index": 0, "function": {"name": "hand_over", "arguments": part}} for part in ("{}", '{"reason": "loop"}')],
        [
            {"index": 0, **HAND_OVER},
            *LOOP,
            {"index": 0, "id": "t-1", "function": {"name": "hand_over", "arguments": '{"reason": "loop"}'}},
        ],
    ],
)
def test_pieces_of_one_call_whatever_their_numbers_say(parts: list[dict[str, Any]]) -> None:
    [(_, name, arguments)] = _tools_of(*parts)
    assert (name, json.loads(arguments)) == ("hand_over", {"reason": "loop"})


@pytest.mark.parametrize("ids", [("a", "b"), (None, None)])
def test_two_calls_with_one_number(ids: tuple[Any, Any]) -> None:
    first, second = ({"index": 0, "id": called, "function": {"name": name}} for called, name in zip(ids, "ab", strict=True))
    arguments = {"index": 0, "function": {"arguments": "{}"}}
    assert [call[1:] for call in _tools_of(first, arguments, second, arguments)] == [("a", "{}"), ("b", "{}")]


def test_how_long_the_rest_is_worth_waiting_for() -> None:
    stream = AnswerStream(lambda _: None, expects_usage=True)
    assert stream.take(wire(*HELLO[:3], done=False)) is None
    usage_wait, end_wait = stream.take(wire(HELLO[3], done=False)), stream.take(wire(USED))
    assert usage_wait is not None
    assert end_wait is not None
    assert 0 < end_wait < usage_wait


SHOWN = [
    ("<think>secret</think>Hello", "Hello"),
    ("<think>\nsecret\n</think>\n\nHello", "Hello"),
    ("Hello <THINK>secret</Think>you", "Hello you"),
    ('<thinking budget="9">secret</thinking >Hello', "Hello"),
    ("<think>secret", ""),
    ("Hello <think>secret", "Hello "),
    ("a < b, <thin ice> and <b>bold</b>", "a < b, <thin ice> and <b>bold</b>"),
    ("<think></think>Hello<think>secret</think>!", "Hello!"),
    ("2 < 3 [see 1] <r", "2 < 3 [see 1] "),
    ("[THINK]secret[/THINK]Hello [1]", "Hello [1]"),
    ("\u25c1think\u25b7secret\u25c1/think\u25b7Hello", "Hello"),
    ("<|channel|>analysis<|message|>secret<|end|><|start|>assistant<|channel|>final<|message|>Hello", "Hello"),
    ("<|channel|>final<|message|>Hello", "Hello"),
    ("<|START_THINKING|>secret<|END_THINKING|><|START_RESPONSE|>Hello<|END_RESPONSE|>", "Hello"),
    ("<unused94>thought secret<unused95>Hello", "Hello"),
    ("<antml:thinking>secret</antml:thinking>Hello", "Hello"),
    ("<longcat_think>secret</longcat_think>Hello", "Hello"),
    ("<|think|>secret<|end|><|begin|>assistant<|content|>Hello", "Hello"),
    ("<|inner_prefix|>secret<|inner_suffix|>Hello", "Hello"),
    ("analysisThe customer is angry.assistantfinalHello", "Hello"),
    ('<details type="reasoning" done="true">\n<summary>Thought</summary>\n> secret\n</details>\nHello', "Hello"),
    ("<details type=reasoning>secret</details>Hello<details><b>more</b></details>", "Hello<details><b>more</b></details>"),
    ("assistantanalysis secret assistantfinalHello", "Hello"),
    ("assistantanalysis secret", ""),
    ("Here is my thought process:\nsecret\n\nHere is my response:\nHello", "Hello"),
    ("Here's my thought process:\nsecret", ""),
    ("*Thinking...*\n\n> secret\n> secret\n\nHello", "Hello"),
    ("Thought: secret\nAction: none\nFinal Answer: Hello", "Hello"),
    ("**Thought:** secret\n\n**Answer:** **Hello**", "**Hello**"),
    ("Answering you: Hello", "Answering you: Hello"),
    ("Thinking...\nsecret\n...done thinking.\n\nHello", "Hello"),
    ("```thinking\nsecret\n```py\nsecret\n```\nsecret\n```\nHello", "Hello"),
    ("Hello:\n```py\nx\n```\n", "Hello:\n```py\nx\n```\n"),
    ("&lt;think&gt;secret &amp; more&lt;/think&gt;Hello", "Hello"),
    ("Tea & cake &amp; &lt;b&gt; for you", "Tea & cake &amp; &lt;b&gt; for you"),
    (r"\u003cthink\u003esecret\u003c/think\u003eHello", "Hello"),
    (r"Hello \u003cthink\u003esecret", "Hello "),
    (r"C:\users\new, a \u003c b and \u003cb\u003e \o/ it is", r"C:\users\new, a \u003c b and \u003cb\u003e \o/ it is"),
    ("<|reasoning|>secret<|/reasoning|>Hello", "Hello"),
    ("[reasoning]secret[/reasoning]Hello [reason]", "Hello [reason]"),
    ("<cot>secret</cot>Hello", "Hello"),
    ("<analysis>secret</analysis><final>Hello</final>", "Hello"),
    # Folds and heads of gateways, and tags of models
    ("<details>\n<summary>Thinking</summary>\nsecret\n</details>\n\nHello", "Hello"),
    ("<details open><summary><b>\U0001f9e0 Thought</b> for 3 seconds</summary>secret</details>Hello", "Hello"),
    ("<details><summary>Thinking (12.3s)</summary>secret", ""),
    ('<details class="thinking-block"><summary>More</summary>secret</details>\nHello', "Hello"),
    (
        "Hello<details><summary>Reasoning behind our prices</summary>It is tea</details>you",
        "Hello<details><summary>Reasoning behind our prices</summary>It is tea</details>you",
    ),
    (
        "<details><summary>What do you think of gifts?</summary>Good</details>",
        "<details><summary>What do you think of gifts?</summary>Good</details>",
    ),
    ("Use <details> and <summary> for it", "Use <details> and <summary> for it"),
    *(
        (text, text)
        for text in (
            "So:\n```html\n<details><summary>Thinking</summary>more</details>\n```\nThat is it",
            "Write `<details><summary>Thinking</summary>` for it",
        )
    ),
    ("So:\n```py\nx\n```\n<details><summary>Thinking</summary>secret</details>Hello", "So:\n```py\nx\n```\nHello"),
    ("### Thinking\nsecret\n\n### Answer\nHello", "Hello"),
    ("**Thinking process:**\n1. secret\n\n**Final Answer:**\nHello", "Hello"),
    ("**Thinking**\nsecret\n\n**Response**\nHello", "Hello"),
    ("\u601d\u8003\u8fc7\u7a0b\uff1asecret\n\n\u56de\u7b54\uff1aHello", "Hello"),
    ("\u3010\u601d\u8003\u3011secret\n\u3010\u56de\u7b54\u3011Hello", "Hello"),
    ("thought: secret\nanswer: Hello", "Hello"),
    ("> **Thinking:**\n> secret\n> secret\n\nHello", "Hello"),
    ("> Reasoning\n> secret\n\nHello", "Hello"),
    ("Reasoning:\n_secret_\n_secret_\n\nHello", "Hello"),
    ("\U0001f4ad **Reasoning:**\n```\nsecret\n```\n\nHello", "Hello"),
    ("<plan>secret</plan>\nHello", "Hello"),
    ("<internal>secret</internal><rationale>secret</rationale>Hello", "Hello"),
    ("Your <plan> is <internal>", "Your <plan> is <internal>"),
    ("Plan: Hello", "Plan: Hello"),
    ("## Plan\nHello", "## Plan\nHello"),
    ("**Think** of it: Hello", "**Think** of it: Hello"),
    ("Thinking of you", "Thinking of you"),
    ("Response: 2 hours", "Response: 2 hours"),
    ("> As you wrote:\nHello", "> As you wrote:\nHello"),
    ("<think:opensource>secret</think:opensource>Hello", "Hello"),
    ("<thought-process>secret</thought-process><ThinkingProcess>secret</ThinkingProcess>Hello", "Hello"),
    ("<internal_reasoning>secret</internal_reasoning><self-reflection>secret</self-reflection>Hello", "Hello"),
    ("<reasoning_steps>secret</reasoning_steps><ant:thinking>secret</ant:thinking>Hello", "Hello"),
    ("<|begin_of_thinking|>secret<|end_of_thinking|><|thought|>secret<|/thought|>Hello", "Hello"),
    (
        "<|think_start|>secret<|think_end|><\uff5cbegin\u2581of\u2581thinking\uff5c>secret<\uff5cend\u2581of\u2581thinking\uff5c>Hello",
        "Hello",
    ),
    ("[THOUGHTS]secret[/THOUGHTS]Hello", "Hello"),
    ("<|channel|>final <|constrain|>json<|message|>Hello", "Hello"),
    ("And so it is", "And so it is"),
    ("as it is", "as it is"),
    ("```json\n{}```", ""),
    ('{"name": "no_answer"}', ""),
    ('Wait. <tool_call>{"name": "no_answer"}</tool_call>', "Wait. "),
    ("Wait. <minimax:tool_call><invoke name=", "Wait. "),
    ('Wait.\n\n{"tool": "no_answer", "reason": "policy"}', "Wait.\n\n"),
    ('Wait.\n{"tool": "no_answer"}\nBye', "Wait.\n"),
    ('Wait: {"name": "no_answer", "arguments": {"reason": ', "Wait: "),
    ('Wait.\n```json\n{"tool": "no_answer"}\n```', "Wait.\n"),
    ('Wait.\n[{"name": "no_answer", "parameters": {}}]', "Wait.\n"),
    ('Wait.\n{"no_answer": {"reason": "policy"}}', "Wait.\n"),
    ('So:\n{"price": 5, "tool": "no_answer"}\nBye', 'So:\n{"price": 5, "tool": "no_answer"}\nBye'),
    ('So:\n```json\n{"price": 5}\n```\n', 'So:\n```json\n{"price": 5}\n```\n'),
    ('So:\n{"name": "Ana"}\nBye', 'So:\n{"name": "Ana"}\nBye'),
    ('So:\n{"tool": "no_answer"} is its form', 'So:\n{"tool": "no_answer"} is its form'),
    ('Write {"tool": "no_answer"}.', 'Write {"tool": "no_answer"}.'),
    ("[1] Card\n[2] PayPal\n[x]\n", "[1] Card\n[2] PayPal\n[x]\n"),
    ("Wait. <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function", "Wait. "),
    ("Wait. <|tool_call>call:no_answer{}<tool_call|>", "Wait. "),
    ("[TOOL_CALLS]no_answer{}", ""),
    ("no_answer", ""),
    ("One moment. <no_answer>policy</no_answer>", "One moment. "),
    ("One moment.\nAction: no_answer\nAction Input: {", "One moment.\n"),
    ("One moment. {{no_answer}}", "One moment. "),
    ("One moment.\n\nno_answer(reason='policy')", "One moment.\n\n"),
    ("One moment. [no_answer]", "One moment. "),
    ("One moment. no_answer: policy\n", "One moment. "),
    ("One moment. <tool>no_answer</tool>", "One moment. "),
    ("*no_answer*", ""),
    ("/no_answer", ""),
    ('So. {"name": "no_answer"}', "So. "),
    ("No answer. Call us, use the tool: hand it over. [no] {no}.", "No answer. Call us, use the tool: hand it over. [no] {no}."),
    ("A tool: <tooth>, [TOOL] and no more", "A tool: <tooth>, [TOOL] and no more"),
    ("`x` is it", "`x` is it"),
]


@pytest.mark.parametrize(("text", "visible"), SHOWN)
def test_nothing_of_a_thought_is_shown_and_all_else_is(text: str, visible: str) -> None:
    for size in range(1, len(text) + 1):
        shown, filtered = "", VisibleText()
        for at in range(0, len(text), size):
            piece, starts_over = filtered.feed(text[at : at + size])
            shown += piece
            assert not starts_over
            assert visible.startswith(shown), (size, shown)
        assert shown == visible
    if visible and "<r" not in text and not CALL.search(text) and calls.begins(text, TOOLS, goes_on=True) is None:
        assert answer_text.without_thoughts(text).strip() == visible.strip(), "as of the whole"


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("<|begin_of_box|>Hello<|end_of_box|> you", "Hello you"),
        ('Hello<grok:render card_id="1"><argument name="citation_id">0</argument></grok:render> you', "Hello you"),
        ("Hello\ue200cite\ue202turn0search0\ue201 you\u30104:0\u2020source\u3011, \u30101\u2020L1-L3\u3011.", "Hello you, ."),
        ("\u3010Tea\u3011 is \u30105\u3011 \u2020", "\u3010Tea\u3011 is \u30105\u3011 \u2020"),
    ],
)
def test_the_marks_of_a_servers_own_search_are_never_shown(text: str, visible: str) -> None:
    assert answer_text.words_of(text) == visible
    for size in range(1, len(text)):
        assert _in_pieces(text, size).rstrip() == visible


@pytest.mark.parametrize(
    "begins",
    [
        "Final Answer: ",
        "**Answer:** ",
        "Assistant: ",
        "**Assistant:** ",
        "AI: ",
        "<|im_start|>assistant\n",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ],
)
def test_a_role_before_an_answer_is_not_shown(begins: str) -> None:
    filtered = VisibleText()
    assert "".join(filtered.feed(character)[0] for character in f"{begins}As I said: Hello") == "As I said: Hello"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Customer: Do you ship?\nAssistant: Yes.", "Yes."), ("**Kunde:** Hallo?\n\n**Assistant:** Hi", "Hi"),
        ("Customer: Anna\nOrder: 12", "Customer: Anna\nOrder: 12"), ("Customers: many", "Customers: many"),
        ("Customer: Anna\nReply: by Monday", "Customer: Anna\nReply: by Monday"), ('json\n{"answer": "Hi"}', "Hi"),
        ('<json>{"answer": "Hi"}</json>', "Hi"), ("null", ""), ("Null", "Null"),
        ("<message>Hi</message>", "Hi"), ("<customer_reply>\nHi</customer_reply>", "Hi"), ("<text> is a tag", "<text> is a tag"),
        ("<answer>\nHi\n</answer>", "Hi"), ("<response>Hi</response>", "Hi"), ("<final_answer>Hi</final_answer>", "Hi"),
        ("The <output> is Hi", "The <output> is Hi"), ("<output> is a tag", "<output> is a tag"),
        ("### Reasoning\nHi\n\n### Summary\nHi", "### Reasoning\nHi\n\n### Summary\nHi"),
        ("**Reasoning**\nHi", "**Reasoning**\nHi"), ("<plan>Hi</plan>", "<plan>Hi</plan>"),
        ("Thinking: Hi\n\nThe answer: Hi", "Thinking: Hi\n\nThe answer: Hi"),
        *(
            (text, text)
            for text in (
                "<plan>Basic</plan> costs 5 €, <plan>Pro</plan> 9 €.", "<plan>Basic Plus</plan>: 5 €", "<plan>Basic</plan> 5 €",
                "<hidden>x</hidden> is no element", "<private>Key</private>, as it is called", "<strategy>Go</strategy> – 5",
                "<analysis>Blood</analysis> costs 30 €", "Our <planning>Room</planning> service costs 5 €",
                "[Thought] of the day: tea", "[Thoughts](https://shop.example/blog) is our blog", "Read [Reasoning](https://x.example)",
            )
        ),
        ("<plan>Greet the customer and then ask for the order</plan> hello", "hello"), ("<plan>Greet</plan>hello", "hello"),
        ("<plan>Greet. Ask.</plan> hello", "hello"), ("<plan>Greet</plan> Hello", "Hello"), ("<plan>a\nb</plan> hello", "hello"),
        ("<analysis>Angry customer</analysis>Hello", "Hello"), ("<think>Angry</think> hello", "hello"),
        ("[Thought] The customer asks\n[Answer] Hi", "Hi"), ("[Gedanken] no\n[Antwort] Hi", "Hi"), ("[thought] no", ""),
        ("[Thought] I think", ""), ("[THINK] i think", ""),
        ("Reasoning:\n- Hi", "Reasoning:\n- Hi"), ("> Hi\n\nHi", "> Hi\n\nHi"),
    ],
)  # fmt: skip
def test_a_page_sees_nothing_that_the_saved_reply_takes_back(text: str, said: str) -> None:
    assert answer_text.words_of(answer_text.cleaned(text)) == said
    for size in range(1, len(text) + 1):
        assert said.startswith(_in_pieces(text, size))


PIECES = [
    *("<think>", "</think>", "a", " b\n", "<", "[THINK]", "<|channel|>final<|message|>", "<answer>", "]", "&lt;think&gt;", "&"),
    *("\\u003cthink\\u003e", "\\u003c/think\\u003e", "\\", "\\u003c"),
    *("&lt;/think&gt;", "<details type=reasoning>", "</details>", "\n```thinking\n", "\n```py\n", "\n```\n", "`"),
]


@given(st.lists(st.sampled_from(PIECES)))
@example(["\n```\n", "<details type=reasoning>"])
def test_what_is_shown_in_pieces_is_what_the_whole_shows(pieces: list[str]) -> None:
    text = "".join(["x", *pieces, "."])
    shown, filtered = "", VisibleText()
    for character in text:
        piece, starts_over = filtered.feed(character)
        shown = piece if starts_over else shown + piece
    visible = answer_text.without_thoughts(text).strip()
    assert shown.strip() == visible or visible.startswith("`")  # which may be a call of a tool


PROSE = [
    "Thanks. ",
    "I hand you over, one moment. ",
    "Call ",
    "use ",
    "the tool",
    ": ",
    "Action: ",
    "\n",
    "- ",
    "1. ",
    "**",
    "`",
    '"',
    "(",
    ") ",
]
PROSE += [
    "{x} ",
    "[y] ",
    "hand ",
    "handover",
    "search ",
    "no answer. ",
    "N",
    "h",
    "hand_",
    "/",
    "@",
    "$5. ",
    "🙂 ",
    "é. ",
    "<b>",
    "</b> ",
]
CALLS = [
    "hand_over",
    "[hand_over]",
    "{{no_answer}}",
    "<hand_over>loop</hand_over>",
    "Action: hand_over\n",
    'hand_over(reason="loop")',
]
CALLS += [
    "/hand_over",
    "*no_answer*",
    '{"tool": "hand_over"}',
    "<tool>hand_over</tool>",
    "search_knowledge: tea",
    "(calling hand_over)",
]


def _in_pieces(text: str, size: int) -> str:
    shown, filtered = "", VisibleText()
    for at in range(0, len(text), size):
        piece, starts_over = filtered.feed(text[at : at + size])
        assert not starts_over
        shown += piece
    return shown


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PROSE)), st.integers(1, 9))
def test_an_answer_that_only_speaks_of_such_things_is_never_cut(pieces: list[str], size: int) -> None:
    text = "".join(["So: ", *pieces, "Bye and thanks for all."])
    assert calls.in_text(text, TOOLS) is None
    assert calls.removed(text, TOOLS) == text
    assert _in_pieces(text, size) == text


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(PROSE), max_size=9),
    st.sampled_from(CALLS),
    st.lists(st.sampled_from(PROSE), max_size=9),
    st.integers(1, 9),
)
def test_a_call_among_words_is_seen_alike_in_pieces_and_in_the_whole(
    before: list[str], call: str, after: list[str], size: int
) -> None:
    text = "".join(["So: ", *before, call, *after])
    shown = _in_pieces(text, size)
    assert text.startswith(shown)
    start = calls.begins(text, TOOLS)
    assert (start is None) == (calls.in_text(text, TOOLS) is None)
    if start is not None:
        assert shown.rstrip() == text[:start].rstrip() or text[:start].startswith(shown)
    else:
        assert shown == text or calls.begins(text, TOOLS, goes_on=True) is not None or "<" in text[len(shown) :]


class Counted(VisibleText):
    """Counts the characters that it reads."""

    characters = 0

    def _visible(self) -> str:
        self.characters += len(self._text)
        return super()._visible()


@pytest.mark.parametrize("piece", ["<a ", "<think>secret <b> ", "[x] ", "\nUser: x"])
def test_a_text_without_an_end_is_read_a_few_times_in_all(piece: str) -> None:
    filtered, text = Counted(), "Hello " + piece * (400_000 // len(piece))
    for at in range(0, len(text), 12):
        filtered.feed(text[at : at + 12])
    filtered.end()
    assert filtered.characters < 8 * len(text), "it has 400,000"


def test_long_thoughts_that_no_marker_opens_are_seen_at_the_end() -> None:
    seen: list[str] = []
    stream = AnswerStream.of("my-model", {}, seen.append)
    stream.take(wire(*(chunk("<b> secret " * 100) for _ in range(40)), chunk("</think>"), chunk("Hello"), chunk(finish="stop")))
    stream.end()
    assert (seen[-2:], stream.lesson) == (["", "Hello"], {"unmarked_thoughts": True})


def test_a_long_text_of_tags_is_not_read_again_at_each_of_them() -> None:
    shown, filtered, text = "", Counted(), "A line of it<br>" * 2_000
    for at in range(0, len(text), 8):
        shown += filtered.feed(text[at : at + 8])[0]
    assert filtered.characters < 200 * len(text), "it has 2,000"
    assert len(shown) > 0.95 * len(text)


def test_nothing_is_held_back_that_cannot_become_a_marker() -> None:
    filtered = VisibleText()
    shown = {
        "Hel": "Hel",
        "lo <": "lo ",
        "th": "",
        "e <thi": "<the ",
        "nk>x</": "",
        "think> end": " end",
        " [1": " [1",
        " [TH": " ",
        "E]": "[THE]",
    }
    assert {piece: filtered.feed(piece)[0] for piece in shown} == shown


def test_thoughts_without_an_opening_marker() -> None:
    hidden = VisibleText(begins_in_thoughts=True)
    assert [hidden.feed(piece)[0] for piece in ("secret ", "more</thi", "nk>\nHello", " you")] == ["", "", "Hello", " you"]
    apart = VisibleText(begins_in_thoughts=True)
    apart.thoughts_are_apart()
    assert apart.feed("Hello") == ("Hello", False)
    late, seen = read(wire(*(chunk(one) for one in ("secret", " more</think>", "Hello")), chunk(finish="stop")))
    assert seen[0] == seen[-2] == "", "what was shown is taken back"
    assert (seen[-1], late.lesson) == ("Hello", {"unmarked_thoughts": True})


@pytest.mark.parametrize(
    ("model", "profile", "is_hidden", "lesson"),
    [
        ("gpt-4o-mini", {}, False, {}),
        ("deepseek-ai/DeepSeek-R1", {}, True, {"unmarked_thoughts": False}),
        ("deepseek-ai/DeepSeek-R1", {"unmarked_thoughts": False}, False, {}),
        ("my-model", {"unmarked_thoughts": True}, True, {}),
    ],
)
def test_whose_answers_begin_in_thoughts_is_assumed_and_learnt(
    model: str, profile: dict[str, Any], is_hidden: bool, lesson: dict[str, Any]
) -> None:
    seen: list[str] = []
    stream = AnswerStream.of(model, profile, seen.append)
    stream.take(wire(*HELLO))
    stream.end()
    assert (not seen, stream.lesson) == (is_hidden, lesson)


def test_a_reader_that_wants_no_more_ends_it() -> None:
    def stop(piece: str) -> None:
        raise LookupError(piece)

    stream = AnswerStream(stop, expects_usage=True)
    assert stream.take(wire(*HELLO[:2], done=False)) == 0.0
    with pytest.raises(LookupError):
        stream.end()
