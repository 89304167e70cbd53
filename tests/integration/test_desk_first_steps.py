"""What a page says to somebody who sees it for the first time: each names the next step, and leads there."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from shared import db
from shared.channels import accounts, health
from shared.channels.outcomes import Reason
from shared.people import users as people
from shared.teaching.default_texts import default_texts
from tests.builders import World
from tests.integration.desk_pages import PASSWORD, Visitor, person
from web.app import create_app


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def test_the_first_operator_is_led_to_the_first_business(app: Flask, world: World) -> None:
    db.rows("truncate customer cascade")
    operator = Visitor(app, person("operator", None))
    assert "There is no business yet" in operator.get("/desk/operate/").text
    made = operator.post("/desk/operate/customers", name="Teahouse", plan="0")
    arrived = operator.get(made.location)
    assert "Make its first chatbot here, and invite its owner under Team." in arrived.text
    assert "No chatbot yet" in arrived.text
    assert "There is no business yet" not in operator.get("/desk/operate/").text
    team = f"/desk/c/{db.scalar('select id from customer')}/team"
    assert '<option value="owner" selected>' in operator.get(team).text, "the owner comes first"
    with_owner = operator.post(team, email="ines@shop.example", name="Ines", role="owner").text
    assert ('<option value="agent" selected>' in with_owner, 'value="Ines"' in with_owner) == (True, False)


def test_a_new_chatbot_of_a_german_page_has_no_word_in_english(app: Flask, world: World) -> None:
    texts = "select column_name from information_schema.columns where table_name = 'chatbot' and column_default ~ '^''[A-Z].* '"
    assert {row["column_name"] for row in db.rows(texts)} == default_texts("german").keys()
    owner = Visitor(app, person("owner", world.customer))
    owner.post("/desk/profile", name="Emma", language="de")
    made = owner.post(f"/desk/c/{world.customer}/chatbots", name="Rosa")
    assert "Antworte kurz" in owner.get(made.location).text


def test_a_new_chatbot_leads_to_its_knowledge(app: Flask, world: World) -> None:
    owner = Visitor(app, person("owner", world.customer))
    page = owner.get(owner.post(f"/desk/c/{world.customer}/chatbots", name="Emma").location).text
    leads = re.search(r'<a href="([^"]+)">Teach it</a>', page)
    assert leads
    assert "Nothing in here yet" in owner.get(leads[1]).text


def test_a_channel_that_cannot_send_leads_to_its_own_page(app: Flask, world: World) -> None:
    account = accounts.find(world.customer, "whatsapp_cloud", world.chatbot)
    assert account is not None
    health.report(account, health.NEEDS_LOGIN, Reason.TOKEN_INVALID, "Error 190")
    own_page = f"/desk/c/{world.customer}/channels/whatsapp_cloud/{world.chatbot}"
    failures = Visitor(app, person("operator", None)).get("/desk/operate/failures").text
    assert failures.count(f'href="{own_page}"') == 2, "the name and a button"


def test_a_link_says_how_long_it_works(app: Flask, world: World) -> None:
    owner, team = Visitor(app, person("owner", world.customer, "Olga")), f"/desk/c/{world.customer}/team"
    invited = owner.post(team, name="Anna", email="anna@shop.example", role="agent").text
    path = "/desk/link/" + invited.split("/desk/link/")[1][:43]
    assert "It works once, within seven days" in invited
    assert Visitor(app).post(path, password=PASSWORD, again=PASSWORD).status_code == 303
    anna = people.find("anna@shop.example")
    assert anna
    assert "It works once, within an hour" in owner.post(f"{team}/{anna.id}/link").text


def test_usage_without_prices_says_who_enters_them(app: Flask, world: World) -> None:
    world.say("When do you ship?")
    world.drain()
    usage = f"/desk/c/{world.customer}/usage"
    assert "whoever runs the service has entered no price" in Visitor(app, person("owner", world.customer)).get(usage).text
    assert 'href="/desk/operate/prices">Enter prices' in Visitor(app, person("operator", None)).get(usage).text
