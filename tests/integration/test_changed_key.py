"""CREDENTIALS_KEY was changed, and the key before is gone: pages and answers say what to do, and what is entered again works."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from shared import config, db
from shared.db.credentials import decrypt, encrypt
from shared.models import TelegramBot, WebhookEndpoint, WhatsappCloudAccount, WhatsappQrSession
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.test_desk_connecting import new_bot
from web.api import keys as api_keys
from web.app import create_app

_BOT_TOKEN = "987654321:AAE-simulated-token-of-a-bot"


def test_a_changed_key_is_said_and_what_is_entered_again_works(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
    config.reset()
    bot, page = new_bot(world), f"/desk/c/{world.customer}/channels"
    owner = Visitor(create_app(), person("owner", world.customer))
    assert owner.post(f"{page}/connect/telegram", chatbot_id=bot, secret=_BOT_TOKEN).status_code == 303
    db.rows(WhatsappQrSession.update(api_key=encrypt("gateway"), webhook_secret=encrypt("hook")))
    endpoint = world.endpoint(world.customer)
    db.rows(WebhookEndpoint.update(headers=encrypt('{"X-Shop": "till"}')).where(WebhookEndpoint.id == endpoint))
    key = api_keys.create(world.customer, "till")
    monkeypatch.setenv("CREDENTIALS_KEY", Fernet.generate_key().decode())
    config.reset()
    app = create_app()
    owner = Visitor(app, person("owner", world.customer, "Ada"))  # the cookie was signed with the key before, too

    for channel, chatbot in (("telegram", bot), ("whatsapp_cloud", world.chatbot), ("whatsapp_qr", world.chatbot)):
        for path in (f"{page}/{channel}/{chatbot}/checks", f"{page}/{channel}/{chatbot}?look=1"):
            checks = owner.get(path)
            assert (checks.status_code, "CREDENTIALS_KEY has changed" in checks.text) == (200, True), (path, checks.text)
    for path in ("", f"/{endpoint}", f"/{endpoint}/settings"):
        shown = owner.get(f"/desk/c/{world.customer}/webhooks{path}")
        assert shown.status_code == 200, path
    assert "cannot be read any more" in shown.text
    api = {"headers": {"Authorization": f"Bearer {key}"}}
    listed = app.test_client().get("/api/v1/webhook-endpoints", **api)
    assert [one["header_names"] for one in listed.json["data"] if one["id"] == endpoint] == [None]  # type: ignore[index]
    hook = app.test_client().post("/webhooks/telegram/987654321", json={}, headers={"X-Telegram-Bot-Api-Secret-Token": "x"})
    assert (hook.status_code, "CREDENTIALS_KEY" in hook.text) == (503, True), "Telegram sends it again"

    assert owner.post(f"{page}/telegram/{bot}/secret", secret=_BOT_TOKEN).status_code == 303
    assert owner.post(f"{page}/whatsapp_cloud/{world.chatbot}/secret", secret="EAA-new").status_code == 303
    assert "CREDENTIALS_KEY" not in owner.get(f"{page}/whatsapp_cloud/{world.chatbot}/checks").text
    assert "Everything is right" in owner.get(f"{page}/telegram/{bot}/checks").text
    secret = decrypt(db.scalar(TelegramBot.select(TelegramBot.webhook_secret)), "the bot")
    told = app.test_client().post(
        "/webhooks/telegram/987654321", json={"update_id": 1}, headers={"X-Telegram-Bot-Api-Secret-Token": secret}
    )
    assert told.status_code == 200, "Telegram was told the new secret of its webhook"
    assert decrypt(db.scalar(WhatsappCloudAccount.select(WhatsappCloudAccount.access_token)), "the number") == "EAA-new"
    changed = app.test_client().patch(
        f"/api/v1/webhook-endpoints/{endpoint}", json={"headers": [{"name": "X-Till", "value": "2"}]}, **api
    )
    assert (changed.status_code, changed.json["header_names"]) == (200, ["X-Till"])  # type: ignore[index]
