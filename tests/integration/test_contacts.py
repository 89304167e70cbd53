"""One person is one contact and one conversation on each channel, under all names that channels have for them."""

from __future__ import annotations

from typing import Any

import pytest

from shared import db
from shared.channels import contacts
from tests.builders import World

PHONE, LID, BSUID = "4915112345", "77123@lid", "DE.1502576394655843"


def conversations(**where: Any) -> list[dict[str, Any]]:
    """Conversations, oldest first."""
    condition = " and ".join(["true", *(f"{column} = %({column})s" for column in where)])
    return db.rows(f"select * from conversation where {condition} order by id", where)


def identities() -> dict[str, int]:
    """The names that are known, and whose they are."""
    return {row["name"]: row["contact_id"] for row in db.rows("select name, contact_id from contact_identity order by name")}


def say(world: World, content: str, channel: str, user: str, *others: str, **more: Any) -> int:
    """A message of a person, which tells other names of theirs, up to its reply."""
    told = {"identities": list(others)} if others else {}
    message = {"chatbot_id": world.chatbot, "channel": channel, "external_user_id": user, "content": content, **told, **more}
    message_id = world.service.accept_message(message).message_id
    world.drain()
    return message_id


def sent_to(world: World, channel: str) -> list[str]:
    """Where replies went, in their order."""
    requests = world.simulator.record("graph" if channel == "whatsapp_cloud" else "waha")
    return [request["key"] for request in requests if request["text"]]


#: A channel, a name as it writes it, and as identities have it.
NAMES = [
    ("widget", "v-1", "v-1"),
    ("widget", "+49@c.us", "+49@c.us"),
    ("whatsapp_cloud", PHONE, PHONE),
    ("whatsapp_cloud", "+4915112346", "4915112346"),
    ("whatsapp_cloud", BSUID, BSUID),
    ("whatsapp_qr", "4915112347@c.us", "4915112347"),
    ("whatsapp_qr", "4915112348@s.whatsapp.net", "4915112348"),
    ("whatsapp_qr", "4915112349:12@s.whatsapp.net", "4915112349"),
    ("whatsapp_qr", LID, LID),
    ("whatsapp_qr", "77124:3@lid", "77124@lid"),
    ("whatsapp_qr", "+@c.us", "+@c.us"),
]


def test_a_new_conversation_has_a_contact_of_its_name(world: World) -> None:
    for channel, user, name in NAMES:
        for text in ("When do you ship?", "And returns?"):
            say(world, text, channel, user, metadata={"profile_name": "Ana"})
        [conversation] = conversations(external_user_id=user)
        assert identities()[name] == conversation["contact_id"]
    assert identities().keys() == {name for *_, name in NAMES}
    assert db.rows("select chatbot_id, name, count(*) from contact group by 1, 2") == [
        {"chatbot_id": world.chatbot, "name": "Ana", "count": len(NAMES)}
    ]
    say(world, "Thanks", "whatsapp_qr", LID, metadata={"profile_name": "Ana B."})
    assert db.scalar("select name from contact where id = %s", [identities()[LID]]) == "Ana B."


#: A channel, the name under which a person writes first, what else that message tells, and the name that they write under next.
PAIRS = {
    "user id beside the phone": ("whatsapp_cloud", PHONE, [BSUID], BSUID),
    "phone beside the user id": ("whatsapp_cloud", BSUID, [PHONE], PHONE),
    "Brazil's ninth digit": ("whatsapp_cloud", "5511912345678", ["551112345678"], "551112345678"),
    "three names": ("whatsapp_cloud", "5511912345678", ["551112345678", BSUID], BSUID),
    "lid, then phone": ("whatsapp_qr", LID, [f"{PHONE}@s.whatsapp.net"], f"{PHONE}@c.us"),
    "phone, then lid": ("whatsapp_qr", f"{PHONE}@c.us", [LID], LID),
    "the lid of another device": ("whatsapp_qr", f"{PHONE}@s.whatsapp.net", ["77123:7@lid"], LID),
}


@pytest.mark.parametrize("are_known", [False, True], ids=["new", "known apart"])
def test_a_person_with_two_names_has_one_conversation(world: World, are_known: bool) -> None:
    for channel, first, others, second in PAIRS.values():
        _, world.chatbot = world.tenant()
        world.simulator.reset()
        names, mine = [first, second], {"chatbot_id": world.chatbot}
        if are_known:
            for name in names:
                say(world, f"Hello from {name}", channel, name)
            assert len(conversations(**mine)) == 2
        say(world, "My order is 4711", channel, first, *others)
        say(world, "And when does it come?", channel, second)
        [conversation] = conversations(**mine)
        assert db.rows("select id from contact where chatbot_id = %s", [world.chatbot]) == [{"id": conversation["contact_id"]}]
        messages = world.messages(role="user", **mine)
        assert {message["conversation_id"] for message in world.messages(**mine)} == {conversation["id"]}
        assert [message["address"] or conversation["external_user_id"] for message in messages] == names * (1 + are_known)
        assert sent_to(world, channel) == names * (1 + are_known)
        assert all(reply["status"] == "SENT" for reply in world.messages(role="assistant"))


def test_the_model_sees_what_was_written_under_either_name(world: World) -> None:
    say(world, "Do you ship to Spain?", "whatsapp_qr", f"{PHONE}@c.us")
    say(world, "My order is 4711", "whatsapp_qr", LID)
    assert contacts.learn(world.chatbot, "whatsapp_qr", [LID, PHONE])
    world.say("And when does it come?", channel="whatsapp_qr", user=LID)
    world.run(world.jobs(queue="incoming-messages")[-1]["id"])
    claimed = world.claim(world.jobs(queue="ai-processing")[-1]["id"])
    assert claimed.loaded is not None
    words = [turn[1] for turn in claimed.loaded["history"] if turn[0] == "user"]
    assert words == ["Do you ship to Spain?", "My order is 4711", "And when does it come?"]


def test_what_two_conversations_were_is_what_one_is(world: World) -> None:
    """State, usage, questions without an answer and the ids that a business has kept."""
    say(world, "One", "whatsapp_qr", LID)
    say(world, "Two", "whatsapp_qr", f"{PHONE}@c.us")
    older, newer = conversations()
    changes = "braked_until = now() + interval '1 hour', brakes = 2, window_ends_at = now(), created_at = '2020-01-01'"
    owner = "owner = 'person', owner_since = now(), returns_at = now() + interval '1 hour', return_after_minutes = 60"
    handover = "handed_over_at = now(), handover_reason = 'asked'"
    db.rows(f"update conversation set {changes}, {owner}, {handover} where id = %s", [newer["id"]])
    db.rows("update conversation set handed_over_at = '2020-01-01', handover_reason = 'long ago' where id = %s", [older["id"]])
    newer = conversations()[1]
    assert contacts.learn(world.chatbot, "whatsapp_qr", [LID, PHONE])
    [merged] = conversations()
    taken_over = ("braked_until", "brakes", "handed_over_at", "handover_reason", "window_ends_at", "created_at")
    taken_over += ("owner", "owner_since", "returns_at", "return_after_minutes")
    assert {name: merged[name] for name in taken_over} == {name: newer[name] for name in taken_over}
    assert (merged["id"], merged["external_user_id"]) == (older["id"], LID)
    assert db.rows("select id, conversation_id from merged_conversation") == [{"id": newer["id"], "conversation_id": older["id"]}]
    assert db.scalar("select count(*) from usage_log where kind = 'message'") == 2


def test_learning_again_changes_nothing(world: World) -> None:
    say(world, "One", "whatsapp_qr", LID, PHONE)

    def everything() -> list[Any]:
        tables = ("contact", "contact_identity", "conversation", "message")
        return [db.rows(f"select t.*, xmin::text from {table} t order by 1") for table in tables]

    before = everything()
    for names in ([LID, PHONE], [PHONE, LID], [PHONE], [f"{PHONE}@c.us", LID]):
        assert contacts.learn(world.chatbot, "whatsapp_qr", names)
    assert [[row["id"] for row in rows if "id" in row] for rows in everything()] == [
        [row["id"] for row in rows if "id" in row] for rows in before
    ]
    assert identities() == dict.fromkeys([PHONE, LID], conversations()[0]["contact_id"])


def test_a_name_is_one_persons_within_a_chatbot_and_a_family_only(world: World) -> None:
    _, other = world.tenant()
    say(world, "Hello", "whatsapp_cloud", PHONE)
    say(world, "Hello", "widget", PHONE)
    world.say(chatbot_id=other, channel="whatsapp_cloud", user=PHONE)
    world.drain()
    say(world, "Hello", "whatsapp_qr", f"{PHONE}@c.us")  # the same family: the same person, and another channel
    cloud, widget, of_other, by_qr = conversations()
    assert len({one["contact_id"] for one in (cloud, widget, of_other)}) == 3
    assert by_qr["contact_id"] == cloud["contact_id"]


def test_two_channels_of_one_person_merge_each_for_itself(world: World) -> None:
    for channel, name in (
        ("whatsapp_cloud", PHONE),
        ("whatsapp_cloud", BSUID),
        ("whatsapp_qr", LID),
        ("whatsapp_qr", f"{PHONE}@c.us"),
    ):
        say(world, f"Hello from {name}", channel, name)
    assert contacts.learn(world.chatbot, "whatsapp_cloud", [PHONE, BSUID])
    assert contacts.learn(world.chatbot, "whatsapp_qr", [LID, f"{PHONE}@c.us"])
    cloud, by_qr = conversations()
    assert (cloud["channel"], by_qr["channel"]) == ("whatsapp_cloud", "whatsapp_qr")
    assert cloud["contact_id"] == by_qr["contact_id"]
    assert identities() == dict.fromkeys([PHONE, LID, BSUID], cloud["contact_id"])
