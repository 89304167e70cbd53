"""/api/v1/knowledge-bases and /knowledge-items: what a business's chatbots answer from (shared/teaching/knowledge.py)."""

from __future__ import annotations

from typing import Any

from flask import Response
from peewee import Expression

from shared import db
from shared.models import KnowledgeBase, KnowledgeItem, KnowledgeSource
from shared.payloads import strip_invalid
from shared.teaching import knowledge, storing
from shared.teaching.knowledge import BASE, BaseChangesSchema, BaseSchema, ItemChangesSchema, ItemSchema
from web import trying_out
from web.api.api import MAX_TEXT_BODY, api, customer_id, existing, page, row_or_404
from web.api.schemas import PageQuerySchema
from web.api.teaching_schemas import (
    BasePageSchema,
    FoundSchema,
    ItemPageSchema,
    ItemQuerySchema,
    QuestionSchema,
    StoredBaseSchema,
    StoredItemSchema,
)
from web.audited import audited
from web.hardening import max_body

#: Characters of an item's title in the audit.
_TITLE = 80


@api.get("/knowledge-bases")
@api.query(PageQuerySchema)
@api.response(200, BasePageSchema)
def list_bases(query: dict[str, Any]) -> dict[str, Any]:
    """List knowledge bases"""
    return page(KnowledgeBase.select(*BASE).where(KnowledgeBase.customer == customer_id()), **query)


@api.post("/knowledge-bases")
@api.arguments(BaseSchema)
@api.response(201, StoredBaseSchema)
def create_base(base: dict[str, Any]) -> dict[str, Any]:
    """Create a knowledge base

    It is empty; a chatbot answers from it when its `knowledge_base_id` says so.
    """
    with db.transaction():
        created = knowledge.create_base(customer_id(), base)
        audited("knowledge.base_created", "knowledge base", created["id"], name=created["name"])
    return created


@api.get("/knowledge-bases/<int:base_id>")
@api.response(200, StoredBaseSchema)
def get_base(base_id: int) -> dict[str, Any]:
    """Get a knowledge base"""
    return row_or_404(KnowledgeBase.select(*BASE).where(_is_own(base_id)), "knowledge base")


@api.patch("/knowledge-bases/<int:base_id>")
@api.arguments(BaseChangesSchema)
@api.response(200, StoredBaseSchema)
def update_base(changes: dict[str, Any], base_id: int) -> dict[str, Any]:
    """Update a knowledge base

    What is not named stays. Items that have its language get the new one.
    """
    with db.transaction():
        changed = existing(knowledge.change_base(customer_id(), base_id, changes), "knowledge base")
        if changes:
            audited("knowledge.base_changed", "knowledge base", base_id, name=changed["name"], changed=_named(changes))
    return changed


@api.delete("/knowledge-bases/<int:base_id>")
@api.response(204)
@api.alt_response(409, response="CONFLICT")
def delete_base(base_id: int) -> Response:
    """Delete a knowledge base

    With all its items; not while a chatbot answers from it.
    """
    with db.patient(storing.DELETING), db.transaction():
        name = existing(knowledge.delete_base(customer_id(), base_id), "knowledge base")
        audited("knowledge.base_deleted", "knowledge base", base_id, name=name)
    return Response(status=204)


@api.get("/knowledge-bases/<int:base_id>/search")
@api.query(QuestionSchema)
@api.response(200, FoundSchema)
def search_base(query: dict[str, Any], base_id: int) -> dict[str, Any]:
    """Search a knowledge base

    What a chatbot would find for this question, best first.
    """
    base = row_or_404(KnowledgeBase.select(KnowledgeBase.id).where(_is_own(base_id)), "knowledge base")
    return {"data": trying_out.found(customer_id(), base["id"], strip_invalid(query["q"]))}


@api.get("/knowledge-bases/<int:base_id>/items")
@api.query(ItemQuerySchema)
@api.response(200, ItemPageSchema)
def list_items(query: dict[str, Any], base_id: int) -> dict[str, Any]:
    """List the items of a knowledge base"""
    base = row_or_404(KnowledgeBase.select(KnowledgeBase.id).where(_is_own(base_id)), "knowledge base")
    items = knowledge.items().where(KnowledgeItem.knowledge_base == base["id"])
    if (is_active := query.pop("is_active", None)) is not None:
        items = items.where(KnowledgeItem.is_active == is_active)
    if source_id := query.pop("source_id", None):
        items = items.where(KnowledgeSource.id == source_id)
    return page(items, **query)


@api.post("/knowledge-bases/<int:base_id>/items")
@api.arguments(ItemSchema)
@api.response(201, StoredItemSchema)
@max_body(MAX_TEXT_BODY)
def create_item(item: dict[str, Any], base_id: int) -> dict[str, Any]:
    """Create an item

    Chatbots find it at once. Two items may have the same title.
    """
    with db.transaction():
        created = existing(knowledge.create_item(customer_id(), base_id, item), "knowledge base")
        audited("knowledge.item_created", "knowledge item", created["id"], name=created["title"][:_TITLE])
    return created


@api.get("/knowledge-items/<int:item_id>")
@api.response(200, StoredItemSchema)
def get_item(item_id: int) -> dict[str, Any]:
    """Get an item"""
    return row_or_404(knowledge.items().where(knowledge.is_own_item(customer_id(), item_id)), "knowledge item")


@api.patch("/knowledge-items/<int:item_id>")
@api.arguments(ItemChangesSchema)
@api.response(200, StoredItemSchema)
@max_body(MAX_TEXT_BODY)
def update_item(changes: dict[str, Any], item_id: int) -> dict[str, Any]:
    """Update an item

    What is not named stays. With `language` null it is detected again from the text.
    """
    named = _named(changes)
    with db.transaction():
        changed = existing(knowledge.change_item(customer_id(), item_id, changes), "knowledge item")
        if named:
            audited("knowledge.item_changed", "knowledge item", item_id, name=knowledge.name_of(item_id), changed=named)
    return changed


@api.delete("/knowledge-items/<int:item_id>")
@api.response(204)
def delete_item(item_id: int) -> Response:
    """Delete an item"""
    with db.transaction():
        name = existing(knowledge.delete_item(customer_id(), item_id), "knowledge item")
        audited("knowledge.item_deleted", "knowledge item", item_id, name=name)
    return Response(status=204)


def _named(changes: dict[str, Any]) -> str:
    """What is changed, for the audit."""
    return ", ".join(sorted(changes))


def _is_own(base_id: int) -> Expression:
    return knowledge.is_own_base(customer_id(), base_id)
