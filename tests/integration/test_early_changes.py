"""What is done to a message that has not come yet: deletions and corrections that are faster than their message."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest

from shared import db
from shared.channels import changes
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
from shared.config import settings
from shared.privacy import erasure
from shared.queue_service import QueueService
from tests.builders import World
from tests.waiting import until
from web.hooks import inbox

QUESTION = "When do you ship?"
PHONE, LID = "4915112345@s.whatsapp.net", "8812@lid"


def put(world: World, *items: InboundItem, channel_name: str = "whatsapp_qr", chatbot_id: int = 0) -> None:
    """What the hook does with what a parser made."""
    account = InboundAccount(1, "phone", chatbot_id or world.chatbot)
    inbox.store(channel(channel_name), account, InboundBatch("phone", list(items), {}))


def said(content: str = QUESTION, external_id: str = "3EB0A", **more: Any) -> InboundMessage:
    return InboundMessage(**{"external_user_id": PHONE, "external_id": external_id, "content": content} | more)


def deleted(external_id: str = "3EB0A", **more: Any) -> InboundRevoke:
    return InboundRevoke(**{"original_id": external_id, "external_user_id": PHONE} | more)


def corrected(content: str = QUESTION, **more: Any) -> InboundEdit:
    """A correction that is no message by itself: Evolution's note names neither the chat nor a message of its own."""
    return InboundEdit(**{"original_id": "3EB0A", "content": content} | more)


def answers(world: World) -> int:
    """Replies that there are once everything is done."""
    world.drain()
    return len(world.messages(role="assistant"))


def parked() -> list[dict[str, Any]]:
    return db.rows("select external_id, names, content from parked_change order by external_id")


@pytest.mark.parametrize("channel_name", ["whatsapp_cloud", "whatsapp_qr", "telegram"])
def test_what_was_deleted_before_it_came_is_not_answered(world: World, channel_name: str) -> None:
    for _ in range(2):  # however often it is delivered
        put(world, deleted(), channel_name=channel_name)
    put(world, said(), said("Do you take cards?", "3EB0B"), channel_name=channel_name)
    assert answers(world) == 1
    first, second = world.messages(role="user")
    assert (first["revoked_at"] is None, second["revoked_at"]) == (False, None)
    assert world.messages(role="assistant")[0]["reply_to"] == second["id"]
    assert parked() == []
    put(world, deleted(), said(), channel_name=channel_name)
    assert answers(world) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (deleted(external_user_id=LID, identities=(PHONE,)), said()),
        (deleted(external_user_id=LID), said(identities=(LID,))),
        (deleted(external_user_id="4915112345@c.us"), said()),
        (deleted(external_user_id=""), said()),
        (deleted(external_user_id=LID), said()),
        (deleted(external_user_id="4930@c.us"), said()),
    ],
    ids=["told by the deletion", "told by the message", "another form", "not told at all", "known before", "another person's"],
)
def test_who_deleted_it_is_known_by_any_of_their_names(
    world: World, change: InboundRevoke, message: InboundMessage, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.id == "known before":
        put(world, said("Hello", "3EB00", identities=(LID,), may_answer=False))
        world.drain()
    put(world, change)
    put(world, message)
    is_anothers = request.node.callspec.id == "another person's"
    assert (answers(world), len(parked())) == ((1, 1) if is_anothers else (0, 0))


def test_a_deletion_of_another_chatbots_or_channels_message_touches_nothing(world: World) -> None:
    _, other_chatbot = world.tenant()
    put(world, deleted(), chatbot_id=other_chatbot)
    put(world, deleted(), channel_name="telegram")
    put(world, said())
    assert (answers(world), len(parked())) == (1, 2)


def test_what_a_colleague_wrote_is_not_taken_back_by_a_customer(world: World) -> None:
    put(world, deleted(), replace(said(), author=Author.COLLEAGUE))
    world.drain()
    [message] = world.messages(role="agent")
    assert message["revoked_at"] is None
    assert [row["external_id"] for row in parked()] == ["3EB0A"]


def test_nor_is_a_customers_by_a_colleague(world: World) -> None:
    put(world, deleted(author=Author.COLLEAGUE), said())
    assert (answers(world), [row["external_id"] for row in parked()]) == (1, ["3EB0A"])
    assert world.messages(role="user")[0]["revoked_at"] is None
    put(world, deleted(author=Author.COLLEAGUE))  # of what is there already
    assert world.messages(role="user")[0]["revoked_at"] is None


@pytest.mark.parametrize("by", [PHONE, LID, ""])
def test_what_a_colleague_deleted_before_it_came_is_read_by_nobody_and_takes_over(world: World, by: str) -> None:
    author = Author.COLLEAGUE if by else Author.CUSTOMER  # a note of Evolution's says only which message it is
    for _ in range(2):  # however often it is delivered
        put(world, deleted(external_user_id=by, author=author))
    put(world, said("It costs 10 euros.", author=Author.COLLEAGUE))
    world.drain()
    [message] = world.messages(role="agent")
    assert (message["revoked_at"] is None, parked()) == (False, [])
    assert db.scalar("select owner from conversation") == "person"


def test_what_a_colleague_corrected_before_it_came_is_read_so(world: World) -> None:
    for text, seconds in (("It costs 12 euros.", 20), ("It costs 11 euros.", 10)):  # the newest counts
        alone = said(text, "3EB0E", author=Author.COLLEAGUE)
        put(world, corrected(text, sent_at=1_790_000_000 + seconds, message=alone, author=Author.COLLEAGUE))
    db.rows("update parked_change set received_at = received_at - interval '3 minutes'")
    assert (accept_overdue(), world.messages()) == (0, []), "by itself it is no message"
    put(world, said("It costs 10 euros.", author=Author.COLLEAGUE))
    world.drain()
    [message] = world.messages(role="agent")
    assert (message["content"], message["edited_at"].timestamp(), parked()) == ("It costs 12 euros.", 1_790_000_020, [])


@pytest.mark.parametrize("is_deleted_first", [True, False])
def test_what_a_colleague_deleted_is_quoted_no_more(world: World, is_deleted_first: bool) -> None:
    deletion = deleted(author=Author.COLLEAGUE)
    put(world, said("My number is 123", author=Author.COLLEAGUE))
    world.drain()
    for item in [deletion, quoting()] if is_deleted_first else [quoting(), deletion]:
        put(world, item)
        world.drain()
    assert "text" not in world.messages(role="user")[0]["data"]["quoted"]


def test_a_correction_that_came_first_is_what_is_answered(world: World) -> None:
    put(world, corrected("Where are you?", sent_at=1_790_000_020), corrected("older", sent_at=1_790_000_010))
    put(world, said("Can I return goods?", metadata={"profile_name": "Ana"}, data={"form": {"name": "size"}}))
    assert answers(world) == 1
    [question] = world.messages(role="user")
    assert (question["content"], question["edited_at"].timestamp()) == ("Where are you?", 1_790_000_020)
    assert (question["metadata"], question["data"]) == ({"profile_name": "Ana"}, {"form": {"name": "size"}})
    assert parked() == []


def test_of_a_correction_and_a_deletion_the_deletion_counts(world: World) -> None:
    put(world, corrected(), deleted(external_user_id=""), corrected("And this?"))
    put(world, said())
    assert answers(world) == 0
    assert world.messages(role="user")[0]["revoked_at"]


def test_a_correction_that_is_a_message_itself_is_the_message_that_comes_later(world: World) -> None:
    second = said("Where are you?", "3EB0E2", sent_at=1_790_000_020, may_answer=True)
    first = said("Can I return goods", "3EB0E1", sent_at=1_790_000_010)
    for edit in (second, first, second):  # in no order
        put(world, InboundEdit(original_id="3EB0A", content=edit.content, sent_at=edit.sent_at, message=edit))
    put(world, said("Can I retrun goods", sent_at=1_790_000_000))
    world.drain()
    assert [(one["external_id"], one["content"]) for one in world.messages(role="user")] == [("3EB0A", "Where are you?")]
    put(world, deleted("3EB0A"))
    assert world.messages(role="user")[0]["revoked_at"]


def test_a_captions_correction_that_comes_before_its_picture_waits_for_it(world: World) -> None:
    file = Media(kind=MediaKind.IMAGE, source={"url": "http://waha:3000/api/files/t/3EB0A.jpg"}, mime="image/jpeg")
    caption = said("Is the blue one left?", "3EB0E1", kind=Kind.MEDIA, media=(replace(file, source={"url": ""}),))
    put(world, InboundEdit(original_id="3EB0A", content=caption.content, sent_at=1_790_000_020, message=caption))
    assert [row["content"] for row in parked()] == ["Is the blue one left?"]
    put(world, said("[image]", kind=Kind.MEDIA, media=(file,), metadata={"unsupported": "image"}))
    world.drain()
    [message] = world.messages(role="user")
    assert (message["external_id"], message["content"], message["kind"]) == ("3EB0A", "Is the blue one left?", "media")
    assert db.rows("select source from media where message_id = %s", [message["id"]]) == [{"source": file.source}]
    assert parked() == []


def reacted(emoji: str, external_id: str = "3EB0A") -> InboundReaction:
    return InboundReaction(message_id=external_id, emoji=emoji, external_user_id=PHONE)


@pytest.mark.parametrize("author", [Author.CUSTOMER, Author.COLLEAGUE])
def test_a_reaction_that_is_faster_than_its_message_is_kept_with_it(world: World, author: Author) -> None:
    put(world, reacted("👍"), reacted("❤"), reacted("👍", "3EB0B"), reacted("", "3EB0B"), reacted("👍", "3EB0X"))
    put(world, said(author=author), said("And cards?", "3EB0B", author=author), said("Or cash?", "3EB0C", author=author))
    world.drain()
    changes.apply_late_reactions()
    role = "agent" if author is Author.COLLEAGUE else "user"
    assert [message["data"] for message in world.messages(role=role)] == [{"reaction": "❤"}, {}, {}]
    assert db.rows("select external_id from parked_reaction") == [{"external_id": "3EB0X"}]


def test_a_reaction_to_a_reply_whose_id_is_not_known_yet_is_kept_with_it(world: World) -> None:
    put(world, said())
    world.drain()
    [reply] = world.messages(role="assistant")
    db.rows("update message set external_id = null where id = %s", [reply["id"]])
    put(world, reacted("👍", reply["external_id"]))
    changes.apply_late_reactions()
    db.rows("update message set external_id = %s where id = %s", [reply["external_id"], reply["id"]])
    changes.apply_late_reactions()
    assert world.messages(role="assistant")[0]["data"] == {"reaction": "👍"}


def test_the_newest_reaction_counts_whenever_its_message_came(world: World) -> None:
    put(world, reacted("👍"), said())
    put(world, reacted("❤"))  # the first one waits still
    world.drain()
    changes.apply_late_reactions()
    assert [message["data"] for message in world.messages(role="user")] == [{"reaction": "❤"}]


def test_a_reaction_and_the_sweep_never_wait_for_each_other(world: World) -> None:
    put(world, said())
    world.drain()
    db.rows("insert into parked_reaction select chatbot_id, channel, external_id, '👍' from message where role = 'user'")
    with ThreadPoolExecutor(1) as pool, beginning("delete from parked_reaction") as sweep:
        reacting = pool.submit(put, world, reacted("❤"))
        until_one_waits("transactionid")
        sweep.cursor().execute("select from message where role = 'user' for update nowait")
        sweep.commit()
        reacting.result()
    assert [message["data"] for message in world.messages(role="user")] == [{"reaction": "❤"}]


def test_a_reaction_whose_message_never_comes_is_forgotten(world: World) -> None:
    put(world, reacted("👍"), reacted("👍", "3EB0B"))
    db.rows("update parked_reaction set received_at = received_at - interval '61 minutes' where external_id = '3EB0A'")
    assert changes.prune()["parked_reactions"] == 1
    assert db.rows("select external_id from parked_reaction") == [{"external_id": "3EB0B"}]


def test_a_reaction_to_what_an_erased_person_wrote_is_not_kept(world: World) -> None:
    put(world, said(), reacted("👍", "3EB0Y"))
    world.drain()
    assert erasure.erase(world.customer, db.scalar("select contact_id from conversation"))
    put(world, reacted("👍"))
    assert db.rows("select external_id from parked_reaction") == []


def accept_overdue() -> int:
    return changes.accept_overdue(QueueService().accept_messages)


def test_a_captions_correction_whose_picture_never_comes_is_answered(world: World) -> None:
    file = Media(kind=MediaKind.IMAGE, source={"url": ""}, mime="image/jpeg")
    for seconds, words in ((20, "Is the blue one left?"), (10, "Is the bleu one left?")):  # the newest counts
        caption = said(words, "3EB0E1", kind=Kind.MEDIA, media=(file,), metadata={"attachment": "image"})
        put(world, InboundEdit(original_id="3EB0A", content=words, sent_at=1_790_000_000 + seconds, message=caption))
    put(world, corrected("Which one?", original_id="3EB0B"))  # names nobody who could be answered
    assert (accept_overdue(), answers(world)) == (0, 0)
    db.rows("update parked_change set received_at = received_at - interval '3 minutes'")
    assert (accept_overdue(), answers(world), accept_overdue()) == (1, 1, 0)
    [message] = world.messages(role="user")
    assert (message["external_id"], message["content"], message["kind"]) == ("3EB0A", "Is the blue one left?", "text")
    put(world, said("[image]", kind=Kind.MEDIA, media=(replace(file, source={"url": "http://waha/a.jpg"}),)))
    assert answers(world) == 1, "what comes so late is that message"
    assert [row["external_id"] for row in parked()] == ["3EB0B"]


def test_a_caption_of_an_erased_person_is_accepted_no_more(world: World) -> None:
    caption = said("Is the blue one left?", "3EB0E1", kind=Kind.MEDIA, sent_at=1_790_000_000)
    put(world, InboundEdit(original_id="3EB0A", content=caption.content, sent_at=1_790_000_000, message=caption))
    put(world, said("Hello", "3EB0Z"))
    world.drain()
    row = db.row("select chatbot_id, channel, names, payload from parked_change")
    assert row is not None
    assert erasure.erase(world.customer, db.scalar("select contact_id from conversation"))
    db.rows(  # a delivery of before the erasure that came in between
        "insert into parked_change (chatbot_id, channel, external_id, names, content, changed_at, received_at, payload)"
        " values (%s, %s, '3EB0A', %s, 'x', now(), now() - interval '3 minutes', %s)",
        [row["chatbot_id"], row["channel"], row["names"], db.json(row["payload"])],
    )
    assert (accept_overdue(), world.messages()) == (0, [])
    assert db.scalar("select count(*) from parked_change where payload is not null") == 0


def test_one_with_its_picture_is_that_message(world: World) -> None:
    file = Media(kind=MediaKind.IMAGE, source={"id": "137"}, mime="image/jpeg")
    edit = said("Is the blue one left?", "wamid.E", kind=Kind.MEDIA, media=(file,))
    put(world, InboundEdit(original_id="3EB0A", content=edit.content, message=edit), channel_name="whatsapp_cloud")
    put(world, said("And the red?", kind=Kind.MEDIA, media=(file,)), channel_name="whatsapp_cloud")
    world.drain()
    [message] = world.messages(role="user")
    assert (message["external_id"], message["content"], parked()) == ("3EB0A", "Is the blue one left?", [])
    assert db.scalar("select count(*) from media where message_id = %s", [message["id"]]) == 1


def test_such_a_correction_of_what_was_deleted_is_not_answered(world: World) -> None:
    put(world, deleted(), InboundEdit(original_id="3EB0A", content="And now?", message=said("And now?", "3EB0E1")))
    assert answers(world) == 0


def test_what_waits_is_bounded_and_forgotten(world: World) -> None:
    put(world, deleted(), deleted("3EB0B"))
    db.rows("update parked_change set received_at = now() - interval '9 days' where external_id = '3EB0A'")
    assert changes.prune() == {"parked_changes": 1, "parked_reactions": 0}
    db.rows(
        "insert into parked_change (chatbot_id, channel, external_id, names, changed_at)"
        " select %s, 'whatsapp_qr', 'filled ' || n, '{}', now() from generate_series(1, 9999) n",
        [world.chatbot],
    )
    put(world, deleted("3EB0C"))
    assert db.scalar("select count(*) from parked_change") == 10_000
    assert db.scalar("select count(*) from parked_change where external_id = '3EB0C'") == 0


def test_an_erased_person_leaves_none(world: World) -> None:
    put(world, said("Hello", "3EB00"), said("Hello Ana", "3EB01", author=Author.COLLEAGUE))
    world.drain()
    put(world, deleted(), corrected("My words", original_id="3EB0B"), deleted("3EB0C", external_user_id="4930@c.us"))
    put(world, deleted("3EB0D", author=Author.COLLEAGUE))
    contact = db.scalar("select contact_id from conversation")
    assert erasure.erase(world.customer, contact)
    assert [row["names"] for row in parked()] == [["4930@c.us"]]
    put(world, deleted("3EB00"))  # of messages that were erased, and never come again
    put(world, deleted("3EB01", author=Author.COLLEAGUE))
    assert len(parked()) == 1


# ------------------------------------------------------------------------------------------------- at the same moment


@contextmanager
def beginning(statement: str, *parameters: Any) -> Iterator[psycopg2.extensions.connection]:
    """Another process that has not committed what it does."""
    with closing(psycopg2.connect(settings().database_url)) as other:
        other.cursor().execute(statement, parameters)
        yield other


def until_one_waits(kind: str = "advisory") -> None:
    waiting = "select count(*) from pg_locks where locktype = %s and not granted"
    until(lambda: db.scalar(waiting, [kind]), "nobody waits for a lock")


DELETE = "select message_change_v4(%s, 'whatsapp_qr', array[%s], '3EB0A', null, '{}', null, true, '{}')"
ACCEPT = """select message_accept_v4(chatbot_id, 'whatsapp_qr', who, '3EB0A', jsonb_build_object('chatbot_id', chatbot_id,
    'channel', 'whatsapp_qr', 'external_user_id', who, 'external_id', '3EB0A', 'content', 'Hello', 'metadata', '{}'::jsonb), '{}')
    from (values (%s, %s)) as arrival(chatbot_id, who)"""


def late(work: Callable[[], None], other: psycopg2.extensions.connection, end: Callable[[], None]) -> None:
    """Does it while the other has not ended, and ends that when this waits for it."""
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        until_one_waits()
        end()
        done.result(45)
    assert other is not None


def test_a_message_that_comes_while_its_deletion_is_kept_is_deleted(world: World) -> None:
    with beginning(DELETE, world.chatbot, PHONE) as other:
        late(lambda: put(world, said()), other, other.commit)
    assert (answers(world), parked()) == (0, [])


def test_a_deletion_that_comes_while_its_message_is_accepted_is_done_to_it(world: World) -> None:
    with beginning(ACCEPT, world.chatbot, PHONE) as other:
        late(lambda: put(world, deleted()), other, other.commit)
    assert parked() == []
    [job] = world.jobs(queue="incoming-messages")
    assert job["payload"]["is_revoked"]


@pytest.mark.parametrize("ends", ["rollback", "kill -9"])
def test_a_process_that_dies_with_a_deletion_keeps_nothing_and_its_repetition_counts(world: World, ends: str) -> None:
    if ends == "rollback":
        with beginning(DELETE, world.chatbot, PHONE) as other:
            late(lambda: put(world, said()), other, other.rollback)
    else:
        lines = "import psycopg2, sys; c = psycopg2.connect(sys.argv[1]); c.cursor().execute(sys.argv[2], sys.argv[3:]); "
        command = [sys.executable, "-c", lines + "print('begun', flush=True); sys.stdin.read()"]
        command += [settings().database_url, DELETE, str(world.chatbot), PHONE]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process, ThreadPoolExecutor(1) as pool:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            accepted = pool.submit(put, world, said())
            until_one_waits()
            process.send_signal(signal.SIGKILL)
            accepted.result(45)
    assert parked() == []
    put(world, deleted())  # the channel got no answer, and delivers it again
    assert answers(world) == 0


OWN = "select own_message_change_v2(%s, 'whatsapp_qr', array[%s], '3EB0A', null, null, '{}')"


def test_a_colleagues_message_that_comes_while_its_deletion_is_kept_is_deleted(world: World) -> None:
    with beginning(OWN, world.chatbot, PHONE) as other:
        late(lambda: put(world, said(author=Author.COLLEAGUE)), other, other.commit)
    world.drain()
    assert (world.messages(role="agent")[0]["revoked_at"] is None, parked()) == (False, [])


def test_a_deletion_that_comes_while_a_colleagues_message_is_accepted_is_done_to_it(world: World) -> None:
    accept = ACCEPT.replace("'Hello'", "'Hello', 'author', 'colleague'")
    with beginning(accept, world.chatbot, PHONE) as other:
        late(lambda: put(world, deleted(author=Author.COLLEAGUE)), other, other.commit)
    assert parked() == []
    [job] = world.jobs(queue="incoming-messages")
    assert job["payload"]["is_revoked"]


# ------------------------------------------------------------------------------------------------------------- quotes


def quoting() -> InboundMessage:
    return said("And this?", "3EB0Q", data={"quoted": {"id": "3EB0A", "text": "My number is 123"}}, may_answer=False)


@pytest.mark.parametrize("by", [PHONE, "", LID, "4930@c.us"])
@pytest.mark.parametrize("is_saved", [True, False])
def test_what_was_deleted_is_quoted_no_more_whoever_says_so(world: World, by: str, is_saved: bool) -> None:
    put(world, said("Hello", "3EB00", identities=(LID,), may_answer=False))
    world.drain()
    put(world, quoting())
    if is_saved:
        world.drain()
    put(world, deleted(external_user_id=by, identities=(PHONE,) if by == LID and not is_saved else ()))
    world.drain()
    quoted = world.messages(role="user")[-1]["data"]["quoted"]
    assert quoted == {"id": "3EB0A"} | ({"text": "My number is 123"} if by == "4930@c.us" else {})


def test_a_quote_that_comes_after_the_deletion_has_no_words(world: World) -> None:
    put(world, deleted(), quoting())
    world.drain()
    assert world.messages(role="user")[0]["data"]["quoted"] == {"id": "3EB0A"}
