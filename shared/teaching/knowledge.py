"""Bases and items: what they may be, and how they are created, changed and deleted.

Each verb is given the customer that it is for, and sees no other's rows: None is "there is no such row".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from peewee import JOIN, Case, Expression, ModelSelect, Value, fn

from shared import db
from shared.errors import Refused
from shared.models import Chatbot, KnowledgeBase, KnowledgeDocument, KnowledgeItem, KnowledgeSource, limits
from shared.payloads import Schema
from shared.teaching import fields, storing
from shared.teaching.languages import LANGUAGES, language_of

#: Characters, as in schema.sql.
MAX_TITLE, MAX_CONTENT = 500, 50_000
#: Of a title in the audit.
SHOWN = 80
#: Of the name of a chatbot or a base: what a list can show.
MAX_NAME = 200

ITEM_COUNT = KnowledgeItem.select(fn.COUNT(KnowledgeItem.id)).where(KnowledgeItem.knowledge_base == KnowledgeBase.id)
BASE = (
    KnowledgeBase.id,
    KnowledgeBase.name,
    KnowledgeBase.language,
    KnowledgeBase.embedding_model,
    KnowledgeBase.embedded_model,
    KnowledgeBase.embedding_error,
    ITEM_COUNT.alias("items"),
)
ITEM = (
    KnowledgeItem.id,
    KnowledgeItem.knowledge_base,
    KnowledgeItem.title,
    KnowledgeItem.content,
    KnowledgeItem.language,
    KnowledgeItem.url,
    KnowledgeItem.show_link,
    KnowledgeItem.is_active,
    KnowledgeItem.created_at,
    KnowledgeItem.updated_at,
)


class BaseSchema(Schema):
    """A base to be created."""

    what = "knowledge base"
    name = fields.text(MAX_NAME, required=True)
    language = fields.choice(
        *LANGUAGES,
        load_default="english",
        metadata={"description": "Of items that are too short to tell. simple: none of these."},
    )
    embedding_model = fields.text(
        MAX_NAME,
        allow_none=True,
        load_default=None,
        metadata={"description": "Whose vectors find items by what they mean as well; null: found by words alone."},
    )


class ItemSchema(Schema):
    """An item to be created."""

    what = "knowledge item"
    title = fields.text(MAX_TITLE, required=True, metadata={"description": "A question, or what the item is about."})
    content = fields.text(MAX_CONTENT, required=True)
    language = fields.choice(
        *LANGUAGES,
        allow_none=True,
        load_default=None,
        metadata={"description": "Null: the text's own, if it can be detected."},
    )
    url = fields.url(
        allow_private=lambda: True, allow_none=True, load_default=None, metadata={"description": "A page that says more."}
    )
    show_link = fields.switch(load_default=True, metadata={"description": "Whether answers may show the url."})
    is_active = fields.switch(load_default=True, metadata={"description": "false: kept, and not found."})


class BaseChangesSchema(BaseSchema):
    """What changes; what is not named stays."""

    name = fields.text(MAX_NAME)
    language = fields.choice(*LANGUAGES)
    embedding_model = fields.text(
        MAX_NAME, allow_none=True, metadata={"description": "The same one again tries once more what failed."}
    )


class ItemChangesSchema(ItemSchema):
    """What changes; what is not named stays."""

    title = fields.text(MAX_TITLE)
    content = fields.text(MAX_CONTENT)
    language = fields.choice(*LANGUAGES, allow_none=True, metadata={"description": "Null: detected again from the text."})
    url = fields.url(allow_private=lambda: True, allow_none=True)
    show_link = fields.switch()
    is_active = fields.switch()


def create_base(customer_id: int, base: dict[str, Any]) -> dict[str, Any]:
    """A new, empty base. Raises TooMany."""
    with db.transaction():
        of_customer = KnowledgeBase.select(KnowledgeBase.id).where(KnowledgeBase.customer == customer_id)
        limits.check(limits.BASES, customer_id, of_customer)
        return db.rows(KnowledgeBase.insert(customer=customer_id, **base).returning(*BASE))[0]


def change_base(customer_id: int, base_id: int, changes: dict[str, Any]) -> dict[str, Any] | None:
    """Changes what is named. Items that have its language follow a change of it."""
    own = is_own_base(customer_id, base_id)
    return db.row(
        KnowledgeBase.update(**changes).where(own).returning(*BASE) if changes else KnowledgeBase.select(*BASE).where(own)
    )


def delete_base(customer_id: int, base_id: int) -> str | None:
    """Deletes a base with its items, and returns its name; within db.patient(storing.DELETING).

    Raises Refused while a chatbot answers from it.
    """
    own = db.row(KnowledgeBase.select(KnowledgeBase.id).where(is_own_base(customer_id, base_id)))
    return None if own is None else storing.undisturbed(partial(_delete_base, base_id), base_id=base_id)


def _delete_base(base_id: int) -> str | None:
    base = db.row(KnowledgeBase.select(KnowledgeBase.name).where(KnowledgeBase.id == base_id).for_update())
    if base is None:
        return None
    bots = db.rows(Chatbot.select(Chatbot.id, Chatbot.name).where(Chatbot.knowledge_base == base_id).order_by(Chatbot.id))
    if bots:
        names = ", ".join(f"{bot['id']} ({bot['name']})" for bot in bots)
        raise Refused(f"Chatbot {names} answers from this knowledge base. Give it another one, or none, first.")
    db.rows(KnowledgeBase.delete().where(KnowledgeBase.id == base_id))
    return str(base["name"])


def create_item(customer_id: int, base_id: int, item: dict[str, Any]) -> dict[str, Any] | None:
    """A new item of a base; in the language of its text, unless that is given. `asked_in`, if its title was asked (askers.py).

    Raises TooMany.
    """
    base = db.row(KnowledgeBase.select(KnowledgeBase.language).where(is_own_base(customer_id, base_id)))
    if base is None:
        return None
    language = item["language"] or language_of(f"{item['title']}\n{item['content']}", otherwise=base["language"])
    values = {**item, "language": language}
    source = KnowledgeBase.select(KnowledgeBase.id, *map(Value, values.values())).where(is_own_base(customer_id, base_id))
    columns = [KnowledgeItem.knowledge_base, *(getattr(KnowledgeItem, name) for name in values)]
    by_hand = (KnowledgeItem.knowledge_base == base_id) & KnowledgeItem.document.is_null()
    with db.transaction():
        limits.check(limits.ITEMS, customer_id, KnowledgeItem.select(KnowledgeItem.id).where(by_hand))
        new = db.row(KnowledgeItem.insert_from(source, columns).returning(KnowledgeItem.id))
        return None if new is None else db.row(items().where(KnowledgeItem.id == new["id"]))


def change_item(customer_id: int, item_id: int, changes: dict[str, Any]) -> dict[str, Any] | None:
    """Changes what is named; `language` null: it is detected again from the text."""
    own = is_own_item(customer_id, item_id)
    if "language" in changes and changes["language"] is None:
        stored = db.row(
            KnowledgeItem.select(KnowledgeItem.title, KnowledgeItem.content, KnowledgeBase.language)
            .join(KnowledgeBase)
            .where(own)
        )
        if stored is None:
            return None
        text = {**stored, **changes}
        changes = {**changes, "language": language_of(f"{text['title']}\n{text['content']}", otherwise=stored["language"])}
    if "title" in changes:  # another one is the business's own
        is_same = KnowledgeItem.title == changes["title"]
        changes = {**changes, "asked_in": Case(None, [(is_same, KnowledgeItem.asked_in)])}
    if changes:
        db.rows(KnowledgeItem.update(**changes).where(own))
    return db.row(items().where(own))


def put_aside(customer_id: int, base_id: int, better: Mapping[str, Any], made_of: Sequence[int]) -> list[int]:
    """Items of the same question are found no more, for a better one takes their place; of imported ones, whose title may be that
    of a whole page, only those that the answer was made of. What they say is kept. Their ids."""
    is_same = fn.lower(fn.btrim(KnowledgeItem.title)) == better["title"].strip().lower()
    is_other = (KnowledgeItem.knowledge_base == base_id) & (KnowledgeItem.id != better["id"])
    is_meant = KnowledgeItem.document.is_null() | KnowledgeItem.id.in_(made_of)
    earlier = KnowledgeItem.select(KnowledgeItem.id).where(is_other & KnowledgeItem.is_active & is_same & is_meant)
    ids = [row["id"] for row in db.rows(earlier.order_by(KnowledgeItem.id))]
    for item_id in ids:
        change_item(customer_id, item_id, {"is_active": False})
    return ids


def delete_item(customer_id: int, item_id: int) -> str | None:
    """Deletes an item, and returns what the audit calls it; None if there is none."""
    columns = (KnowledgeItem.title, KnowledgeItem.asked_in)
    row = db.row(KnowledgeItem.delete().where(is_own_item(customer_id, item_id)).returning(*columns))
    return None if row is None else _name(row)


def name_of(item_id: int) -> str:
    """What the audit, which keeps no customer's words, calls an item: its title, or nothing where that is a customer's."""
    return _name(db.row(KnowledgeItem.select(KnowledgeItem.title, KnowledgeItem.asked_in).where(KnowledgeItem.id == item_id)))


def _name(item: Mapping[str, Any] | None) -> str:
    return item["title"][:SHOWN] if item and item["asked_in"] is None else ""


def items() -> ModelSelect[KnowledgeItem]:
    """Items with their columns, and the source that an import took them from."""
    source = Case(
        None,
        [(KnowledgeDocument.id.is_null(), None)],
        fn.jsonb_build_object(
            *("id", KnowledgeSource.id, "kind", KnowledgeSource.kind, "name", KnowledgeSource.location),
            *("location", fn.COALESCE(KnowledgeDocument.url, KnowledgeDocument.location)),
            *("fetched_at", KnowledgeDocument.updated_at),
        ),
    )
    joined = KnowledgeItem.select(*ITEM, source.alias("source")).join(KnowledgeDocument, JOIN.LEFT_OUTER)
    return joined.join(KnowledgeSource, JOIN.LEFT_OUTER)


def is_own_item(customer_id: int, item_id: int) -> Expression:
    """Whether it is this item, of a base of this customer."""
    bases = KnowledgeBase.select(KnowledgeBase.id).where(KnowledgeBase.customer == customer_id)
    is_own: Expression = (KnowledgeItem.id == item_id) & KnowledgeItem.knowledge_base.in_(bases)
    return is_own


def is_own_base(customer_id: int, base_id: int) -> Expression:
    """Whether it is this base, of this customer."""
    is_own: Expression = (KnowledgeBase.customer == customer_id) & (KnowledgeBase.id == base_id)
    return is_own
