"""Who writes to a chatbot, what is written, and what came of it."""

from __future__ import annotations

from peewee import BigIntegerField, BooleanField, CompositeKey, ForeignKeyField, IntegerField, SmallIntegerField, TextField
from playhouse.postgres_ext import ArrayField, BinaryJSONField, DateTimeTZField

from shared.models.base import Base, timestamp
from shared.models.chatbots import Chatbot
from shared.models.customers import Customer
from shared.models.knowledge import KnowledgeBase, KnowledgeItem


class Contact(Base):
    """A person who writes to a chatbot."""

    chatbot = ForeignKeyField(Chatbot)
    name = TextField(null=True)
    created_at = timestamp()
    updated_at = timestamp()


class ContactIdentity(Base):
    """A name by which a family of channels knows a person."""

    id = None  # type: ignore[assignment]  # chatbot, family and name are the key
    contact = ForeignKeyField(Contact, backref="identities")
    chatbot_id = BigIntegerField()
    family = TextField()
    name = TextField()
    created_at = timestamp()
    left_at = DateTimeTZField(null=True)
    lookups = SmallIntegerField()
    lookup_at = DateTimeTZField(null=True)

    class Meta:
        primary_key = CompositeKey("chatbot_id", "family", "name")


class Conversation(Base):
    """One person on one channel of a chatbot."""

    chatbot = ForeignKeyField(Chatbot)
    channel = TextField()
    external_user_id = TextField()
    created_at = timestamp()
    updated_at = timestamp()
    revision = BigIntegerField()
    braked_until = DateTimeTZField(null=True)
    brakes = SmallIntegerField(default=0)
    handed_over_at = DateTimeTZField(null=True)
    handover_reason = TextField(null=True)
    window_ends_at = DateTimeTZField(null=True)
    owner = TextField()
    owner_since = DateTimeTZField(null=True)
    returns_at = DateTimeTZField(null=True)
    return_after_minutes = IntegerField(null=True)
    contact = ForeignKeyField(Contact, null=True)
    context_after = BigIntegerField(null=True)
    active_at = timestamp()
    assigned_to_id = BigIntegerField(null=True, column_name="assigned_to")
    handoff_told_at = DateTimeTZField(null=True)
    is_test = BooleanField(null=True)


class MergedConversation(Base):
    """The id of a conversation that has become a part of another one."""

    id = BigIntegerField(primary_key=True)
    conversation = ForeignKeyField(Conversation, on_delete="CASCADE")


class Message(Base):
    """What a user, the assistant or a person of the business wrote. `chatbot` and `channel` are the conversation's."""

    conversation = ForeignKeyField(Conversation)
    chatbot = ForeignKeyField(Chatbot)
    channel = TextField()
    role = TextField()
    content = TextField()
    status = TextField()
    external_id = TextField(null=True)
    reply_to = ForeignKeyField("self", null=True, column_name="reply_to")
    attempts = IntegerField()
    error = TextField(null=True)
    metadata = BinaryJSONField(index=False)
    created_at = timestamp()
    updated_at = timestamp()
    revision = BigIntegerField(null=True)
    idempotency_key = TextField(null=True)
    kind = TextField(default="text")
    sent_at = DateTimeTZField(null=True)
    data = BinaryJSONField(default=dict, index=False)
    address = TextField(null=True)
    edited_at = DateTimeTZField(null=True)
    revoked_at = DateTimeTZField(null=True)
    part_ids = ArrayField(TextField, null=True, index=False)


class Media(Base):
    """A picture, voice note or file that a message came with."""

    customer = ForeignKeyField(Customer)
    message = ForeignKeyField(Message)
    position = SmallIntegerField()
    kind = TextField()
    mime = TextField(null=True)
    filename = TextField(null=True)
    size = BigIntegerField(null=True)
    sha256 = TextField(null=True)
    source = BinaryJSONField(index=False)
    state = TextField(default="waiting")
    storage_key = TextField(null=True)
    text = TextField(null=True)
    error = TextField(null=True)
    created_at = timestamp()


class MediaFile(Base):
    """A file of the storage: each once for a customer."""

    id = None  # type: ignore[assignment]
    customer_id = BigIntegerField()
    sha256 = TextField()
    size = BigIntegerField()
    wanted_at = timestamp()
    deleting_at = DateTimeTZField(null=True)

    class Meta:
        """The same bytes are the same file."""

        primary_key = CompositeKey("customer_id", "sha256")


class KnowledgeGap(Base):
    """A question that a bot had no good answer to."""

    knowledge_base = ForeignKeyField(KnowledgeBase)
    chatbot = ForeignKeyField(Chatbot)
    message = ForeignKeyField(Message)
    question = TextField()
    language = TextField()
    words = ArrayField(TextField, index=False)
    reason = TextField()
    created_at = timestamp()
    closed_at = DateTimeTZField(null=True)
    knowledge_item = ForeignKeyField(KnowledgeItem, null=True)


class ParkedStatus(Base):
    """A status that came before its message's id was known."""

    provider_id = TextField()
    status = TextField()
    error = TextField(null=True)
    received_at = timestamp()
    chatbot = ForeignKeyField(Chatbot, null=True)
    error_code = TextField(null=True)


class ParkedChange(Base):
    """What was done to a message that has not come yet."""

    id = None  # type: ignore[assignment]  # chatbot, channel and the message's id are the key
    chatbot = ForeignKeyField(Chatbot)
    channel = TextField()
    external_id = TextField()
    names = ArrayField(TextField)
    content = TextField(null=True)
    data = BinaryJSONField(default=dict)
    changed_at = DateTimeTZField()
    received_at = timestamp()
    payload = BinaryJSONField(null=True)
    by_colleague = BooleanField(default=False)

    class Meta:
        """Not a single column."""

        primary_key = CompositeKey("chatbot", "channel", "external_id")


class ParkedReaction(Base):
    """A reaction to a message that has not come yet."""

    id = None  # type: ignore[assignment]  # chatbot, channel and the message's id are the key
    chatbot = ForeignKeyField(Chatbot)
    channel = TextField()
    external_id = TextField()
    emoji = TextField()
    received_at = timestamp()

    class Meta:
        """Not a single column."""

        primary_key = CompositeKey("chatbot", "channel", "external_id")


class OpenPage(Base):
    """A conversation whose widget is open now."""

    id = None  # type: ignore[assignment]  # its topic is the key
    topic = TextField(primary_key=True)
    open_until = DateTimeTZField()


class ReplyDraft(Base):
    """The reply that is being written in a conversation."""

    id = None  # type: ignore[assignment]  # its conversation is the key
    conversation = ForeignKeyField(Conversation, primary_key=True, on_delete="CASCADE")
    reply_to_id = BigIntegerField(column_name="reply_to")
    text = TextField()
    updated_at = timestamp()


class Tombstone(Base):
    """A keyed hash of an erased person's name, or of the id of one of their messages."""

    id = None  # type: ignore[assignment]  # its mark is the key
    mark = TextField(primary_key=True)
    message_id = BigIntegerField(null=True)
    erased_at = DateTimeTZField()
