"""Chatbots, and whom they ask."""

from __future__ import annotations

from peewee import SQL, BooleanField, CompositeKey, FloatField, ForeignKeyField, IntegerField, SmallIntegerField, TextField
from playhouse.postgres_ext import ArrayField, BinaryJSONField

from shared.models.base import Base, EncryptedField, timestamp
from shared.models.customers import Customer
from shared.models.knowledge import KnowledgeBase


class Chatbot(Base):
    """Who answers: prompt, model, provider, knowledge."""

    customer = ForeignKeyField(Customer)
    name = TextField()
    knowledge_base = ForeignKeyField(KnowledgeBase, null=True)
    system_prompt = TextField()
    fallback_message = TextField()
    model = TextField()
    temperature = FloatField()
    max_tokens = IntegerField()
    provider_base_url = TextField(null=True)
    provider_api_key = EncryptedField(null=True)
    debounce_seconds = FloatField()
    created_at = timestamp()
    public_key = TextField(constraints=[SQL("default ('pk_' || replace(gen_random_uuid()::text, '-', ''))")])
    allowed_origins = ArrayField(TextField, index=False)
    unsupported_message = TextField()
    handover_message = TextField(null=True)
    no_answer_message = TextField()
    no_answer_hands_over = BooleanField()
    cite_sources = BooleanField()
    shows_typing = BooleanField(constraints=[SQL("default true")])
    provider_timeout = FloatField(null=True)
    knowledge_characters = IntegerField(null=True)
    history_characters = IntegerField(null=True)
    return_after_minutes = IntegerField()
    transcription_model = TextField(null=True)
    transcription_base_url = TextField(null=True)
    transcription_api_key = EncryptedField(null=True)
    transcription_language = TextField(null=True)
    can_see = BooleanField()
    unsupported_hands_over = BooleanField()
    no_answer_hands_over_after = SmallIntegerField()
    fallback_hands_over = BooleanField()
    opening_hours = BinaryJSONField(null=True, index=False)
    time_zone = TextField()
    closed_hands_over = BooleanField()
    closed_message = TextField(null=True)


class ChatbotProvider(Base):
    """Who is asked when a chatbot's first provider, which is the chatbot's own columns, fails. Positions are 2 to 5."""

    chatbot = ForeignKeyField(Chatbot)
    position = SmallIntegerField()
    base_url = TextField(null=True)
    api_key = EncryptedField(null=True)
    model = TextField()
    timeout = FloatField(null=True)
    temperature = FloatField(null=True)
    max_tokens = IntegerField(null=True)


class ProviderProfile(Base):
    """What a model at an address does not take."""

    base_url = TextField()
    model = TextField()
    lessons = BinaryJSONField(index=False)
    learnt_at = timestamp()

    class Meta:
        """Not a single column."""

        primary_key = CompositeKey("base_url", "model")
