"""A bot that does not know says so, hands over to a person, names its sources, and remembers what it could not answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.models import Chatbot, Conversation, KnowledgeGap, WebhookEvent
from shared.teaching import gaps
from tests.builders import World
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business

PERSON, UNKNOWN = "I want to speak to a person, please!", "Do you sell bicycles?"


def change(world: World, **columns: Any) -> None:
    db.rows(Chatbot.update(**columns).where(Chatbot.id == world.chatbot))


def ask(world: World, question: str, **more: Any) -> dict[str, Any]:
    """The reply to a question."""
    message = world.say(question, **more)
    world.drain()
    [reply] = world.messages(reply_to=message)
    return reply


def calls(world: World) -> list[dict[str, Any]]:
    return world.simulator.record("ai")


def data(business: Business, path: str) -> list[dict[str, Any]]:
    page = business("GET", path).json
    assert page is not None
    rows: list[dict[str, Any]] = page["data"]
    return rows


def base_of(world: World) -> int:
    return int(db.scalar(Chatbot.select(Chatbot.knowledge_base).where(Chatbot.id == world.chatbot)))


def handover() -> dict[str, Any]:
    """That of the only conversation."""
    [row] = db.rows(Conversation.select(Conversation.id, Conversation.handed_over_at, Conversation.handover_reason))
    return row


def handoffs() -> list[dict[str, Any]]:
    return [row["payload"] for row in db.rows(WebhookEvent.select().where(WebhookEvent.event == "conversation.handoff"))]


def test_who_asks_for_a_person_is_told_once_that_one_comes(world: World, door: FrontDoor) -> None:
    world.endpoint(world.customer)
    change(world, handover_message="A colleague writes to you.")
    reply = ask(world, PERSON)
    assert (reply["content"], reply["status"]) == ("A colleague writes to you.", "SENT")
    assert reply["metadata"]["tool"] == {"name": "hand_over", "reason": "asked_for_human"}
    conversation = handover()
    assert (conversation["handed_over_at"] is not None, conversation["handover_reason"]) == (True, "asked")
    [event] = handoffs()
    assert {name: event[name] for name in ("conversation_id", "external_user_id", "reason")} == {
        "conversation_id": conversation["id"],
        "external_user_id": "v-1",
        "reason": "asked",
    }
    world.say("When do you ship?")
    world.say(PERSON)
    world.drain()
    assert (len(world.messages(role="assistant")), len(handoffs())) == (1, 1), "the customer waits for the colleague"
    mine = Business(door, world.customer)
    assert data(mine, "/conversations")[0]["handover_reason"] == "asked"
    assert mine("POST", f"/conversations/{conversation['id']}/messages", {"content": "Hello, this is Ada."}).status_code == 202
    assert data(mine, "/conversations")[0]["handed_over_at"] is None
    assert mine("PATCH", f"/conversations/{conversation['id']}", {"owner": "bot"}).status_code == 200
    assert ask(world, PERSON)["content"] == "A colleague writes to you.", "a new handover"
    assert len(handoffs()) == 2


def test_a_bot_without_words_for_it_hands_nothing_over(world: World) -> None:
    change(world, handover_message=None)
    assert "tool" not in ask(world, PERSON)["metadata"]
    assert handover()["handed_over_at"] is None


@pytest.mark.parametrize("hands_over", [False, True])
def test_what_the_base_does_not_hold_is_not_invented(world: World, hands_over: bool) -> None:
    change(world, no_answer_message="I do not know.", handover_message="Ada will.", no_answer_hands_over=hands_over)
    reply = ask(world, UNKNOWN)
    assert reply["content"] == ("I do not know.\n\nAda will." if hands_over else "I do not know.")
    assert reply["metadata"]["tool"] == {"name": "no_answer", "reason": "no_knowledge"}
    assert (handover()["handover_reason"] is not None) == hands_over
    [gap] = db.rows(KnowledgeGap.select())
    assert (gap["question"], gap["reason"], gap["message_id"]) == (UNKNOWN, "no_knowledge", reply["reply_to"])
    [usage] = db.rows("select prompt_tokens from usage_log where kind = 'ai'")
    assert usage["prompt_tokens"] > 0


def test_one_more_search_and_no_more(world: World) -> None:
    ask(world, UNKNOWN)
    assert len(calls(world)) == 2, "the model searched in its own words, and then it knew that it does not know"


def test_what_the_second_search_finds_is_read_as_far_as_what_the_first_one_finds(world: World) -> None:
    world.know(base_of(world), "Velocipedes", "Two wheels, of which one turns. " * 100 + "Order number 4711.")
    call = {"name": "search_knowledge", "arguments": '{"query": "velocipedes"}'}
    searches = {"choices": [{"message": {"tool_calls": [{"function": call}]}, "finish_reason": "tool_calls"}]}
    world.simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": searches, "times": 1}])
    # "which" is a stop word of the search; the simulated model recognizes the item by it.
    reply = ask(world, "Do you sell bicycles, and which?")
    assert reply["metadata"]["query"] == "velocipedes"
    assert reply["content"].endswith("Order number 4711.")


@pytest.mark.parametrize("text", ["Hi!", "Thanks a lot, that is great", "ok 👍", "Danke schön!"])
def test_small_talk_costs_one_call_and_is_no_gap(world: World, text: str) -> None:
    assert ask(world, text)["metadata"].get("tool") is None
    assert len(calls(world)) == 1
    assert not db.rows(KnowledgeGap.select())


def test_a_follow_up_is_searched_for_with_what_it_is_about(world: World) -> None:
    ask(world, "When do you ship?")
    reply = ask(world, "Is it quick?")
    assert "two days" in reply["content"]
    [item] = reply["metadata"]["knowledge"]
    assert item["cited"]


def test_a_chatbot_without_a_base_has_no_knowledge_to_miss(world: World) -> None:
    change(world, knowledge_base=None)
    assert "tool" not in ask(world, UNKNOWN)["metadata"]
    assert len(calls(world)) == 1
    assert not db.rows(KnowledgeGap.select())


def test_sources_are_links_below_the_bubble_and_lines_on_whatsapp(world: World) -> None:
    base = base_of(world)
    shown = world.know(base, "Gift cards", "Gift cards are valid for three years.", url="https://shop.example/gifts")
    hidden = world.know(base, "Wrapping", "Wrapping costs two euros.", url="https://shop.example/wrap", show_link=False)
    text, source = "Thanks for asking! Gift cards are valid for three years.", "https://shop.example/gifts"
    reply = ask(world, "How long is a gift card valid?")
    assert reply["content"] == text
    assert reply["metadata"]["sources"] == [{"title": "Gift cards", "url": source}]
    assert {item["id"]: item["cited"] for item in reply["metadata"]["knowledge"]}[shown]
    assert ask(world, "How long is a gift card valid?", channel="whatsapp_qr", user="491")["content"] == f"{text}\n\n{source}"
    unlinked = ask(world, "What does wrapping cost?")
    assert {item["id"]: item["cited"] for item in unlinked["metadata"]["knowledge"]}[hidden]
    assert "sources" not in unlinked["metadata"]
    change(world, cite_sources=False)
    assert ask(world, "How long is a gift card valid?", channel="whatsapp_qr", user="491")["content"] == text


def test_the_business_sees_why_a_reply_says_what_it_says(world: World, door: FrontDoor) -> None:
    reply = ask(world, "When do you ship?")
    mine = Business(door, world.customer)
    newest, question = data(mine, f"/conversations/{reply['conversation_id']}/messages")
    assert newest["knowledge"] == reply["metadata"]["knowledge"]
    assert (newest["tool"], question["knowledge"]) == (None, None)


def test_a_base_keeps_the_newest_questions(world: World) -> None:
    base = base_of(world)
    first = world.say("Hi!")
    world.drain()
    db.rows(
        "insert into message (id, conversation_id, chatbot_id, channel, role, content, status) overriding system value "
        "select 1000000 + n, conversation_id, chatbot_id, channel, role, content, status "
        "from message, generate_series(1, 2000) n where id = %s",
        [first],
    )
    db.rows(
        "insert into knowledge_gap (knowledge_base_id, chatbot_id, message_id, question, language, words, reason) "
        "select %s, %s, 1000000 + n, 'Question ' || n, 'english', '{}', 'no_answer' from generate_series(1, 2000) n",
        [base, world.chatbot],
    )
    ask(world, UNKNOWN)
    questions = [row["question"] for row in db.rows(KnowledgeGap.select(KnowledgeGap.question).order_by(KnowledgeGap.id))]
    assert (len(questions), questions[0], questions[-1]) == (2_000, "Question 2", UNKNOWN)


def test_a_question_that_is_answered_twice_at_once_gets_one_item(world: World) -> None:
    base = base_of(world)
    ask(world, UNKNOWN)
    [gap] = gaps.of_base(world.customer, base)
    item = {"title": None, "content": "Yes, bicycles for children.", "language": None}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: gaps.answer(world.customer, base, gap.ids()[0], item), range(4)))
    [created] = filter(None, answers)
    assert created["title"] == UNKNOWN
    [stored] = db.rows(KnowledgeGap.select())
    assert stored["knowledge_item_id"] == created["id"]
    assert "bicycles for children" in ask(world, UNKNOWN)["content"]


def test_questions_are_forgotten_in_time(world: World) -> None:
    ask(world, UNKNOWN)
    assert gaps.prune() == {"gaps": 0}
    db.rows("update knowledge_gap set created_at = now() - interval '91 days'")
    assert gaps.prune() == {"gaps": 1}


def test_a_provider_without_tools_calls_them_in_words(world: World, simulator: Simulator) -> None:
    refusal = {"error": {"message": "This model does not support tools", "type": "invalid_request_error", "code": None}}
    in_words = {"choices": [{"message": {"content": '{"tool": "hand_over", "reason": "policy"}'}, "finish_reason": "stop"}]}
    simulator.faults(
        [
            {"kind": "ai", "fault": "status", "status": 400, "body": refusal, "times": 1},
            {"kind": "ai", "fault": "status", "status": 200, "body": in_words, "times": 1},
        ]
    )
    reply = ask(world, "When do you ship?")
    assert reply["metadata"]["tool"] == {"name": "hand_over", "reason": "policy"}
    assert ask(world, "When do you ship?", user="v-2")["content"].startswith("Thanks for asking! We ship"), "and answers in text"
