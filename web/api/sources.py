"""/api/v1/knowledge-sources: files, pages and sites that items are imported from (shared/knowledge/sources.py)."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Response, request
from peewee import Expression
from werkzeug.exceptions import UnsupportedMediaType

from shared.knowledge import sources
from shared.knowledge.sources import File, Page, Sitemap
from shared.models import KnowledgeBase, KnowledgeDocument, KnowledgeSource
from shared.teaching.knowledge import is_own_base
from web.api.api import api, customer_id, existing, page, row_or_404
from web.api.forms import MULTIPART, form_with_file
from web.api.schemas import PageQuerySchema
from web.api.source_schemas import (
    DocumentPageSchema,
    DocumentQuerySchema,
    NewSourceSchema,
    SourcePageSchema,
    StoredSourceSchema,
    UploadSchema,
)
from web.audited import audited
from web.hardening import max_body
from web.parameters import parser

#: Bytes of an upload: an address may use 16 MB of WEB_BODY_MEMORY_MB. Larger files, up to 20 MB, by scripts/knowledge import.
MAX_UPLOAD = 10 * 1024 * 1024


@api.get("/knowledge-bases/<int:base_id>/sources")
@api.query(PageQuerySchema)
@api.response(200, SourcePageSchema)
def list_sources(query: dict[str, Any], base_id: int) -> dict[str, Any]:
    """List the sources of a knowledge base"""
    limit = query["limit"]
    rows = sources.sources_of(customer_id(), _base(base_id), before=query.get("before"), most=limit + 1)
    return {"data": rows[:limit], "next": rows[limit - 1]["id"] if len(rows) > limit else None}


@api.post("/knowledge-bases/<int:base_id>/sources")
@api.doc(
    requestBody={
        "required": True,
        "content": {"application/json": {"schema": NewSourceSchema}, MULTIPART: {"schema": UploadSchema}},
    }
)
@api.response(202, StoredSourceSchema)
@api.alt_response(409, response="CONFLICT")
@api.alt_response(408, response=HTTPStatus(408).name)
@api.alt_response(413, response=HTTPStatus(413).name)  # Python 3.13 has other names for 413 and 422
@api.alt_response(415, response="UNSUPPORTED_MEDIA_TYPE")
@api.alt_response(422, response=HTTPStatus(422).name)
@max_body(MAX_UPLOAD)
def import_source(base_id: int) -> dict[str, Any]:
    """Import a file, a page or a site

    A file as multipart/form-data, a page or site by its address as JSON. The import goes on by itself: the source's `state` and
    counts say how far it is. The same file name or address again is the same source: what has changed is replaced.
    """
    what, given = _upload() if request.mimetype == MULTIPART else _address()
    note = _note("import_started", what.name if isinstance(what, File) else what.url)
    return _standing(sources.start_import(_base(base_id), what, **given, record=note))


def _upload() -> tuple[File, dict[str, Any]]:
    file, given = form_with_file(UploadSchema)
    return File(file.filename or "", file.read()), given


def _address() -> tuple[Page | Sitemap, dict[str, Any]]:
    if not request.is_json:
        raise UnsupportedMediaType(f"The Content-Type must be application/json, or {MULTIPART} for a file.")
    given = parser.parse(NewSourceSchema, request, location="json")
    url, is_site = given.pop("url"), given.pop("sitemap")
    return Sitemap(url) if is_site else Page(url), given


@api.get("/knowledge-sources/<int:source_id>")
@api.response(200, StoredSourceSchema)
def get_source(source_id: int) -> dict[str, Any]:
    """Get a source

    How its import stands, and what it brought.
    """
    _own(source_id)
    return _standing(source_id)


@api.get("/knowledge-sources/<int:source_id>/documents")
@api.query(DocumentQuerySchema)
@api.response(200, DocumentPageSchema)
def list_documents(query: dict[str, Any], source_id: int) -> dict[str, Any]:
    """List the documents of a source

    Its files or pages; `error` says why one failed or was skipped.
    """
    columns = (
        KnowledgeDocument.id,
        KnowledgeDocument.location,
        KnowledgeDocument.state,
        KnowledgeDocument.change,
        KnowledgeDocument.error,
        KnowledgeDocument.url,
        KnowledgeDocument.items,
        KnowledgeDocument.updated_at,
    )
    _own(source_id)
    documents = KnowledgeDocument.select(*columns).where(KnowledgeDocument.source == source_id)
    if state := query.pop("state", None):
        documents = documents.where(KnowledgeDocument.state == state)
    return page(documents, **query)


@api.post("/knowledge-sources/<int:source_id>/sync")
@api.response(202, StoredSourceSchema)
@api.alt_response(409, response="CONFLICT")
def sync_source(source_id: int) -> dict[str, Any]:
    """Read a page or site again

    Only what has changed is replaced. A file cannot be read again: import its new version.
    """
    sources.sync(source_id, _note("source_sync", _own(source_id)))
    return _standing(source_id)


@api.post("/knowledge-sources/<int:source_id>/retry")
@api.response(202, StoredSourceSchema)
def retry_source(source_id: int) -> dict[str, Any]:
    """Read again what failed"""
    sources.retry_failed(source_id, _note("source_retry", _own(source_id)))
    return _standing(source_id)


@api.post("/knowledge-sources/<int:source_id>/stop")
@api.response(200, StoredSourceSchema)
def stop_source(source_id: int) -> dict[str, Any]:
    """Stop an import

    What was read stays.
    """
    sources.stop(source_id, _note("source_stop", _own(source_id)))
    return _standing(source_id)


@api.delete("/knowledge-sources/<int:source_id>")
@api.response(204)
def delete_source(source_id: int) -> Response:
    """Delete a source

    With all items that came from it.
    """
    sources.delete(source_id, _note("source_delete", _own(source_id)))
    return Response(status=204)


def _standing(source_id: int) -> dict[str, Any]:
    return existing(sources.progress(source_id), "knowledge source")


def _own(source_id: int) -> str:
    """Where it is from, if it is one of the customer's. Raises NotFound."""
    is_own: Expression = (KnowledgeSource.id == source_id) & (KnowledgeBase.customer == customer_id())
    found = KnowledgeSource.select(KnowledgeSource.location).join(KnowledgeBase).where(is_own)
    return str(row_or_404(found, "knowledge source")["location"])


def _note(what: str, location: str) -> sources.Record:
    """Writes the audit's row of a change of a source."""
    return partial(audited, f"knowledge.{what}", "knowledge source", name=sources.name_of(location))


def _base(base_id: int) -> int:
    is_own = is_own_base(customer_id(), base_id)
    return int(row_or_404(KnowledgeBase.select(KnowledgeBase.id).where(is_own), "knowledge base")["id"])
