"""Channels and usage at the desk: health in words, a new token, a connection by an operator, and what was used."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from flask import Flask

from shared import db
from shared.budgets import prices
from shared.channels import accounts, health
from shared.channels.outcomes import Reason
from shared.config import settings
from shared.db.credentials import decrypt
from shared.models import AuditEntry, WhatsappCloudAccount, WhatsappQrSession
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from web.app import create_app


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def test_a_channel_that_is_down_says_why_and_gets_a_new_token(app: Flask, world: World) -> None:
    account = accounts.find(world.customer, "whatsapp_cloud", world.chatbot)
    assert account is not None
    health.report(account, health.NEEDS_LOGIN, Reason.TOKEN_INVALID, "Error <b>190</b>")
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/channels"
    shown = browser.get(page).text
    assert "has to be connected again" in shown
    assert "Error &lt;b&gt;190" in shown
    one = f"{page}/whatsapp_cloud/{world.chatbot}"
    assert browser.post(f"{one}/secret", secret=" ").status_code == 422
    refused = browser.post(f"{one}/secret", secret="EAA-REVOKED")
    assert refused.status_code == 422
    assert "session has been invalidated" in refused.text, "Meta's own words"
    assert browser.post(f"{one}/secret", secret="EAA-new").status_code == 303
    assert "has to be connected again" not in browser.get(page).text
    stored = WhatsappCloudAccount.select(WhatsappCloudAccount.access_token).where(WhatsappCloudAccount.chatbot == world.chatbot)
    assert decrypt(str(db.scalar(stored)), "the test") == "EAA-new"
    assert "EAA-new" not in str(db.rows(AuditEntry.select()))
    foreign = world.tenant()[1]
    assert browser.post(f"{page}/whatsapp_cloud/{foreign}/secret", secret="mine").status_code == 404


def test_the_website_is_one_of_the_channels_to_connect(app: Flask, world: World) -> None:
    owner = Visitor(app, person("owner", world.customer))
    page = owner.get(f"/desk/c/{world.customer}/channels").text
    [to_connect] = re.findall("<h2>Connect a channel</h2>(.*?)</section>", page, re.DOTALL)
    websites = f"/desk/c/{world.customer}/chatbots"
    assert re.findall(r'href="([^"]+)"', to_connect)[0] == f"{websites}/{world.chatbot}/website"
    db.rows("insert into chatbot (customer_id, name) values (%s, 'Second')", [world.customer])
    page = owner.get(f"/desk/c/{world.customer}/channels").text
    assert f'href="{websites}"' in page.partition("<h2>Connect a channel</h2>")[2], "the owner says which"


def test_an_operator_connects_a_session_and_nobody_takes_anothers_number(app: Flask, world: World) -> None:
    page = f"/desk/c/{world.customer}/channels"
    owner, operator = Visitor(app, person("owner", world.customer)), Visitor(app, person("operator", None))
    form = {"chatbot_id": str(world.chatbot), "name": "shop-1", "dialect": "evolution", "secret": "key"}
    assert owner.post(f"{page}/name/whatsapp_qr", **form).status_code == 403
    assert operator.post(f"{page}/name/whatsapp_qr", **{**form, "name": "shop 1"}).status_code == 422
    made = operator.post(f"{page}/name/whatsapp_qr", **form)
    assert "/webhooks/whatsapp/qr/shop-1" in made.text
    session = db.row(WhatsappQrSession.select().where(WhatsappQrSession.chatbot == world.chatbot))
    assert session is not None
    assert (session["session_name"], session["dialect"]) == ("shop-1", "evolution")
    assert decrypt(session["webhook_secret"], "the test") in made.text
    other = world.tenant()[1]
    taken = operator.post(f"{page}/name/whatsapp_cloud", **{**form, "name": str(777000 + other)})
    assert taken.status_code == 422
    assert "another chatbot" in taken.text
    assert operator.post(f"{page}/name/whatsapp_qr", **{**form, "chatbot_id": str(other)}).status_code == 404


def test_usage_shows_the_days_their_chatbots_and_models(app: Flask, world: World) -> None:
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/usage"
    assert "Nothing used" in browser.get(page).text
    world.say()
    world.drain()
    tokens = db.scalar("select sum(prompt_tokens + completion_tokens) from usage_log")
    shown = browser.get(f"{page}?days=7").text
    assert f"most on a day: {tokens:,}".replace(",", " ") in shown
    assert shown.count('<rect class="bar"') == 7
    assert "<b>Bot</b>" in shown
    prices.set_price(settings().openai_base_url, "gpt-4o-mini", Decimal(15), Decimal(60))
    world.say()
    world.drain()
    cost = db.scalar("select sum(cost) from usage_log")
    assert 0 < cost < 0.01
    assert f'<li class="tile"><b>{float(cost):.2g}</b>' in browser.get(page).text, "and not 0.00"
    other = world.tenant()[0]
    assert "Nothing used" in Visitor(app, person("owner", other)).get(f"/desk/c/{other}/usage").text
