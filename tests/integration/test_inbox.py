"""The desk's inbox: lists and search, taking and giving, replying as a person, and hearing of changes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from html import unescape
from threading import Barrier
from typing import Any
from urllib.parse import urlencode

import psycopg2
import pytest
import requests
from flask import Flask
from peewee import fn

from shared import db
from shared.channels import health
from shared.channels.outcomes import Reason, explanation
from shared.channels.registry import channel
from shared.channels.whatsapp_cloud import template_store
from shared.config import settings
from shared.inbox import lists, thread, work
from shared.knowledge import sources
from shared.models import Chatbot, Conversation, KnowledgeGap, KnowledgeItem, Message, User, UserSession, WhatsappTemplate
from shared.operations import pauses, replays
from shared.operations.dead_letters import Filter
from shared.people import users
from shared.privacy import erasure
from shared.queues import Queue
from tests.builders import World
from tests.integration.desk_pages import PASSWORD, Visitor, person
from tests.integration.test_honesty import PERSON, UNKNOWN, ask
from tests.integration.test_ledger_races import until_waiting
from tests.integration.test_who_may_answer import conversation, events, run, statuses
from tests.site import Site, serving
from web.app import create_app
from web.desk import live


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


@pytest.fixture
def agent(world: World) -> User:
    return person("agent", world.customer, "Emma")


def path_of(world: World, what: str = "") -> str:
    return f"/desk/c/{world.customer}/conversations/{conversation()['id']}{what}"


def in_list(world: World, user: User, **wanted: Any) -> list[str]:
    """The names or numbers in a list."""
    page = lists.page(lists.Filter(world.customer, user.id, **wanted))
    return [row["contact_name"] or row["external_user_id"] for row in page.rows]


def test_of_two_who_take_at_once_one_gets_it_and_the_other_is_told_by_whom(world: World, agent: User) -> None:
    colleague = person("agent", world.customer, "Ben")
    ask(world, PERSON)
    both, took = Barrier(2), []

    def take(user: User) -> str:
        both.wait(45)
        try:
            work.take(conversation()["id"], user.id)
        except work.Taken as faster:
            return faster.name
        took.append(user.name)
        return ""

    with ThreadPoolExecutor(2) as threads:
        for _ in range(25):
            told = sorted(threads.map(take, (agent, colleague)))
            assert told == ["", took[-1]]
            db.rows("update conversation set assigned_to = null, handed_over_at = now(), handover_reason = 'asked'")
    assert len(took) == 25


def test_what_cannot_be_recorded_does_not_happen(app: Flask, world: World, agent: User) -> None:
    emma = Visitor(app, agent)
    ask(world, PERSON)
    db.rows("alter table audit_entry add constraint no_record check (not starts_with(action, 'conversation.')) not valid")
    try:
        for what in ("/take", "/closed", "/bot"):
            assert emma.post(path_of(world, what)).status_code == 500
            assert (conversation()["owner"], conversation()["assigned_to"]) == ("person", None)
    finally:
        db.rows("alter table audit_entry drop constraint no_record")
    assert emma.post(path_of(world, "/take")).status_code == 303
    assert conversation()["assigned_to"] == agent.id


def test_a_person_takes_answers_and_gives_back(app: Flask, world: World, agent: User) -> None:
    world.endpoint(world.customer)
    emma, ben = Visitor(app, agent), Visitor(app, person("agent", world.customer, "Ben"))
    ask(world, PERSON, channel="whatsapp_cloud", user="49171")
    [waiting] = lists.page(lists.Filter(world.customer, agent.id, view="waiting")).rows
    assert (waiting["role"], waiting["content"]) == ("user", PERSON), "not that the bot passes it on, as in every row"
    assert "asks for a person" in emma.get(f"/desk/c/{world.customer}/inbox").text
    assert emma.post(path_of(world, "/take")).status_code == 303
    late = ben.post(path_of(world, "/take"))
    assert (late.status_code, "Emma has taken it already" in late.text) == (409, True)
    assert emma.post(path_of(world, "/messages"), content="Hello, Emma here.", key="k1").status_code == 303
    assert emma.post(path_of(world, "/messages"), content="Hello, Emma here.", key="k1").status_code == 303, "pressed twice"
    assert ben.post(path_of(world, "/messages"), content="We look for it.", key="k2").status_code == 303
    world.drain()
    sent = world.messages(role="assistant")[1:]
    assert [(row["content"], row["status"], row["metadata"]["author"]) for row in sent] == [
        ("Hello, Emma here.", "SENT", "Emma"),
        ("We look for it.", "SENT", "Ben"),
    ]
    assert conversation()["assigned_to"] == agent.id, "who helps out takes nothing away"
    [answered] = lists.page(lists.Filter(world.customer, agent.id, view="all")).rows
    assert (answered["role"], answered["author"]) == ("agent", "Ben"), "the list says who wrote, not the bot"
    shown = ben.get(path_of(world)).text
    assert ("Emma has this conversation" in shown, "Hello, Emma here." in shown) == (True, True)
    assert emma.post(path_of(world, "/bot")).status_code == 303
    assert (conversation()["owner"], conversation()["assigned_to"]) == ("bot", None)
    assert [event["owner"] for event in events("conversation.returned")] == ["bot"]
    world.say("When do you ship?", channel="whatsapp_cloud", user="49171")
    run(world, Queue.INCOMING)
    loaded = world.claim(world.jobs(queue=Queue.AI, state="waiting")[-1]["id"]).loaded
    assert loaded is not None
    first = loaded["history"][0]
    assert (first[1], first[3]) == ("Hello, Emma here.", "Emma"), "the model knows who wrote what"


def test_a_bot_that_is_silent_is_not_said_to_answer(app: Flask, world: World, agent: User) -> None:
    world.say()
    world.drain()
    reader = Visitor(app, agent)
    assert "The bot answers." in reader.get(path_of(world)).text
    db.rows("update conversation set braked_until = now() + interval '20 minutes'")
    page = reader.get(path_of(world)).text
    assert ("The bot answers." in page, "It seems to talk to another bot" in page, "in 20 minutes" in page) == (False, True, True)
    reader.post(path_of(world, "/take"))
    page = reader.get(path_of(world)).text
    assert ("You have this conversation." in page, "another bot" in page) == (True, False)
    reader.post(path_of(world, "/bot"))
    assert "The bot answers." in reader.get(path_of(world)).text


def test_it_is_given_to_a_colleague_and_closed(app: Flask, world: World, agent: User) -> None:
    ben = person("agent", world.customer, "Ben")
    stranger = person("agent", world.tenant()[0], "Eve")
    world.say()
    world.drain()
    emma = Visitor(app, agent)
    assert emma.post(path_of(world, "/take"), user=str(stranger.id)).status_code == 404
    assert emma.post(path_of(world, "/take"), user=str(ben.id)).status_code == 303
    late = emma.post(path_of(world, "/take"), user=str(agent.id))  # of a page that says that nobody has it
    assert (late.status_code, "Ben has taken it already" in late.text) == (409, True)
    given = {"user": str(agent.id), "from": str(ben.id)}
    assert emma.post(path_of(world, "/take"), **given).status_code == 303
    assert emma.post(path_of(world, "/take"), user=str(ben.id), **{"from": str(agent.id)}).status_code == 303
    assert in_list(world, ben, view="mine") == ["v-1"]
    assert in_list(world, agent, view="mine") == []
    assert '" selected>Ben<' in emma.get(path_of(world)).text
    db.rows(User.update(disabled_at=fn.now()).where(User.id == ben.id))
    assert "disabled selected>Assign to" in emma.get(path_of(world)).text, "nobody else seems to have it"
    assert emma.post(path_of(world, "/closed")).status_code == 303
    assert (conversation()["owner"], conversation()["assigned_to"]) == ("closed", None)
    assert in_list(world, agent, view="closed") == ["v-1"]


def test_notes_stay_among_colleagues(app: Flask, world: World, agent: User) -> None:
    world.say()
    world.drain()
    emma = Visitor(app, agent)
    assert emma.post(path_of(world, "/messages"), kind="note", content="<script>alert(1)</script>").status_code == 303
    assert "&lt;script&gt;alert(1)" in emma.get(path_of(world)).text
    assert (conversation()["owner"], len(world.messages(role="assistant"))) == ("bot", 1)


def test_what_failed_is_sent_again_once(app: Flask, world: World, agent: User) -> None:
    world.say(channel="whatsapp_cloud", user="49171")
    world.drain()
    emma = Visitor(app, agent)
    [reply] = world.messages(role="assistant")
    retry = path_of(world, f"/messages/{reply['id']}/retry")
    assert emma.post(retry).status_code == 404, "it has not failed"
    failed = Message.update(status="FAILED", error="131026", metadata={"error_code": "recipient_unreachable"})
    db.rows(failed.where(Message.id == reply["id"]))
    assert "cannot be reached" in emma.get(path_of(world)).text
    for _ in range(2):
        assert emma.post(retry).status_code == 303
    world.drain()
    assert [row["content"] for row in world.messages(role="assistant")] == [reply["content"]] * 2
    assert statuses(world) == ["FAILED", "SENT"]
    assert "It was sent again." in emma.get(path_of(world)).text


def test_a_reply_that_waits_for_its_channel_is_not_called_on_its_way(app: Flask, world: World, agent: User) -> None:
    account = health.account_of(channel("whatsapp_qr"), world.chatbot, f"s{world.chatbot}")
    health.report(account, health.NEEDS_LOGIN, Reason.SESSION_OFFLINE)
    world.say(channel="whatsapp_qr", user="49171@c.us")
    world.drain()
    assert statuses(world) == ["PENDING"]
    emma, why = Visitor(app, agent), str(explanation(Reason.SESSION_OFFLINE))
    page = emma.get(path_of(world)).text
    assert (why in page, "◷ waits" in page, "on its way" in page, "/channels/" in page) == (True, True, False, False)
    assert "/channels/" in Visitor(app, person("owner", world.customer, "Olga")).get(path_of(world)).text
    health.lift(account, {Reason.SESSION_OFFLINE})
    page = emma.get(path_of(world)).text
    assert (why in page, "◷ waits" in page) == (False, False)


def test_a_reason_that_says_little_stands_beside_the_providers_words(app: Flask, world: World, agent: User) -> None:
    world.say(channel="whatsapp_qr", user="49171@c.us")
    world.drain()
    emma = Visitor(app, agent)
    said = "WhatsApp QR: HTTP 422: <b>Plus only</b>"
    for reason in ("request_refused", "reported_failure", "unknown_code", "provider_failed"):
        failed = Message.update(status="FAILED", error=said, metadata={"error_code": reason})
        db.rows(failed.where(Message.role == "assistant"))
        page = emma.get(path_of(world)).text
        assert explanation(reason) in page
        assert ("HTTP 422: &lt;b&gt;Plus only" in page) == (reason != "provider_failed"), reason


def test_a_reply_follows_a_conversation_that_becomes_a_part_of_another(app: Flask, world: World, agent: User) -> None:
    names = ["4917012345", "77123@lid"]
    for name in names:
        world.say(channel="whatsapp_qr", user=name)
    world.drain()
    older, newer = db.rows("select id from conversation order by id")
    emma = Visitor(app, agent)
    path = f"/desk/c/{world.customer}/conversations/{newer['id']}/messages"
    with closing(psycopg2.connect(settings().database_url)) as merger, ThreadPoolExecutor(1) as pool:
        merger.cursor().execute("select contact_learn_v1(%s, 'whatsapp_qr', %s)", [world.chatbot, names])
        answer = pool.submit(lambda: emma.post(path, content="Emma here.", key="k1"))
        until_waiting(1)
        merger.commit()
        assert answer.result(30).status_code == 303
    sent = [row["conversation_id"] for row in world.messages(role="assistant") if row["content"] == "Emma here."]
    assert (sent, conversation()["assigned_to"]) == ([older["id"]], agent.id)


def test_who_may_not_read_texts_is_shown_none_by_a_refused_retry(app: Flask, world: World) -> None:
    world.say(channel="whatsapp_cloud", user="49171")
    world.drain()
    [reply] = world.messages(role="assistant")
    data = {"choices": [{"id": "1", "title": "My secret choice"}]}
    db.rows(Message.update(status="FAILED", error="131047", content="My secret", data=data).where(Message.id == reply["id"]))
    db.rows("update conversation set window_ends_at = now() - interval '1 minute'")
    operator = Visitor(app, person("operator", None, "Olga"))
    refused = operator.post(path_of(world, f"/messages/{reply['id']}/retry"))
    assert (refused.status_code, "My secret" in refused.text) == (409, False)


def test_when_the_window_is_closed_a_template_is_offered_and_the_draft_is_kept(app: Flask, world: World, agent: User) -> None:
    world.say(channel="whatsapp_cloud", user="49171")
    world.drain()
    account = "(select id from whatsapp_cloud_account where chatbot_id = %s)"
    template_store.learn(db.scalar(f"select {account}", [world.chatbot]), "1022")
    body = [{"type": "BODY", "text": "Hello {{1}}, order {{2}} has left."}]
    one = {"name": "order_left", "language": "en", "status": "APPROVED", "components": body}
    db.rows(WhatsappTemplate.insert(waba_id="1022", **one))
    db.rows("update conversation set window_ends_at = now() - interval '1 minute'")
    emma = Visitor(app, agent)
    refused = emma.post(path_of(world, "/messages"), content="My long text", key="k1")
    assert (refused.status_code, "My long text" in refused.text, "order_left" in refused.text) == (409, True, True)
    assert re.search(r"<summary>order_left <span[^>]*>English</span><span[^>]*>Hello \{\{1\}\}, order", refused.text)
    late = """metadata = metadata || '{"error_code": "window_closed"}'"""
    db.rows(f"update message set status = 'FAILED', error = 'too late', {late} where role = 'assistant'")
    assert "/retry" not in emma.get(path_of(world)).text, "it would be refused"
    form = {"template": "order_left|en", "body.1": "Zoe", "body.2": "4711", "key": "k2"}
    assert emma.post(path_of(world, "/messages"), **form).status_code == 303
    assert world.messages(role="assistant")[-1]["content"] == "Hello Zoe, order 4711 has left."
    for wrong in ({"body.1": "Zoe"}, {"body.²": "Zoe"}, {f"body.{'9' * 5000}": "Zoe"}):
        assert emma.post(path_of(world, "/messages"), template="order_left|en", key="k3", **wrong).status_code == 422


def test_an_answer_is_improved_for_the_next_time(app: Flask, world: World, agent: User) -> None:
    world.say()
    world.drain()
    [reply] = world.messages(role="assistant")
    better = path_of(world, f"/messages/{reply['id']}/improve")
    emma = Visitor(app, agent)
    refused = emma.post(better, title=" ", content="Only on <Fridays>.")
    assert refused.status_code == 422
    assert re.search(rf'<form[^>]*action="{better}" data-refused>', refused.text), "it is still in its dialog, which opens"
    assert 'rows="6" dir="auto" required >Only on &lt;Fridays&gt;.</textarea>' in refused.text
    assert "data-refused" not in emma.get(path_of(world)).text
    assert emma.post(better, title="When do you ship to Austria?", content="On Fridays.").status_code == 303
    item = KnowledgeItem.select(KnowledgeItem.content).where(KnowledgeItem.title == "When do you ship to Austria?")
    assert db.scalar(item) == "On Fridays."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\u200b\u2060", "(only invisible characters)"),
        ("\u3164", "(only invisible characters)"),
        ("\u200f👍🏽\ufe0f", "\u200f👍🏽\ufe0f"),
    ],
)
def test_a_message_in_which_nothing_is_to_be_seen_is_told_as_one(
    app: Flask, world: World, agent: User, text: str, shown: str
) -> None:
    world.say("x")
    world.drain()
    db.rows("update message set content = %s", [text])
    page = Visitor(app, agent).get(path_of(world)).text
    assert f'<p class="bubble-text" dir="auto">{shown}</p>' in page
    assert page.count(shown) >= 3, "in the list, too"


def test_an_improved_answer_takes_the_place_of_the_earlier_one(app: Flask, world: World, agent: User) -> None:
    """Two items of one question were both found, and the bot went on with the wrong one."""
    world.say()
    world.drain()
    [reply] = world.messages(role="assistant")
    better = path_of(world, f"/messages/{reply['id']}/improve")
    emma = Visitor(app, agent)
    for title, content in (
        ("To Rome?", "No."),
        ("Do you ship to Austria?", "On Fridays."),
        ("do you ship to austria? ", "Each day."),
    ):
        assert emma.post(better, title=title, content=content).status_code == 303
    items = KnowledgeItem.select(KnowledgeItem.content, KnowledgeItem.is_active).where(KnowledgeItem.title.contains("?"))
    assert {row["content"]: row["is_active"] for row in db.rows(items)} == {"On Fridays.": False, "Each day.": True, "No.": True}
    assert "under the same question is switched off" in emma.get(path_of(world)).text


def test_of_imported_items_only_what_an_answer_was_made_of_is_put_aside(app: Flask, world: World, agent: User) -> None:
    """Each part of a page may have the page's title."""
    emma = Visitor(app, agent)
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot])

    def improve(reply: dict[str, Any]) -> None:
        path = path_of(world, f"/messages/{reply['id']}/improve")
        assert emma.post(path, title="Shipping", content="On Fridays.").status_code == 303

    def imported_is_active() -> bool:
        return bool(db.scalar(KnowledgeItem.select(KnowledgeItem.is_active).where(KnowledgeItem.document.is_null(False))))

    before = ask(world, "When do you ship?")
    sources.start_import(base, sources.File("faq.csv", b"question,answer\nShipping,We ship on Mondays.\n"))
    world.drain()
    improve(before)
    assert imported_is_active()
    improve(ask(world, "When do you ship?"))
    assert not imported_is_active()


def test_what_the_model_wrote_or_did_not_know_is_improved(app: Flask, world: World, agent: User) -> None:
    emma = Visitor(app, agent)
    replies = [ask(world, question) for question in ("When do you ship?", UNKNOWN, PERSON)]
    emma.post(path_of(world, "/bot"))
    world.simulator.faults([{"kind": "ai", "fault": "bad_key"}])
    world.say("Where do you grow it?")
    world.drain()
    world.dead_letters()
    world.drain()
    [fallback] = [row for row in world.messages(role="assistant") if "fallback" in row["metadata"]]
    page = emma.get(path_of(world)).text
    assert [f"/messages/{row['id']}/improve" in page for row in (*replies, fallback)] == [True, True, False, False]
    assert f'data-title="{UNKNOWN}" data-content=""' in page, "the words that say so are no answer"


def test_an_assignment_is_told_once_and_of_what_was_merged_away_not(world: World, agent: User) -> None:
    endpoint = world.endpoint(world.customer)
    db.rows("update webhook_endpoint set paused = true where id = %s", [endpoint])
    world.say(PERSON)
    world.drain()
    told = len(events("conversation.assigned"))
    work.take(conversation()["id"], agent.id)
    assert len(events("conversation.assigned")) == told + 1
    work.take(conversation()["id"], person("agent", world.customer, "Nina").id, agent.id)
    assert len(events("conversation.assigned")) == told + 2
    work.take(conversation()["id"] + 1_000, agent.id)


def test_lists_hold_what_they_say_and_a_search_finds_names_numbers_and_words(world: World, agent: User) -> None:
    world.say("Where is my parcel with the teapot?", user="v-1", metadata={"profile_name": "Zoe Martin"})
    world.say("Hello", channel="whatsapp_cloud", user="4917012345")
    world.drain()
    world.say(PERSON, channel="telegram", user="77")
    world.drain()
    other, chatbot = world.tenant()
    world.say("Where is my teapot?", user="v-9", chatbot_id=chatbot)
    world.drain()
    assert in_list(world, agent, view="waiting") == ["77"]
    assert sorted(in_list(world, agent, view="bot")) == ["4917012345", "Zoe Martin"]
    assert len(in_list(world, agent, view="all")) == 3
    assert in_list(world, agent, view="all", channel="telegram") == ["77"]
    assert in_list(world, agent, view="all", chatbot_id=chatbot) == []
    for text, found in {
        "teapot": ["Zoe Martin"],
        "TEAP": ["Zoe Martin"],
        "with the teapot": ["Zoe Martin"],
        "zoe": ["Zoe Martin"],
        **{
            text: ["4917012345"]
            for text in ("+49 170 123", "+49 (0)170 123", "0049 170/1234", "0170 123", "(0170) 12-345", " (0)170 123")
        },
        **{text: [] for text in ("0170 12", "0170 123456", "0171 123")},
        "100%": [],
        "' OR 1": [],
    }.items():
        assert in_list(world, agent, search=text) == found, text
    # To whom texts and names are masked, a hit must not say that a word is there, nor which letters or digits a name begins with.
    for text, found in {
        **{"teapot": [], "zoe": [], "Zoe Mart": [], "zoe martin": ["Zoe Martin"], "Zoe%": []},
        **{"4917": [], "491701234": [], "01701234": [], "+49 170 12345": ["4917012345"], "0170 12345": ["4917012345"]},
    }.items():
        assert in_list(world, agent, search=text, finds_texts=False) == found, text
    counts = lists.counts(world.customer, agent.id)
    assert counts == {"waiting": 1, "mine": 0, "people": 1, "bot": 2, "closed": 0, "all": 3}
    assert lists.counts(other, agent.id)["all"] == 1


def test_people_see_what_nobody_has_to_answer(app: Flask, world: World, agent: User) -> None:
    world.say("Is it still there?", channel="telegram", user="77")
    world.drain()
    silent = {"content": "/stop", "external_id": "77:2", "kind": "system", "may_answer": False}
    world.service.accept_message({"chatbot_id": world.chatbot, "channel": "telegram", "external_user_id": "77", **silent})
    world.drain()
    emma = Visitor(app, agent)
    assert "/stop" in emma.get(path_of(world)).text, "the conversation"
    assert "/stop" in emma.get(f"/desk/c/{world.customer}/inbox?view=all").text, "the list"


@pytest.mark.parametrize("reader", ["agent", "operator"])
def test_a_visitor_is_found_by_what_the_list_calls_them(app: Flask, world: World, reader: str) -> None:
    visitors = ["w_72J6kpqrstuvwxyzABCDEF", "w_72j7kpqrstuvwxyzABCDEF", "w_Zo-_kpqrstuvwxyzABCDEF"]
    for user in visitors:
        ask(world, "Do you sell teapots?", user=user)
    browser = Visitor(app, person(reader, world.customer if reader == "agent" else None))
    for search, found in {
        **{"72J6": ["72J6"], "72j6": ["72J6"], "Visitor 72J6": ["72J6"], " visitor 72J7 ": ["72j7"]},
        **{visitors[0]: ["72J6"], "Zo-_": ["Zo-_"], "72J8": [], "2J6k": []},
    }.items():
        page = browser.get(f"/desk/c/{world.customer}/inbox?{urlencode({'view': 'all', 'q': search})}").text
        assert re.findall('<b dir="auto">Visitor (.{4})</b>', page) == found, search


def test_a_visitor_is_looked_for_by_an_index(world: World, agent: User) -> None:
    db.rows(
        "insert into conversation (chatbot_id, channel, external_user_id) select %s, 'widget', 'w_' || left(md5(n::text), 22)"
        " from generate_series(1, 5000) n",
        [world.chatbot],
    )
    db.rows("analyze conversation, contact, contact_identity")
    sought = lists._sought("ab1c", lists.Filter(world.customer, agent.id, visitor="ab1c"))
    which = {"customer_id": world.customer, "chatbot_id": None, "channel": None, "most": lists.PEOPLE, "limit": 41}
    values = {**which, **sought, "before_at": "9999-12-30", "before_id": 2**60}
    plan = "\n".join(row["QUERY PLAN"] for row in db.rows(f"explain {lists.queries['by_name'].sql}", values))
    assert "Scan using contact_identity_pkey" in plan, plan
    assert "Seq Scan on contact_identity" not in plan, plan


def test_a_test_chat_is_in_no_list_and_has_its_own_page(app: Flask, world: World, agent: User) -> None:
    world.endpoint(world.customer)
    marks = live.queries["lists"].rows(customers=[world.customer])
    for user in ("w_test-1", "w_test-2"):
        ask(world, "Do you sell teapots?", user=user)
        ask(world, PERSON, user=user)
    tests = [
        row["id"]
        for row in db.rows(Conversation.select(Conversation.id).where(Conversation.is_test, Conversation.owner == "person"))
    ]
    assert len(tests) == 2
    work.take(tests[0], agent.id)
    for view in lists.VIEWS:
        assert in_list(world, agent, view=view) == [], view
    assert in_list(world, agent, search="teapots") == []
    assert set(lists.counts(world.customer, agent.id).values()) == {0}
    assert live.queries["lists"].rows(customers=[world.customer]) == marks, "nobody is told of a handoff"
    assert db.scalar(KnowledgeGap.select(fn.COUNT(KnowledgeGap.id))) == 0
    assert len(events("conversation.handoff")) == 2, "an endpoint can be tried with it"
    told = db.rows("select event, payload from webhook_event")
    assert {"conversation.opened", "message.received", "message.sent", "conversation.assigned"} <= {one["event"] for one in told}
    assert [one["event"] for one in told if one["payload"].get("is_test") is not True] == []
    shown = Visitor(app, agent).get(f"/desk/c/{world.customer}/conversations/{tests[1]}")
    assert (shown.status_code, "Do you sell teapots?" in shown.text) == (200, True)
    ask(world, "Do you sell teapots?", user="w_1", channel="widget")
    assert not db.rows("select from webhook_event where payload ->> 'external_user_id' = 'w_1' and payload ? 'is_test'")
    assert in_list(world, agent, search="teapots") == ["w_1"]
    assert db.scalar(KnowledgeGap.select(fn.COUNT(KnowledgeGap.id))) == 1
    # Of another channel it is a name like any other.
    ask(world, "Do you sell teapots?", user="w_test-3", channel="telegram")
    assert in_list(world, agent, view="all") == ["w_test-3", "w_1"]


def test_what_open_pages_cost_does_not_grow_with_the_chatbots_of_a_business(world: World) -> None:
    for name in "ABCDE":
        db.rows(
            "with new as (insert into conversation (chatbot_id, channel, external_user_id, active_at)"
            " select %s, 'widget', 'v-' || n, now() - n * interval '1 minute' from generate_series(1, 70) n returning *)"
            " insert into message (conversation_id, chatbot_id, channel, role, content, status)"
            " select id, chatbot_id, channel, 'user', 'hello', 'DELIVERED' from new",
            [db.scalar(Chatbot.insert(customer=world.customer, name=name).returning(Chatbot.id))],
        )
    db.rows("analyze conversation, message")
    plan = db.rows(f"explain (analyze, timing off) {live.queries['lists'].sql}", {"customers": [world.customer]})
    looked_at = [line for row in plan if "on message" in (line := row["QUERY PLAN"])]
    assert [int(times) for line in looked_at for times in re.findall(r"loops=(\d+)", line)] == [60], plan


def test_lists_are_read_by_an_index_that_has_no_test_chats(world: World, agent: User) -> None:
    db.rows(
        "insert into conversation (chatbot_id, channel, external_user_id, owner, handed_over_at, handover_reason)"
        " select %s, 'widget', 'v-' || n, case when n %% 9 = 0 then 'person' else 'bot' end,"
        " case when n %% 90 = 0 then now() end, case when n %% 90 = 0 then 'asked' end from generate_series(1, 5000) n",
        [world.chatbot],
    )
    db.rows("analyze conversation")
    which = {"customer_id": world.customer, "chatbot_id": None, "channel": None}
    before = {"before_at": "9999-12-30", "before_id": 2**60, "user_id": None, "owners": lists.VIEWS["all"]}
    asked: list[tuple[Any, dict[str, Any], str]] = [
        (lists.queries["by_activity"], {**which, **before, "limit": 41}, "conversation_list_idx"),
        (
            lists.queries["waiting"],
            {**which, "after_at": "0001-01-02", "after_id": 0, "limit": 41},
            "conversation_list_waiting_idx",
        ),
        (lists.queries["counts"], {"customer_id": world.customer, "user_id": agent.id, "most": 10_001}, "conversation_list_idx"),
        (live.queries["lists"], {"customers": [world.customer]}, "conversation_list_idx"),
    ]
    for query, values, index in asked:
        plan = "\n".join(row["QUERY PLAN"] for row in db.rows(f"explain {query.sql}", values))
        assert re.search(rf"Index (Only )?Scan using {index} ", plan), plan
        assert "Seq Scan on conversation" not in plan, plan


def test_pages_of_a_list_leave_nobody_out(world: World, agent: User) -> None:
    db.rows(
        "insert into conversation (chatbot_id, channel, external_user_id, active_at)"
        " select %s, 'widget', 'v-' || n, now() - make_interval(secs => n / 10) from generate_series(1, 25) n",
        [world.chatbot],
    )
    seen, after = [], ""
    while True:
        page = lists.page(lists.Filter(world.customer, agent.id, view="all"), after, rows=10)
        seen += [row["id"] for row in page.rows]
        if page.next is None:
            break
        after = page.next
    assert len(seen) == len(set(seen)) == 25


def test_the_open_conversation_is_seen_also_where_the_list_does_not_reach_it(app: Flask, world: World, agent: User) -> None:
    db.rows(
        "insert into conversation (chatbot_id, channel, external_user_id, active_at)"
        " select %s, 'widget', 'v-' || n, now() - make_interval(mins => n) from generate_series(1, %s) n",
        [world.chatbot, lists.PAGE + 2],
    )
    newest, *_, last = db.rows("select id from conversation order by active_at desc")
    browser, inbox = Visitor(app, agent), f"/desk/c/{world.customer}"

    def shown(path: str, opened: int) -> tuple[int, bool]:
        page = browser.get(f"{inbox}/{path}", **({"HX-Request": "true"} if path.startswith("inbox") else {})).text
        assert page.count(f"/conversations/{opened}?") == page.count(f'id="chat-{opened}"') + page.count('class="open-row"')
        return page.count('class="is-open"'), 'class="open-row"' in page

    assert shown(f"conversations/{newest['id']}?view=all", newest["id"]) == (1, False)
    assert shown(f"conversations/{last['id']}?view=all", last["id"]) == (1, True)
    assert shown(f"inbox?open={last['id']}&view=all", last["id"]) == (1, True), "when the list is drawn anew"
    assert shown(f"inbox?open={last['id']}&view=all&rows=80", last["id"]) == (1, False)
    assert shown(f"conversations/{newest['id']}?view=waiting", newest["id"]) == (1, True), "an empty list"
    foreign = world.tenant()[1]
    [other] = db.rows(
        "insert into conversation (chatbot_id, channel, external_user_id) values (%s, 'widget', 'v') returning id", [foreign]
    )
    assert shown(f"inbox?open={other['id']}&view=all", other["id"]) == (0, False)


@pytest.mark.parametrize(("seconds", "rows"), [(0, 4), (0, 1), (30, 4), (30, 1)])
def test_a_search_goes_back_to_the_oldest_text_and_finds_each_conversation_once(
    world: World, agent: User, monkeypatch: pytest.MonkeyPatch, seconds: float, rows: int
) -> None:
    monkeypatch.setattr(lists, "AT_ONCE", 3)
    db.rows(
        "with talks as (insert into conversation (chatbot_id, channel, external_user_id, active_at)"
        " select %s, 'widget', 'v-' || n, now() - make_interval(days => n) from generate_series(1, 25) n returning *)"
        " insert into message (conversation_id, chatbot_id, channel, role, content, status)"
        " select id, chatbot_id, channel, 'user', case when external_user_id in ('v-1', 'v-9', 'v-10', 'v-11', 'v-25')"
        " then 'A teapot' else 'A cup' end, 'DELIVERED' from talks",
        [world.chatbot],
    )
    db.rows(
        "update contact set name = 'Tea Teapot' where id in (select contact_id from conversation"
        " where external_user_id in ('v-10', 'v-20'))"
    )
    found: list[str] = []
    looked: list[Any] = []
    after: str | None = ""
    while after is not None:
        page = lists.page(lists.Filter(world.customer, agent.id, search="teapot"), after, rows, seconds)
        found += [row["external_user_id"] for row in page.rows]
        looked += [page.back_to] if page.back_to else []
        after = page.next
    assert found == ["v-10", "v-20", "v-1", "v-9", "v-11", "v-25"]
    assert looked == sorted(looked, reverse=True)
    assert len(looked) > 7 or seconds


def test_earlier_messages_stay_on_an_open_page_and_each_note_is_on_one(
    app: Flask, world: World, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "PAGE", 2)
    world.say("Is anybody there?")
    world.drain()  # the first page: a question and its reply
    work.note(conversation()["id"], agent, "Between two pages")
    world.say("When do you ship?")
    world.drain()
    emma = Visitor(app, agent)
    newest, before = thread.entries(conversation()["id"])
    oldest, rest = thread.entries(conversation()["id"], before)
    notes = [[entry["content"] for entry in page if entry["role"] == "note"] for page in (oldest, newest)]
    assert (notes, rest) == ([[], ["Between two pages"]], None)
    page = emma.get(path_of(world, f"?before={before}&view=all")).text
    links = r'<a class="button small" href="([^"]+)">(Earlier|To the newest) messages'
    assert re.findall(links, page) == [(path_of(world, "?view=all"), "To the newest")], "the list stays"
    [(earlier, _words)] = re.findall(links, emma.get(path_of(world, "?view=all")).text)
    assert unescape(earlier) == path_of(world, f"?before={before}&view=all")
    fragment = page.split('id="thread" hx-get="')[1].split('"')[0]
    for shown in (page, emma.get(fragment).text):
        assert ("Is anybody there?" in shown, "When do you ship?" in shown) == (True, False)
    assert "When do you ship?" in emma.get(path_of(world, "?before=²")).text, "no number"


@pytest.mark.parametrize("what", ["/take", "/bot", "/closed", "/notes", "/messages", "/messages/1/retry", "/messages/1/improve"])
def test_anothers_conversation_is_unknown(app: Flask, world: World, what: str) -> None:
    world.say()
    world.drain()
    other, _ = world.tenant()
    eve = Visitor(app, person("owner", other, "Eve"))
    path = f"/desk/c/{other}/conversations/{conversation()['id']}{what}"
    assert eve.post(path, content="Hello").status_code == 404
    assert eve.get(path.removesuffix(what)).status_code == 404


@contextmanager
def hearing(site: Site, user: User, path: str) -> Iterator[Callable[[set[str]], None]]:
    """An open page's stream; what is given waits until these events have come."""
    browser = requests.Session()
    page = browser.get(f"{site.url}/desk/login").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    login = {"csrf_token": token, "email": user.email, "password": PASSWORD}
    assert browser.post(f"{site.url}/desk/login", data=login).status_code == 200
    with browser.get(site.url + path, stream=True, timeout=60) as answer:
        heard = (line for line in answer.iter_lines(chunk_size=1, decode_unicode=True) if line.startswith(("event", "data")))

        def hear(wanted: set[str]) -> None:
            while wanted:
                line = next(heard)
                assert "secret" not in line
                wanted -= {line.removeprefix("event: ")}

        yield hear


def test_an_open_page_hears_what_changed_and_no_texts(app: Flask, world: World, agent: User) -> None:
    world.say("My secret question")
    world.drain()
    path = f"/desk/c/{world.customer}/events?conversation={conversation()['id']}"
    with serving(app) as site, hearing(site, agent, path) as hear:
        hear({"list", "conversation"})
        work.note(conversation()["id"], agent, "Call back")
        hear({"conversation"})
        ask(world, PERSON)
        hear({"list", "conversation"})
        account = health.account_of(channel(conversation()["channel"]), world.chatbot, "the account")
        health.report(account, health.HELD, Reason.ACCOUNT_RESTRICTED)
        hear({"conversation"})
        health.lift(account, {Reason.ACCOUNT_RESTRICTED})
        hear({"conversation"})


def test_a_page_learns_of_an_erasure_between_its_loading_and_its_first_news(app: Flask, world: World, agent: User) -> None:
    world.say()
    world.drain()
    found, emma = conversation(), Visitor(app, agent)
    path = f"/desk/c/{world.customer}/events?conversation={found['id']}"
    assert emma.client.head(path).status_code == 200
    erasure.erase(world.customer, found["contact_id"])
    assert emma.client.head(path).status_code == 404, "its stream begins later: the page looks, and goes"
    stream = live.DeskStream("desk", 1, world.customer, found["id"], "")  # its stream had begun
    heard, _ = live.DeskHub(live.LIMITS)._events(stream, {"conversation": (None, {"id": found["id"]})})
    assert heard.startswith("event: conversation")


def test_an_open_page_follows_its_conversation_into_another(app: Flask, world: World, agent: User) -> None:
    names = ["4917012345", "77123@lid"]
    for name in names:
        world.say(channel="whatsapp_qr", user=name)
    world.drain()
    older, newer = (row["id"] for row in db.rows("select id from conversation order by id"))
    path = f"/desk/c/{world.customer}/events?conversation={newer}"
    with serving(app) as site, hearing(site, agent, path) as hear:
        hear({"list", "conversation"})
        db.rows("select contact_learn_v1(%s, 'whatsapp_qr', %s)", [world.chatbot, names])
        hear({"conversation"})
        work.note(older, agent, "Call back")
        hear({"conversation"})


@pytest.mark.parametrize("what", ["disabled", "logged out", "of another business", "no operator any more"])
def test_the_open_page_of_somebody_who_may_not_see_it_any_more_ends(app: Flask, world: World, agent: User, what: str) -> None:
    world.say("My secret question")
    world.drain()
    user = person("operator", None) if "operator" in what else agent
    path = "/desk/operate/events" if "operator" in what else f"/desk/c/{world.customer}/events"
    with serving(app) as site, hearing(site, user, path) as hear:
        hear({"failures"} if "operator" in what else {"list"})
        match what:
            case "disabled":
                users.disable(user.id)
            case "logged out":
                db.rows(UserSession.delete().where(UserSession.user == user.id))
            case "of another business":
                db.rows(User.update(customer=world.tenant()[0]).where(User.id == user.id))
            case _:
                db.rows(User.update(customer=world.customer, role="owner").where(User.id == user.id))
        with pytest.raises(StopIteration):  # the server ends it
            hear({"nothing of the kind"})


def test_an_operators_open_page_hears_of_failures_channels_replays_and_pauses(app: Flask, world: World) -> None:
    account = health.account_of(channel("whatsapp_cloud"), world.chatbot, "a number")
    with serving(app) as site, hearing(site, person("operator", None), "/desk/operate/events") as hear:
        hear({"failures"})
        world.say()
        db.rows("update job set payload = payload - 'content'")
        world.drain()
        world.dead_letters()
        hear({"failures"})
        health.report(account, health.HELD, Reason.ACCOUNT_RESTRICTED)
        hear({"failures"})
        health.connected(account)
        hear({"failures"})
        replays.begin(Filter(), "ops@example.com")
        hear({"failures"})
        pauses.pause(pauses.subject(queue="knowledge-import"), "ops@example.com")
        hear({"failures"})


def test_a_conversation_beyond_the_first_page_of_its_list_is_read_once(
    app: Flask, world: World, agent: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(lists.PAGE + 1):
        world.say(user=f"w_{number:022}", channel="widget")
    world.drain()
    oldest = db.scalar(Conversation.select(fn.min(Conversation.id)))
    read, conversation_of = [], thread.conversation

    def counted(customer_id: int, conversation_id: int) -> dict[str, Any] | None:
        read.append(conversation_id)
        return conversation_of(customer_id, conversation_id)

    monkeypatch.setattr(thread, "conversation", counted)
    page = Visitor(app, agent).get(f"/desk/c/{world.customer}/conversations/{oldest}?view=all")
    assert "not among those below" in page.text
    assert read == [oldest]
