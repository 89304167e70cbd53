"""Streamed answers as providers send them, in pieces that end anywhere; and what of them a page may see."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.ai import framing, refusals, thoughts
from shared.ai.calls import MARK as CALL
from shared.ai.stream import AnswerStream
from shared.ai.thoughts import VisibleText

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
    "the whole message at once": wire({"choices": [{"message": {"content": "Hello ü😀"}, "finish_reason": "stop"}]}, USED),
    "texts (completions of old)": wire(*({"choices": [{"text": text}]} for text in ("Hello ", "ü😀")), HELLO[3], USED),
    "text in the delta": wire(*({"choices": [{"delta": {"text": text}}]} for text in ("Hello ", "ü😀")), HELLO[3], USED),
    "a delta that is a text": wire(*({"choices": [{"delta": text}]} for text in ("Hello ", "ü😀")), HELLO[3], USED),
    "choices that are one": wire({"choices": HELLO[1]["choices"][0]}, *HELLO[2:], USED),
    "wrapped": wire(*({"code": 0, "data": one} for one in HELLO), USED),
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


@given(st.text(), st.integers(1, 40))
@example("H", 1)
@example("\u25c1", 1)
@example("_Thinking", 1)
def test_any_text_is_put_together_and_shown(text: str, size: int) -> None:
    stream, seen = read(wire(*(chunk(one) for one in text), chunk(finish="stop")), size)
    assert answer_of(stream)[0] == text
    may_be_thought = any(word.startswith(text.strip()) for word in thoughts._BARE_BEGINNINGS)  # as yet: the saved reply has it
    if not may_be_thought and not any(character in text for character in f"{{{thoughts._TRIGGERS}"):
        assert "".join(seen) == text.lstrip()


@pytest.mark.parametrize("end", framing.ENDS)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_the_models_own_end_mark_never_shows(end: str, size: int) -> None:
    said = f"It is [here] for 5 <6. {end} {end}\n"
    pieces = [said[start : start + size] for start in range(0, len(said), size)]
    stream, seen = read(wire(*map(chunk, pieces), chunk(finish="stop")))
    assert ("".join(seen).rstrip(), seen.count(""), stream.lesson) == ("It is [here] for 5 <6.", 1, {})


@pytest.mark.parametrize("end", [one for one in framing.ENDS if not thoughts._FRAME.match(one)])
def test_a_mark_that_something_follows_is_text(end: str) -> None:
    said = f"The mark {end} ends a turn."
    stream, seen = read(wire(*map(chunk, said), chunk(finish="stop")))
    assert ("".join(seen), seen.count(""), stream.lesson) == (said, 1, {})


def test_what_is_struck_out_last_ends_with_its_tag() -> None:
    said = "Now <s>25 €</s>"
    assert framing.without_end(said) == said
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
    ],
)  # fmt: skip
def test_what_a_provider_calls_an_error_ends_the_answer(chunk: dict[str, Any], status: int) -> None:
    stream, _ = read(wire(*HELLO[:2], chunk, done=False))
    complaint = refusals.within(stream.completion())
    assert complaint is not None
    assert (stream.is_whole, complaint.status) == (True, status)
    assert "boom" in complaint.words


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
    ("Thinking...\nsecret\n...done thinking.\n\nHello", "Hello"),
    ("```thinking\nsecret\n```py\nsecret\n```\nsecret\n```\nHello", "Hello"),
    ("Hello:\n```py\nx\n```\n", "Hello:\n```py\nx\n```\n"),
    ("&lt;think&gt;secret &amp; more&lt;/think&gt;Hello", "Hello"),
    ("Tea & cake &amp; &lt;b&gt; for you", "Tea & cake &amp; &lt;b&gt; for you"),
    ("And so it is", "And so it is"),
    ("as it is", "as it is"),
    ("```json\n{}```", ""),
    ('{"name": "no_answer"}', ""),
    ('Wait. <tool_call>{"name": "no_answer"}</tool_call>', "Wait. "),
    ("Wait. <minimax:tool_call><invoke name=", "Wait. "),
    ("Wait. <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function", "Wait. "),
    ("Wait. <|tool_call>call:no_answer{}<tool_call|>", "Wait. "),
    ("[TOOL_CALLS]no_answer{}", ""),
    ("no_answer", ""),
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
    if visible and "<r" not in text and not CALL.search(text):
        assert thoughts.without(text).strip() == visible.strip(), "as of the whole"


@pytest.mark.parametrize(
    "begins",
    ["Assistant: ", "**Assistant:** ", "AI: ", "<|im_start|>assistant\n", "<|start_header_id|>assistant<|end_header_id|>\n\n"],
)
def test_a_role_before_an_answer_is_not_shown(begins: str) -> None:
    filtered = VisibleText()
    assert "".join(filtered.feed(character)[0] for character in f"{begins}As I said: Hello") == "As I said: Hello"


PIECES = [
    *("<think>", "</think>", "a", " b\n", "<", "[THINK]", "<|channel|>final<|message|>", "<answer>", "]", "&lt;think&gt;", "&"),
    *("&lt;/think&gt;", "<details type=reasoning>", "</details>", "\n```thinking\n", "\n```py\n", "\n```\n", "`"),
]


@given(st.lists(st.sampled_from(PIECES)))
def test_what_is_shown_in_pieces_is_what_the_whole_shows(pieces: list[str]) -> None:
    text = "".join(["x", *pieces, "."])
    shown, filtered = "", VisibleText()
    for character in text:
        piece, starts_over = filtered.feed(character)
        shown = piece if starts_over else shown + piece
    visible = thoughts.without(text).strip()
    assert shown.strip() == visible or visible.startswith("`")  # which may be a call of a tool


def test_a_long_text_of_tags_is_not_read_again_at_each_of_them() -> None:
    class Counted(VisibleText):
        characters = 0

        def _visible(self) -> str:
            self.characters += len(self._text)
            return super()._visible()

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
