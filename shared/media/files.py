"""Which files there are. Each is kept once for a customer, however many messages have it, and counts once against its quota.

A file's row is written before its bytes are, and deleted after them: so there are no bytes that no row knows of. While they are
being deleted the row says so, and whoever stores the same bytes waits.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared import db
from shared.config import settings
from shared.db import sql
from shared.errors import PermanentRefusal, ServiceDown
from shared.media.download import Download
from shared.media.folder import key_of, prune_arrivals
from shared.media.storage import storage

queries = sql.load(__file__)

#: Files that one look of maintenance deletes: each is a call, where they are in a bucket. And seconds of one look.
BATCH, SECONDS = 100, 30.0
#: Files that one look goes through, whether a message has them or not: some tenths of a second of PostgreSQL.
PAGE = 10_000
#: Hours for which a file waits for the message that has it: an upload of the widget, a job that is retried.
GRACE = 24
#: Seconds after which whoever began to delete a file is gone: longer than any call to a bucket takes.
LONGEST = 900.0
#: Seconds for which a file waits until the same bytes are deleted.
PATIENCE = 10.0


class QuotaFull(PermanentRefusal):
    """The customer's files fill its quota."""


@dataclass(frozen=True)
class Stored:
    """A file in the storage."""

    key: str
    sha256: str
    size: int
    mime: str
    #: Since when somebody wants it; whoever stores the same bytes later wants them since then.
    wanted_at: datetime = field(compare=False)


def store(customer_id: int, download: Download) -> Stored:
    """Keeps what came, which was checked. Raises QuotaFull."""
    key, quota = key_of(customer_id, download.sha256), settings().media_quota
    file = {"customer_id": customer_id, "hash": download.sha256, "size": download.size, "quota": quota * 1024 * 1024}
    patience = time.monotonic() + PATIENCE
    while (wanted_at := _want(file)) is None:
        if not queries["has_room"].scalar(**file):
            raise QuotaFull(f"media: this business's files would have more than {quota} MiB; MEDIA_QUOTA_MB is the limit")
        if time.monotonic() > patience:
            raise ServiceDown("media: the same bytes are being deleted at this moment; try again")
        time.sleep(0.1)
    storage().put(key, download.path)
    return Stored(key, download.sha256, download.size, download.mime or "application/octet-stream", wanted_at)


def give(customer_id: int, sha256: str) -> None:
    """Within the transaction that gives a file which was stored to a message. Raises ServiceDown."""
    if queries["give"].scalar(customer_id=customer_id, hash=sha256) is None:
        raise ServiceDown("media: the same bytes were deleted at this moment; try again")


def _want(file: dict[str, Any]) -> datetime | None:
    """Writes the file's row, and since when it is wanted; None if the quota is full, or its bytes are being deleted."""
    with db.transaction():
        queries["lock"].rows(customer_id=file["customer_id"])
        wanted_at: datetime | None = queries["want"].scalar(**file, longest=LONGEST)
        return wanted_at


def prune() -> dict[str, int]:
    """Deletes media that were kept for KEEP_MEDIA_DAYS, and files that no message has any more.

    While a whole batch is found there are more, and they do not wait for the next minute: else 144,000 a day would be all that
    go, however many come.
    """
    until = time.monotonic() + SECONDS
    media, deleted = _prune_batch()
    latest = media, deleted
    while max(latest) == BATCH and time.monotonic() < until:
        latest = _prune_batch()
        media, deleted = media + latest[0], deleted + latest[1]
    return {"media": media, "media_files": deleted, "media_arrivals": prune_arrivals(storage().arrivals)}


def _prune_batch() -> tuple[int, int]:
    """At most BATCH media that are too old, and BATCH files; returns how many of each."""
    expired = queries["expire"].rows(days=settings().keep_media_days, batch=BATCH, hours=GRACE)
    return len(expired), delete_unwanted()


#: Behind which file the next look begins. One at all files would take longer than a statement may where there are a million.
_FIRST: dict[str, Any] = {"customer_id": 0, "hash": ""}
_looked_at = _FIRST


def delete_unwanted() -> int:
    """Deletes files that no message has any more: those that were released, and those of the next PAGE of all; returns how many.

    At most BATCH. With no transaction open while the storage is asked, which may be slow, or away. In no order: one that cannot
    be deleted keeps no other one for ever. Raises what failed first, when all others had their turn.
    """
    global _looked_at  # noqa: PLW0603 - of this process; two threads at a time go through a page twice, or leave one for later
    age, until = {"hours": GRACE, "longest": LONGEST}, time.monotonic() + SECONDS
    unwanted, next_page = _unwanted_of_page(_looked_at, age)
    deleted, problems, is_late = 0, list[Exception](), False
    for file in unwanted:
        if is_late := time.monotonic() > until:
            break
        try:
            deleted += _delete(file, age)
        except Exception as problem:
            problems.append(problem)
    if problems or not (is_late or len(unwanted) == BATCH):  # else more may be unwanted on this page
        _looked_at = next_page
    if problems:
        raise problems[0]
    return deleted


def _unwanted_of_page(after: dict[str, Any], age: dict[str, float]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Unwanted files, in no order, and where the next page begins: after the last one with the first one."""
    end = queries["end_of_page"].row(**after, page=PAGE)
    page = {f"after_{name}": value for name, value in after.items()}
    page |= {f"until_{name}": end and end[name] for name in after}
    unwanted = queries["unwanted"].rows(**age, **page, batch=BATCH)
    random.shuffle(unwanted)
    return unwanted, end or _FIRST


def _delete(file: dict[str, Any], age: dict[str, float]) -> bool:
    """Deletes a file; False if somebody wants it again, or deletes it already."""
    since = queries["begin_deletion"].scalar(**file, **age)
    if since is None:
        return False
    try:
        storage().delete(key_of(file["customer_id"], file["hash"]))
    except Exception:
        queries["keep"].rows(**file, deleting_at=since)
        raise
    queries["forget"].rows(**file, deleting_at=since)
    return True


def release(customer_id: int, sha256: str, wanted_at: datetime) -> None:
    """Deletes a file whose message was deleted while it came, unless another message has it, or it was stored again since."""
    if queries["release"].rows(customer_id=customer_id, hash=sha256, wanted_at=wanted_at):
        delete_unwanted()
