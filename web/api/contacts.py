"""/api/v1/contacts: the persons who write to a business's chatbots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from flask import Response, request
from peewee import ModelSelect

from shared import db
from shared.models import Chatbot, Contact, ContactIdentity, Conversation
from shared.privacy import erasure, export
from web.api.api import api, customer_id, existing, page, row_or_404
from web.api.contact_schemas import ContactExportSchema, ContactPageSchema, ContactQuerySchema, ContactSchema
from web.audited import by_key


@api.get("/contacts")
@api.query(ContactQuerySchema)
@api.response(200, ContactPageSchema)
def list_contacts(query: dict[str, Any]) -> dict[str, Any]:
    """List contacts"""
    contacts = _own()
    if chatbot_id := query.pop("chatbot_id", None):
        contacts = contacts.where(Contact.chatbot == chatbot_id)
    found = page(contacts, **query)
    return {**found, "data": _with_names(found["data"])}


@api.get("/contacts/<int:contact_id>")
@api.response(200, ContactSchema)
def get_contact(contact_id: int) -> dict[str, Any]:
    """Get a contact"""
    [contact] = _with_names([row_or_404(_own().where(Contact.id == contact_id), "contact")])
    return contact


@api.delete("/contacts/<int:contact_id>")
@api.response(204)
def erase_contact(contact_id: int) -> Response:
    """Erase a contact

    All that is known of the person, under all their names: messages, files, transcripts, events, jobs. It cannot be undone. What
    providers deliver again in the next days does not bring them back; if they write again, they are a new contact.
    """
    existing(erasure.erase(customer_id(), contact_id, **by_key()), "contact")
    return Response(status=204)


@api.get("/contacts/<int:contact_id>/export")
@api.response(200, ContactExportSchema)
def export_contact(contact_id: int) -> Response:
    """Export a contact

    All that is known of the person, as one JSON document.
    """
    if request.method == "HEAD":  # nothing leaves, so there is nothing to record
        row_or_404(_own().where(Contact.id == contact_id), "contact")
        pieces: Iterable[str] = iter(())  # of no known length
    else:
        pieces = existing(export.export(customer_id(), contact_id, **by_key()), "contact")
    name = {"Content-Disposition": f'attachment; filename="contact-{contact_id}.json"'}
    return Response(pieces, mimetype="application/json", headers=name)


def _own() -> ModelSelect[Contact]:
    columns = (Contact.id, Contact.chatbot, Contact.name, Contact.created_at, Contact.updated_at)
    return Contact.select(*columns).join(Chatbot).where(Chatbot.customer == customer_id())


def _with_names(contacts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With their identities and conversations."""
    ids = [contact["id"] for contact in contacts]
    identities = _by_contact(
        ContactIdentity.select().where(ContactIdentity.contact.in_(ids)).order_by(ContactIdentity.created_at)
    )
    conversations = _by_contact(Conversation.select().where(Conversation.contact.in_(ids)).order_by(Conversation.id))
    return [
        {**contact, "identities": identities[contact["id"]], "conversations": conversations[contact["id"]]}
        for contact in contacts
    ]


def _by_contact(query: ModelSelect[Any]) -> defaultdict[int, list[dict[str, Any]]]:
    rows: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in db.rows(query):
        rows[row["contact_id"]].append(row)
    return rows
