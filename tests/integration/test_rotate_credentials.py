"""scripts/keys rotate-credentials: every stored secret under the newest key, while the system works, as often as one likes."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from cryptography.fernet import Fernet
from peewee import fn

from scripts.commands import keys
from shared import config, db
from shared.db import credentials
from shared.errors import PermanentError
from shared.jobs import stored_secrets
from shared.models import TABLES, Chatbot, ChatbotProvider, WebhookEndpoint, encrypted_fields
from tests.builders import World

COLUMNS = (
    "Chatbot.provider_api_key",
    "Chatbot.transcription_api_key",
    "ChatbotProvider.api_key",
    "WhatsappCloudAccount.access_token",
    "WhatsappQrSession.api_key",
    "WhatsappQrSession.webhook_secret",
    "WebhookEndpoint.secret",
    "WebhookEndpoint.headers",
    "WebhookEndpoint.old_secret",
    "WebhookEarlierSecret.secret",
)


@pytest.fixture
def stored(world: World) -> dict[str, str]:
    """A tenant with a secret of each kind, encrypted with the key of today."""
    world.endpoint(world.customer)
    own = {"provider_base_url": "https://ai.example/v1", "provider_api_key": ""}
    own |= {"transcription_base_url": "https://ai.example/v1", "transcription_api_key": ""}
    db.rows(Chatbot.update(own))  # a chatbot has both or none
    db.rows(WebhookEndpoint.update(old_secret="", old_secret_until=fn.now()))  # so has an endpoint
    db.rows("insert into webhook_earlier_secret (endpoint_id, secret, until) select id, '', now() from webhook_endpoint")
    db.rows(ChatbotProvider.insert(chatbot=world.chatbot, position=2, base_url="https://ai.example", api_key="", model="m"))
    for model in TABLES:
        for field in encrypted_fields(model):
            db.rows(model.update({field: credentials.encrypt(f"secret of {model.__name__}.{field.name}")}))
    return {column: f"secret of {column}" for column in COLUMNS}


def use(keys_now: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_KEY", keys_now)
    config.reset()


def rotate(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["keys", "rotate-credentials"])
    return keys.main()


def decrypted() -> dict[str, str]:
    """Every stored secret, by its column."""
    found: dict[str, str] = {}
    for model in TABLES:
        for field in encrypted_fields(model):
            for row in db.rows(model.select(field).where(field.is_null(False))):
                name = f"{model.__name__}.{field.name}"
                found[name] = credentials.decrypt(row[field.name], name)
    return found


def test_an_old_key_can_be_taken_away(
    stored: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = config.settings().credentials_key, Fernet.generate_key().decode()
    use(f"{new},{old}", monkeypatch)
    assert rotate(monkeypatch) == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if ": 1 encrypted again, 0 were already" in line] == [
        f"{column}: 1 encrypted again, 0 were already" for column in COLUMNS
    ]
    assert rotate(monkeypatch) == 0
    assert "Chatbot.provider_api_key: 0 encrypted again, 1 were already" in capsys.readouterr().out
    use(new, monkeypatch)
    assert decrypted() == stored
    use(old, monkeypatch)
    with pytest.raises(PermanentError, match="CREDENTIALS_KEY changed"):
        decrypted()


def test_many_rows_go_in_batches(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "BATCH", 2)
    for number in range(5):
        world.endpoint(world.customer, str(number))
    old, new = config.settings().credentials_key, Fernet.generate_key().decode()
    use(f"{new},{old}", monkeypatch)
    assert rotate(monkeypatch) == 0
    use(new, monkeypatch)
    secrets = db.rows("select secret from webhook_endpoint")
    assert len([credentials.decrypt(row["secret"], "it") for row in secrets]) == 5


def test_what_no_key_opens_is_named_and_the_rest_goes_on(
    stored: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = config.settings().credentials_key, Fernet.generate_key().decode()
    foreign = Fernet(Fernet.generate_key()).encrypt(b"secret").decode()
    db.rows("update whatsapp_cloud_account set access_token = %s", [foreign])
    use(f"{new},{old}", monkeypatch)
    assert rotate(monkeypatch) == 1
    said = capsys.readouterr()
    assert "the credentials of WhatsappCloudAccount" in said.err
    assert "keys: no key of CREDENTIALS_KEY decrypts 1 of these" in said.err
    assert "WebhookEndpoint.secret: 1 encrypted again" in said.out
    assert "secret of" not in said.out + said.err
    assert db.scalar("select access_token from whatsapp_cloud_account") == foreign


def test_a_secret_that_is_stored_meanwhile_stays(stored: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = config.settings().credentials_key, Fernet.generate_key().decode()
    use(f"{new},{old}", monkeypatch)
    with_newest_key = credentials.with_newest_key

    def slow(secret: str, whose: str) -> Any:
        db.rows("update webhook_endpoint set secret = %s", [credentials.encrypt("another")])
        return with_newest_key(secret, whose)

    monkeypatch.setattr(credentials, "with_newest_key", slow)
    assert rotate(monkeypatch) == 0
    assert decrypted() == {**stored, "WebhookEndpoint.secret": "another"}


def test_a_worker_with_the_key_of_another_database_does_not_start(
    stored: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_secrets.check_at_start()
    assert stored_secrets.newest_open() == dict.fromkeys(COLUMNS, True)
    use(Fernet.generate_key().decode(), monkeypatch)
    with pytest.raises(SystemExit, match="CREDENTIALS_KEY opens none of the secrets"):
        stored_secrets.check_at_start()


def test_who_lost_a_key_starts_again_once_a_secret_is_stored_with_the_new_one(
    stored: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(Fernet.generate_key().decode(), monkeypatch)
    db.rows(WebhookEndpoint.update(secret=credentials.encrypt("new")))
    stored_secrets.check_at_start()
    [lost] = [getattr(record, "error") for record in caplog.records if record.message == "credentials_unreadable"]  # noqa: B009
    assert lost.startswith("CREDENTIALS_KEY does not open the newest of ")
    assert "WhatsappCloudAccount.access_token" in lost
    assert "WebhookEndpoint.secret" not in lost


def test_a_database_without_secrets_or_schema_is_no_reason_not_to_start(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    db.rows("delete from whatsapp_cloud_account")
    db.rows("delete from whatsapp_qr_session")
    use(Fernet.generate_key().decode(), monkeypatch)
    stored_secrets.check_at_start()
    with db.transaction() as transaction:
        db.rows("alter table chatbot_provider rename column api_key to older")
        stored_secrets.check_at_start()
        transaction.rollback()
    assert "credentials_not_checked" in caplog.text
