"""One person is one contact and one conversation on each channel, under all names that channels have for them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from shared import db
from shared.channels import contacts
from shared.config import settings
from tests.builders import World
from tests.integration.front_door import FrontDoor, change, waha_message, webhook
from tests.integration.test_front_door_api import Business
from tests.integration.test_ledger_races import until_waiting

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
    db.rows("update conversation set handed_over_at = '2020-01-01', handover_reason = 'rule' where id = %s", [older["id"]])
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


def test_a_business_sees_its_contacts_and_finds_merged_conversations(door: FrontDoor) -> None:
    world, mine = door.world, Business(door, door.world.customer)
    say(world, "Hello", "widget", "v-1")
    for name in (LID, f"{PHONE}@c.us"):
        say(world, f"Hello from {name}", "whatsapp_qr", name, metadata={"profile_name": "Ana"})
    _, older, newer = conversations()
    assert contacts.learn(world.chatbot, "whatsapp_qr", [LID, PHONE])
    [ana, visitor] = mine("GET", "/contacts").json["data"]
    assert (ana["name"], visitor["name"], ana["chatbot_id"]) == ("Ana", None, world.chatbot)
    assert sorted((one["family"], one["name"]) for one in ana["identities"]) == [("whatsapp", PHONE), ("whatsapp", LID)]
    assert [(one["id"], one["external_user_id"]) for one in ana["conversations"]] == [(older["id"], LID)]
    assert mine("GET", f"/contacts/{ana['id']}").json == ana
    assert mine("GET", f"/contacts?chatbot_id={world.tenant()[1]}").json["data"] == []
    shown = {one["id"]: one for one in mine("GET", "/conversations").json["data"]}
    assert (shown[older["id"]]["contact_id"], shown[older["id"]]["contact_name"]) == (ana["id"], "Ana")
    pages = [mine("GET", f"/conversations/{one['id']}/messages").json["data"] for one in (older, newer)]
    assert pages[0] == pages[1]
    assert len(pages[0]) == 4
    answer = mine("POST", f"/conversations/{newer['id']}/messages", {"content": "We are here."})
    assert (answer.status_code, answer.json["conversation_id"]) == (202, older["id"])
    world.drain()
    assert sent_to(world, "whatsapp_qr")[-1] == f"{PHONE}@c.us", "it goes to the name under which the person last wrote"


def test_one_message_under_two_names_is_one_message(door: FrontDoor) -> None:
    for event, name in (("message", LID), ("message.any", f"{PHONE}@c.us"), ("message", f"{PHONE}@s.whatsapp.net")):
        written = waha_message("", **{"id": f"false_{name}_3EB0AB", "from": name, "timestamp": int(time.time())})
        assert door.waha({**written, "event": event}).status_code == 200
    door.world.drain()
    assert len(door.world.messages(role="user")) == len(door.world.messages(role="assistant")) == len(conversations()) == 1


def test_a_payload_that_names_two_keeps_one_conversation(door: FrontDoor) -> None:
    key = {"remoteJid": LID, "remoteJidAlt": f"{PHONE}@s.whatsapp.net"}
    now = {"timestamp": int(time.time())}
    door.waha(waha_message("", "My order is 4711", **{**now, "id": f"false_{LID}_A", "from": LID, "_data": {"key": key}}))
    door.waha(waha_message("", "And when does it come?", **{**now, "id": f"false_{PHONE}@c.us_B", "from": f"{PHONE}@c.us"}))
    door.world.drain()
    [conversation] = conversations()
    assert [message["content"] for message in door.world.messages(role="user")] == ["My order is 4711", "And when does it come?"]
    assert sent_to(door.world, "whatsapp_qr") == [LID, f"{PHONE}@c.us"], conversation


@pytest.mark.parametrize("is_new_known", [False, True], ids=["new", "has written"])
def test_a_changed_number_takes_the_conversation_along(door: FrontDoor, is_new_known: bool) -> None:
    world, new = door.world, "498877"
    say(world, "Hello", "whatsapp_cloud", PHONE, BSUID)
    if is_new_known:
        say(world, "It is me", "whatsapp_cloud", new)
    first, *_ = conversations()
    pending = world.service.accept_message(
        {"chatbot_id": world.chatbot, "channel": "whatsapp_cloud", "external_user_id": PHONE, "content": "Still there?"}
    )
    world.run(world.jobs(queue="incoming-messages")[-1]["id"])
    system = {"type": "user_changed_number", "wa_id": new, "user_id": "DE.2", "previous_user_id": BSUID}
    notice = {"from": PHONE, "id": "wamid.S", "timestamp": "1784232425", "type": "system", "system": system}
    for _ in range(2):
        assert door.meta(webhook(change(door.number, messages=[notice]))).status_code == 200
    world.drain()
    assert sent_to(world, "whatsapp_cloud")[-1] == new, "the reply to what was asked from the old number"
    assert world.messages(reply_to=pending.message_id)[0]["status"] == "SENT"
    say(world, "With my new number", "whatsapp_cloud", new)
    [conversation] = conversations()
    assert (conversation["id"], conversation["external_user_id"]) == (first["id"], new)
    left = {row["name"]: row["left_at"] is not None for row in db.rows("select name, left_at from contact_identity")}
    assert left == {PHONE: True, BSUID: True, new: False, "DE.2": False}
    assert contacts.prune() == {"left_names": 0}
    db.rows("update contact_identity set left_at = left_at - interval '8 days' where left_at is not null")
    assert contacts.prune() == {"left_names": 2}
    say(world, "I have got this number from somebody", "whatsapp_cloud", PHONE)
    assert len(conversations()) == 2, "it is another person's by now"


# ------------------------------------------------------------------------------------------------- what was there before


#: How the last release finds or makes a conversation.
BEFORE = """
    insert into conversation (chatbot_id, channel, external_user_id) values (%s, %s, %s)
    on conflict (chatbot_id, channel, external_user_id) do update set updated_at = clock_timestamp() returning id
"""


def test_the_sweep_settles_what_the_last_release_began(world: World) -> None:
    say(world, "Hello", "whatsapp_qr", LID, PHONE)
    alias = f"{PHONE}@c.us"
    stray = db.scalar(BEFORE, [world.chatbot, "whatsapp_qr", alias])  # a worker of the last release, which knows no other names
    assert conversations(id=stray)[0]["contact_id"] is None
    say(world, "Hello again", "whatsapp_qr", alias)
    old = db.scalar(BEFORE, [world.chatbot, "whatsapp_cloud", "4922"])
    db.rows("update conversation set contact_id = null where id = %s", [old])  # older than contacts
    db.rows("delete from contact_identity where name = '4922'")
    assert contacts.settle() == 2
    assert contacts.settle() == 0
    by_qr, cloud = conversations()
    assert {message["conversation_id"] for message in world.messages()} == {by_qr["id"]}
    assert (cloud["id"], identities()["4922"]) == (old, cloud["contact_id"])


def test_whoever_merges_meanwhile_is_seen_by_a_statement_that_resolves_names(world: World) -> None:
    """incoming.sql has found the conversation, and waits for its row; then that is a part of another one."""
    say(world, "One", "whatsapp_qr", LID)
    say(world, "Two", "whatsapp_qr", f"{PHONE}@c.us")
    world.say("Three", channel="whatsapp_qr", user=f"{PHONE}@c.us")
    [job] = [job["id"] for job in world.jobs(queue="incoming-messages") if job["state"] == "waiting"]
    older, newer = conversations()
    with closing(psycopg2.connect(settings().database_url)) as merger, ThreadPoolExecutor(1) as pool:
        merger.cursor().execute("select contact_learn_v1(%s, 'whatsapp_qr', %s)", [world.chatbot, [LID, PHONE]])
        saved = pool.submit(world.run, job)
        until_waiting(1)
        merger.commit()
        assert saved.result(30) is None
    world.drain()
    assert [one["id"] for one in conversations()] == [older["id"]] != [newer["id"]]
    assert {message["conversation_id"] for message in world.messages()} == {older["id"]}
    assert db.scalar("select max(attempts) from job") == 1


def test_a_reply_that_is_saved_meanwhile_follows_its_question(world: World) -> None:
    say(world, "One", "whatsapp_qr", LID)
    world.say("Two", channel="whatsapp_qr", user=f"{PHONE}@c.us")
    world.run(world.jobs(queue="incoming-messages")[-1]["id"])
    job = world.claim(world.jobs(queue="ai-processing")[-1]["id"])
    stage = world.stage(job.id)
    with closing(psycopg2.connect(settings().database_url)) as merger, ThreadPoolExecutor(1) as pool:
        merger.cursor().execute("select contact_learn_v1(%s, 'whatsapp_qr', %s)", [world.chatbot, [LID, PHONE]])
        saved = pool.submit(stage, job)
        until_waiting(1)
        merger.commit()
        saved.result(30)
    world.drain()
    assert len(conversations()) == 1
    assert [reply["status"] for reply in world.messages(role="assistant")] == ["SENT", "SENT"]
    assert sent_to(world, "whatsapp_qr") == [LID, f"{PHONE}@c.us"]


def test_a_merger_gives_up_before_others_wait_for_long(world: World) -> None:
    for name in (LID, f"{PHONE}@c.us"):
        say(world, "Hello", "whatsapp_qr", name)
    with closing(psycopg2.connect(settings().database_url)) as busy:
        busy.cursor().execute("select from message where conversation_id = %s for update", [conversations()[1]["id"]])
        assert db.scalar("select contact_learn_v1(%s, 'whatsapp_qr', %s)", [world.chatbot, [LID, PHONE]]) is False
    assert len(conversations()) == db.scalar("select count(*) from contact") == 2, "nothing has happened"
    assert contacts.learn(world.chatbot, "whatsapp_qr", [LID, PHONE])


#: States of the open AI jobs of the older and the newer conversation, and how those of the one that is left stand then.
LINES = {
    "both wait": (["waiting", "held"], ["waiting", "held"], ["waiting", "held", "held", "held"]),
    "only the newer one has any": ([], ["waiting", "held"], ["waiting", "held"]),
    "the newer one's is in progress": ([], ["active", "held"], ["active", "held"]),
    "the older one's is in progress": (["active"], ["waiting", "held"], ["active", "held", "held"]),
}


@pytest.mark.parametrize("case", LINES)
def test_open_jobs_stand_in_one_line(world: World, case: str) -> None:
    names, lines, expected = (LID, f"{PHONE}@c.us"), LINES[case][:2], LINES[case][2]
    for name in names:
        say(world, "Hello", "whatsapp_qr", name)
    for name, states in zip(names, lines, strict=True):
        for _ in states:
            world.say("And?", channel="whatsapp_qr", user=name)
        for job in world.jobs(queue="incoming-messages", state="waiting"):
            world.run(job["id"])
        for job in world.jobs(queue="incoming-messages", state="waiting"):
            world.run(job["id"])
        if "active" in states:
            world.claim(next(job["id"] for job in world.jobs(queue="ai-processing", state="waiting") if not job["held"]))
    assert contacts.learn(world.chatbot, "whatsapp_qr", [LID, PHONE])
    [conversation] = conversations()
    line = [job for job in world.jobs(queue="ai-processing") if job["closed_at"] is None]
    assert [job["state"] if not job["held"] else "held" for job in sorted(line, key=lambda job: job["held"])] == expected
    assert {job["ordering_key"] for job in line} == {str(conversation["id"])}
    assert {job["payload"]["conversation_id"] for job in line} == {conversation["id"]}
    world.vanish()
    for job in line:
        if job["state"] == "active":
            world.run(job["id"])
    world.drain()
    assert len(world.messages(role="user")) == len(world.messages(role="assistant", status="SENT")) == 2 + len(line)


def test_everything_that_hangs_on_a_conversation_moves_with_it(world: World) -> None:
    """A table that refers to conversations loses its rows at a merge unless conversation_merge moves them: add it there."""
    tables = db.rows(
        "select distinct conrelid::regclass::text as name from pg_constraint "
        "where confrelid = 'conversation'::regclass and contype = 'f' order by 1"
    )
    assert [row["name"] for row in tables] == [
        "conversation_note",
        "merged_conversation",
        "message",
        "reply_draft",
    ]  # drafts: the widget's, written anew
