"""Which files there are. Each is kept once for a customer, however many messages have it, and counts once against its quota.

A file's row is written before its bytes are, and deleted after them: so there are no bytes that no row knows of.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared import db
from shared.config import settings
from shared.db import sql
from shared.errors import PermanentRefusal
from shared.media.download import Download
from shared.media.folder import key_of, prune_arrivals
from shared.media.storage import storage

queries = sql.load(__file__)

#: Files that one look of maintenance deletes: each is a call, where they are in a bucket.
BATCH = 100
#: Hours for which a file waits for the message that has it: an upload of the widget, a job that is retried.
GRACE = 24


class QuotaFull(PermanentRefusal):
    """The customer's files fill its quota."""


@dataclass(frozen=True)
class Stored:
    """A file in the storage."""

    key: str
    sha256: str
    size: int
    mime: str


def store(customer_id: int, download: Download) -> Stored:
    """Keeps what came, which was checked. Raises QuotaFull."""
    conf, key = settings(), key_of(customer_id, download.sha256)
    with db.transaction():
        queries["lock"].rows(customer_id=customer_id)
        is_wanted = queries["want"].scalar(
            customer_id=customer_id, hash=download.sha256, size=download.size, quota=conf.media_quota * 1024 * 1024
        )
    if not is_wanted:
        raise QuotaFull(f"media: this business's files would have more than {conf.media_quota} MiB; MEDIA_QUOTA_MB is the limit")
    storage().put(key, download.path)
    return Stored(key, download.sha256, download.size, download.mime or "application/octet-stream")


def prune() -> dict[str, int]:
    """Deletes media that were kept for KEEP_MEDIA_DAYS, and files that no message has any more."""
    expired = queries["expire"].rows(days=settings().keep_media_days, batch=BATCH)
    arrivals = prune_arrivals(storage().arrivals)
    return {"media": len(expired), "media_files": delete_unwanted(), "media_arrivals": arrivals}


def delete_unwanted() -> int:
    """Deletes files that no message has any more, those that were released first; returns how many. At most BATCH."""
    with db.transaction():
        unwanted = queries["take_unwanted"].rows(batch=BATCH, hours=GRACE)
        for file in unwanted:
            storage().delete(key_of(file["customer_id"], file["sha256"]))
    return len(unwanted)


def release(customer_id: int, sha256: str) -> None:
    """Deletes a file whose message was deleted while it came, unless another message has it."""
    if queries["release"].rows(customer_id=customer_id, hash=sha256):
        delete_unwanted()
