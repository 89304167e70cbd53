"""An operator makes a business wait, from the list of businesses, and is told in words what cannot wait."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from shared import db
from shared.jobs import pauses
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.test_desk_words import in_german
from web.app import create_app


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def test_a_business_is_paused_and_goes_on_from_its_own_row(app: Flask, world: World) -> None:
    operator = Visitor(app, person("operator", None))
    [link] = re.findall(
        rf'href="(/desk/operate/pauses\?customer={world.customer}#new)"', operator.get("/desk/operate/customers").text
    )
    form = operator.get(link.removesuffix("#new")).text
    assert re.search(rf'<option value="{world.customer}" selected>', form)
    assert operator.post("/desk/operate/pauses", customer=world.customer, reason="unpaid").status_code == 303
    page = operator.get("/desk/operate/customers").text
    assert ">is paused</span>" in page
    assert f"pauses?customer={world.customer}" not in page
    german = Visitor(app, in_german(person("operator", None, "Otto")))
    assert ">pausiert</span>" in german.get("/desk/operate/customers").text
    operator.post(f"/desk/operate/pauses/{db.scalar('select id from pause')}/resume")
    assert ">is paused</span>" not in operator.get("/desk/operate/customers").text


def test_the_overview_says_how_long_the_oldest_of_a_paused_queue_waits(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "current", pauses.Pauses())
    operator = Visitor(app, person("operator", None))
    operator.post("/desk/operate/pauses", queue="ai-processing", reason="a fire")
    pauses.current.refresh()
    world.say()
    world.drain()
    assert [job["waits_for"] for job in world.jobs(state="delayed")] == [f"pause {db.scalar('select id from pause')}"]
    db.rows("update job set created_at = created_at - interval '3 hours' where state = 'delayed'")
    oldest = re.findall(r'data-label="Oldest">([^<]*)</td>', operator.get("/desk/operate/").text)
    assert sorted(set(oldest)) == ["3 h", "–"]


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"reason": "a fire"}, "Wählen Sie, was warten soll"),
        ({"reason": "a fire", "queue": "outgoing-messages", "channel": "telegram"}, "eine Stufe oder einen Kanal"),
        ({"reason": "a fire", "queue": "webhook-delivery", "chatbot": "{chatbot}"}, "nicht für einen allein warten"),
        ({"reason": "a fire", "customer": "999999"}, "gibt es nicht mehr"),
    ],
)
def test_what_cannot_be_paused_is_said_in_words_and_the_form_stays_filled(
    app: Flask, world: World, form: dict[str, str], problem: str
) -> None:
    operator = Visitor(app, in_german(person("operator", None)))
    answer = operator.post("/desk/operate/pauses", **{name: text.format(chatbot=world.chatbot) for name, text in form.items()})
    assert answer.status_code == 422
    assert problem in answer.text
    assert 'value="a fire"' in answer.text
    if "queue" in form:
        assert f'<option value="{form["queue"]}" selected>' in answer.text
    assert db.scalar("select count(*) from pause") == 0


def test_of_more_businesses_than_a_list_takes_each_can_be_chosen(app: Flask, world: World) -> None:
    db.rows("insert into customer (name) select 'Shop ' || number from generate_series(1000, 1500) number")
    last = db.scalar("select id from customer where name = 'Shop 1500'")
    operator = Visitor(app, person("operator", None))
    for page in ("pauses", "failures/list"):
        assert re.search(
            rf'<input id="customer"[^>]*value="{last}"', operator.get(f"/desk/operate/{page}?customer={last}").text
        ), page
    assert operator.post("/desk/operate/pauses", queue="ai-processing", customer="Shop 1500").status_code == 422, "not for all"
    assert operator.post("/desk/operate/pauses", queue="ai-processing", customer=last).status_code == 303
    assert db.scalar("select customer_id from pause") == last
