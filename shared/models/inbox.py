"""What people at the desk write for each other and for customers."""

from __future__ import annotations

from peewee import ForeignKeyField, TextField

from shared.models.base import Base, timestamp
from shared.models.conversations import Conversation
from shared.models.customers import Customer
from shared.models.people import User


class ConversationNote(Base):
    """What colleagues tell each other in a conversation."""

    conversation = ForeignKeyField(Conversation)
    user = ForeignKeyField(User, null=True)
    author = TextField()
    content = TextField()
    created_at = timestamp()
    idempotency_key = TextField(null=True)


class QuickReply(Base):
    """An answer that a business's people use often."""

    customer = ForeignKeyField(Customer)
    shortcut = TextField()
    content = TextField()
    updated_at = timestamp()
