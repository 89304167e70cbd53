"""The ledger, and what operators see and do about it."""

from __future__ import annotations

from peewee import (
    BigIntegerField,
    BooleanField,
    CompositeKey,
    FloatField,
    ForeignKeyField,
    IntegerField,
    SmallIntegerField,
    TextField,
)
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField

from shared.models.base import Base, timestamp
from shared.models.chatbots import Chatbot
from shared.models.customers import Customer


class Job(Base):
    """A row of the ledger. It outlives what it names, so its ids are no foreign keys."""

    queue = TextField()
    state = TextField()
    priority = SmallIntegerField()
    payload = BinaryJSONField(index=False)
    ordering_key = TextField(null=True)
    held = BooleanField()
    dedup_key = TextField(null=True)
    customer_id = BigIntegerField(null=True)
    message_id = BigIntegerField(null=True)
    webhook_event_id = BigIntegerField(null=True)
    attempts = IntegerField()
    claims = IntegerField()
    lost_claims = IntegerField()
    outcome_unknown_since = DateTimeTZField(null=True)
    last_error = TextField(null=True)
    last_traceback = TextField(null=True)
    claimed_by = TextField(null=True)
    lease_until = DateTimeTZField(null=True)
    run_at = DateTimeTZField(null=True)
    created_at = timestamp()
    started_at = DateTimeTZField(null=True)
    closed_at = DateTimeTZField(null=True)
    waits_for = TextField(null=True)


class BulkAction(Base):
    """Something done to many rows at a pace (shared/operations/bulk_actions.py)."""

    kind = TextField()
    name = TextField(null=True)
    customer = ForeignKeyField(Customer, null=True)
    filter = BinaryJSONField(index=False)
    until = timestamp()
    total = IntegerField()
    counts = BinaryJSONField(default=dict, index=False)
    pace = FloatField()
    position = BigIntegerField(default=0)
    stepped_at = timestamp()
    state = TextField(default="running")
    created_by = TextField()
    created_at = timestamp()
    stopped_by = TextField(null=True)
    finished_at = DateTimeTZField(null=True)


class DeadLetter(Base):
    """A job that failed for good; PostgreSQL writes it when the job is closed. It outlives what it names."""

    job_id = BigIntegerField()
    queue = TextField()
    channel = TextField(null=True)
    error_code = TextField()
    error = TextField()
    customer = ForeignKeyField(Customer, null=True)
    chatbot_id = BigIntegerField(null=True)
    conversation_id = BigIntegerField(null=True)
    message_id = BigIntegerField(null=True)
    webhook_event_id = BigIntegerField(null=True)
    endpoint_id = BigIntegerField(null=True)
    attempts = IntegerField()
    outcome_unknown = BooleanField()
    failures = IntegerField(default=1)
    began_at = DateTimeTZField()
    failed_at = timestamp()
    state = TextField(default="open")
    changed_by = TextField(null=True)
    changed_at = DateTimeTZField(null=True)
    bulk_action = ForeignKeyField(BulkAction, null=True)


class QueueMinute(Base):
    """What a queue did in a minute."""

    id = None  # type: ignore[assignment]
    queue = TextField()
    minute = DateTimeTZField()
    completed = IntegerField()
    failed = IntegerField()
    wait_seconds = FloatField()
    longest_wait = FloatField()

    class Meta:
        """Not a single column."""

        primary_key = CompositeKey("minute", "queue")


class Pause(Base):
    """What is not worked on for now (shared/operations/pauses.py)."""

    queue = TextField(null=True)
    chatbot = ForeignKeyField(Chatbot, null=True)
    customer = ForeignKeyField(Customer, null=True)
    reason = TextField(null=True)
    created_by = TextField()
    created_at = timestamp()


class PauseRelease(Base):
    """How the jobs of a pause that has ended leave, while some are still parked."""

    id = None  # type: ignore[assignment]
    pause_id = BigIntegerField(primary_key=True)
    pace = FloatField()
    next_at = DateTimeTZField()


class Readiness(Base):
    """The one row that each /readyz writes."""

    id = SmallIntegerField(primary_key=True)
    checked_at = timestamp()
