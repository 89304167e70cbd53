"""Imports into a knowledge base: files, pages, sites, how far each is, and what could not be read. Done by shared/knowledge."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import NotFound

from shared import db
from shared.errors import InvalidPayload, Refused
from shared.knowledge import sources as imports
from shared.knowledge.sources import File, Page, Sitemap
from shared.models import KnowledgeDocument, KnowledgeSource
from shared.models.limits import TooMany
from shared.payloads import check
from web.api.source_schemas import NewSourceSchema
from web.api.sources import MAX_UPLOAD
from web.audited import audited
from web.desk import desk, forms, paging
from web.desk.access import allowed
from web.desk.import_words import import_words
from web.desk.knowledge import BASE, require_base
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.desk.schema_words import translated_errors
from web.hardening import max_body

#: Documents of a source that are shown: those with problems first.
_DOCUMENTS = 100
#: What is said of a change.
_SAID = {
    "sync": _l("It is read again. This page shows how far it is."),
    "retry": _l("What failed is tried again. This page shows how far it is."),
    "stop": _l("Stopped. What was read by then stays."),
    "delete": _l("Deleted, with all items that came from it."),
}


@desk.get(f"{BASE}/sources")
@allowed("owner")
def sources(base_id: int) -> Response:
    """What was imported, and how far it is."""
    return _page(require_base(base_id))


@desk.post(f"{BASE}/sources/file")
@allowed("owner")
@max_body(MAX_UPLOAD)
def import_file(base_id: int) -> Response:
    """Takes a file."""
    base, file = require_base(base_id), request.files.get("file")
    if file is None or not file.filename:
        return _page(base, {"file": _("Choose a file first.")}, 422)
    return _start(base, "file", File(file.filename, file.read()), None)


@desk.post(f"{BASE}/sources/address")
@allowed("owner")
def import_address(base_id: int) -> Response:
    """Takes the address of a page or of a whole site."""
    base = require_base(base_id)
    address, hours = forms.text(request.form, "url"), forms.number_or_none(request.form, "sync_hours")
    given = {"url": address if "://" in address or not address else f"https://{address}", "sync_hours": hours}
    try:
        checked = check(NewSourceSchema, "source", {**given, "sitemap": forms.tick(request.form, "sitemap")})
    except InvalidPayload as problem:
        return _page(base, translated_errors(problem.errors), 422)
    what = Sitemap(checked["url"]) if checked["sitemap"] else Page(checked["url"])
    return _start(base, "url", what, checked["sync_hours"])


@desk.get(f"{BASE}/sources/<int:source_id>")
@allowed("owner")
def source(base_id: int, source_id: int) -> Response:
    """One of them, with its documents; what has a problem comes first."""
    base, one = require_base(base_id), _source(base_id, source_id)
    document = KnowledgeDocument
    columns = (document.id, document.location, document.state, document.error, document.items, document.updated_at)
    rows = document.select(*columns).where(document.source == source_id)
    documents = db.rows(rows.order_by(document.error.is_null(), document.id.desc()).limit(_DOCUMENTS + 1))
    page = render_template(
        "desk/knowledge_source.html", base=base, source=one, documents=documents[:_DOCUMENTS], is_cut=len(documents) > _DOCUMENTS
    )
    return make_response(page)


@desk.post(f"{BASE}/sources/<int:source_id>/<any(sync, retry, stop, delete):what>")
@allowed("owner")
def change_source(base_id: int, source_id: int, what: str) -> Response:
    """Reads it again, tries again what failed, stops it, or deletes it with its items."""
    require_base(base_id)
    one = _source(base_id, source_id)
    verbs: dict[str, Callable[[int, imports.Record], Any]] = {
        "sync": imports.sync,
        "retry": imports.retry_failed,
        "stop": imports.stop,
        "delete": imports.delete,
    }
    name = imports.name_of(one["location"])
    try:
        done = verbs[what](source_id, partial(audited, f"knowledge.source_{what}", "knowledge source", name=name))
    except Refused as refusal:
        flash(import_words(str(refusal)), "bad")
        return _to(base_id)
    flash(_("It had ended by then.") if what == "stop" and not done else str(_SAID[what]))
    return _to(base_id)


def _start(base: dict[str, Any], field: str, what: File | Page | Sitemap, sync_hours: int | None) -> Response:
    name = what.name if isinstance(what, File) else what.url
    note = partial(audited, "knowledge.import_started", "knowledge source", name=imports.name_of(name))
    try:
        imports.start_import(base["id"], what, sync_hours=sync_hours, record=note)
    except TooMany as refusal:
        return _page(base, {field: refusal_text(refusal)}, 409)
    except Refused as refusal:
        return _page(base, {field: import_words(str(refusal))}, 422)
    flash(_("The import has begun. It goes on by itself; this page shows how far it is."))
    return _to(base["id"])


@desk.app_template_filter("import_words")
def _import_words(text: str | None) -> str:
    return import_words(text)


def _source(base_id: int, source_id: int) -> dict[str, Any]:
    """Raises NotFound for one of another base."""
    own = (KnowledgeSource.id == source_id) & (KnowledgeSource.knowledge_base == base_id)
    is_own = db.row(KnowledgeSource.select(KnowledgeSource.id).where(own))
    one = imports.progress(source_id) if is_own else None
    if one is None:
        raise NotFound
    return one


def _page(base: dict[str, Any], problems: dict[str, str] | None = None, status: int = 200) -> Response:
    before = forms.row_id(request.args, "before")
    rows = imports.sources_of(g.customer.id, base["id"], before=before, most=paging.ROWS + 1)
    shown, more = paging.page_of(rows, url_for("desk.sources", base_id=base["id"]))
    page = render_template(
        "desk/knowledge_sources.html",
        base=base,
        sources=shown,
        before=before,
        more=more,
        is_running=any(row["state"] in ("listing", "importing") for row in shown),
        problems=problems or {},
        form=request.form,
    )
    return make_response(page, status)


def _to(base_id: int) -> Response:
    return see_other(url_for("desk.sources", base_id=base_id))
