"""Files that a webhook holds itself, as base64: they are stored before their message is accepted."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from shared import db
from shared.channels.inbound import InboundAccount, Media, get_path
from shared.errors import OutsideFailure
from shared.media import files as storing
from shared.media.download import Download
from shared.media.inline import Lifted, decode_into
from shared.media.names import clean
from shared.media.storage import storage
from shared.models import Chatbot

log = logging.getLogger(__name__)

#: By the text that stands for one in its body.
Files = Mapping[str, Lifted]
NO_FILES: Files = {}


def keep_inline(account: InboundAccount, raw: Any, media: Media, files: Files) -> dict[str, Any]:
    """The file of a message for its payload: stored, if it came with the webhook.

    One that is spoilt is fetched, where its channel has it as well; else it has failed, and the message goes on without it.
    """
    file = {**asdict(media), "filename": clean(media.filename) if media.filename else None}
    source = media.source
    if not source.get("base64"):
        return file
    source = {name: value for name, value in source.items() if name != "base64"}
    try:
        stored = _store(account, base64_in(raw), file["mime"], files)
    except (OutsideFailure, OSError) as problem:
        reason = str(problem) if isinstance(problem, OutsideFailure) else f"media: it cannot be stored ({type(problem).__name__})"
        log.warning("inline_file_not_stored", extra={"subject": account.name, "reason": reason})
        return {**file, "source": source, **({} if source.get("message") or source.get("url") else {"error": reason})}
    about = {"mime": stored.mime, "size": stored.size, "sha256": stored.sha256, "wanted_at": stored.wanted_at.isoformat()}
    return {**file, "source": {}, "is_stored": True, **about}


def release_inline(account: InboundAccount, media: Sequence[Mapping[str, Any]]) -> None:
    """Deletes what came again with a message that was accepted before, unless that has it: its person may be erased.

    If their storage is away, maintenance deletes them when it is back.
    """
    stored = [file for file in media if file.get("is_stored")]
    if not stored:
        return
    customer_id = int(db.scalar(_customer_of(account)))
    for file in stored:
        try:
            storing.release(customer_id, file["sha256"], datetime.fromisoformat(file["wanted_at"]))
        except Exception:
            log.exception("files_not_deleted", extra={"subject": account.name})


def _store(account: InboundAccount, text: str, mime: str | None, files: Files) -> storing.Stored:
    lifted = files.get(text)
    if lifted is not None:
        if lifted.problem is not None:
            raise lifted.problem
        return _keep(account, lifted.download, mime)
    with Download(storage().arrivals) as download:
        decode_into(text, download)
        return _keep(account, download, mime)


def _keep(account: InboundAccount, download: Download, mime: str | None) -> storing.Stored:
    download.mime = mime
    download.check()
    customer_id = db.retry_on_outage(lambda: db.scalar(_customer_of(account)), db.WEB_RETRY_SECONDS)
    return storing.store(int(customer_id), download)


def _customer_of(account: InboundAccount) -> Any:
    return Chatbot.select(Chatbot.customer).where(Chatbot.id == account.chatbot_id)


def base64_in(value: Any) -> str:
    """Where gateways put a file: `base64`, or the `data` of `media`; "" if it is nowhere."""
    if isinstance(value, list):
        return next((found for item in value if (found := base64_in(item))), "")
    if not isinstance(value, dict):
        return ""
    for name, inner in value.items():
        text = inner if name.lower() == "base64" else get_path(inner, "data") if name == "media" else None
        if isinstance(text, str) and text:
            return text
    return base64_in(list(value.values()))
