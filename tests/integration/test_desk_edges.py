"""What happens at the desk's edges: two edits at once, a form that is sent again, a list beside what was pressed."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from peewee import fn

from shared import config, db
from shared.models import ChannelHealth, ConversationNote, Customer, KnowledgeBase, Message
from shared.operations import replays
from shared.operations.dead_letters import Filter
from shared.people import audit
from tests.builders import World
from tests.integration.desk_pages import Visitor, conversation, furnish, person
from web.app import create_app


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def test_a_quick_reply_is_changed_where_it_stands_and_none_of_a_colleague_s_is_lost(app: Flask, world: World) -> None:
    agent, page = Visitor(app, person("agent", world.customer)), f"/desk/c/{world.customer}/quick-replies"
    assert agent.post(page, shortcut="hours", content="Nine to five.").status_code == 303
    taken = agent.post(page, shortcut="hours", content="Ten to <6>.")
    assert (taken.status_code, "There is a /hours already" in taken.text, "Ten to &lt;6&gt;." in taken.text) == (
        409,
        True,
        True,
    )
    stored = db.row("select id, content from quick_reply")
    assert stored is not None
    assert stored["content"] == "Nine to five."
    listed = agent.get(page).text
    assert "/delete" not in listed, "it is gone for everybody, so nobody deletes it by a slip"
    assert f'href="{page}?reply={stored["id"]}"' in listed
    assert f"{page}/{stored['id']}/delete" in agent.get(f"{page}?reply={stored['id']}").text
    emptied = agent.post(page, reply=stored["id"], shortcut="hours", content=" ")
    assert (emptied.status_code, f'name="reply" value="{stored["id"]}"' in emptied.text) == (422, True)
    assert agent.post(page, reply=stored["id"], shortcut="hours", content="Ten to six.").status_code == 303
    assert db.rows("select id, content from quick_reply") == [{"id": stored["id"], "content": "Ten to six."}]
    assert agent.post(f"{page}/{stored['id']}/delete").status_code == 303
    assert db.rows("select id from quick_reply") == []


def test_what_a_colleague_has_changed_meanwhile_is_shown_before_it_is_replaced(app: Flask, world: World) -> None:
    agent, page = Visitor(app, person("agent", world.customer)), f"/desk/c/{world.customer}/quick-replies"
    agent.post(page, shortcut="hours", content="Nine to five.")
    reply = db.scalar("select id from quick_reply")
    shown = [re.search(r'name="version" value="(\w+)"', agent.get(f"{page}?reply={reply}").text) for _ in range(2)]
    forms = [{"reply": reply, "shortcut": "hours", "version": found[1]} for found in shown if found]
    assert agent.post(page, **forms[0], content="Nine to six.").status_code == 303
    refused = agent.post(page, **forms[1], content="Eight to five.")
    assert refused.status_code == 409
    assert all(words in refused.text for words in ("A colleague has changed /hours", "Nine to six.", "Eight to five."))
    version = re.search(r'name="version" value="(\w+)"', refused.text)
    assert version is not None
    assert agent.post(page, **forms[1] | {"version": version[1]}, content="Eight to five.").status_code == 303
    assert db.scalar("select content from quick_reply") == "Eight to five."


@pytest.mark.parametrize(
    ("language", "written", "cents", "shown"),
    [("de", "49,5", 4950, "49,5"), ("de", "1.250", 125_000, "1250"), ("en", "12345.67", 1_234_567, "12345.67")],
)
def test_a_plan_is_written_as_its_reader_writes_numbers(
    app: Flask, world: World, language: str, written: str, cents: int, shown: str
) -> None:
    operator = Visitor(app, person("operator", None))
    operator.post("/desk/profile", name="Olga", language=language)
    operator.post("/desk/operate/customers", name="Teahouse", plan=written)
    assert db.scalar("select plan_price_cents from customer where name = 'Teahouse'") == cents
    assert f'inputmode="decimal" value="{shown}"' in operator.get("/desk/operate/customers").text
    refused = operator.post("/desk/operate/customers", name="Teahouse", plan="5000000")
    assert (refused.status_code, "0 bis 1.000.000" in refused.text or "0 to 1,000,000" in refused.text) == (422, True)


def test_of_two_who_change_a_business_the_second_is_told(app: Flask, world: World) -> None:
    first, second = (Visitor(app, person("operator", None, name)) for name in ("Olga", "Omar"))
    page, change = "/desk/operate/customers", f"/desk/operate/customers/{world.customer}"
    shown = re.search(r'name="version" value="(\w+)"', second.get(page).text)
    assert shown
    assert first.post(change, name="Shop One", plan="120", version=shown[1]).status_code == 303
    late = second.post(change, name="Shop Two", plan="120", version=shown[1])
    assert (late.status_code, "Somebody else has changed it" in late.text, "Shop One" in late.text) == (409, True, True)
    again = re.search(r'name="version" value="(\w+)"', late.text)
    assert again
    assert second.post(change, name="Shop Two", plan="120", version=again[1]).status_code == 303


def test_a_failure_before_anything_was_stored_leads_to_its_journey(app: Flask, world: World) -> None:
    question = world.say(channel="whatsapp_cloud", user="4911")
    db.rows("update job set payload = payload - 'content'")
    world.drain()
    world.dead_letters()
    olga = Visitor(app, person("operator", None))
    address = f"/desk/operate/messages/{question}"
    assert f'href="{address}"' in olga.get("/desk/operate/failures/list").text
    journey = olga.get(address)
    assert (journey.status_code, "It is not stored, so there is no text to show." in journey.text) == (200, True)
    [job] = world.jobs(queue="incoming-messages")
    assert olga.get(f"/desk/operate/search?q=job+{job['id']}").location == address


def test_a_name_turns_no_text_around(app: Flask, world: World) -> None:
    names = {"4917012345": "\u202eAda\u2066", "4917012346": "\u202e \u2069"}
    for user, name in names.items():
        world.say(channel="whatsapp_cloud", user=user, metadata={"profile_name": name})
    world.drain()
    inbox = Visitor(app, person("agent", world.customer)).get(f"/desk/c/{world.customer}/inbox?view=all").text
    assert re.findall(r'class="chat-top"><b dir="auto">([^<]*)<', inbox) == ["+4917012346", "Ada"]


def test_of_two_who_change_a_knowledge_base_the_second_is_told(app: Flask, world: World) -> None:
    first, second = (Visitor(app, person("owner", world.customer, name)) for name in ("Olga", "Omar"))
    base = db.scalar(KnowledgeBase.select(KnowledgeBase.id).where(KnowledgeBase.customer == world.customer))
    page = f"/desk/c/{world.customer}/knowledge/{base}"
    shown = re.search(r'name="version" value="(\w+)"', second.get(page).text)
    given = {"version": shown[1] if shown else ""}
    assert first.post(f"{page}/settings", name="Shop help", language="german", **given).status_code == 303
    late = second.post(f"{page}/settings", name="Help", language="english", **given)
    assert (late.status_code, "Somebody else has changed it" in late.text, "Shop help" in late.text) == (409, True, True)
    again = re.search(r'name="version" value="(\w+)"', late.text)
    assert again
    assert second.post(f"{page}/settings", name="Help", language="german", version=again[1]).status_code == 303


def test_an_operators_try_of_a_channel_is_in_the_audit_of_its_business(app: Flask, world: World) -> None:
    down = {"chatbot": world.chatbot, "channel": "whatsapp_cloud", "state": "held", "reason": "other", "detail": "x"}
    db.rows(ChannelHealth.insert(**down, since=fn.now()))
    operator = Visitor(app, person("operator", None, "Olga"))
    assert operator.post(f"/desk/operate/channels/{world.chatbot}/whatsapp_cloud/try").status_code == 303
    tried = [row["customer_id"] for row in audit.entries(None, action="channel.tried")]
    assert tried == [world.customer]


def test_a_name_that_is_refused_leaves_the_knowledge_on_its_page(app: Flask, world: World) -> None:
    owner = Visitor(app, person("owner", world.customer))
    base = db.scalar(KnowledgeBase.select(KnowledgeBase.id).where(KnowledgeBase.customer == world.customer))
    refused = owner.post(f"/desk/c/{world.customer}/knowledge/{base}/settings", name="", language="german")
    assert (refused.status_code, "Shipping" in refused.text) == (422, True), refused.text


def test_a_form_that_comes_again_with_another_text_gets_its_page_back(app: Flask, world: World) -> None:
    agent, found = Visitor(app, person("agent", world.customer)), conversation(world)
    one = f"/desk/c/{world.customer}/conversations/{found}"
    beside = f"view=people&chatbot={world.chatbot}"
    assert agent.post(f"{one}/messages", content="Hello", key="k-1", list=beside).headers["Location"].endswith(f"?{beside}")
    other = agent.post(f"{one}/messages", content="Goodbye", key="k-1", list=beside)
    assert (other.status_code, "Goodbye" in other.text, "was sent before" in other.text) == (409, True, True)
    assert beside.replace("&", "&amp;") in other.text, "the list beside it stays"
    sent = db.rows(Message.select(Message.content).where(Message.idempotency_key == "k-1"))
    assert [row["content"] for row in sent] == ["Hello"]
    for button in ("bot", "take", "closed"):
        assert agent.post(f"{one}/{button}", list=beside).headers["Location"].endswith(f"?{beside}")
    fresh = agent.get(f"{one}/thread?{beside}").text
    kept = f'name="list" value="{beside.replace("&", "&amp;")}"'
    assert kept in fresh
    assign = re.search(r'<form class="assign".*?</form>', agent.get(f"{one}?{beside}").text, re.S)
    assert assign
    assert kept in assign[0]


def test_a_note_that_is_sent_twice_by_one_form_is_one_note(app: Flask, world: World) -> None:
    agent, found = Visitor(app, person("agent", world.customer)), conversation(world)
    one, notes = f"/desk/c/{world.customer}/conversations/{found}", ConversationNote.select(ConversationNote.content)
    form = {"kind": "note", "content": "Wants a refund\r\nin March", "key": "k-1"}
    assert [agent.post(f"{one}/messages", **form).status_code for _ in range(2)] == [303, 303]
    other = agent.post(f"{one}/messages", **{**form, "content": "Something else"})
    assert (other.status_code, "Something else" in other.text, "was sent before" in other.text) == (409, True, True)
    assert re.search(r'value="note" checked', other.text), "what was a note goes to no customer"
    contents = [row["content"] for row in db.rows(notes.where(ConversationNote.idempotency_key == "k-1"))]
    assert contents == ["Wants a refund\nin March"]
    assert 'data-form="k-1"' in agent.get(one).text


def test_the_audit_offers_owners_their_own_people_and_all_kinds(app: Flask, world: World) -> None:
    operator = person("operator", None, "Olga")
    with db.transaction():
        audit.record("failures.ignored", "failures", None, {}, user=operator, customer_id=world.customer)
        audit.record("quick_reply.saved", "quick_reply", None, {"name": "hours"}, user=None, customer_id=world.customer)
    owner, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/audit"
    assert f'<option value="{operator.id}"' not in owner.get(page).text
    assert f'<option value="{operator.id}"' in Visitor(app, operator).get(page).text
    only = owner.get(f"{page}?kind=failures").text
    assert ("ignored failures" in only, "saved a quick reply" in only) == (True, False)
    assert "saved a quick reply" in owner.get(f"{page}?kind=quick_reply").text


def test_the_audit_names_the_key_that_changed_something(app: Flask, world: World) -> None:
    about = {"name": "Otto", "changed": "model", "by": "API", "key": "Shop server", "key_id": 4711}
    audit.record("chatbot.changed", "chatbot", 1, about, user=None, customer_id=world.customer)
    page = Visitor(app, person("owner", world.customer)).get(f"/desk/c/{world.customer}/audit").text
    assert "<b>API key Shop server</b> changed a chatbot" in page
    assert "Otto, changed: Model" in page
    assert "4711" not in page


def _audit_lines(browser: Visitor, path: str) -> list[str]:
    """Each entry's line, the newest first."""
    found = re.findall(r"<p><b>(.*?)</p>", browser.get(path).text, re.S)
    return [" ".join(re.sub(r"<[^>]+>", " ", line).split()) for line in found]


def test_the_audit_speaks_in_names_and_words_and_not_in_ids(app: Flask, world: World) -> None:
    talk = conversation(world)
    zoe = db.scalar("insert into contact (chatbot_id, name) values (%s, 'Zoe') returning id", [world.chatbot])
    db.rows("update conversation set contact_id = %s where id = %s", [zoe, talk])
    emma, owner = person("agent", world.customer), person("owner", world.customer, "Otto")
    with db.transaction():
        for action, subject, found, details in (
            ("conversation.assigned", "conversation", talk, {"user": emma.id}),
            ("channel.retried", "channel", world.chatbot, {"channel": "whatsapp_cloud", "name": "123"}),
            ("chatbot.changed", "chatbot", world.chatbot, {"section": "answers"}),
            ("user.changed", "user", owner.id, {"language": "de"}),
            ("texts.read", "conversation_thread", talk, {}),
            ("conversation.assigned", "conversation", talk, {"user": owner.id}),
        ):
            audit.record(action, subject, found, details, user=owner, customer_id=world.customer)
    bot = db.scalar("select name from chatbot where id = %s", [world.chatbot])
    visitor = Visitor(app, owner)
    told = _audit_lines(visitor, f"/desk/c/{world.customer}/audit")[1:]  # the first one is the login
    assert told == [
        "Otto took a conversation over Zoe",
        "Otto read messages conversation Zoe",
        "Otto changed their own profile language: Deutsch",
        f"Otto changed a chatbot {bot} , page: Answers".replace(" ,", ","),
        "Otto had a channel tried again 123, channel: WhatsApp",
        "Otto gave a conversation to a colleague Zoe, colleague: Emma",
    ]
    visitor.post("/desk/profile", name="Otto", language="de")
    german = " ".join(_audit_lines(visitor, f"/desk/c/{world.customer}/audit"))
    assert "Zoe, im Team: Emma" in german
    assert "Seite: Antworten" in german
    operator = Visitor(app, person("operator", None, "Olga"))
    theirs = " ".join(_audit_lines(operator, "/desk/operate/audit"))
    assert ("Zoe" in theirs, f"conversation {talk}" in theirs) == (False, True), "names of people are masked"


def test_the_inbox_of_a_business_without_chatbots_shows_its_owner_the_way(app: Flask, world: World) -> None:
    """It is the first page that a new owner sees."""
    with db.transaction():
        new = Customer.create(name="New").id
    way = f'<a class="button primary" href="/desk/c/{new}/chatbots"'
    people = [person("owner", new, "Otto"), person("agent", new, "Emma")]
    owner, agent = (Visitor(app, one).get(f"/desk/c/{new}/inbox").text for one in people)
    assert ("No chatbot yet" in owner, way in owner) == (True, True)
    assert ("No chatbot yet" in agent, way in agent) == (False, False), "it is not theirs to make"
    old = Visitor(app, person("owner", world.customer, "Ada")).get(f"/desk/c/{world.customer}/inbox").text
    assert "No chatbot yet" not in old


def test_what_is_about_to_go_and_what_was_meant_are_said_where_there_is_nothing_to_count(app: Flask, world: World) -> None:
    ids = furnish(world)
    operator = Visitor(app, person("operator", None, "Olga"))
    source = operator.get(f"/desk/c/{world.customer}/knowledge/{ids['base']}/sources/{ids['source']}").text
    assert "No item came from it. It is not read any more." in source
    replay = operator.get(f"/desk/operate/replays/{ids['replay']}").text
    some = replays.begin(Filter(queue="incoming-messages", error_code="bad_payload", customer_id=world.customer), "o@example.com")
    named = operator.get(f"/desk/operate/replays/{some}").text
    assert "stage: Incoming messages · reason: the job’s data is broken · business: Shop" in named, named
    assert re.search(r"<dt>What is meant</dt><dd>Everything\s*, until", replay), replay


def test_the_audit_is_forgotten_when_its_time_is_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        audit.record("chatbot.changed", "chatbot", user=None, customer_id=world.customer)
    db.rows("update audit_entry set at = now() - interval '731 days' where id < (select max(id) from audit_entry)")
    monkeypatch.setenv("KEEP_AUDIT_DAYS", "0")
    config.reset()
    assert audit.prune() == {"audit_entries": 0}
    monkeypatch.delenv("KEEP_AUDIT_DAYS")
    config.reset()
    assert audit.prune() == {"audit_entries": 2}
    assert db.scalar("select count(*) from audit_entry") == 1
