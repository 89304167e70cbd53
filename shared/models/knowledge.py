"""Knowledge bases: where their items come from, the items, and what searches find them by."""

from __future__ import annotations

from peewee import (
    SQL,
    BigIntegerField,
    BlobField,
    BooleanField,
    CompositeKey,
    FloatField,
    ForeignKeyField,
    IntegerField,
    SmallIntegerField,
    TextField,
    UUIDField,
)
from playhouse.postgres_ext import ArrayField, DateTimeTZField

from shared.models.base import Base, timestamp
from shared.models.customers import Customer


class KnowledgeBase(Base):
    """A set of items; `language` is that of an item which does not say its own."""

    customer = ForeignKeyField(Customer)
    name = TextField()
    language = TextField(default="english")
    languages = ArrayField(TextField, index=False)
    embedding_model = TextField(null=True)
    embedded_model = TextField(null=True)
    embedding_error = TextField(null=True)


class KnowledgeSource(Base):
    """A file, a page or a sitemap whose text became items."""

    knowledge_base = ForeignKeyField(KnowledgeBase)
    kind = TextField()
    location = TextField()
    language = TextField(null=True)
    sync_hours = IntegerField(null=True)
    state = TextField(default="listing")
    error = TextField(null=True)
    robots = TextField(null=True)
    removed = IntegerField(default=0)
    created_at = timestamp()
    synced_at = timestamp()
    next_sync_at = DateTimeTZField(null=True)


class KnowledgeDocument(Base):
    """One file or page of a source."""

    source = ForeignKeyField(KnowledgeSource)
    location = TextField()
    state = TextField(default="waiting")
    change = TextField(null=True)
    error = TextField(null=True)
    url = TextField(null=True)
    etag = TextField(null=True)
    last_modified = TextField(null=True)
    content_hash = TextField(null=True)
    items = IntegerField(default=0)
    items_added = IntegerField(default=0)
    items_removed = IntegerField(default=0)
    created_at = timestamp()
    updated_at = timestamp()
    superseded_job = BigIntegerField(null=True)


class KnowledgeUpload(Base):
    """An uploaded file's bytes, until its job has read them."""

    id = None  # type: ignore[assignment]  # one of each document
    document = ForeignKeyField(KnowledgeDocument, primary_key=True)
    body = BlobField()
    created_at = timestamp()


class KnowledgeItem(Base):
    """One piece of knowledge. Without a `language` it gets its base's."""

    knowledge_base = ForeignKeyField(KnowledgeBase)
    language = TextField(null=True)
    title = TextField()
    content = TextField()
    document = ForeignKeyField(KnowledgeDocument, null=True)
    is_active = BooleanField(constraints=[SQL("default true")])
    url = TextField(null=True)
    show_link = BooleanField(constraints=[SQL("default true")])
    created_at = timestamp()
    updated_at = timestamp()
    asked_in = BigIntegerField(null=True)


class KnowledgeWord(Base):
    """A word of an item, for the search. PostgreSQL writes them when an item changes."""

    id = None  # type: ignore[assignment]
    knowledge_base = ForeignKeyField(KnowledgeBase)
    word = TextField()
    knowledge_item = ForeignKeyField(KnowledgeItem)
    weight = FloatField()

    class Meta:
        """Each word once for each item."""

        primary_key = CompositeKey("knowledge_base", "word", "knowledge_item")


class KnowledgeCommonWord(Base):
    """A stem that is common in a language. scripts/migrate writes them (shared/teaching/common_words.py)."""

    id = None  # type: ignore[assignment]
    language = TextField()
    stem = TextField()
    per_million = FloatField()

    class Meta:
        """Each stem once for each language."""

        primary_key = CompositeKey("language", "stem")


class KnowledgeCommonWordList(Base):
    """Of which package, and which version of it, a language's common words are."""

    id = None  # type: ignore[assignment]
    language = TextField(primary_key=True)
    version = TextField()


class KnowledgeEmbedding(Base):
    """A vector of an item's; a table of vectors.sql, which is not everywhere. PostgreSQL reads and writes the vectors."""

    id = None  # type: ignore[assignment]
    item = ForeignKeyField(KnowledgeItem)
    model = TextField()
    part = SmallIntegerField()
    knowledge_base = ForeignKeyField(KnowledgeBase)
    text_hash = UUIDField()
    vector = TextField()

    class Meta:
        """An item has at most one vector of a model for each of its texts."""

        primary_key = CompositeKey("item", "model", "part")
