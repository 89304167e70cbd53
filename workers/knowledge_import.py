"""knowledge-import: reads one document of a source, and replaces the knowledge items that came from it before.

A job without a document finds those of its source: the pages of a site. Each of them is a job of its own, so a broken page is
retried, and fails, alone. Documents are read in a process of their own (shared/knowledge/reading.py).
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from contextlib import AbstractContextManager
from typing import IO, Any
from urllib.parse import urlsplit

from shared import payloads
from shared.broker.thread_pool import ThreadPool
from shared.config import settings
from shared.db import sql
from shared.errors import OutsideFailure, PermanentError
from shared.http.bulkhead import Bulkhead, customer_room
from shared.http.urls import UrlRefused, normalize_url, site_of
from shared.jobs import worker_process
from shared.jobs.completion import CompletionStatement, complete
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.retry_policy import RetryPolicy
from shared.jobs.stage import actor
from shared.knowledge import reading, sitemaps, sources, uploads, web
from shared.knowledge.documents import LEFT_OUT, MAX_TEXT, Document, Raw, Unreadable
from shared.queues import Queue
from shared.telemetry import machine

#: Seconds in which PostgreSQL may replace the items of a document, or remove those of a site. Those of a book of 20 MB have five
#: million words: 70 seconds of a CPU, and on a busy machine minutes. What is ended before that begins anew.
STORING = 600.0
#: Seconds for which a site may ask us to slow down.
PATIENCE = 2 * 3600.0
#: Seconds for which a document waits for memory in which it could be read; its owner may have it tried again.
MEMORY_PATIENCE = 3600.0
#: Seconds between two pages of a site that robots.txt may ask for; more is cut, for a thread waits.
MAX_DELAY = 5.0
#: Documents that a process fetches or reads at the same time: of one customer, for each may take 20 MB, and of all together those
#: that take long.
DOCUMENTS, SLOW_DOCUMENTS = 4, 32

#: Large files take turns from their bytes to their items: one of 20 MB takes 200 MB meanwhile, and a small machine has 512.
#: Others do not wait for that, only for their reader.
_large_files = reading.Turns()

log = logging.getLogger(__name__)

queries = sql.load(__file__)

store = CompletionStatement(queries["store"], patience=STORING)
keep = CompletionStatement(queries["keep"])
skip = CompletionStatement(queries["skip"], patience=STORING)
remove = CompletionStatement(queries["remove"], patience=STORING)
list_documents = CompletionStatement(queries["list_documents"], patience=STORING)

_bulkhead = Bulkhead(ThreadPool.of(worker_process.boot(), Queue.KNOWLEDGE_IMPORT), SLOW_DOCUMENTS, max_slots=DOCUMENTS)


@actor(
    Queue.KNOWLEDGE_IMPORT,
    max_retries=3,
    min_backoff=1000,
    retry=RetryPolicy(max_age=PATIENCE),
    on_retry_exhausted=DeadLetter(queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=queries["attempt_failed"],
    outside_level=logging.INFO,  # a customer's site or file is theirs to fix
)
def read_document(job: Job) -> None:
    """Reads the job's document; of a job without one, finds the source's documents."""
    payloads.read(Queue.KNOWLEDGE_IMPORT, job.payload)
    try:
        _work_in_memory(job)
    except OutsideFailure as problem:
        # For attempt_failed; the words are ours.
        details = {"reason": str(problem), "is_final": isinstance(problem, PermanentError)}
        problem.details = details  # type: ignore[attr-defined]
        raise


def _work_in_memory(job: Job) -> None:
    """Does the job's work. Raises NoMemoryFree, for a while."""
    try:
        _work(job, job.loaded)
    except reading.NoMemoryFree:
        if job.age < MEMORY_PATIENCE:
            raise
        raise reading.ReaderDied("too little memory was free to read it for an hour; try it again, or split it") from None


def _work(job: Job, source: dict[str, Any] | None) -> None:
    if source is None:
        log.info("import_dropped", extra={"reason": "the source or its document is deleted"})
        complete(job)
    elif source["document_id"] is None:
        if source["source_state"] == "listing":
            _find_documents(job, source)
        else:
            complete(job)
    elif source["state"] not in ("waiting", "failed"):  # stopped, or done by another job
        complete(job)
    elif source["kind"] == "file":
        _read_file(job, source)
    else:
        _read_page(job, source)


def _room(job: Job) -> AbstractContextManager[None]:
    """One customer's site that hangs, or documents that take long to read, do not keep the others' waiting."""
    return _bulkhead.slot(customer_room(job.customer_id), age=job.age)


def _find_documents(job: Job, source: dict[str, Any]) -> None:
    location = source["source_location"]
    with _room(job):
        text = web.robots_of(location)
        listing = sitemaps.Listing([location])
        if source["kind"] == "sitemap":
            listing = sitemaps.pages_of(location, web.Robots(text), job.customer_id)
    key = sources.ordering_key(source["source_id"], source["kind"], location, job.customer_id or 0)
    found = {"robots": text, "documents": listing.pages, "is_complete": listing.is_complete, "error": listing.warning}
    list_documents(job, {"source_id": source["source_id"], "ordering_key": key, **found})


def _read_file(job: Job, source: dict[str, Any]) -> None:
    with _room(job):
        if (source["size"] or 0) >= reading.LARGE or not _take_file(job, source, reading.LARGE):
            with _large_files.turn(job.customer_id):
                _take_file(job, source, MAX_TEXT)
                machine.give_back_memory()


def _take_file(job: Job, source: dict[str, Any], most: int) -> bool:
    """Stores what a file says; False if it has more than so many characters, as a packed one of some kilobytes may have."""
    with reading.turn(job.customer_id) as read:
        body = uploads.body_of(source["document_id"])
        if body is None and not queries["is_wanted"].scalar(document_id=source["document_id"], job_id=job.id):
            complete(job)
            return True
        if body is None:
            raise Unreadable("is not kept any longer; import it again")
        document = read(Raw(source["location"], body))
    del body
    if document.characters > most:
        return False
    _store(job, source, document, {"url": None, "etag": None, "last_modified": None})
    return True


def _read_page(job: Job, source: dict[str, Any]) -> None:
    url, robots = source["location"], web.Robots(source["robots"] or "")
    if not robots.allows(url):
        _skip(job, source, "robots.txt does not allow us to read the page")
        return
    was_stored = source["content_hash"] is not None
    known = {"etag": source["etag"], "last_modified": source["last_modified"]} if was_stored else {}
    with web.new_file() as file:
        try:
            page = _fetched(job, url, robots, known, file)
        except web.PageGone:
            if not was_stored:
                raise
            remove(job, {"document_id": source["document_id"]})
            return
        _take_or_skip(job, source, robots, page, file)


def _fetched(job: Job, url: str, robots: web.Robots, known: dict[str, Any], file: IO[bytes]) -> web.Page:
    with _room(job):
        time.sleep(min(robots.delay, MAX_DELAY))
        return web.fetch(url, file, **known)


def _take_or_skip(job: Job, source: dict[str, Any], robots: web.Robots, page: web.Page, file: IO[bytes]) -> None:
    if page.is_same:
        known = {"etag": source["etag"], "last_modified": source["last_modified"]}
        keep(job, {"document_id": source["document_id"], **known})
    elif page.noindex:
        _skip(job, source, "the page asks not to be indexed (noindex)")
    elif page.url != source["location"] and not robots.allows(page.url):
        _skip(job, source, "robots.txt does not allow us to read the page that it redirects to")
    else:
        _take_page(job, source, page, file)


def _take_page(job: Job, source: dict[str, Any], page: web.Page, file: IO[bytes]) -> None:
    name = page.url.partition("?")[0].rstrip("/").rpartition("/")[2] or page.url
    with _room(job):
        with reading.turn(job.customer_id) as read:
            document = read(Raw(name, file.read(), page.media_type, page.url))
        if document.noindex:
            _skip(job, source, "the page asks not to be indexed (noindex)")
            return
        url = _canonical(document.canonical, page.url)
        if queries["is_copy"].scalar(source_id=source["source_id"], document_id=source["document_id"], url=url):
            _skip(job, source, f"the same page as {url}")
            return
        _store(job, source, document, {"url": url, "etag": page.header("ETag"), "last_modified": page.header("Last-Modified")})


def _canonical(canonical: str | None, url: str) -> str:
    """The address that a page calls its own, if it is one of the same site; themes that call each page the first are wrong."""
    try:
        normalized = normalize_url(canonical or url, allow_private=True)
    except UrlRefused:
        return url
    is_wrong = site_of(normalized) != site_of(url) or (not _path(normalized) and _path(url))
    return url if is_wrong else normalized


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/").removesuffix("/index.html").removesuffix("/index.php")


def _skip(job: Job, source: dict[str, Any], reason: str) -> None:
    skip(job, {"document_id": source["document_id"], "error": reason})


def _store(job: Job, source: dict[str, Any], document: Document, about: dict[str, Any]) -> None:
    items = [
        {
            "title": item.title,
            "content": item.content,
            "url": about["url"] or item.url,
            "language": source["language"] or item.language or source["base_language"],
        }
        for item in document.items
    ]
    kept = items[: _room_for_items(source["document_id"])]
    warning = document.warning
    if len(kept) < len(items):
        about = {**about, "etag": None, "last_modified": None}  # the rest comes in when there is room, be the page as it was
        warning = "; ".join(filter(None, [warning, _left_out(len(items) - len(kept), len(items))]))
    content_hash = _hash_of(kept)
    before = source["content_hash"]
    change = "added" if before is None else "unchanged" if before == content_hash else "changed"
    ids = {"base_id": source["base_id"], "document_id": source["document_id"]}
    values = {**ids, **about, "change": change, "error": warning, "content_hash": content_hash}
    if change == "unchanged" and source["kind"] != "file" and warning is None:
        keep(job, {"document_id": source["document_id"], "etag": about["etag"], "last_modified": about["last_modified"]})
    else:
        store(job, {**values, "items": kept})


def _hash_of(items: list[dict[str, Any]]) -> str:
    """Of the items as JSON, which is not in memory as a whole."""
    digest = hashlib.sha256(b"[")
    for place, item in enumerate(items):
        digest.update((", " if place else "").encode() + json.dumps(item).encode())
    digest.update(b"]")
    return digest.hexdigest()


def _room_for_items(document_id: int) -> int:
    """So many about: what is stored at this moment does not count yet, of a business DOCUMENTS at most in each process."""
    return int(queries["room"].scalar(document_id=document_id, most=settings().most_imported_items) or 0)


def _left_out(count: int, of: int) -> str:
    most = f"a business may have {settings().most_imported_items:,} from imports"
    return f"{count:,} of {of:,} items {LEFT_OUT}{most}: delete imports that you no longer need, and read it again"
