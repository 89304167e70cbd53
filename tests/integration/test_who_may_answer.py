"""Who may answer: a takeover that is committed first wins, and a conversation that comes back forgets nobody's question."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from shared import config, db
from shared.broker.enqueue import enqueue, tickets_of
from shared.channels import ownership
from shared.channels.widget.drafts import AnswerUnwanted
from shared.jobs.ledger import Job
from shared.models import Chatbot, Conversation, WebhookEvent
from shared.queues import Queue
from tests.builders import World, stage_of_queue
from tests.integration.front_door import FrontDoor
from tests.integration.test_drafts import DRAFTS, asked, draft_of, keep_writing, written
from tests.integration.test_front_door_api import Business
from tests.integration.test_honesty import PERSON
from tests.integration.widget_page import Page

CHANNELS = ("widget", "whatsapp_cloud", "whatsapp_qr")
KINDS = ("graph", "waha")
SENDS = {"whatsapp_cloud": Queue.WHATSAPP_CLOUD, "whatsapp_qr": Queue.WHATSAPP_QR}


def conversation() -> dict[str, Any]:
    """The only one."""
    [row] = db.rows(Conversation.select())
    return row


def take_over(by: str = "api", owner: str = "person", minutes: int | None = None) -> None:
    with db.transaction():
        tickets = ownership.assign(conversation()["id"], owner, by, minutes)
    enqueue(tickets_of(tickets))


def events(name: str) -> list[dict[str, Any]]:
    return [row["payload"] for row in db.rows(WebhookEvent.select().where(WebhookEvent.event == name).order_by(WebhookEvent.id))]


def statuses(world: World) -> list[str]:
    return [row["status"] for row in world.messages(role="assistant")]


def run(world: World, queue: Queue) -> None:
    """The jobs of a queue that may run now."""
    for row in world.jobs(queue=queue, state="waiting"):
        world.run(row["id"])


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_reply_that_waits_never_leaves_and_what_a_person_writes_does(world: World, door: FrontDoor, channel: str) -> None:
    world.say(channel=channel, user="49171")
    run(world, Queue.INCOMING)
    run(world, Queue.AI)
    if channel != "widget":
        run(world, Queue.OUTGOING)
    assert statuses(world) == ["PENDING"]
    mine = Business(door, world.customer)
    path = f"/conversations/{conversation()['id']}"
    assert mine("POST", f"{path}/messages", {"content": "Ada here, one moment."}).status_code == 202
    world.drain()
    assert statuses(world) == ["SUPERSEDED", "SENT"]
    shown = mine("GET", f"{path}/messages").json["data"]  # type: ignore[index]
    assert [row["status"] for row in shown] == ["SENT", "SUPERSEDED", "DELIVERED"]
    texts = [call["text"] for call in world.simulator.record() if call["kind"] in KINDS]
    assert texts == ([] if channel == "widget" else ["Ada here, one moment."])
    assert not events("message.failed")


def test_while_a_person_has_it_messages_are_kept_and_nobody_is_asked(world: World) -> None:
    world.endpoint(world.customer)
    world.say("Hello")
    world.drain()
    take_over()
    asked_before = len(world.simulator.record("ai"))
    waiting = world.say("When do you ship?")
    late = world.say("Are you there?")
    run(world, Queue.INCOMING)
    assert not world.jobs(queue=Queue.AI, message_id=waiting)
    assert not world.jobs(queue=Queue.AI, message_id=late)
    world.drain()
    assert len(world.simulator.record("ai")) == asked_before
    assert [event["content"] for event in events("message.received")] == ["Hello", "When do you ship?", "Are you there?"]
    [event] = events("conversation.assigned")
    returns_at = conversation()["returns_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (event["owner"], event["by"], event["returns_at"]) == ("person", "api", returns_at)


def test_a_job_that_waited_for_the_ai_asks_nobody_once_a_person_has_come(world: World) -> None:
    world.say()
    run(world, Queue.INCOMING)
    take_over()
    world.drain()
    assert (world.simulator.record("ai"), statuses(world)) == ([], [])


@pytest.mark.parametrize("goes_back", [False, True])
def test_an_answer_in_the_making_is_kept_and_does_not_leave(world: World, goes_back: bool) -> None:
    world.say()
    run(world, Queue.INCOMING)
    [job] = world.jobs(queue=Queue.AI)
    claimed = world.claim(job["id"])
    take_over()
    if goes_back:
        take_over(owner="bot")
    stage_of_queue(Queue.AI)(claimed)
    assert statuses(world) == ["SUPERSEDED"]
    assert not world.jobs(queue=Queue.OUTGOING)
    assert db.scalar("select count(*) from usage_log where kind = 'ai'") == 1, "it was paid for"
    world.drain()
    # Back with the bot, the question is open, and is answered by somebody who has seen all.
    assert statuses(world) == ["SUPERSEDED", "SENT"] if goes_back else ["SUPERSEDED"]


def test_a_reply_from_before_does_not_leave_after_the_conversation_came_back(world: World) -> None:
    world.say(channel="whatsapp_cloud", user="49171")
    for queue in (Queue.INCOMING, Queue.AI, Queue.OUTGOING):
        run(world, queue)
    take_over()
    take_over(owner="bot")
    world.drain()
    assert statuses(world) == ["SUPERSEDED", "SENT"]
    assert db.scalar("select count(*) from message where reply_to is not null") == 1


def claimed_while_a_person_comes_and_goes(world: World) -> Job:
    """The claimed job of a reply's send, whose conversation is the bot's again."""
    world.say(channel="whatsapp_cloud", user="49171")
    for queue in (Queue.INCOMING, Queue.AI, Queue.OUTGOING):
        run(world, queue)
    [send] = world.jobs(queue=Queue.WHATSAPP_CLOUD)
    claimed = world.claim(send["id"])
    take_over()
    take_over(owner="bot")
    return claimed


@pytest.mark.parametrize(
    ("has_answer", "ambiguous_send", "then"),
    [
        (True, "hold", ["SUPERSEDED", "SENT"]),  # the provider refused it for now
        (False, "resend", ["SUPERSEDED", "SENT"]),
        (False, "hold", ["SUPERSEDED"]),  # the customer may have it
    ],
)
def test_a_claimed_reply_that_did_not_leave_before_the_conversation_came_back_is_written_anew(
    world: World, monkeypatch: pytest.MonkeyPatch, has_answer: bool, ambiguous_send: str, then: list[str]
) -> None:
    monkeypatch.setenv("AMBIGUOUS_SEND", ambiguous_send)
    monkeypatch.setenv("AMBIGUOUS_SEND_WAIT_SECONDS", "0.001")
    config.reset()
    claimed = claimed_while_a_person_comes_and_goes(world)
    assert statuses(world) == ["PENDING"], "it may be on its way"
    world.vanish()
    db.rows(
        "update job set state = 'waiting', lease_until = null, claimed_by = null,"
        " outcome_unknown_since = case when not %s then clock_timestamp() - interval '1 second' end where id = %s",
        [has_answer, claimed.id],
    )
    world.drain()
    assert statuses(world) == then
    assert not world.jobs(state="failed")


@pytest.mark.parametrize("channel", CHANNELS)
def test_of_a_thousand_takeovers_each_is_before_its_reply_or_after_it(world: World, channel: str) -> None:
    """The takeover's own transaction sees whether the reply was claimed: one that was not never leaves, one that was may."""
    count = 1_000 if channel == "whatsapp_qr" else 200
    db.rows(
        "insert into conversation (chatbot_id, channel, external_user_id) select %s, %s, '49' || n from generate_series(1, %s) n",
        [world.chatbot, channel, count],
    )
    db.rows(
        "with questions as (insert into message (conversation_id, chatbot_id, channel, role, content, status)"
        " select id, chatbot_id, channel, 'user', 'Hello?', 'DELIVERED' from conversation returning *), replies as ("
        " insert into message (conversation_id, chatbot_id, channel, role, content, status, reply_to)"
        " select conversation_id, chatbot_id, channel, 'assistant', 'Hello!', 'PENDING', id from questions returning *)"
        " select job_add_v1(jsonb_agg(case when channel = 'widget' then outgoing_job_v1(%s, id, conversation_id, channel)"
        " else send_job_v1((select send_queue from channel where name = channel), %s, id, conversation_id) end)) from replies",
        [world.customer, world.customer],
    )
    jobs = db.rows("select job.id, message.conversation_id from job join message on message.id = message_id order by job.id")
    queue = SENDS.get(channel, Queue.OUTGOING)

    def claim(job: dict[str, Any]) -> tuple[int, str]:
        if queue is Queue.OUTGOING:
            world.run(job["id"])
            return job["id"], "routed"
        claimed = world.claim(job["id"])
        assert claimed.loaded is not None
        return job["id"], claimed.loaded["status"]

    def take(job: dict[str, Any]) -> tuple[int, str]:
        with db.transaction():
            ownership.assign(job["conversation_id"], "person", "phone")
            return job["id"], str(db.scalar("select state from job where id = %s", [job["id"]]))

    work = [*((claim, job) for job in jobs), *((take, job) for job in jobs)]
    random.Random(7).shuffle(work)
    work.sort(key=lambda one: one[1]["id"] // 8)  # of each job both at about the same time
    with ThreadPoolExecutor(16) as threads:
        done = list(threads.map(lambda one: (one[0] is take, *one[0](one[1])), work))
    seen_by_takeover = {job: state for is_takeover, job, state in done if is_takeover}
    rows = db.rows("select job.id, message.status from job join message on message.id = message_id")
    after = {row["id"]: row["status"] for row in rows}
    late = {job for job, state in seen_by_takeover.items() if state == "waiting"}
    assert {job for job, status in after.items() if status == "SUPERSEDED"} == late
    assert 0 < len(late) < count, "both happened"
    if queue is not Queue.OUTGOING:
        claimed = {job: status for is_takeover, job, status in done if not is_takeover}
        assert claimed == after, "the worker was told what the row says"


def test_a_draft_ends_when_a_person_takes_over(world: World, page: Page) -> None:
    draft = draft_of(asked(world, page))
    written(draft, "We")
    take_over()
    assert db.scalar(DRAFTS) is None
    with pytest.raises(AnswerUnwanted, match="taken_over"):
        keep_writing(draft)
    draft.close()
    assert db.scalar(DRAFTS) is None
    assert [row["role"] for row in page.history()] == ["user"]


def test_a_page_does_not_show_what_was_superseded(world: World, page: Page) -> None:
    job = asked(world, page)
    take_over()
    stage_of_queue(Queue.AI)(job)
    assert statuses(world) == ["SUPERSEDED"]
    assert [row["role"] for row in page.history()] == ["user"]
    assert len(page.events(0, 1)) == 1


RETURNS: dict[str, tuple[list[str], bool]] = {
    "nobody wrote": ([], False),
    "the customer waits": (["user"], True),
    "the customer waits and wrote twice": (["user", "user"], True),
    "the colleague answered": (["user", "agent"], False),
    "the customer wrote after the colleague": (["user", "agent", "user"], True),
    "what the colleague wrote did not arrive": (["user", "failed"], True),
}


@pytest.mark.parametrize("story", RETURNS)
def test_what_was_left_alone_goes_back_and_who_waits_is_answered(world: World, story: str) -> None:
    wrote, is_answered = RETURNS[story]
    world.endpoint(world.customer)
    world.say("Hello")
    world.drain()
    take_over(by="phone", minutes=30)
    assert ownership.return_idle() == 0, "it was not idle long enough"
    for role in wrote:
        if role == "user":
            world.say("When do you ship?")
            world.drain()
        else:
            values = ("FAILED", "assistant", "gone") if role == "failed" else ("SENT", "agent", None)
            db.rows(
                "insert into message (conversation_id, chatbot_id, channel, content, status, role, error)"
                " select id, chatbot_id, channel, 'Ada', %s, %s, %s from conversation",
                values,
            )
    before = len(world.simulator.record("ai"))
    db.rows("update conversation set returns_at = now() - interval '1 second'")
    assert (ownership.return_idle(), ownership.return_idle()) == (1, 0)
    world.drain()
    assert len(world.simulator.record("ai")) - before == is_answered
    [event] = events("conversation.returned")
    assert (event["owner"], event["by"], event["conversation_id"]) == ("bot", "idle", conversation()["id"])
    assert (conversation()["owner"], conversation()["returns_at"]) == ("bot", None)


def test_each_message_keeps_it_with_the_person_and_none_at_all_where_it_never_goes_back(world: World) -> None:
    world.say()
    world.drain()
    take_over(minutes=30)
    db.rows("update conversation set returns_at = now() + interval '1 minute'")
    world.say("Hello?")
    world.drain()
    left = db.scalar("select extract(epoch from returns_at - now()) from conversation")
    assert 29 * 60 < left <= 30 * 60
    take_over(by="phone")
    assert conversation()["return_after_minutes"] == 30, "as it was agreed"
    take_over(minutes=0)
    world.say("Hello?")
    world.drain()
    assert (conversation()["owner"], conversation()["returns_at"]) == ("person", None)


@pytest.mark.parametrize("was", ["closed", "left alone"])
def test_a_new_message_finds_the_bot(world: World, was: str) -> None:
    world.endpoint(world.customer)
    world.say("Hello")
    world.drain()
    take_over(owner="closed" if was == "closed" else "person")
    if was == "left alone":  # and no periodic job has come by
        db.rows("update conversation set returns_at = now() - interval '1 second'")
    world.say("When do you ship?")
    world.drain()
    assert statuses(world) == ["SENT", "SENT"]
    assert [(event["owner"], event["by"]) for event in events("conversation.returned")] == [("bot", "customer")]
    world.say("And where to?")
    world.drain()
    assert (statuses(world), len(events("conversation.returned"))) == (["SENT"] * 3, 1)


def test_the_bot_hands_over_and_says_so(world: World) -> None:
    world.endpoint(world.customer)
    db.rows(Chatbot.update(handover_message="A colleague writes to you.", return_after_minutes=5))
    world.say(PERSON, channel="whatsapp_cloud", user="49171")
    for queue in (Queue.INCOMING, Queue.AI, Queue.OUTGOING):
        run(world, queue)
    assert (conversation()["owner"], conversation()["return_after_minutes"]) == ("person", 5)
    world.drain()
    assert statuses(world) == ["SENT"], "the words by which it handed over"
    assert [(event["owner"], event["by"]) for event in events("conversation.assigned")] == [("person", "bot")]
    assert len(events("conversation.handoff")) == 1
    take_over(by="phone")
    assert [event["by"] for event in events("conversation.assigned")] == ["bot", "phone"]


@pytest.mark.parametrize("channel", ["widget", "whatsapp_cloud"])
def test_an_answer_from_before_a_handover_leaves_until_the_person_is_there(world: World, channel: str) -> None:
    db.rows(Chatbot.update(handover_message="A colleague writes to you."))
    world.say("When do you ship?", channel=channel, user="49171")
    run(world, Queue.INCOMING)
    run(world, Queue.AI)
    world.say(PERSON, channel=channel, user="49171")
    run(world, Queue.INCOMING)
    run(world, Queue.AI)
    assert (conversation()["owner"], statuses(world)) == ("person", ["PENDING", "PENDING"])
    world.run(world.jobs(queue=Queue.OUTGOING, state="waiting")[0]["id"])
    if channel != "widget":
        run(world, SENDS[channel])
    assert statuses(world) == ["SENT", "PENDING"], "nobody has come yet"
    take_over(by="phone")
    world.drain()
    assert statuses(world) == ["SENT", "SUPERSEDED"]


def test_the_words_of_a_handover_do_not_leave_once_the_person_is_there(world: World) -> None:
    db.rows(Chatbot.update(handover_message="A colleague writes to you."))
    world.say(PERSON, channel="whatsapp_cloud", user="49171")
    for queue in (Queue.INCOMING, Queue.AI, Queue.OUTGOING):
        run(world, queue)
    take_over(by="phone")
    world.drain()
    assert statuses(world) == ["SUPERSEDED"]


def test_no_fallback_where_a_person_has_come_meanwhile(world: World) -> None:
    world.say()
    run(world, Queue.INCOMING)
    [job] = world.jobs(queue=Queue.AI)
    world.claim(job["id"])
    take_over()
    db.rows(
        "update job set state = 'failed', last_error = 'gone', lease_until = null, claimed_by = null where id = %s", [job["id"]]
    )
    assert world.dead_letter(job["id"])
    assert statuses(world) == []


def test_the_api_says_who_answers(door: FrontDoor, world: World) -> None:
    world.endpoint(world.customer)
    for user in ("one", "two", "three"):
        world.say(user=user)
    world.drain()
    mine = Business(door, world.customer)
    one, two, three = [row["id"] for row in reversed(mine("GET", "/conversations").json["data"])]  # type: ignore[index]

    def owned(owner: str) -> list[int]:
        return [row["id"] for row in mine("GET", f"/conversations?owner={owner}").json["data"]]  # type: ignore[index]

    answer = mine("PATCH", f"/conversations/{one}", {"owner": "person", "return_after_minutes": 10})
    assert (answer.status_code, answer.json["owner"]) == (200, "person")  # type: ignore[index]
    assert mine("PATCH", f"/conversations/{two}", {"owner": "closed"}).json["returns_at"] is None  # type: ignore[index]
    assert (owned("bot"), owned("person"), owned("closed")) == ([three], [one], [two])
    assert mine("GET", "/conversations?owner=nobody").status_code == 400
    for wrong in ({}, {"owner": "nobody"}, {"owner": "person", "return_after_minutes": -1}, {"owner": "person", "by": "me"}):
        assert mine("PATCH", f"/conversations/{one}", wrong).status_code == 422, wrong
    assert mine("PATCH", f"/conversations/{one}", {"owner": "bot"}).json["owner"] == "bot"  # type: ignore[index]
    assert mine("PATCH", f"/conversations/{one}", {"owner": "bot"}).status_code == 200, "again"
    assert [event["conversation_id"] for event in events("conversation.returned")] == [one]
    note = {"content": "Your order has left.", "take_over": False}
    assert mine("POST", f"/conversations/{one}/messages", note).status_code == 202
    assert mine("GET", f"/conversations/{one}").json["owner"] == "bot"  # type: ignore[index]
    assert mine("POST", f"/conversations/{one}/messages", {"content": "Ada here."}).status_code == 202
    assert mine("GET", f"/conversations/{one}").json["owner"] == "person"  # type: ignore[index]


def test_a_colleague_is_in_the_models_context_as_one(world: World) -> None:
    world.say("Hello")
    world.drain()
    db.rows(
        "insert into message (conversation_id, chatbot_id, channel, content, status, role)"
        " select id, chatbot_id, channel, 'Ada promised a discount.', 'SENT', 'agent' from conversation"
    )
    world.say("When do you ship?")
    run(world, Queue.INCOMING)
    loaded = world.claim(world.jobs(queue=Queue.AI)[-1]["id"]).loaded
    assert loaded is not None
    assert [(turn[0], turn[3]) for turn in loaded["history"]] == [
        ("user", None),
        ("assistant", None),
        ("assistant", "a colleague"),
        ("user", None),
    ]
