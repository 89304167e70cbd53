"""Owners connect their own accounts at the desk: what proves that an account is theirs, and what each check says."""

from __future__ import annotations

import html
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest
import requests
from flask import Flask

from scripts.local.simulator.graph_accounts import APP, WABA
from shared import config, db
from shared.channels import accounts, connecting, health
from shared.channels.outcomes import Reason
from shared.channels.whatsapp_cloud.connect import FIELDS
from shared.db.credentials import decrypt
from shared.models import AuditEntry, Chatbot, TelegramBot, WhatsappCloudAccount, WhatsappQrSession
from tests import browser as browsers
from tests.browser import Browser
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import APP_SECRET, VERIFY_TOKEN
from tests.integration.test_channel_health import release
from tests.integration.test_desk_browser import log_in
from tests.integration.test_desk_words import in_german
from tests.site import serving
from tests.waiting import until
from web.app import create_app

_SITE = "https://chat.example"
_BOT_TOKEN = "987654321:AAE-simulated-token-of-a-bot"


@pytest.fixture
def app(world: World, monkeypatch: pytest.MonkeyPatch) -> Flask:
    for name, value in (
        ("PUBLIC_URL", _SITE),
        ("WHATSAPP_APP_SECRET", APP_SECRET),
        ("WHATSAPP_VERIFY_TOKEN", VERIFY_TOKEN),
    ):
        monkeypatch.setenv(name, value)
    config.reset()
    return create_app()


def new_bot(world: World, name: str = "Nora") -> int:
    """A chatbot of the world's customer without any account."""
    bot = Chatbot.insert(customer=world.customer, name=name, fallback_message="We are busy.")
    return int(db.scalar(bot.returning(Chatbot.id)))


def subscribe(world: World, callback: str, *fields: str) -> None:
    """As an app does at Meta."""
    body = {"object": "whatsapp_business_account", "callback_url": callback, "fields": fields}
    headers = {"Authorization": f"Bearer {APP}|{APP_SECRET}"}
    requests.post(f"{world.simulator.url}/v25.0/{APP}/subscriptions", json=body, headers=headers, timeout=60).raise_for_status()


def test_a_number_is_its_owners_whose_token_meta_shows_it(app: Flask, world: World) -> None:
    owner, page, bot = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/channels", new_bot(world)
    form = {"chatbot_id": str(bot), "name": "5551000", "secret": "EAA-own", "waba_id": ""}
    assert VERIFY_TOKEN in owner.get(f"{page}/connect/whatsapp_cloud").text
    for wrong, words in (
        ({"name": "+49 170 1"}, "digits only, and not the phone number"),
        ({"secret": ""}, "Write the token"),
        ({"secret": "EAA…"}, "Write the token"),
        ({"secret": "EAA-REVOKED"}, "session has been invalidated"),
        ({"name": "5550404"}, "to nobody with this token"),
        ({"waba_id": "123x"}, "digits only, or nothing"),
    ):
        refused = owner.post(f"{page}/connect/whatsapp_cloud", **{**form, **wrong})
        assert (refused.status_code, words in refused.text) == (422, True), (wrong, refused.text)
    other = world.tenant()[1]
    taken = owner.post(f"{page}/connect/whatsapp_cloud", **{**form, "name": str(777000 + other)})
    assert (taken.status_code, "another chatbot already" in taken.text) == (409, True)
    assert owner.post(f"{page}/connect/whatsapp_cloud", **{**form, "chatbot_id": str(other)}).status_code == 404
    own = WhatsappCloudAccount.select().where(WhatsappCloudAccount.chatbot == bot)
    assert db.row(own) is None, "nothing of what was refused is stored"

    assert owner.post(f"{page}/connect/whatsapp_cloud", **form).status_code == 303
    row = db.row(own)
    assert row is not None
    assert (row["phone_number_id"], row["waba_id"]) == ("5551000", WABA), "of the account that Meta lists the number in"
    checks = f"{page}/whatsapp_cloud/{bot}/checks"
    assert "No address is entered yet" in owner.get(checks).text
    subscribe(world, "https://elsewhere.example/hook", "messages")
    assert "another address" in owner.get(checks).text
    subscribe(world, f"{_SITE}/webhooks/whatsapp/cloud", "messages")
    assert "message_template_status_update" in owner.get(checks).text
    subscribe(world, f"{_SITE}/webhooks/whatsapp/cloud", *FIELDS)
    assert "Everything is right" in owner.get(checks).text
    assert "EAA-own" not in str(db.rows(AuditEntry.select()))
    assert owner.post(f"{page}/whatsapp_cloud/{bot}/secret", secret="EAA…").status_code == 422
    assert owner.post(f"{page}/whatsapp_cloud/{bot}/secret", secret="EAA-OTHERAPP").status_code == 303
    assert "another Meta app" in owner.get(checks).text
    world.simulator.faults([{"kind": "graph_account", "fault": "status", "status": 503}])
    down = owner.post(f"{page}/whatsapp_cloud/{bot}/secret", secret="EAA-third")
    assert (down.status_code, "did not answer" in down.text) == (503, True)
    assert decrypt(db.row(own)["access_token"], "the test") == "EAA-OTHERAPP"  # type: ignore[index]  # it is there
    foreign = Visitor(app, person("owner", world.tenant()[0]))
    assert foreign.get(f"{page}/whatsapp_cloud/{bot}").status_code == 404


def test_a_business_account_is_believed_only_with_the_number_in_it(app: Flask, world: World) -> None:
    """Its templates are shown to whoever has it."""
    owner, bot = Visitor(app, person("owner", world.customer)), new_bot(world)
    form = {"chatbot_id": str(bot), "name": "5551001", "secret": "EAA-own", "waba_id": "999"}
    assert owner.post(f"/desk/c/{world.customer}/channels/connect/whatsapp_cloud", **form).status_code == 303
    stored = WhatsappCloudAccount.select(WhatsappCloudAccount.waba_id).where(WhatsappCloudAccount.chatbot == bot)
    assert db.scalar(stored) is None
    checks = owner.get(f"/desk/c/{world.customer}/channels/whatsapp_cloud/{bot}/checks").text
    assert "It is not known in which WhatsApp Business Account" in checks


def test_a_provider_that_fails_says_nothing_of_a_key_a_session_or_an_address(app: Flask, world: World) -> None:
    owner, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/channels"
    world.simulator.faults([{"kind": kind, "fault": "status", "status": 503} for kind in ("telegram", "waha")])
    down = owner.post(f"{page}/connect/telegram", chatbot_id=new_bot(world), secret=_BOT_TOKEN)
    assert (down.status_code, "did not answer" in down.text) == (503, True)
    session = f"{page}/whatsapp_qr/{world.chatbot}"
    checks = owner.get(f"{session}/checks").text
    assert ("did not answer" in checks, "does not know this session" in checks) == (True, False)
    assert owner.post(f"{session}/secret", secret="a new key").status_code == 503
    world.simulator.faults([{"kind": "waha", "fault": "status", "status": 200, "body": "<html>"}])
    checks = owner.get(f"{session}/checks").text
    assert ("did not answer" in checks, "does not know this session" in checks) == (True, False)


@pytest.mark.parametrize(
    ("channel", "kind", "answer", "status", "words"),
    [
        ("whatsapp_cloud", "graph_account", {"status": 503}, 503, "Meta antwortet mit HTTP 503."),
        ("whatsapp_cloud", "graph_account", {"status": 200, "body": "<html>"}, 503, "Meta hat eine Antwort gesandt, die"),
        ("telegram", "telegram", {"status": 429}, 503, "Telegram antwortet mit HTTP 429."),
        ("telegram", "telegram", {"status": 200, "body": "<html>"}, 503, "Telegram hat eine Antwort gesandt, die nicht"),
        ("whatsapp_qr", "waha", {"status": 503}, 503, "das Gateway antwortet mit HTTP 503."),
        ("whatsapp_qr", "waha", {"status": 200, "body": "<html>"}, 503, "das Gateway hat eine Antwort gesandt, die"),
        ("whatsapp_qr", "waha", {"fault": "reset_before"}, 503, "hat nicht geantwortet: es beendete die Verbindung"),
    ],
)
def test_a_provider_that_answers_nonsense_is_to_be_asked_again(
    app: Flask, world: World, channel: str, kind: str, answer: dict[str, object], status: int, words: str
) -> None:
    """In German, and not in the provider's name: it said no such thing."""
    owner, bot = Visitor(app, in_german(person("owner", world.customer))), new_bot(world)
    world.simulator.faults([{"kind": kind, "fault": "status", **answer}])
    form = {"chatbot_id": bot, "name": "5551000", "secret": _BOT_TOKEN, "dialect": "waha"}
    refused = owner.post(f"/desk/c/{world.customer}/channels/connect/{channel}", **form)
    text = html.unescape(refused.text)
    told = [part in text for part in ("in einer Minute noch einmal", words, "Der Anbieter sagt")]
    assert (refused.status_code, told) == (status, [True, True, False]), text
    assert _BOT_TOKEN not in text
    assert accounts.find(world.customer, channel, bot) is None


def test_who_clicks_connect_twice_is_not_told_that_the_page_is_gone(app: Flask, world: World) -> None:
    owner, bot = Visitor(app, person("owner", world.customer)), new_bot(world)
    page = f"/desk/c/{world.customer}/channels/connect/telegram"
    assert owner.post(page, chatbot_id=bot, secret=_BOT_TOKEN).status_code == 303
    again = owner.post(page, chatbot_id=bot, secret=_BOT_TOKEN)
    assert (again.status_code, "has an account here by now" in again.text) == (409, True)


def test_an_operator_who_names_an_account_keeps_what_was_typed(app: Flask, world: World) -> None:
    operator, bot = Visitor(app, person("operator", None)), new_bot(world)
    page = f"/desk/c/{world.customer}/channels/name"
    wrong = {"chatbot_id": bot, "name": "my shop!", "dialect": "evolution", "secret": "key-of-a-gateway"}
    refused = operator.post(f"{page}/whatsapp_qr", **wrong)
    kept = [f'<option value="{bot}" selected>', 'value="my shop!"', '<option value="evolution" selected>']
    assert (refused.status_code, [one in refused.text for one in kept]) == (422, [True] * 3)
    assert refused.text.count("my shop!") == 1, "not in the other form"
    assert "key-of-a-gateway" not in refused.text
    refused = operator.post(f"{page}/whatsapp_cloud", chatbot_id=bot, name="+49 170", secret="EAA-secret")
    assert ('value="+49 170"' in refused.text, "EAA-secret" in refused.text) == (True, False)


def test_a_disconnected_account_is_free_and_what_waited_for_it_fails(app: Flask, world: World) -> None:
    owner, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/channels"
    bot = new_bot(world)
    assert owner.post(f"{page}/connect/telegram", chatbot_id=bot, secret=_BOT_TOKEN).status_code == 303
    found = accounts.find(world.customer, "telegram", bot)
    assert found is not None
    assert owner.post(f"{page}/telegram/{bot}/disconnect").status_code == 303
    assert db.row(TelegramBot.select()) is None
    assert connecting.disconnect(found), "somebody else did so at the same moment"
    second = new_bot(world, "Otto")
    assert owner.post(f"{page}/connect/telegram", chatbot_id=second, secret=_BOT_TOKEN).status_code == 303
    refused = owner.post(f"{page}/telegram/{second}/secret", secret="123456:AAE-simulated-token-of-another")
    assert (refused.status_code, "of another bot" in refused.text) == (422, True)
    assert owner.post(f"{page}/connect/telegram", chatbot_id=bot, secret=_BOT_TOKEN).status_code == 409

    world.say("When do you ship?", channel="whatsapp_cloud", user="4917012345")
    account = accounts.find(world.customer, "whatsapp_cloud", world.chatbot)
    assert account is not None
    health.report(account, health.NEEDS_LOGIN, Reason.TOKEN_INVALID)
    world.drain()
    assert accounts.overview(world.customer)[0]["held_replies"] == 1
    assert owner.post(f"{page}/whatsapp_cloud/{world.chatbot}/disconnect").status_code == 303
    release(world)
    world.dead_letters()
    assert db.scalar("select status from message where role = 'assistant'") == "FAILED"


@contextmanager
def hanging() -> Iterator[tuple[str, list[socket.socket]]]:
    """A gateway that takes calls and never answers; its address, and the calls."""
    calls: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            with suppress(OSError):
                while True:
                    calls.append(listener.accept()[0])

        threading.Thread(target=take, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", calls
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for call in calls:
                call.close()


def test_a_gateway_that_hangs_for_one_business_keeps_no_other_waiting(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer, bot = world.tenant()
    owner, other = person("owner", world.customer), Visitor(app, person("owner", customer))
    visitors = [Visitor(app, owner) for _ in range(3)]
    with hanging() as (url, calls), ThreadPoolExecutor(3) as pool:
        monkeypatch.setenv("WHATSAPP_QR_SERVICE_URL", url)
        monkeypatch.setenv("HTTP_TIMEOUT_SECONDS", "60")
        config.reset()
        page = f"/desk/c/{world.customer}/channels/whatsapp_qr/{world.chatbot}/checks"
        asked = [pool.submit(visitor.get, page) for visitor in visitors]
        until(lambda: len(calls) + sum(one.done() for one in asked) == 3)
        answer = other.get(f"/desk/c/{customer}/channels/whatsapp_cloud/{bot}/checks")
        for call in calls:
            call.close()
        assert sorted(one.result(60).status_code for one in asked) == [200, 503, 503]
    assert answer.status_code == 200


@pytest.mark.parametrize(("channel", "form"), [("telegram", {"secret": _BOT_TOKEN}), ("whatsapp_qr", {"dialect": "waha"})])
def test_an_account_and_its_audit_row_commit_together(app: Flask, world: World, channel: str, form: dict[str, str]) -> None:
    owner, page, bot = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/channels", new_bot(world)
    connect, account = f"{page}/connect/{channel}", f"{page}/{channel}/{bot}"
    with refused(connecting.CONNECTED):
        assert owner.post(connect, chatbot_id=bot, **form).status_code == 500
    assert accounts.find(world.customer, channel, bot) is None
    assert owner.post(connect, chatbot_id=bot, **form).status_code == 303
    with refused(connecting.DISCONNECTED):
        assert owner.post(f"{account}/disconnect").status_code == 500
    assert accounts.find(world.customer, channel, bot) is not None
    if channel == "telegram":
        before = db.scalar(TelegramBot.select(TelegramBot.token))
        with refused(connecting.SECRET_REPLACED):
            assert owner.post(f"{account}/secret", secret=_BOT_TOKEN).status_code == 500
        assert db.scalar(TelegramBot.select(TelegramBot.token)) == before
    assert owner.post(f"{account}/disconnect").status_code == 303
    told = db.rows(AuditEntry.select(AuditEntry.action).where(AuditEntry.subject == "channel").order_by(AuditEntry.id))
    assert [row["action"] for row in told] == [connecting.CONNECTED, connecting.DISCONNECTED]


@contextmanager
def refused(action: str) -> Iterator[None]:
    """No audit row of this action can be written."""
    db.rows(f"alter table audit_entry add constraint refused check (action <> '{action}') not valid")
    try:
        yield
    finally:
        db.rows("alter table audit_entry drop constraint refused")


def test_a_gateway_that_makes_no_session_leaves_nothing_behind(app: Flask, world: World) -> None:
    owner, page, bot = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/channels", new_bot(world)
    world.simulator.faults([{"kind": "waha", "fault": "status", "status": 503, "times": 1}])
    form = {"chatbot_id": str(bot), "dialect": "waha"}
    assert owner.post(f"{page}/connect/whatsapp_qr", **form).status_code == 503
    assert accounts.find(world.customer, "whatsapp_qr", bot) is None
    asked = [one["path"] for one in world.simulator.record("waha")]
    assert len(asked) == 2, "the second call deletes what the first one may have made"
    assert owner.post(f"{page}/connect/whatsapp_qr", **form).status_code == 303
    world.simulator.faults([{"kind": "waha", "fault": "status", "status": 404, "times": 1}])
    checks = owner.get(f"{page}/whatsapp_qr/{bot}/checks").text
    assert "does not know this session any longer" in checks, "who died before the gateway was asked is told what to do"
    assert owner.post(f"{page}/whatsapp_qr/{bot}/disconnect").status_code == 303
    assert owner.post(f"{page}/connect/whatsapp_qr", **form).status_code == 303


@pytest.mark.skipif(bool(browsers.missing()), reason=f"no browser: {browsers.missing()}")
def test_an_owner_connects_each_of_the_three_in_a_browser(browser: Browser, app: Flask, world: World) -> None:
    bot, owner = new_bot(world), person("owner", world.customer)
    subscribe(world, f"{_SITE}/webhooks/whatsapp/cloud", *FIELDS)
    with serving(app) as site:
        log_in(browser, site, owner)
        page = f"{site.url}/desk/c/{world.customer}/channels"

        browser.open(f"{page}/connect/telegram")
        browser.run("document.querySelector('#secret').focus()")
        browser.type(_BOT_TOKEN + "\n")
        browser.until("document.querySelector('#checks [role=status]')?.textContent.includes('Everything is right')")
        assert browser.texts(".step.done h3") == ["The token is accepted: yes", "Messages come to this server: yes"]

        browser.open(f"{page}/connect/whatsapp_cloud")
        browser.run("document.querySelector('#name').value = '5551000'; document.querySelector('#secret').focus()")
        browser.type("EAA-own\n")
        browser.until("document.querySelectorAll('#checks .step.done').length === 5")

        for dialect in ("waha", "evolution"):
            browser.open(f"{page}/connect/whatsapp_qr")
            browser.run("document.querySelector('#dialect').value = arguments[0]", dialect)
            browser.press("Show the code")
            shown = "(image => image?.complete && image.naturalWidth > 0)(document.querySelector('.qr-code'))"
            browser.until(shown)
            assert "Waiting for the phone" in browser.texts("#checks [role=status]")[0]
            assert "connected once the phone has read the code" in browser.texts("main")[0]
            browser.until("document.querySelectorAll('#checks .step.done').length === 2")
            row = db.row(WhatsappQrSession.select().where(WhatsappQrSession.chatbot == bot))
            assert row is not None
            assert (row["dialect"], row["state"]) == (dialect, "connected")
            browser.press("Disconnect")
            browser.run("document.querySelector('#disconnect form').requestSubmit()")
            browser.until("location.pathname.endsWith('/channels')")
            deleted = [one["path"] for one in world.simulator.record(dialect) if one["key"] == row["session_name"]]
            assert deleted, "the gateway's session is gone as well"
        assert [entry for entry in browser.log() if "Content Security Policy" in entry] == []
