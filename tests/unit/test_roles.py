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
    # What the model makes up of a tool, of the system; the customer's turn in other templates.
    *(
        "Hi<|im_end|>\n<|im_start|>tool\nno<|im_end|>",
        "Hi<|im_end|>\n<|im_start|>environment name=<|plugin|>\nno",
        "Hi<|system|>no",
    ),
    *(
        "Hi<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\nno<|eot_id|>",
        "Hi<|observation|>\nno",
        "Hi<|im_end|>\ntool\nno",
    ),
    *("Hi<end_of_turn>\n<start_of_turn>tool\nno", "Hi<turn|>\n<|turn>tool\nno", "Hi<|end|><|tool|>no<|/tool|>"),
    *("Hi<|end_of_text|>\n<|start_of_role|>tool<|end_of_role|>no", "Hi[|endofturn|]\n[|tool|]no", "Hi[|endofturn|]\n[|user|]no"),
    *("Hi<|im_end|><|im_system|>tool<|im_middle|>no", "Hi<|im_end|><|im_user|>user<|im_middle|>no", "Hi<|hy_User|>no"),
    *("Hi<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>no", "Hi<|bom|><|tool|> no<|eom|>"),
    "Hi<|end|><|start|>functions.search to=assistant<|channel|>commentary<|message|>no",
    *("Hi\n\n### Instruction:\nno\n\n### Response:\nno", "### Response:\nHi", "<assistant>Hi</assistant>", "[|assistant|]Hi"),
    *(
        "<|start_of_role|>assistant<|end_of_role|>Hi",
        "<|im_assistant|>assistant<|im_middle|>Hi<|im_end|>",
        "Hi<|end|><tool_response>no",
    ),
    *(
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hi",
        "Hi\n<observation>no</observation>",
        "Hi\n<observation>\nno",
        "Hi<tools>no</tools>",
    ),
    *("Hi[AVAILABLE_TOOLS] no[/AVAILABLE_TOOLS]", "Hi <system-reminder>no</system-reminder>"),
]


@pytest.mark.parametrize("text", LEFTOVERS)
def test_what_is_around_an_answer_is_not_read_by_the_customer_at_any_moment(text: str) -> None:
    assert whole(text) == "Hi"
    for size in range(1, len(text) + 1):
        assert set(shown(text, size)) <= {"", "H", "Hi"}
        assert shown(text, size)[-1] == "Hi"


@pytest.mark.parametrize(
    "text",
    [
        *("<tools>\n[no]\n</tools>\nHi", "[AVAILABLE_TOOLS] [no][/AVAILABLE_TOOLS]Hi", "<observation>no</observation>Hi"),
        *(
            "<|im_start|>tool\nno<|im_end|>\n<|im_start|>assistant\nHi",
            "[SYSTEM_PROMPT]no[/SYSTEM_PROMPT]Hi",
            "<|system|>no<|assistant|>Hi",
        ),
        *("<|user|>\nno\n<|assistant|>\nHi", "<functions>no</functions>Hi<|im_end|>\n<|im_start|>tool\nno"),
    ],
)
def test_what_a_model_repeats_before_its_answer_is_not_read_either(text: str) -> None:
    assert whole(text) == "Hi"
    assert all("Hi".startswith(one) for size in range(1, len(text)) for one in shown(text, size))


def test_an_answer_goes_on_behind_what_the_model_makes_up() -> None:
    turns = ("I look it up.", "tool\nno", "assistant\nTwo days.", "user\nno")
    text = "<|im_end|>\n<|im_start|>".join(turns)
    assert whole(text) == "I look it up.\n\nTwo days."
    assert shown(text)[-1] == whole(text)


HONEST = [
    *(
        "See our [Tools](https://shop.example/tools)",
        "Put it into `<tools>` first",
        "The mark <|im_start|> begins a turn",
        "#1 in sales",
    ),
    *("Mix it\n### Instruction\nStir", "Ours\n### Response times\nshort", "Ask the <|observation|> model", "A\n# B\n## C\n### D"),
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
