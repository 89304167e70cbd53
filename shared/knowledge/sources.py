"""Where knowledge comes from: what owners do with their sources. The reading is done by jobs (workers/knowledge_import.py).

    source_id = start_import(base_id, File("faq.csv", body))
    source_id = start_import(base_id, Page("https://shop.example/help"))
    source_id = start_import(base_id, Sitemap("https://shop.example"), sync_hours=24)
    progress(source_id)   # how far it is, what was added, changed, removed, what failed
    sync(source_id); stop(source_id); retry_failed(source_id); delete(source_id)

Who may do it is the caller's to know, and so is what the audit says: each verb calls its `record` with the source's id, in the
transaction in which it changes something. The same file or address again is the same source: what has changed is replaced,
what is gone goes, and what is the same is not touched.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from shared import db
from shared.broker.enqueue import enqueue, tickets_of
from shared.db import sql
from shared.db.pruning import delete_in_batches
from shared.errors import Refused
from shared.http.urls import UrlRefused, normalize_url, site_of
from shared.knowledge import uploads
from shared.knowledge.documents import MAX_FILE, Unreadable
from shared.knowledge.readers import supported
from shared.models import KnowledgeBase, KnowledgeDocument, KnowledgeSource, limits
from shared.payloads import strip_invalid
from shared.teaching import storing

log = logging.getLogger(__name__)

queries = sql.load(__file__)

#: Bytes of all files of a customer that wait to be read.
MAX_WAITING = 200 * 1024 * 1024
#: Characters of a file's name, and of a source's name in the audit.
MAX_NAME, MAX_AUDITED = 255, 80


Record = Callable[[int], object]


def _nothing(_source_id: int) -> None:
    """Records nothing."""


@dataclass(frozen=True)
class File:
    """A file that somebody uploads."""

    name: str
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Page:
    """One web page."""

    url: str


@dataclass(frozen=True)
class Sitemap:
    """The pages of a site: the address of its sitemap, or of the site, whose robots.txt says where that is."""

    url: str


def start_import(
    base_id: int,
    what: File | Page | Sitemap,
    *,
    language: str | None = None,
    sync_hours: int | None = None,
    record: Record = _nothing,
) -> int:
    """Starts an import into a base, and returns its source's id. While the same is being imported, that goes on.

    `language`: of all items; None: each item's own, as far as it can be detected. `sync_hours`: how often pages are read again by
    themselves. Raises Refused, also when another version of the file is being imported at this moment; TooMany.
    """
    kind, location = _named(what)
    with db.transaction():
        _check_count(base_id, kind, location)
        given = {"base_id": base_id, "kind": kind, "location": location, "language": language}
        source_id = int(queries["add_source"].scalar(**given, sync_hours=sync_hours if kind != "file" else None))
        if queries["is_running"].scalar(source_id=source_id):
            if isinstance(what, File) and not uploads.is_kept(source_id, what.body):
                raise Refused(f"Another version of {location} is being imported. Wait until that is done, or stop it.")
            record(source_id)  # its language and its hours may be new
            return source_id
        tickets = _add_upload(base_id, source_id, what) if isinstance(what, File) else queries["sync"].scalar(source_id=source_id)
        record(source_id)
    enqueue(tickets_of(tickets))
    return source_id


def name_of(location: str) -> str:
    """What a source is called in the audit: a file's name, or an address without its query, which may hold a secret."""
    return location.partition("?")[0][:MAX_AUDITED]


def _check_count(base_id: int, kind: str, location: str) -> None:
    """Raises TooMany, if it is a new source and there is no room for one."""
    of_base = KnowledgeSource.select(KnowledgeSource.id).where(KnowledgeSource.knowledge_base == base_id)
    if db.row(of_base.where(KnowledgeSource.kind == kind, KnowledgeSource.location == location)) is None:
        customer_id = db.scalar(KnowledgeBase.select(KnowledgeBase.customer).where(KnowledgeBase.id == base_id))
        limits.check(limits.SOURCES, customer_id, of_base)


def _named(what: File | Page | Sitemap) -> tuple[str, str]:
    if isinstance(what, File):
        return "file", _checked_name(what)
    try:
        # Whether a private address may be called is the guard's to say, at each call.
        return "url" if isinstance(what, Page) else "sitemap", normalize_url(what.url, allow_private=True)
    except UrlRefused as problem:
        raise Refused(f"The address {problem}.") from None


def _checked_name(file: File) -> str:
    name = strip_invalid(PurePath(file.name.replace("\\", "/")).name).strip()[-MAX_NAME:]
    if not name:
        raise Refused("The file has no name. Its extension says what it is: faq.csv.")
    if not file.body:
        raise Refused(f"{name} is empty.")
    if len(file.body) > MAX_FILE:
        raise Refused(f"{name} is larger than {MAX_FILE // 1024 // 1024} MB. Split it into smaller files.")
    try:
        supported(name)
    except Unreadable as problem:
        raise Refused(f"{name} {problem}.") from None
    return name


def _add_upload(base_id: int, source_id: int, file: File) -> Any:
    name = _checked_name(file)
    if queries["uploaded_bytes"].scalar(base_id=base_id) + len(file.body) > MAX_WAITING:
        raise Refused(f"Files of {MAX_WAITING // 1024 // 1024} MB wait to be read. Import {name} when some of them are.")
    document_id = queries["add_file"].scalar(source_id=source_id, location=name)
    uploads.keep(document_id, file.body)
    return queries["read_file"].scalar(source_id=source_id, document_id=document_id)


def sync(source_id: int, record: Record = _nothing) -> bool:
    """Reads a page or site again; False if that is under way. Raises Refused for a file, and for a source that does not exist."""
    with db.transaction():
        source = _locked(source_id)
        if source["kind"] == "file":
            raise Refused(f"{source['location']} is a file: import its new version, and only what has changed is replaced.")
        if queries["is_running"].scalar(source_id=source_id):
            return False
        tickets = queries["sync"].scalar(source_id=source_id)
        record(source_id)
    enqueue(tickets_of(tickets))
    return True


def retry_failed(source_id: int, record: Record = _nothing) -> int:
    """Reads again what failed, and returns how many documents that are; a source whose pages could not be found counts as one."""
    source = _locked(source_id)
    if source["state"] == "failed":
        return int(sync(source_id, record))
    with db.transaction():
        _locked(source_id)
        key = ordering_key(source_id, source["kind"], source["location"], source["customer_id"])
        retried = queries["retry_failed"].row(source_id=source_id, ordering_key=key)
        if retried is None:
            return 0
        record(source_id)
    enqueue(tickets_of(retried["tickets"]))
    return int(retried["count"])


def stop(source_id: int, record: Record = _nothing) -> bool:
    """Ends an import: what was not read yet stays unread. False if nothing is under way."""

    def change() -> bool:
        _locked(source_id)
        is_stopped = queries["stop"].row(source_id=source_id) is not None
        if is_stopped:
            record(source_id)
        return is_stopped

    return storing.undisturbed(change, source_id=source_id)


def delete(source_id: int, record: Record = _nothing) -> None:
    """Deletes a source with its documents and their items, if it is there; jobs of it find nothing to do."""

    def change() -> None:
        if db.rows(KnowledgeSource.delete().where(KnowledgeSource.id == source_id).returning(KnowledgeSource.id)):
            record(source_id)

    with db.patient(storing.DELETING):
        storing.undisturbed(change, source_id=source_id)


def progress(source_id: int) -> dict[str, Any] | None:
    """How an import stands: state (listing, importing, done, stopped, failed), counts of its documents, its error."""
    return queries["progress"].row(customer_id=None, base_id=None, source_id=source_id, before=None, most=None)


def sources_of(customer_id: int, base_id: int, *, before: int | None = None, most: int | None = None) -> list[dict[str, Any]]:
    """Sources of a customer's base, newest first, as `progress` says: all, or `most` of those `before` an id."""
    return queries["progress"].rows(customer_id=customer_id, base_id=base_id, source_id=None, before=before, most=most)


def problems_of(source_id: int, limit: int = 20) -> list[dict[str, Any]]:
    """Documents that failed or were left out in part: {location, state, error}."""
    document = KnowledgeDocument
    is_one = (document.source == source_id) & document.error.is_null(False)
    columns = (document.location, document.state, document.error)
    return db.rows(document.select(*columns).where(is_one).order_by(document.state, document.id).limit(limit))


def ordering_key(source_id: int, kind: str, location: str, customer_id: int) -> str:
    """Jobs with the same key run one after the other: a customer's sources ask a site for one page at a time."""
    return f"source:{source_id}" if kind == "file" else f"site:{customer_id}:{site_of(location)}"


def sync_due() -> int:
    """Starts the syncs that are due; returns how many."""
    started = 0
    for row in queries["due"].rows():
        try:
            if sync(row["id"]):
                started += 1
                log.info("source_sync_started", extra={"source": row["id"]})
            else:
                queries["postpone"].rows(source_id=row["id"])
        except Refused:  # deleted at this moment
            pass
    return started


def prune_uploads() -> dict[str, int]:
    """Forgets files that could not be read, after a week."""
    return {"uploads": delete_in_batches(queries["prune_uploads"])}


def _locked(source_id: int) -> dict[str, Any]:
    source = queries["lock"].row(source_id=source_id)
    if source is None:
        raise Refused(f"There is no source {source_id}.")
    return source
