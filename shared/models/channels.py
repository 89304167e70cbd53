"""Channels, a chatbot's accounts on them, and how these are."""

from __future__ import annotations

from peewee import BooleanField, CompositeKey, ForeignKeyField, IntegerField, TextField
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField

from shared.models.base import Base, EncryptedField, timestamp
from shared.models.chatbots import Chatbot


class Channel(Base):
    """A way to a customer; shared/channels/registry.py says what it can."""

    id = None  # type: ignore[assignment]  # its name is the key
    name = TextField(primary_key=True)
    send_queue = TextField(null=True)


class WhatsappBusiness(Base):
    """A business account of Meta's (WABA)."""

    id = None  # type: ignore[assignment]  # Meta's id is the key
    waba_id = TextField(primary_key=True)
    templates_synced_at = DateTimeTZField(null=True)
    templates_tried_at = DateTimeTZField(null=True)
    templates_error = TextField(null=True)


class WhatsappCloudAccount(Base):
    """A number of Meta's Cloud API."""

    chatbot = ForeignKeyField(Chatbot)
    phone_number_id = TextField()
    access_token = EncryptedField()
    active = BooleanField()
    waba_id = TextField(null=True)


class WhatsappTemplate(Base):
    """A message template as Meta has it."""

    waba_id = TextField()
    provider_id = TextField(null=True)
    name = TextField()
    language = TextField()
    status = TextField()
    category = TextField(null=True)
    quality = TextField(null=True)
    reason = TextField(null=True)
    components = BinaryJSONField(index=False)
    updated_at = timestamp()


class WhatsappQrSession(Base):
    """A phone behind a QR gateway."""

    chatbot = ForeignKeyField(Chatbot)
    session_name = TextField()
    dialect = TextField()
    api_key = EncryptedField(null=True)
    active = BooleanField()
    webhook_secret = EncryptedField(null=True)
    state = TextField()
    state_detail = TextField(null=True)
    state_at = DateTimeTZField(null=True)
    acked_at = DateTimeTZField(null=True)


class TelegramBot(Base):
    """A bot that BotFather made."""

    chatbot = ForeignKeyField(Chatbot)
    bot_id = TextField()
    username = TextField()
    token = EncryptedField()
    webhook_secret = EncryptedField()
    polling = BooleanField()
    active = BooleanField()


class ChannelHealth(Base):
    """How an account of a channel is; one without a row can send."""

    id = None  # type: ignore[assignment]  # its account is the key
    chatbot = ForeignKeyField(Chatbot)
    channel = TextField()
    state = TextField()
    reason = TextField(null=True)
    detail = TextField(null=True)
    since = DateTimeTZField()
    calls = IntegerField()
    probe_at = DateTimeTZField(null=True)
    slow_until = DateTimeTZField(null=True)

    class Meta:
        """Not a single column."""

        primary_key = CompositeKey("chatbot", "channel")


class InboundReject(Base):
    """What came in with a good signature and found no place."""

    source = TextField()
    reason = TextField()
    subject = TextField(null=True)
    payload = TextField()
    received_at = timestamp()
