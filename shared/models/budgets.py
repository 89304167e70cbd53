"""What was used, what it costs, and what may be spent."""

from __future__ import annotations

from peewee import (
    BigIntegerField,
    BooleanField,
    CompositeKey,
    DateField,
    DecimalField,
    ForeignKeyField,
    IntegerField,
    TextField,
    UUIDField,
)
from playhouse.postgres_ext import DateTimeTZField

from shared.models.base import Base, timestamp
from shared.models.chatbots import Chatbot
from shared.models.conversations import Message
from shared.models.customers import Customer


class UsageLog(Base):
    """What is charged for."""

    customer = ForeignKeyField(Customer)
    kind = TextField()
    message = ForeignKeyField(Message, null=True)
    quantity = IntegerField()
    prompt_tokens = IntegerField()
    completion_tokens = IntegerField()
    model = TextField(null=True)
    created_at = timestamp()
    chatbot_id = BigIntegerField(null=True)
    cost = DecimalField(null=True)
    counted_tokens = BigIntegerField(null=True)


class UsageDay(Base):
    """What a customer used on a day that is over."""

    id = None  # type: ignore[assignment]
    customer = ForeignKeyField(Customer)
    day = DateField()
    kind = TextField()
    chatbot_id = BigIntegerField()
    model = TextField()
    entries = BigIntegerField()
    quantity = BigIntegerField()
    prompt_tokens = BigIntegerField()
    completion_tokens = BigIntegerField()
    cost = DecimalField()
    priced = BigIntegerField()

    class Meta:
        primary_key = CompositeKey("customer", "day", "kind", "chatbot_id", "model")


class UsageCounted(Base):
    """How far a customer's days are counted."""

    id = None  # type: ignore[assignment]
    customer = ForeignKeyField(Customer, primary_key=True)
    until = DateField()


class ModelPrice(Base):
    """What a model costs for a million tokens, and for a minute of speech."""

    id = None  # type: ignore[assignment]
    base_url = TextField()
    model = TextField()
    prompt = DecimalField()
    completion = DecimalField()
    minute = DecimalField()
    is_free = BooleanField(null=True)

    class Meta:
        primary_key = CompositeKey("base_url", "model")


class Budget(Base):
    """What a customer, or one of its chatbots, may spend on models in a month."""

    customer = ForeignKeyField(Customer)
    chatbot = ForeignKeyField(Chatbot, null=True)
    tokens = BigIntegerField(null=True)
    money = DecimalField(null=True)
    time_zone = TextField()
    at_limit = TextField()
    text = TextField(null=True)
    model = TextField(null=True)
    by_operator = BooleanField()
    month = DateField()
    spent_tokens = BigIntegerField()
    spent_money = DecimalField()
    warned_at = DateTimeTZField(null=True)
    exhausted_at = DateTimeTZField(null=True)
    updated_at = timestamp()
    told_at = DateTimeTZField(null=True)
    recount_at = DateTimeTZField(null=True)


class BudgetReservation(Base):
    """The most that a call can cost whose outcome is not known yet."""

    id = UUIDField(primary_key=True)  # type: ignore[assignment]  # the caller's
    customer = ForeignKeyField(Customer)
    chatbot_id = BigIntegerField(null=True)
    message_id = BigIntegerField(null=True)
    job_id = BigIntegerField(null=True)
    claim = IntegerField(null=True)
    base_url = TextField()
    model = TextField()
    prompt_tokens = IntegerField()
    completion_tokens = IntegerField()
    seconds = IntegerField()
    money = DecimalField()
    created_at = timestamp()
