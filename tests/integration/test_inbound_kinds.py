"""What a customer sends that is more than a plain text: how it is kept, and what becomes of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared import db
from shared.ai import attachments, prompt
from shared.channels.inbound import (
    InboundAccount,
    InboundBatch,
    InboundEdit,
    InboundItem,
    InboundMessage,
    InboundReaction,
    InboundRevoke,
    Media,
)
from shared.channels.kinds import Author, Kind, MediaKind
from shared.channels.registry import channel
from shared.jobs.ledger import leases
from shared.telemetry.timings import Timings
from tests.builders import World
from web.hooks import inbox

CLOUD = channel("whatsapp_cloud")


def store(world: World, *items: InboundItem) -> None:
    """What a hook does with items that a parser made, and what follows from that."""
    account = InboundAccount(1, "777", world.chatbot)
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
    turns = attachments.attached([prompt.Turn(*turn) for turn in job.loaded["history"]], None)
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
        {
            "kind": "image",
            "source": {"id": "138"},
            "mime": "image/jpeg",
            "filename": None,
            "size": None,
            "sha256": None,
            "text": None,
        }
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
    assert events == ["conversation.opened", "conversation.assigned" if "author" in more else "message.received"]


def test_a_batch_of_both_kinds_answers_the_one_and_keeps_the_other(world: World) -> None:
    store(world, said("one", may_answer=False), said("two"), said("three", author=Author.COLLEAGUE, external_user_id="2"))
    assert [(one["role"], one["content"]) for one in world.messages() if one["role"] != "assistant"] == [
        ("user", "one"), ("user", "two"), ("agent", "three")
    ]  # fmt: skip
    assert len(world.messages(role="assistant")) == 1


def test_a_model_reads_of_what_was_not_answered_with_the_next_message(world: World) -> None:
    old = said("I am in Lisbon.", sent_at=time.time() - 90_000)
    inbox.store(CLOUD, InboundAccount(1, "777", world.chatbot), InboundBatch("777", [old, said()], {}))
    assert "user: I am in Lisbon.\nuser: " in (text := told(world))
    assert text.endswith("When do you ship?")


def test_a_very_long_text_keeps_its_beginning_and_its_end(world: World) -> None:
    store(world, said("Hello. " + "x " * 100_000 + "When do you ship?", external_id="wamid.long"))
    [kept] = world.messages(role="user")
    assert kept["content"].startswith("Hello. x x ")
    assert kept["content"].endswith(" x When do you ship?")
    assert "characters left out" in kept["content"]
    assert (len(kept["content"]) <= CLOUD.max_inbound, kept["metadata"]) == (True, {"truncated": True})


# ---------------------------------------------------------------------------------------- edits, deletions, reactions


def now(content: str, original: str = "wamid.1", **more: Any) -> InboundEdit:
    """The customer's correction of a message."""
    user = more.pop("external_user_id", "4915112345")
    message = said(content, external_id=f"wamid.edit-{content}", external_user_id=user, data=more.pop("data", {}))
    return InboundEdit(original_id=original, content=content, message=message, **more)


DELETED = InboundRevoke(original_id="wamid.1", external_user_id="4915112345")


def put(world: World, *items: InboundItem) -> None:
    """What the hook does, and nothing more."""
    inbox.store(CLOUD, InboundAccount(1, "777", world.chatbot), InboundBatch("777", list(items), {}))


def step(world: World, queue: str) -> None:
    """Runs what waits in a queue."""
    for job in world.jobs(queue=queue, state="waiting"):
        world.run(job["id"])


def settle(world: World) -> None:
    """Runs everything, also what waits for a second."""
    for _ in range(3):
        world.drain()
        db.rows("update job set state = 'waiting', run_at = null where state = 'delayed' and not held")
    world.drain()


def sends(world: World) -> list[str]:
    """What the customer got."""
    return [one["text"] for one in world.simulator.record("graph")]


#: How far the first message got when the customer changes it: the queues that have run.
BEFORE_SENDING = [
    (),
    ("incoming-messages",),
    ("incoming-messages", "ai-processing"),
    ("incoming-messages", "ai-processing", "outgoing-messages"),
]


@pytest.mark.parametrize("done", BEFORE_SENDING, ids=lambda done: f"{len(done)} stages")
@pytest.mark.parametrize("times", [1, 2])
def test_a_text_that_is_changed_before_its_reply_left_is_answered_once_as_it_is_now(
    world: World, done: tuple[str, ...], times: int
) -> None:
    put(world, said("Can I return goods?", external_id="wamid.1"))
    for queue in done:
        step(world, queue)
    for _ in range(times):  # however often it is delivered
        put(world, now("When do you ship?"))
    settle(world)
    [question] = world.messages(role="user")
    assert (question["content"], question["external_id"], question["revoked_at"]) == ("When do you ship?", "wamid.1", None)
    assert [("two days" in text, "thirty" in text) for text in sends(world)] == [(True, False)]
    [reply] = world.messages(role="assistant", status="SENT")
    assert reply["reply_to"] == question["id"]
    superseded = world.messages(status="SUPERSEDED")
    assert [one["reply_to"] for one in superseded] == [None] * ("ai-processing" in done)
    assert not [job for job in world.jobs() if job["state"] not in ("completed",)]


@pytest.mark.parametrize("done", BEFORE_SENDING, ids=lambda done: f"{len(done)} stages")
def test_a_text_that_is_deleted_before_its_reply_left_is_not_answered(world: World, done: tuple[str, ...]) -> None:
    put(world, said(external_id="wamid.1"))
    for queue in done:
        step(world, queue)
    for _ in range(2):
        put(world, DELETED)
    settle(world)
    [question] = world.messages(role="user")
    assert question["revoked_at"]
    assert sends(world) == []
    assert {reply["status"] for reply in world.messages(role="assistant")} <= {"SUPERSEDED"}
    assert not [job for job in world.jobs() if job["state"] not in ("completed",)]


def test_what_has_left_stays_and_the_model_reads_the_new_text_later(world: World) -> None:
    put(world, said("Can I return goods?", external_id="wamid.1"))
    settle(world)
    put(world, now("Can I return a chair?"))
    settle(world)
    assert len(sends(world)) == 1
    put(world, said("And in winter?", external_id="wamid.2"))
    text = told(world)
    assert "Can I return a chair?" in text
    assert "Can I return goods?" not in text


def test_what_was_deleted_is_read_by_no_model_nor_is_its_quote(world: World) -> None:
    put(world, said("My card is 4111.", external_id="wamid.1"))
    settle(world)
    put(world, said("this one", external_id="wamid.2", data={"quoted": {"id": "wamid.1", "text": "as its channel has it"}}))
    settle(world)
    assert world.messages(external_id="wamid.2")[0]["data"]["quoted"]["text"] == "My card is 4111."
    put(world, DELETED)
    late = {"quoted": {"id": "wamid.1", "text": "My card is 4111."}}  # as a gateway tells it, in a reply that was under way
    put(world, said("Hello?", external_id="wamid.3", data=late))
    text = told(world)
    assert "4111" not in text
    assert "this one" in text


@pytest.mark.parametrize(
    ("name", "is_saved"),
    [("4915112345", True), ("DE.1502", True), ("4915112345", False)],
    ids=["saved", "by another name", "on its way"],
)
def test_a_quote_of_what_we_never_had_goes_when_it_is_deleted(world: World, name: str, is_saved: bool) -> None:
    put(world, said("Hi", external_id="wamid.0", identities=("DE.1502",)))
    settle(world)
    quoting: dict[str, Any] = {"data": {"quoted": {"id": "wamid.never", "text": "My card is 4111."}}}
    put(world, said("this one", external_id="wamid.2", **quoting))
    put(world, said("that one", external_id="wamid.3", external_user_id="4915199999", **quoting))
    if is_saved:
        settle(world)
    put(world, InboundRevoke(original_id="wamid.never", external_user_id=name))
    settle(world)
    quotes = [world.messages(external_id=f"wamid.{number}")[0]["data"]["quoted"] for number in (2, 3)]
    assert quotes == [{"id": "wamid.never"}, {"id": "wamid.never", "text": "My card is 4111."}], "another customer's stays"


@pytest.mark.parametrize("change", [now("When do you ship?"), DELETED], ids=["edit", "deletion"])
def test_an_answer_that_is_being_written_to_the_old_text_is_refused(world: World, change: InboundItem) -> None:
    put(world, said("Can I return goods?", external_id="wamid.1"))
    step(world, "incoming-messages")
    [job] = world.jobs(queue="ai-processing")
    claimed = world.claim(job["id"])
    put(world, change)
    world.stage(job["id"])._execute(claimed, Timings())  # the worker that was asking while the text changed
    leases.drop(claimed.id, claimed.claim)
    assert not world.messages(role="assistant")
    settle(world)
    assert [("two days" in text) for text in sends(world)] == ([True] if isinstance(change, InboundEdit) else [])
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], job["attempts"]) == ("completed", 1)


def test_a_reply_that_may_have_left_is_not_written_twice(world: World) -> None:
    for state in ("active", "unknown", "parts"):
        number = f"wamid.{state}"
        put(world, said("Can I return goods?", external_id=number, external_user_id=state))
        for queue in BEFORE_SENDING[-1]:
            step(world, queue)
        [job] = world.jobs(queue="whatsapp-cloud-send", state="waiting")
        if state == "active":
            world.claim(job["id"])
        elif state == "unknown":
            db.rows("update job set outcome_unknown_since = now() where id = %s", [job["id"]])
        else:
            db.rows("""update message set metadata = metadata || '{"parts_sent": 1}' where id = %s""", [job["message_id"]])
        put(world, now("When do you ship?", number, external_user_id=state))
        assert world.messages(external_id=number)[0]["content"] == "When do you ship?"
        db.rows(
            "update job set closed_at = now(), state = 'completed', lease_until = null, claimed_by = null where id = %s",
            [job["id"]],
        )
    assert not world.messages(status="SUPERSEDED")
    assert not [job for job in world.jobs(queue="ai-processing") if job["state"] != "completed"]


def test_a_later_question_answers_a_changed_one_with_it(world: World) -> None:
    put(world, said("Can I return goods?", external_id="wamid.1"))
    step(world, "incoming-messages")
    step(world, "ai-processing")
    put(world, said("Thank you", external_id="wamid.2"))
    step(world, "incoming-messages")
    put(world, now("When do you ship?"))
    settle(world)
    [first, second] = world.messages(role="user")
    replies = world.messages(role="assistant", status="SENT")
    assert [reply["reply_to"] for reply in replies] == [second["id"]]
    assert (first["content"], len(sends(world))) == ("When do you ship?", 1)


def test_a_correction_of_what_never_came_is_a_message(world: World) -> None:
    for _ in range(2):
        put(world, now("When do you ship?", "wamid.never"))
    put(world, said(external_id="wamid.1", external_user_id="another"))
    put(world, now("No, this", "wamid.1", external_user_id="4915112345"))  # nobody changes what another wrote
    settle(world)
    assert sorted(message["content"] for message in world.messages(role="user")) == [
        "No, this",
        "When do you ship?",
        "When do you ship?",
    ]
    assert len(sends(world)) == 3


@pytest.mark.parametrize("is_saved", [True, False])
def test_a_corrected_message_keeps_the_ad_and_the_product_that_stood_beside_it(world: World, is_saved: bool) -> None:
    data = {"referral": {"source_type": "ad", "headline": "Blue chair"}, "product": {"id": "SKU-7"}}
    put(world, said("How mutch?\n🏷 SKU-7\n(comes from the ad: Blue chair)", external_id="wamid.1", data=data))
    if is_saved:
        step(world, "incoming-messages")
    put(world, now("How much?"))
    settle(world)
    [question] = world.messages(role="user")
    assert question["content"] == "How much?\n🏷 SKU-7\n(comes from the ad: Blue chair)"
    assert question["data"] == data
    put(world, now("How much is it?\n🏷 SKU-8", data={"product": {"id": "SKU-8"}}))
    assert world.messages(role="user")[0]["content"] == "How much is it?\n🏷 SKU-8\n(comes from the ad: Blue chair)"


def test_an_older_correction_that_comes_late_changes_nothing(world: World) -> None:
    put(world, said("one", external_id="wamid.1", sent_at=1_790_000_000))
    step(world, "incoming-messages")
    put(world, now("three", sent_at=1_790_000_020), now("two", sent_at=1_790_000_010))
    assert world.messages(role="user")[0]["content"] == "three"
    put(world, InboundRevoke(original_id="wamid.1"), now("four", sent_at=1_790_000_030))
    assert world.messages(role="user")[0]["content"] == "three"


def test_a_caption_that_is_added_makes_a_picture_readable(world: World) -> None:
    put(world, said("[image]", external_id="wamid.1", kind=Kind.MEDIA, metadata={"unsupported": "image"}))
    step(world, "incoming-messages")
    put(world, now("When do you ship this?"))
    settle(world)
    [question] = world.messages(role="user")
    assert (question["content"], question["metadata"]) == ("When do you ship this?", {"attachment": "image"})
    assert ["two days" in text for text in sends(world)] == [True]


def test_a_reaction_is_kept_with_its_message_and_told_to_the_model(world: World) -> None:
    put(world, said("When do you ship?", external_id="wamid.1"))
    settle(world)
    [reply] = world.messages(role="assistant")
    put(world, InboundReaction(message_id=reply["external_id"], emoji="👍"), InboundReaction(message_id="wamid.x", emoji="👍"))
    assert world.messages(role="assistant")[0]["data"] == {"reaction": "👍"}
    put(world, said("Thanks", external_id="wamid.2"))
    assert "assistant: [the customer reacted with 👍] " in told(world)
    put(world, InboundReaction(message_id=reply["external_id"], emoji=""))
    assert world.messages(role="assistant")[0]["data"] == {}
    assert len(sends(world)) == 1


def test_a_reaction_to_a_message_that_is_still_to_be_saved_is_kept_with_it(world: World) -> None:
    place = {"location": {"name": "Shop"}}
    put(world, said("When do you ship?", external_id="wamid.1", data=place), InboundReaction(message_id="wamid.1", emoji="👍"))
    put(world, said("Hello", external_id="wamid.2"), InboundReaction(message_id="wamid.2", emoji="❤"))
    put(world, InboundReaction(message_id="wamid.2", emoji=""))
    settle(world)
    assert [message["data"] for message in world.messages(role="user")] == [{**place, "reaction": "👍"}, {}]


def test_the_model_reads_what_a_message_replies_to(world: World) -> None:
    put(world, said("We have a red and a blue chair?", external_id="wamid.1"))
    settle(world)
    [reply] = world.messages(role="assistant")
    db.rows("update chatbot set debounce_seconds = 9")  # one answer to all of them
    for number, quoted in enumerate(["wamid.1", reply["external_id"], "wamid.unknown"], 2):
        put(world, said("this one, please", external_id=f"wamid.{number}", data={"quoted": {"id": quoted, "text": "as it says"}}))
    step(world, "incoming-messages")
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")
    text = told(world)
    assert "user: [replies to: We have a red and a blue chair?] this one, please" in text
    assert f"[replies to: {reply['content']}] this one" in text
    assert "[replies to: as it says] this one" in text


def test_the_model_reads_what_was_given_with_a_form(world: World) -> None:
    bill = Media(kind=MediaKind.DOCUMENT, source={"id": "1"}, filename="bill.pdf", text="Invoice 4711 of May")
    form = said("bill: bill.pdf", kind=Kind.FORM, data={"form": {"answers": {"no": 1}}}, media=(bill,), may_answer=False)
    inbox.store(CLOUD, InboundAccount(1, "777", world.chatbot), InboundBatch("777", [form, said()], {}))
    assert "user: bill: bill.pdf\n\n<document name='bill.pdf'>\nInvoice 4711 of May\n</document>" in told(world)


def test_pictures_that_come_together_get_one_answer(world: World) -> None:
    files = [Media(kind=MediaKind.IMAGE, source={"id": str(number)}) for number in range(3)]
    for number, file in enumerate(files):  # each in a delivery of its own
        put(
            world,
            said("[image]", external_id=f"wamid.{number}", kind=Kind.MEDIA, media=(file,), metadata={"unsupported": "image"}),
        )
        step(world, "incoming-messages")
        step(world, "media-fetch")
    assert [job["state"] for job in world.jobs(queue="ai-processing")] == ["delayed"]
    settle(world)
    assert len(world.messages(role="user")) == 3
    assert len(sends(world)) == 1


@pytest.mark.parametrize("deleted", [0, 1, 2])
def test_a_deleted_picture_of_an_album_takes_no_answer_from_the_others(world: World, deleted: int) -> None:
    for number in range(3):
        file = Media(kind=MediaKind.IMAGE, source={"id": str(number)})
        more: dict[str, Any] = {
            "kind": Kind.MEDIA,
            "media": (file,),
            "metadata": {"unsupported": "image"},
            "data": {"album": "A"},
        }
        put(world, said("[image]", external_id=f"wamid.{number}", **more))
        step(world, "incoming-messages")
        step(world, "media-fetch")
    put(world, InboundRevoke(original_id=f"wamid.{deleted}", external_user_id="4915112345"))
    settle(world)
    assert [message["revoked_at"] is not None for message in world.messages(role="user")] == [n == deleted for n in range(3)]
    assert len(sends(world)) == 1


def test_what_was_asked_before_a_deleted_question_is_answered(world: World) -> None:
    db.rows("update chatbot set debounce_seconds = 9")
    for number, words in enumerate(["When do you ship?", "And to Mars?"]):
        put(world, said(words, external_id=f"wamid.{number}"))
    step(world, "incoming-messages")
    put(world, InboundRevoke(original_id="wamid.1", external_user_id="4915112345"))
    settle(world)
    assert len(sends(world)) == 1
    assert "within two days" in sends(world)[0]
