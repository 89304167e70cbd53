"""What a model leaves around its own turn: whole and in pieces the customer reads the same."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.ai import completion
from shared.ai.failures import NoText
from shared.ai.visible_text import VisibleText

NAME = "Emma Klein"


def whole(text: str) -> str:
    """What the message says."""
    answer = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    try:
        return completion.parse(answer, "m", [{"role": "user", "content": "?"}], own_name=NAME).text
    except NoText:
        return ""


def shown(text: str, size: int = 1) -> list[str]:
    """What the page shows, one after another."""
    filtered, seen, pages = VisibleText(own_name=NAME), "", list[str]()
    for start in range(0, len(text), size):
        piece, starts_over = filtered.feed(text[start : start + size])
        seen = piece if starts_over else seen + piece
        pages.append(seen.strip())
    return pages


LEFTOVERS = [
    *("Response: Hi", "response: Hi", "**Response:** Hi", "Reply: Hi", "Bot: Hi", "**Bot**: Hi", "Bot:\nHi", "Bot： Hi"),
    *("Emma Klein: Hi", "emma klein: Hi", "**Emma Klein:** Hi", "assistant\nEmma Klein: Hi", "Asistente: Hi", "助手：Hi"),
    *("Hi\nUser:", "Hi\n\n**User:**", "Hi\nKunde: ", "Hi\nHuman:\n", "Hi\nAssistant:", "Hi<|im_end|>\nUser:"),
    *(
        "Hi\nUser: thanks\nEmma Klein: welcome",
        "Hi\nUser: thanks\n\n**Bot:** welcome",
        "Hi\n\nHuman: thanks",
        "Hi\n \nHuman: yes",
    ),
    *("Hi\nCustomer: a\nAI: b\nCustomer: c", "Hi<|im_end|>\n<|im_start|>user\nyes<|im_end|>", "Hi<|eot_id|>user\nyes"),
    *("Hi<|start_header_id|>user<|end_header_id|>yes", "Hi</s>[INST] more [/INST] yes", "Hi<|user|>\nthanks", "Hi<｜User｜>yes"),
    *("<knowledge>\nHi\n</knowledge>", '<item number="1" title="A &quot;b&quot; [c] &amp; d">Hi</item>', "Hi </knowledge> "),
    *("[2 days later] Hi", "[a colleague] Bot: Hi", "[replies to: Which one?] Hi", "<|im_start|>assistant\nHi"),
    "<think>So far:\nUser: hello\nAssistant: yes\nI greet.</think>Hi",
]


@pytest.mark.parametrize("text", LEFTOVERS)
def test_what_is_around_an_answer_is_not_read_by_the_customer_at_any_moment(text: str) -> None:
    assert whole(text) == "Hi"
    for size in range(1, len(text) + 1):
        assert set(shown(text, size)) <= {"", "H", "Hi"}
        assert shown(text, size)[-1] == "Hi"


HONEST = [
    *("Response: time is 2 hours", "Response: 2 hours\nPrice: 5 €", "Response times are short", "Reply: within a day", "Bot: ja"),
    *("Reply to this message", "Bottles: 5", "Emma Klein is ours", "Emma Klein: 5 €\nTom: 4 €", "Emma", "Assistants: three"),
    *("Please send\nName:\nUser:", "User: the one who pays", "Roles\nUser: reads\nOwner: writes", "Call us\nUsers: 5"),
    *("Prices\nCustomer: 4 €", "[2 days] is long", "[1] Hi", "a <item> of yours", "<knowledgeable> staff"),
    *("A\nB\n\nC", "User", "Hi\nUse the door", "Hi\nUser accounts are free"),
]


@pytest.mark.parametrize("text", HONEST)
def test_what_could_be_honest_stays(text: str) -> None:
    assert whole(text) == text
    for size in range(1, len(text) + 1):
        assert text.startswith(shown(text, size)[-1])
    assert shown(f"{text} and.\nYours.")[-1] == f"{text} and.\nYours."


PIECES = [
    *("Hi", " you.", "\n", "\n\n", "User", "Assistant", "Bot", "Emma Klein", "Kunde", "Human", ":", "：", " ", "**", "s", "x"),
    *("<|im_end|>", "<|im_start|>", "user", "assistant", "</s>", "<knowledge>", "</knowledge>", '<item number="2" title="A">'),
    *("[2 days later] ", "Response", "Answer"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=14))
@example(["Hi", "\n", "User", ":", " ", "x"])
@example(["Hi", "\n", "User", ":", "Hi", "\n", "Bot", ":"])
def test_what_is_shown_at_any_moment_is_a_beginning_of_the_whole(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert all(whole(text).startswith(one) for one in shown(text))
