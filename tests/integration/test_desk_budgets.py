"""Budgets and prices at the desk: an owner bounds what models may cost, an operator says what they cost and has the last word."""

from __future__ import annotations

import html
import re
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask

from scripts.local.simulator.client import Simulator
from shared import db
from shared.models import AuditEntry, Budget, ModelPrice, User
from tests.builders import World
from tests.integration.desk_pages import Visitor, person, version
from tests.integration.test_budgets import ask, used
from web.app import create_app


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def stored() -> list[dict[str, Any]]:
    return db.rows(Budget.select().order_by(Budget.chatbot.asc(nulls="first")))


class Form:
    """The form of a budget, as somebody has it open."""

    def __init__(self, browser: Visitor, world: World, chatbot: int | str = "") -> None:
        self.browser, self.chatbot = browser, chatbot
        self.path = f"/desk/c/{world.customer}/usage/budget"
        self.opened = browser.get(f"{self.path}?chatbot={chatbot}").text
        self.shown = {"time_zone": "Europe/Berlin", "at_limit": "hand_over", "version": version(self.opened)}

    def save(self, **written: Any) -> Any:
        return self.browser.post(self.path, **{**self.shown, "chatbot": self.chatbot, **written})


def test_an_owner_sets_the_budgets_of_the_business_and_of_a_chatbot(app: Flask, world: World, simulator: Simulator) -> None:
    owner, usage = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/usage"
    ask(world)
    assert "all chatbots together" in owner.get(usage).text

    form = Form(owner, world)
    assert form.save().status_code == 422, "neither tokens nor money"
    wrong = form.save(tokens="many", text="kept <b>words</b>", at_limit="text")
    assert wrong.status_code == 422
    assert "kept &lt;b&gt;words" in wrong.text, "nothing that was written is lost"
    nowhere = form.save(tokens="5", time_zone="Mars/Base")
    assert (nowhere.status_code, "must be UTC or the name of a time zone" in nowhere.text) == (422, True)
    assert '<option value="America/Sao_Paulo">' in form.opened
    assert 'value="America/Sao_Paulo" ' in form.save(tokens="many", time_zone="sao Paulo").text, "a city is enough"
    assert form.save(money="9" * 400).status_code == 422
    assert form.save(tokens="1\x00", model="\x00", at_limit="cheaper_model").status_code == 400
    assert form.save(tokens="5000", money="2,50", text="not asked for").status_code == 303
    [mine] = stored()
    assert (mine["tokens"], mine["money"], mine["spent_tokens"], mine["text"]) == (5000, Decimal("2.5"), used(), None)
    assert form.save(tokens="7000").status_code == 409, "somebody has set it since the form was opened"

    of_bot = {"tokens": "10", "at_limit": "text", "text": "Call us."}
    assert Form(owner, world, world.chatbot).save(**of_bot).status_code == 303
    db.rows(Budget.update(warned_at=db.scalar("select now()")).where(Budget.id == mine["id"]))
    page, left = owner.get(usage).text, f"{5000 - used():,}"
    assert f"{used()} of 5,000 tokens are used, 0 are reserved for calls under way, {left} are left" in page
    assert "Four fifths were used" in page
    assert "most is used" in page
    assert "all chatbots together" not in page

    theirs = world.tenant()[0]
    stranger = Visitor(app, person("owner", theirs, "Zoe"))
    foreign = f"/desk/c/{theirs}/usage/budget"
    assert stranger.get(f"{foreign}?chatbot={world.chatbot}").status_code == 404
    for path, given in ((foreign, {"tokens": "1", "time_zone": "UTC", "at_limit": "hand_over"}), (f"{foreign}/remove", {})):
        assert stranger.post(path, chatbot=world.chatbot, **given).status_code == 404
    assert stranger.post(f"{foreign}/remove", chatbot="").status_code == 404
    seen = Form(owner, world, world.chatbot)
    assert seen.save(**{**of_bot, "tokens": "20"}).status_code == 303
    kept = owner.post(f"{form.path}/remove", chatbot=world.chatbot, version=seen.shown["version"])
    assert (kept.status_code, "changed this budget" in kept.text, 'value="20"' in kept.text) == (409, True, True)
    assert len(stored()) == 2
    assert owner.post(f"{form.path}/remove", chatbot=world.chatbot, version=version(kept.text)).status_code == 303
    assert [row["chatbot_id"] for row in stored()] == [None]
    assert {"budget.set", "budget.removed"} <= {row["action"] for row in db.rows(AuditEntry.select())}


@pytest.mark.parametrize(
    ("language", "written", "limit"),
    [
        *[("en", "50,000", 50_000), ("en", "1,000,000", 1_000_000), ("en", "1,5", 1.5), ("en", "1.125", 1.125)],
        *[("de", "50.000", 50_000), ("de", "1.000.000", 1_000_000), ("de", "1.5", 1.5), ("de", "1,125", 1.125)],
        *[("en", "50 000", 50_000), ("de", "50\u202f000", 50_000), ("de", "0.150", 0.15), ("en", "50,00,000", None)],
        *[("de", "1.200,50", 1_200.5), ("en", "1,200.50", 1_200.5), ("de", "1,200.50", 1_200.5), ("de", "1.20,50", None)],
    ],
)
def test_a_limit_is_what_its_writer_reads_in_it(
    app: Flask, world: World, language: str, written: str, limit: float | None
) -> None:
    owner = person("owner", world.customer)
    db.rows(User.update(language=language).where(User.id == owner.id))
    saved = Form(Visitor(app, owner), world).save(money=written)
    assert (saved.status_code, [row["money"] for row in stored()]) == ((303, [Decimal(str(limit))]) if limit else (422, []))


@pytest.mark.parametrize(
    ("at_limit", "words"), [("text", "den Text, den Kunden bekommen."), ("cheaper_model", "das Modell, das dann antwortet.")]
)
def test_what_is_missing_is_asked_for_in_the_form_s_words(app: Flask, world: World, at_limit: str, words: str) -> None:
    owner = person("owner", world.customer)
    db.rows(User.update(language="de").where(User.id == owner.id))
    refused = Form(Visitor(app, owner), world).save(tokens="50.000", at_limit=at_limit)
    assert (refused.status_code, words in refused.text, "at_limit " in refused.text) == (422, True, False)
    assert 'value="50000"' in refused.text


@pytest.mark.parametrize(("language", "shown"), [("en", "2.125"), ("de", "2,125")])
def test_a_price_that_is_saved_as_it_is_shown_stays_the_same(app: Flask, world: World, language: str, shown: str) -> None:
    user = person("operator", None)
    db.rows(User.update(language=language).where(User.id == user.id))
    operator, price = Visitor(app, user), {"base_url": "https://api.example/v1", "model": "m"}
    own = {"prompt": Decimal("2.125"), "completion": Decimal("0.5"), "minute": Decimal(0)}
    db.rows(ModelPrice.insert(**price, **own))
    page = operator.get("/desk/operate/prices?base_url=https://api.example/v1&model=m").text
    fields = {name: html.unescape(re.findall(rf'<input id="{name}".*? value="([^"]*)"', page)[0]) for name in own}
    assert operator.post("/desk/operate/prices", **price, **fields).status_code == 303
    [kept] = db.rows(ModelPrice.select())
    assert {name: kept[name] for name in own} == own
    assert f">{shown}</td>" in page


def test_the_audit_writes_amounts_as_its_reader_does(app: Flask, world: World) -> None:
    user = person("operator", None)
    db.rows(User.update(language="de").where(User.id == user.id))
    operator, price = Visitor(app, user), {"base_url": "https://api.example/v1", "model": "m", "completion": "0,6"}
    assert operator.post("/desk/operate/prices", **price, prompt="2,125").status_code == 303
    assert Form(operator, world).save(tokens="50.000", money="1.200,5").status_code == 303
    audit = operator.get("/desk/operate/audit").text
    assert [amount for amount in ("2,125", "0,6", "50.000", "1.200,5") if amount not in audit] == []


def test_an_operator_sets_prices_and_budgets_that_owners_cannot_change(app: Flask, world: World) -> None:
    operator, owner = Visitor(app, person("operator", None)), Visitor(app, person("owner", world.customer))
    assert "gpt-4o-mini" in operator.get("/desk/operate/prices").text, "asked by the world's chatbot, and without a price"
    price = {"base_url": "HTTPS://API.Example:443/v1/", "model": "m <b>1</b>", "prompt": "0,15", "completion": "0.6"}
    assert operator.post("/desk/operate/prices", **price).status_code == 303
    assert operator.post("/desk/operate/prices", **{**price, "prompt": "0.000001"}).status_code == 303
    for wrong in (
        {"prompt": ""},
        {"prompt": "nan"},
        {"prompt": "9" * 400},
        {"base_url": "shop"},
        {"base_url": "http://x/" + "y" * 1990},
    ):
        assert operator.post("/desk/operate/prices", **{**price, **wrong}).status_code == 422
    [kept] = db.rows(ModelPrice.select())
    assert (kept["base_url"], kept["prompt"]) == ("https://api.example/v1", Decimal("0.000001"))
    shown = operator.get("/desk/operate/prices", **{}).text
    assert "m &lt;b&gt;1" in shown
    assert "0.000001" in operator.get("/desk/operate/prices?base_url=https://api.example/v1&model=m <b>1</b>").text
    assert owner.post("/desk/operate/prices", **price).status_code == 403

    assert Form(operator, world).save(money="20").status_code == 303
    locked = Form(owner, world)
    assert "whoever runs the service" in locked.opened
    assert locked.save(money="2000").status_code == 409
    assert owner.post(f"{locked.path}/remove", chatbot="", version=locked.shown["version"]).status_code == 409
    seen = Form(operator, world)
    assert seen.save(money="30", is_open="1").status_code == 303
    kept = operator.post(f"{seen.path}/remove", chatbot="", version=seen.shown["version"])
    assert (kept.status_code, 'name="is_open" value="1" checked' in kept.text) == (409, True), "as it is stored"
    assert Form(owner, world).save(money="40").status_code == 303
    assert [(row["money"], row["by_operator"]) for row in stored()] == [(40, False)]

    gone = {"base_url": price["base_url"], "model": price["model"]}
    assert operator.post("/desk/operate/prices/remove", **gone).status_code == 303
    assert operator.post("/desk/operate/prices/remove", **gone).status_code == 404
    assert operator.post("/desk/operate/prices/remove", base_url="shop", model="x").status_code == 404
