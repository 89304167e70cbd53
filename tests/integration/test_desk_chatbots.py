"""Chatbots at the desk: made, changed without losing what somebody else wrote, deleted, and each answer of a test explained."""

from __future__ import annotations

import re

import pytest
from flask import Flask, session
from flask.sessions import SecureCookieSessionInterface

from scripts.local.simulator.client import Simulator
from shared import db
from shared.models import AuditEntry, Chatbot, ChatbotProvider, Conversation
from shared.people import users
from tests.builders import World
from tests.integration.desk_pages import Visitor, person, version
from web.app import create_app
from web.desk import test_chat


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def test_an_owner_makes_a_chatbot_and_says_how_it_is(app: Flask, world: World) -> None:
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/chatbots"
    assert browser.post(page, name=" ").status_code == 422
    address = browser.post(page, name="Rosa <b>").location
    bot_id = int(address.split("/")[-2])
    assert "Rosa &lt;b&gt;" in browser.get(page).text
    stored = db.row(Chatbot.select(Chatbot.knowledge_base).where(Chatbot.id == bot_id))
    assert stored is not None
    assert stored["knowledge_base_id"]

    one = f"{page}/{bot_id}"
    sites = {"version": version(browser.get(f"{one}/website").text), "allowed_origins": "Shop.example/start\n*.shop.example"}
    refused = browser.post(f"{one}/website", **sites)
    assert refused.status_code == 422
    assert "without wildcards" in refused.text
    assert "*.shop.example" in refused.text
    assert browser.post(f"{one}/website", **{**sites, "allowed_origins": "Shop.example/start\r\n"}).status_code == 303
    people = {"version": version(browser.get(f"{one}/people").text), "hours-mon": "9-12, 13:00–17.30 Uhr"}
    people |= {"no_answer_hands_over_after": "2", "return_after_minutes": "60", "time_zone": "Europe/Berlin"}
    nowhere = browser.post(f"{one}/people", **{**people, "time_zone": "Atlantis"})
    assert (nowhere.status_code, "must be a time zone, such as Europe/Berlin" in nowhere.text) == (422, True)
    assert ('value="Atlantis"' in nowhere.text, '<option value="Europe/Berlin">' in nowhere.text) == (True, True)
    assert browser.post(f"{one}/people", **people).status_code == 303
    late = browser.post(f"{one}/people", **{**people, "version": version(browser.get(f"{one}/people").text), "hours-tue": "18-9"})
    assert late.status_code == 422
    assert re.findall('id="hours-(...)-problem"', late.text) == ["tue"], "only the day that cannot be read"
    assert "18-9" in late.text
    model = {"version": version(browser.get(f"{one}/model").text), "temperature": "0,2", "max_tokens": "300"}
    model |= {
        "model-0": "large",
        "url-0": "https://ai.example/v1",
        "key-0": "sk-1",
        "model-1": "small",
        "fallback_message": "Later.",
    }
    saved = browser.post(f"{one}/model", **model)
    assert saved.status_code == 303
    assert "sk-1" not in browser.get(f"{one}/model").text
    row = db.row(Chatbot.select().where(Chatbot.id == bot_id))
    assert row is not None
    assert row["allowed_origins"] == ["https://shop.example"]
    assert row["opening_hours"] == {"mon": [["09:00", "12:00"], ["13:00", "17:30"]]}
    assert (row["model"], row["temperature"], row["fallback_hands_over"]) == ("large", pytest.approx(0.2), False)
    assert db.scalar(ChatbotProvider.select(ChatbotProvider.model).where(ChatbotProvider.chatbot == bot_id)) == "small"
    assert browser.post(f"{one}/delete").status_code == 303
    assert browser.get(f"{one}/answers").status_code == 404
    done = {row["action"] for row in db.rows(AuditEntry.select().where(AuditEntry.subject == "chatbot"))}
    assert done == {"chatbot.created", "chatbot.changed", "chatbot.deleted"}


def test_the_second_of_two_saves_is_told_and_loses_nothing(app: Flask, world: World) -> None:
    page = f"/desk/c/{world.customer}/chatbots/{world.chatbot}/answers"
    one, two = Visitor(app, person("owner", world.customer, "One")), Visitor(app, person("owner", world.customer, "Two"))
    seen = version(one.get(page).text)
    form = {"version": seen, "no_answer_message": "No.", "unsupported_message": "?", "debounce_seconds": "0"}
    assert one.post(page, **form, name="First", system_prompt="You are brief.").status_code == 303
    lost = two.post(page, **form, name="Second", system_prompt="You are long.")
    assert lost.status_code == 409
    assert "You are long." in lost.text
    assert db.scalar(Chatbot.select(Chatbot.name).where(Chatbot.id == world.chatbot)) == "First"
    again = {**form, "version": version(lost.text)}
    assert two.post(page, **again, name="Second", system_prompt="You are long.").status_code == 303
    world.say()
    world.drain()
    assert "has conversations" in one.post(page.replace("/answers", "/delete")).text


def test_each_answer_of_a_test_says_what_it_is_made_of(app: Flask, world: World, simulator: Simulator) -> None:
    browser, one = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/chatbots/{world.chatbot}"
    assert "Ask something in the chat" in browser.get(f"{one}/test").text
    assert browser.post(f"{one}/test", section="model").location.endswith("/model#test")
    token = re.search(r'data-token="([^"]+)"', browser.get(f"{one}/model").text)
    assert token
    visitor = token[1].split(".")[0]
    assert visitor.startswith("w_test-")
    key = db.scalar(Chatbot.select(Chatbot.public_key).where(Chatbot.id == world.chatbot))
    headers = {"Authorization": f"Bearer {token[1]}"}
    body = {"content": "When do you ship?"}
    assert app.test_client().post(f"/api/v1/chatbots/{key}/messages", json=body, headers=headers).status_code == 202
    world.drain()
    assert db.scalar(Conversation.select(Conversation.external_user_id)) == visitor
    told = browser.get(f"{one}/test").text
    assert "Shipping" in told
    assert "used" in told
    simulator.faults([{"kind": "ai", "fault": "status", "status": 401, "times": 1}])
    app.test_client().post(f"/api/v1/chatbots/{key}/messages", json={"content": "And returns?"}, headers=headers)
    world.drain()
    world.dead_letters()
    told = browser.get(f"{one}/test").text
    assert "No model answered" in told
    assert "401" in told
    app.test_client().post(f"/api/v1/chatbots/{key}/messages", json={"content": "Hello?"}, headers=headers)
    world.drain()
    told = browser.get(f"{one}/test").text
    assert "the chatbot is silent" in told
    link = re.search(r'href="(/desk/[^"]+/conversations/\d+)"', told)
    assert link
    assert "When do you ship?" in browser.get(link[1]).text
    other = Visitor(app, person("owner", world.customer, "Two"))
    assert "Shipping" not in other.get(f"{one}/test").text


def test_a_browser_remembers_as_many_test_chats_as_its_cookie_holds(app: Flask) -> None:
    with app.test_request_context("/desk/"):
        for chatbot in range(1, 301):
            test_chat.begin(chatbot, user_id=2**31 - 1)
        serializer = SecureCookieSessionInterface().get_signing_serializer(app)
        assert serializer is not None
        assert len(serializer.dumps(dict(session))) < 2_000
        assert (bool(test_chat.token(300)), test_chat.token(1)) == (True, "")


@pytest.mark.parametrize("role", ["owner", "operator"])
def test_a_test_chat_ends_with_the_access_of_who_began_it(app: Flask, world: World, role: str) -> None:
    person("owner", world.customer, "Otto")
    person("operator", None, "Olga")
    tester = person(role, None if role == "operator" else world.customer)
    desk, one = Visitor(app, tester), f"/desk/c/{world.customer}/chatbots/{world.chatbot}"
    desk.post(f"{one}/test", section="answers")
    [token] = re.findall(r'data-token="([^"]+)"', desk.get(f"{one}/answers").text)
    key = db.scalar(Chatbot.select(Chatbot.public_key).where(Chatbot.id == world.chatbot))
    headers, api = {"Authorization": f"Bearer {token}"}, f"/api/v1/chatbots/{key}"
    widget = app.test_client()

    def answers() -> set[int]:
        asked = widget.post(f"{api}/messages", json={"content": "Hello"}, headers=headers)
        renewed, read = widget.post(f"{api}/sessions", headers=headers), widget.get(f"{api}/messages", headers=headers)
        return {asked.status_code, renewed.status_code, read.status_code}

    assert answers() == {202, 200}
    users.disable(tester.id)
    assert answers() == {403}
    users.enable(tester.id)
    assert answers() == {202, 200}
    if role == "owner":
        users.set_role(tester.id, "agent")
        assert answers() == {403}, "agents have no test chats"
