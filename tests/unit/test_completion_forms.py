"""Where an answer stands in a completion, and what else a server leaves in it."""

from __future__ import annotations

from typing import Any

import pytest

from shared.ai import completion
from shared.ai.failures import NoText, ProviderError

MESSAGES = [{"role": "user", "content": "Hello"}]
ENDS = [
    "<|im_end|>",
    "<|eot_id|>\n",
    " <end_of_turn>",
    "<｜end▁of▁sentence｜>",
    "<|end|><|endoftext|>",
    "<turn|>",
    "</s>",
    "[|endofturn|]",
]


def text_of(**choice: Any) -> str:
    return completion.parse({"choices": [{"finish_reason": "stop", **choice}]}, "m", MESSAGES).text


@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_a_turn_is_none_of_the_answer(end: str) -> None:
    assert text_of(message={"content": f"Hi{end}"}) == "Hi"
    quoted = f"The mark {end.strip()} ends a turn."
    assert text_of(message={"content": quoted}) == quoted


def test_of_several_answers_the_first_counts() -> None:
    choices = [{"index": number, "message": {"content": f"answer {number}"}, "finish_reason": "stop"} for number in range(3)]
    assert completion.parse({"choices": choices}, "m", MESSAGES).text == "answer 0"


@pytest.mark.parametrize(
    "choice",
    [{"message": "Hi"}, {"text": "Hi"}, {"delta": {"content": "Hi"}}, {"message": None, "delta": {"content": [{"text": "Hi"}]}}],
)
def test_an_answer_that_stands_elsewhere(choice: dict[str, Any]) -> None:
    assert text_of(**choice) == "Hi"


ROLES = [
    "Final Answer: Hi", "**Answer:** Hi", "Antwort: Hi",
    "Assistant: Hi", "assistant: Hi", "**Assistant:** Hi", "AI: Hi", "AI Assistant: Hi", "Asistente: Hi", "KI-Assistent: Hi",
    "助手：Hi", "assistant\n\nHi", "<|im_start|>assistant\nHi<|im_end|>", "<|start_header_id|>assistant<|end_header_id|>\n\nHi",
    "<|assistant|>\nHi", "<s>Hi</s>", "Hi [/INST]", "<start_of_turn>model\nHi<end_of_turn>", "<｜Assistant｜>Hi",
    "Hi<|im_end|>\n<|im_start|>user\nthanks<|im_end|>\n<|im_start|>assistant\nwelcome", "Hi<|endoftext|>Human: what?",
    "Hi<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nthanks", "Hi</s>[INST] more [/INST] yes", "Hi<|user|>\nthanks",
    "Hi<｜User｜>thanks<｜Assistant｜>welcome",
    "Hi\nUser: thanks\nAssistant: welcome", "Hi\n\n**Customer:** thanks\n**AI:** welcome",
    "Hi\n\nHuman: thanks", "Hi\nKunde: Danke\nAssistent: Gern", "[2 days later] Hi", "[replies to: Which one?] Hi",
    "[a colleague] Hi",
    "<|im_start|>assistant\n<think>no</think>Assistant: Hi",
]  # fmt: skip


@pytest.mark.parametrize("text", ROLES)
def test_turns_and_roles_are_none_of_the_answer(text: str) -> None:
    assert text_of(message={"content": text}) == "Hi"


@pytest.mark.parametrize("said", ["*Hi* there", "**Hi** there", "_Hi_ there"])
def test_a_role_stands_before_emphasis(said: str) -> None:
    assert text_of(message={"content": f"Assistant: {said}"}) == said


@pytest.mark.parametrize(
    "text",
    [
        "Prices:\nBusiness: 5\nCustomer: 4", "AI is new.", "Assistants: three", "[1] Hi", "[Anna] Hi",
        "User: the one who pays",
        "Use <s> for struck text.",
        "```\nnpm i\n```", '{"price": 5}', "[]", '"A" or "B"', "C:\\new\\u00fc", "Write `&amp;` there.",
        "&nothing; &#0; &#8238;gpj.exe &notit; `&euro;`",
        "```json\n{}\n```\nThat is it.", "A \\n is a line's end.", "R&D; AT&T",
        "<answer>Hi</answer> or <answer>Hi</answer>",
    ],
)  # fmt: skip
def test_what_only_looks_so_stays(text: str) -> None:
    assert text_of(message={"content": text.replace("\\u00fc", "")}) == text.replace("\\u00fc", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *((text, "Hi") for text in (
            '{"answer": "Hi"}', '```json\n{"response": "Hi"}\n```', '{"role": "assistant", "content": "Hi"}', '"Hi"',
            '[{"type": "text", "text": "Hi"}]', '[{"type": "thinking", "thinking": "no"}, {"type": "text", "text": "Hi"}]',
            "```markdown\nHi\n```",
            '{"reply": "Hi", "sources": [1]}',
            '<item number="1" title="A &quot;b&quot;">Hi</item>', "<knowledge>\nHi\n</knowledge>",
        )),
        ("Terms &amp; Conditions: don&#x27;t &lt;wait&gt;", "Terms & Conditions: don't <wait>"),
        ("From 5&nbsp;&euro; &ndash; in K&ouml;ln&hellip; &#128512;&#x1F600;", "From 5 € – in Köln… 😀😀"),
        ("Gr\\u00fc\\u00dfe \\ud83d\\ude00", "Grüße 😀"),
        ("Hi.\\n\\nWe ship.\\n- a", "Hi.\n\nWe ship.\n- a"),
    ],
)  # fmt: skip
def test_an_answer_is_words_and_no_markup(text: str, said: str) -> None:
    assert text_of(message={"content": text}) == said


SAID = {"message": {"content": "Hi"}}
COUNTED = {"prompt_tokens": 7, "completion_tokens": 3}
FORMS: list[dict[str, Any]] = [
    {"choices": {"0": SAID}}, {"choices": SAID}, {"choices": [{"message": {"content": ""}}, SAID]},
    {"code": 0, "data": {"choices": [SAID]}},
    {"output": {"choices": [SAID]}}, {"result": {"response": "Hi"}, "success": True}, {"response": "Hi"},
    {"output": [{"type": "reasoning", "summary": []}, {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}]},
    {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn"}, {**SAID, "done_reason": "stop"},
    {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]},
    {"choices": [{"message": {"content": None, "audio": {"transcript": "Hi"}}}]},
    {"choices": [{"message": {"content": [{"type": "web_search_result", "content": "no"}, {"type": "text", "text": "Hi"}]}}]},
]  # fmt: skip


@pytest.mark.parametrize("answer", FORMS)
def test_a_completion_in_anybodys_form(answer: dict[str, Any]) -> None:
    assert completion.parse(answer, "m", MESSAGES).text == "Hi"


@pytest.mark.parametrize(
    "more",
    [
        {"usage": {"prompt_tokens": 7, "total_tokens": 10}}, {"usage": {"promptTokens": 7, "completionTokens": 3}},
        {"token_usage": COUNTED}, {"usage": [COUNTED]}, {"choices": [{**SAID, "usage": COUNTED}]},
        {"amazon-bedrock-invocationMetrics": {"inputTokenCount": 7, "outputTokenCount": 3}},
        {"usage": {"input_token_count": 7, "generated_token_count": 3}},
    ],
)  # fmt: skip
def test_what_it_costs_in_anybodys_words(more: dict[str, Any]) -> None:
    answer = completion.parse({"choices": [SAID], **more}, "m", MESSAGES)
    assert (answer.prompt_tokens, answer.completion_tokens, answer.is_estimated) == (7, 3, False)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        *((reason, ProviderError) for reason in (
            "model_error", "system_error", "USER_CANCEL", "user_cancelled", "failed",
            "engine_overloaded", "preempted",
            "timeout_error",
        )),
        *((reason, NoText) for reason in ("blocked", "policy_violation", "harmful", "risk", "FinishReason.SAFETY")),
        *((reason, None) for reason in (
            "max_output_tokens", "incomplete", "FinishReason.MAX_TOKENS", "FINISH_REASON_MAX_TOKENS", "contextWindow",
        )),
    ],
)  # fmt: skip
def test_how_an_answer_ended_in_anybodys_words(reason: str, kind: type[Exception] | None) -> None:
    if kind is None:
        assert text_of(message={"content": "Hello. And"}, finish_reason=reason) == "Hello."
        assert text_of(message={"content": "Hello. And"}, finish_reason=None, finishReason=reason) == "Hello."
        return
    with pytest.raises(kind):
        text_of(message={"content": "Hello. And"}, finish_reason=reason)


@pytest.mark.parametrize("reason", ["STOP", "FinishReason.STOP", "end_turn", "eos_token", "COMPLETE", "tool_use", "", "unknown"])
def test_an_answer_that_is_whole_is_sent_whole(reason: str) -> None:
    assert text_of(message={"content": "Hello. And"}, finish_reason=reason) == "Hello. And"
