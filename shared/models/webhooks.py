"""Endpoints, the events that they hear of, and each attempt to deliver one."""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, ForeignKeyField, IntegerField, SmallIntegerField, TextField
from playhouse.postgres_ext import ArrayField, BinaryJSONField, DateTimeTZField

from shared.models.base import Base, EncryptedField, timestamp
from shared.models.customers import Customer
from shared.models.people import User


class WebhookEndpoint(Base):
    """A customer's URL that hears of events."""

    customer = ForeignKeyField(Customer)
    url = TextField(null=True)
    secret = EncryptedField()
    events = ArrayField(TextField, index=False)
    active = BooleanField()
    created_at = timestamp()
    redelivery_schedule = ArrayField(IntegerField, index=False, null=True)
    description = TextField()
    chatbots = ArrayField(BigIntegerField, index=False, null=True)
    channels = ArrayField(TextField, index=False, null=True)
    headers = EncryptedField(null=True)
    rate_limit = TextField(null=True)
    paused = BooleanField()
    old_secret = EncryptedField(null=True)
    old_secret_until = DateTimeTZField(null=True)
    failing_since = DateTimeTZField(null=True)
    warned_at = DateTimeTZField(null=True)
    disabled_reason = TextField(null=True)
    url_changed_at = DateTimeTZField(null=True)


class WebhookEarlierSecret(Base):
    """A secret of an endpoint that was replaced before its `old_secret` was, and still signs."""

    endpoint = ForeignKeyField(WebhookEndpoint)
    secret = EncryptedField()
    until = DateTimeTZField()


class WebhookEvent(Base):
    """One event for one endpoint."""

    customer = ForeignKeyField(Customer)
    endpoint = ForeignKeyField(WebhookEndpoint)
    event = TextField()
    payload = BinaryJSONField(index=False)
    status = TextField()
    attempts = IntegerField()
    response_status = IntegerField(null=True)
    error = TextField(null=True)
    created_at = timestamp()
    delivered_at = DateTimeTZField(null=True)
    next_attempt_at = DateTimeTZField(null=True)
    redeliveries = SmallIntegerField()
    held = BooleanField()
    position = BigIntegerField(null=True)


class WebhookAttempt(Base):
    """A call to an endpoint. Its endpoint and customer are the event's."""

    event = ForeignKeyField(WebhookEvent)
    endpoint_id = BigIntegerField()
    customer_id = BigIntegerField()
    number = IntegerField()
    trigger = TextField()
    started_at = DateTimeTZField()
    ms = BinaryJSONField(index=False)
    status = IntegerField(null=True)
    answer = TextField(null=True)
    error_code = TextField(null=True)
    error = TextField(null=True)
    next_at = DateTimeTZField(null=True)


class EndpointNotice(Base):
    """An e-mail to an owner about an endpoint that only fails, which the mail server has not taken yet."""

    endpoint = ForeignKeyField(WebhookEndpoint)
    user = ForeignKeyField(User)
    state = TextField()
    disables_at = DateTimeTZField()
    attempts = IntegerField()
    due_at = timestamp()
    created_at = timestamp()
