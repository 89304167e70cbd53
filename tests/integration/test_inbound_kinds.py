"""What a customer sends that is more than a plain text: how it is kept, and what becomes of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared import db
from shared.ai import prompt
from shared.channels.inbound import Account, InboundBatch, InboundItem, InboundMessage, Media
from shared.channels.kinds import Author, Kind, MediaKind
from shared.channels.registry import channel
from tests.builders import World
from web.hooks import inbox

CLOUD = channel("whatsapp_cloud")


def store(world: World, *items: InboundItem) -> None:
    """What a hook does with items that a parser made, and what follows from that."""
    account = Account(1, "777", world.chatbot)
    inbox.store(CLOUD, account, InboundBatch("777", list(items), {}))
    world.drain()


def said(content: str = "When do you ship?", **more: Any) -> InboundMessage:
    """A customer's message."""
    return InboundMessage(**{"external_user_id": "4915112345", "external_id": f"wamid.{content}", "content": content} | more)


def told(world: World) -> str:
    """What the model would be told of the conversation now."""
    for job in world.jobs(queue="incoming-messages", state="waiting"):
        world.run(job["id"])
    job = world.claim(world.jobs(queue="ai-processing", state="waiting")[-1]["id"])
    assert job.loaded is not None
    turns = [prompt.Turn(*turn) for turn in job.loaded["history"]]
    return "\n".join(
        f"{one['role']}: {one['content']}" for one in prompt.build("", "", turns, history_budget=9_999, place="here")
    )


def test_a_plain_text_carries_nothing_more(world: World) -> None:
    store(world, said())
    [job] = world.jobs(queue="incoming-messages")
    assert job["payload"].keys() == {
        "chatbot_id", "channel", "external_user_id", "content", "external_id", "metadata", "message_id"
    }  # fmt: skip
    [kept] = world.messages(role="user")
    assert (kept["kind"], kept["sent_at"], kept["data"]) == ("text", None, {})
    assert [reply["status"] for reply in world.messages(role="assistant")] == ["SENT"]


def test_what_more_it_is_is_kept_and_told_to_the_business(world: World) -> None:
    world.endpoint(world.customer)
    place = {"location": {"latitude": 52.52, "longitude": 13.4}}
    photo = Media(kind=MediaKind.IMAGE, source={"id": "138"}, mime="image/jpeg")
    store(world, said("📍 52.52, 13.4", kind=Kind.LOCATION, data=place, sent_at=1_790_000_000.5, media=(photo,)))
    [kept] = world.messages(role="user")
    assert (kept["kind"], kept["data"], kept["sent_at"].timestamp()) == ("location", place, 1_790_000_000.5)
    [event] = db.rows("select payload from webhook_event where event = 'message.received'")
    assert (event["payload"]["kind"], event["payload"]["data"]) == ("location", place)
    [job] = world.jobs(queue="incoming-messages")
    assert job["payload"]["media"] == [
        {"kind": "image", "source": {"id": "138"}, "mime": "image/jpeg", "filename": None, "size": None, "sha256": None}
    ]


@pytest.mark.parametrize("more", [{"may_answer": False}, {"author": Author.COLLEAGUE}], ids=["silent", "colleague"])
def test_what_may_not_be_answered_is_kept_only(world: World, more: dict[str, Any]) -> None:
    world.endpoint(world.customer)
    for _ in range(2):  # however often it is delivered
        store(world, said(**more))
    [kept] = world.messages()
    expected = ("agent", "SENT") if "author" in more else ("user", "DELIVERED")
    assert (kept["role"], kept["status"], kept["content"]) == (*expected, "When do you ship?")
    assert not world.jobs(queue="ai-processing")
    events = [row["event"] for row in db.rows("select event from webhook_event")]
    assert events == ([] if "author" in more else ["message.received"])


def test_a_batch_of_both_kinds_answers_the_one_and_keeps_the_other(world: World) -> None:
    store(world, said("one", may_answer=False), said("two"), said("three", author=Author.COLLEAGUE, sent_at=time.time()))
    assert [(one["role"], one["content"]) for one in world.messages() if one["role"] != "assistant"] == [
        ("user", "one"), ("user", "two"), ("agent", "three")
    ]  # fmt: skip
    assert len(world.messages(role="assistant")) == 1


def test_a_model_reads_of_what_was_not_answered_with_the_next_message(world: World) -> None:
    old = said("I am in Lisbon.", sent_at=time.time() - 90_000)
    inbox.store(CLOUD, Account(1, "777", world.chatbot), InboundBatch("777", [old, said()], {}))
    assert "user: I am in Lisbon.\nuser: " in (text := told(world))
    assert text.endswith("When do you ship?")


def test_a_very_long_text_keeps_its_beginning_and_its_end(world: World) -> None:
    store(world, said("Hello. " + "x " * 100_000 + "When do you ship?", external_id="wamid.long"))
    [kept] = world.messages(role="user")
    assert kept["content"].startswith("Hello. x x ")
    assert kept["content"].endswith(" x When do you ship?")
    assert "characters left out" in kept["content"]
    assert (len(kept["content"]) <= CLOUD.max_inbound, kept["metadata"]) == (True, {"truncated": True})
