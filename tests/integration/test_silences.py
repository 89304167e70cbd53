"""What keeps customers from an answer: its owner is told at the desk, and the operator whom it concerns."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from shared import config, db
from shared.broker.redis_broker import get_broker
from shared.budgets import budgets
from shared.budgets.budgets import BudgetSchema
from shared.channels import accounts, health
from shared.channels.outcomes import Reason
from shared.operations import pauses
from shared.payloads import check
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.test_budgets import ask
from tests.integration.test_widget_files import PNG
from tests.integration.widget_page import Page, key_of
from web import turned_away
from web.app import create_app

LINK = "Not all customers get an answer."


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def told(owner: Visitor, customer: int) -> list[str]:
    """The notices of the page, without their marks."""
    page = owner.get(f"/desk/c/{customer}/chatbots").text
    found = re.findall(r'<div class="notice \w*" role="note">(.*?)</div>', page, re.DOTALL)
    return [" ".join(re.sub("<[^>]+>", " ", notice).split()) for notice in found]


def limited(monkeypatch: pytest.MonkeyPatch, **limits: str) -> None:
    for name, value in limits.items():
        monkeypatch.setenv(name, value)
    config.reset()


def test_an_owner_is_told_that_visitors_are_turned_away_and_what_to_do(
    app: Flask, client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, WIDGET_CHATBOT_MESSAGES_PER_MINUTE="2")
    owner = Visitor(app, person("owner", world.customer))
    assert told(owner, world.customer) == []
    page = Page(client, key_of(world.chatbot))
    assert [page.say().status_code for _ in range(4)] == [202, 202, 429, 429]

    [notice] = told(owner, world.customer)
    assert "all visitors together wrote more than 2 messages in a minute" in notice
    assert "2 times" in notice
    assert "ask whoever runs the service to raise the limit" in notice
    for path in ("inbox", "usage"):
        assert LINK in owner.get(f"/desk/c/{world.customer}/{path}").text, path

    other, _bot = world.tenant()
    stranger = Visitor(app, person("owner", other, "Otto"))
    assert told(stranger, other) == [], "another business hears nothing of it"
    assert LINK not in Visitor(app, person("agent", world.customer)).get(f"/desk/c/{world.customer}/inbox").text


def test_the_operator_sees_whose_visitors_are_turned_away_and_by_which_setting(
    app: Flask, client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited(monkeypatch, WIDGET_SESSIONS_PER_MINUTE="1")
    operator = Visitor(app, person("operator", None))
    assert "Nobody." in operator.get("/desk/operate/").text
    Page(client, key_of(world.chatbot))
    assert client.post(f"/api/v1/chatbots/{key_of(world.chatbot)}/sessions").status_code == 429
    page = operator.get("/desk/operate/").text
    assert "WIDGET_SESSIONS_PER_MINUTE" in page
    assert f"/desk/c/{world.customer}/chatbots#silences" in page


@pytest.mark.parametrize(
    ("limits", "refused", "reason"),
    [
        ({"WIDGET_MESSAGES_PER_MINUTE": "1"}, "say", "visitor"),
        ({"WIDGET_ADDRESS_MESSAGES_PER_MINUTE": "1"}, "say", "address"),
        ({"WIDGET_CHATBOT_MESSAGES_PER_MINUTE": "1"}, "say", "chatbot"),
        ({"WIDGET_SESSIONS_PER_MINUTE": "1"}, "begin", "sessions"),
        ({"MEDIA_QUOTA_MB": "1"}, "send", "quota"),
    ],
)
def test_each_limit_of_visitors_is_told(
    client: FlaskClient, world: World, monkeypatch: pytest.MonkeyPatch, limits: dict[str, str], refused: str, reason: str
) -> None:
    page = Page(client, key_of(world.chatbot))
    limited(monkeypatch, **limits)

    def send() -> Any:
        return page.call("post", "/files?name=a.png", data=PNG + os.urandom(600_000), headers={"Content-Type": "image/png"})

    acts = {"say": page.say, "begin": lambda: client.post(f"{page.url}/sessions"), "send": send}
    codes = [acts[refused]().status_code for _ in range(3)]
    told = turned_away.of_chatbots([world.chatbot])
    assert [one.reason for one in told] == [reason], codes
    assert told[0].count == sum(code >= 400 for code in codes)


def test_what_is_accepted_leaves_no_trace(client: FlaskClient, world: World) -> None:
    assert Page(client, key_of(world.chatbot)).say().status_code == 202
    assert list(get_broker().client.scan_iter(f"{get_broker().namespace}:turned-away:*")) == []


def test_an_owner_is_told_of_pauses_used_up_budgets_and_channels_that_are_down(app: Flask, world: World) -> None:
    owner = Visitor(app, person("owner", world.customer))
    pauses.pause(pauses.subject(queue="webhook-delivery"), "ops@example.com")
    assert told(owner, world.customer) == [], "events wait, answers do not"
    pauses.pause(pauses.subject(chatbot_id=world.chatbot), "ops@example.com", "a note of ours")
    [notice] = told(owner, world.customer)
    assert "Whoever runs the service has paused" in notice
    assert "a note of ours" not in notice
    db.rows("delete from pause")
    account = accounts.find(world.customer, "whatsapp_cloud", world.chatbot)
    assert account is not None
    health.report(account, health.NEEDS_LOGIN, Reason.TOKEN_INVALID, "Error 190")
    [notice] = told(owner, world.customer)
    assert "cannot send by WhatsApp" in notice
    health.connected(account)
    budget = {"tokens": 1, "at_limit": "hand_over"}
    budgets.set_budget(world.customer, check(BudgetSchema, "budget", budget), by_operator=True)
    ask(world)
    [notice] = told(owner, world.customer)
    assert "The budget of all chatbots together is used up: a person takes over." in notice
    assert "Ask whoever runs the service to raise it" in notice


def test_without_redis_the_pages_say_what_they_know(app: Flask, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, operator = Visitor(app, person("owner", world.customer)), Visitor(app, person("operator", None))
    turned_away.note(world.chatbot, "chatbot")
    assert len(told(owner, world.customer)) == 1
    limited(monkeypatch, REDIS_URL="redis://127.0.0.1:1/0")
    turned_away.note(world.chatbot, "chatbot")
    assert operator.get("/desk/operate/").status_code == 200
    assert owner.get(f"/desk/c/{world.customer}/chatbots").status_code == 200
