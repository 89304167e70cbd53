"""media-fetch: fetches what a message came with, stores it, and has it understood; the AI's job waits for that.

Each file is kept for itself: one that cannot be had never costs the others, and a retry goes on with those that are missing.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from shared import db, payloads
from shared.ai.failures import NotTranscribed
from shared.ai.understanding import understand
from shared.broker.thread_pool import ThreadPool
from shared.channels import health
from shared.channels.health import ChannelAccount
from shared.channels.outcomes import AccountDown
from shared.channels.registry import channel
from shared.db import sql
from shared.errors import OutcomeUnknown, OutsideFailure, PermanentError, PermanentRefusal, Snooze
from shared.http import ConnectFailed
from shared.http.bulkhead import Bulkhead, NoRoom, Room, customer_room
from shared.jobs import worker_process
from shared.jobs.completion import CompletionStatement, complete
from shared.jobs.dead_letter import DeadLetter
from shared.jobs.ledger import Job
from shared.jobs.retry_policy import RetryPolicy
from shared.jobs.stage import actor
from shared.knowledge.reading import NoMemoryFree
from shared.media import files, in_memory
from shared.media.download import Download, Spoilt
from shared.media.fetching import MediaUnavailable
from shared.media.folder import FileMissing, StorageDown
from shared.media.in_memory import NoRoomInMemory
from shared.media.storage import storage
from shared.queues import Queue

log = logging.getLogger(__name__)

#: Seconds after which a message is answered without its files, where its channel says nothing but "later": its token has expired,
#: or too many files are asked for.
PATIENCE = 12 * 3600.0
#: Seconds after which a voice note is answered as one that nobody heard, where its business has too many calls without an answer.
HEARING_PATIENCE = 300.0
#: How often a file is fetched that does not come as it was announced.
TRIES = 2

queries = sql.load(__file__)

finish = CompletionStatement(queries["finish"])

_bulkhead = Bulkhead(
    ThreadPool.of(worker_process.boot(), Queue.MEDIA), no_response=(ConnectFailed, OutcomeUnknown, NotTranscribed)
)


@actor(
    Queue.MEDIA,
    max_retries=6,
    min_backoff=1000,
    # Two minutes: a media server that restarts is waited for, and a customer who waits is not kept for longer.
    retry=RetryPolicy(delays=(1.0, 2.0, 4.0, 15.0, 30.0, 60.0), jitter=0.1, max_age=PATIENCE),
    on_retry_exhausted=DeadLetter(queries["dead_letter"]),
    claim=queries["claim"],
    attempt_failed=queries["attempt_failed"],
)
def fetch_media(job: Job) -> None:
    """Fetches the media of a message that are not stored yet, and has them understood; its answer waits for that."""
    payload = payloads.read(Queue.MEDIA, job.payload)
    if job.loaded is None:
        log.info("media_dropped", extra={"reason": "the message is deleted"})
        complete(job)
        return
    media = job.loaded["media"] or ()
    if any(file["state"] == "waiting" for file in media):
        _wait_for_account(job)
    problems = [problem for file in media if (problem := _fetch_or_fail(job, file))]
    if problems:
        if isinstance(problems[0], AccountDown):
            _found_down(job, problems[0])
        if isinstance(problems[0], StorageDown) and job.attempt > 1:
            # Its message is answered after the first attempt; the file is lost if we give up before our own disk has room.
            raise Snooze(min(30.0, max(2.0, job.age)), str(problems[0]))
        raise problems[0]
    finish(job, {"message_id": payload["message_id"]})


def _wait_for_account(job: Job) -> None:
    """Parks the job while its account has no credentials to fetch with."""
    account = _health_of(job)
    if account.needs_login:
        _hold(job, account, account.health["reason"])


def _found_down(job: Job, down: AccountDown) -> None:
    """A file was refused because of the account: that is kept, and the job waits for another token."""
    account = _health_of(job)
    row = _account_of(account.channel.name, account.chatbot_id)
    health.went_down(replace(account, name=row[account.channel.account_column]), down)
    _hold(job, account, down.reason)


def _hold(job: Job, account: ChannelAccount, reason: str) -> None:
    health.hold(job, account, reason, PATIENCE, may_try=False)


def _health_of(job: Job) -> ChannelAccount:
    loaded = job.loaded or {}
    return ChannelAccount(channel(loaded["channel"]), loaded["chatbot_id"], "", loaded["health"])


def _fetch_or_fail(job: Job, file: dict[str, Any]) -> Exception | None:
    """Fetches one file, and has it understood, unless that was done; returns what may pass. What will not is kept on its row."""
    try:
        if file["state"] == "waiting":
            file = {**file, "state": "stored", "storage_key": _fetch_in_room(job, file)}
        if file["state"] == "stored" and file["text"] is None:
            _understand(job, file)
    except FileMissing:
        log.warning("media_missing", extra={"media": file["id"]})
    except PermanentError as problem:
        log.info("media_failed", extra={"reason": str(problem), "media": file["id"]})
        queries["keep_failed"].rows(id=file["id"], error=str(problem))
    except (OutsideFailure, Snooze) as problem:
        return problem
    return None


def source_room(customer_id: int | None) -> Room:
    """Where a customer's files come from; not its transcriber, which may hang while they come."""
    return Room("the source of the customer's files", ("files", customer_id), least=4)


def _fetch_in_room(job: Job, file: dict[str, Any]) -> str:
    """Stores one file; returns its key. One business's gateway or bucket that hangs does not keep the others' files waiting."""
    try:
        with _bulkhead.slot(source_room(job.customer_id), age=job.age):
            return _fetch(job, file)
    except NoRoom as problem:
        if not problem.is_failing:
            raise
        # As if it had not answered this one either: then the message's answer does not wait for it.
        raise MediaUnavailable(f"media: {problem}") from None


def _fetch(job: Job, file: dict[str, Any]) -> str:
    """Stores one file; returns its key."""
    loaded = job.loaded or {}
    account = _account_of(loaded["channel"], loaded["chatbot_id"])
    provider = import_module(f"shared.channels.{loaded['channel']}.media")
    with Download(storage().arrivals, mime=file["mime"], sha256=file["sha256"]) as download:
        for tries_left in reversed(range(TRIES)):
            try:
                provider.fetch_file(account, file["source"], download)
                download.check()
                break
            except Spoilt as problem:
                if not tries_left:
                    raise PermanentRefusal(str(problem)) from None
        stored = files.store(file["customer_id"], download)
        filename = file["filename"] or download.filename
    is_kept = queries["keep_stored"].scalar(
        id=file["id"], mime=stored.mime, filename=filename, size=stored.size, hash=stored.sha256, storage_key=stored.key
    )
    if not is_kept:  # its message is deleted, or another worker was faster
        files.release(file["customer_id"], stored.sha256, stored.wanted_at)
    return stored.key


def _understand(job: Job, file: dict[str, Any]) -> None:
    """Has a stored file understood. One business's transcriber that hangs, or documents that take long to read, do not keep the
    others' files waiting."""
    takes_long = file["kind"] in ("voice", "audio", "document")
    try:
        room = _bulkhead.slot(customer_room(job.customer_id), age=job.age) if takes_long else nullcontext()
        with room, storage().at_path(file["storage_key"]) as path, _room_in_memory(job, file["kind"], path):
            understand(file, path, job)
    except (NoRoom, NoRoomInMemory, NoMemoryFree) as problem:
        if job.age < HEARING_PATIENCE:
            raise
        log.info("media_not_understood", extra={"media": file["id"], "reason": str(problem)})


def _room_in_memory(job: Job, kind: str, path: Path) -> AbstractContextManager[None]:
    """What is heard is sent as a whole; documents are read one by one (shared/knowledge/reading.py)."""
    return in_memory.hold(job.customer_id, path.stat().st_size, job.age) if kind in ("voice", "audio") else nullcontext()


def _account_of(channel_name: str, chatbot_id: int) -> dict[str, Any]:
    """The row by which the chatbot is connected to the channel."""
    table = channel(channel_name).account_table
    query = f"select to_jsonb(account) as account from {table} account where chatbot_id = %s and active"
    account = db.scalar(query, [chatbot_id]) if table else None
    if account is None:
        raise PermanentRefusal(f"media: the chatbot has no active {table or channel_name} to fetch files with")
    return dict(account)
