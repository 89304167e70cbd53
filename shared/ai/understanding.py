"""What a file that a customer sent says: a voice note becomes words, a document gives its text, a picture is for models that see.

Whatever comes of it, the message is answered: what says nothing gets the chatbot's `unsupported_message`, as what cannot be
fetched does. A result is kept in one statement, with what it cost, before anything follows from it: a job that runs again goes on
behind it. Only an answer that a dead process had in its hands is paid for again.
"""

from __future__ import annotations

import logging
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared import db
from shared.ai.attachments import SEEN
from shared.ai.failures import NotTranscribed
from shared.broker.enqueue import enqueue, tickets_of
from shared.budgets.meter import Meter, Payer, Unaffordable, metering
from shared.db import sql
from shared.errors import OutsideFailure, PermanentError
from shared.jobs.ledger import Job
from shared.knowledge import reading
from shared.knowledge.documents import Document, Raw
from shared.telemetry import metrics

log = logging.getLogger(__name__)
queries = sql.load(__file__)

#: Characters of a document that are kept. A prompt has room for less; the API shows all of it.
MAX_TEXT = 20_000


def understand(media: Mapping[str, Any], path: Path, job: Job | None = None) -> None:
    """Fills the text of a stored file, unless it has one. `media`: its row, of which the id counts; `job`: that for which it is.

    What will never be understood is kept so. Raises OutsideFailure for what may be at the next attempt.
    """
    file = queries["load"].row(media_id=media["id"])
    if file is None or file["text"] is not None:
        return
    try:
        if file["kind"] in ("voice", "audio"):
            _hear(media["id"], file, path, job)
        elif file["kind"] == "document":
            _read(media["id"], file, path)
        elif file["kind"] in ("image", "sticker") and file["can_see"] and file["mime"] in SEEN:
            queries["keep_seen"].rows(media_id=media["id"])
    except PermanentError as problem:
        _keep(media["id"], "", error=_words(problem))
        log.info("media_not_understood", extra={"media": media["id"], "reason": str(problem)})
        metrics.increment("understood_media", file["kind"], "failed")
    except OutsideFailure as problem:
        queries["keep_problem"].rows(media_id=media["id"], error=_words(problem))
        raise


def _hear(media_id: int, file: Mapping[str, Any], path: Path, job: Job | None) -> None:
    if file["known_text"] is not None:
        _keep(media_id, file["known_text"], is_speech=True)
        return
    if file["transcription_model"] is None:
        return  # nobody was asked to listen
    from shared.ai.transcription import Transcriber, transcribe  # the openai client, and 30 MB with it

    asked = Transcriber(
        model=file["transcription_model"],
        base_url=file["transcription_base_url"],
        api_key=file["transcription_api_key"],
        language=file["transcription_language"],
        owner=f"chatbot {file['chatbot_id']}",
    )
    claim = {"job_id": job.id, "claim": job.claim} if job else {}
    payer = Payer(file["customer_id"], file["chatbot_id"], file["message_id"], **claim)
    meter = Meter(payer, has_budget=file["has_budget"])
    try:
        with metering(meter):
            heard = transcribe(asked, path.read_bytes(), file["mime"], file["filename"])
    except Unaffordable as refused:
        if not refused.is_spent:
            raise NotTranscribed(f"transcription: what is left of budget {refused.budget} is reserved") from None
        raise PermanentError("transcription: the month's budget is used up") from None
    except Exception:
        meter.book()
        raise
    _keep(
        media_id,
        heard.text,
        is_speech=bool(heard.text),
        error=None if heard.text else "nobody says anything in it",
        model=asked.model,
        seconds=heard.seconds,
        booking=db.json(meter.booking()),
    )
    metrics.increment("understood_media", file["kind"], "made" if heard.text else "empty")


def _read(media_id: int, file: Mapping[str, Any], path: Path) -> None:
    text = file["known_text"]
    if text is None:
        with reading.turn(file["customer_id"]) as read:
            text = _text_of(read(Raw(_name(file), path.read_bytes(), file["mime"] or "")))
    _keep(media_id, text, error=None if text else "there is no text in it")
    metrics.increment("understood_media", file["kind"], "made" if text else "empty")


def _text_of(document: Document) -> str:
    """As it is read from top to bottom: a title stands above the first of the parts that it belongs to."""
    parts, title = list[str](), document.title
    for item in document.items:
        parts += [item.content] if item.title == title else [item.title, item.content]
        title = item.title
    return "\n\n".join(parts)[:MAX_TEXT].strip()


def _name(file: Mapping[str, Any]) -> str:
    """The document's name, by whose extension it is read; what bytes are says more than what they are called."""
    extension = mimetypes.guess_extension((file["mime"] or "").partition(";")[0]) or ""
    return file["filename"] or f"document{extension}"


def _keep(media_id: int, text: str, **more: Any) -> None:
    values = {"is_speech": False, "error": None, "model": None, "seconds": None, "booking": None}
    tickets = queries["keep_words"].scalar(media_id=media_id, text=text, **{**values, **more})
    enqueue(tickets_of(tickets or ()))


def _words(problem: Exception) -> str:
    """For whoever sees the message: our words, and the other side's."""
    words = getattr(problem, "words", "")
    return f"{problem} ({words})" if words else str(problem)
