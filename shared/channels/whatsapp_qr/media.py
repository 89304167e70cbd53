"""Files of QR gateways: WAHA gives them at an address, Evolution as base64 within JSON.

Addresses come with webhooks, and the gateway's key opens the files of every session: so it goes only to the gateway itself, and
only for the files of the message's own session.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from shared.channels.inbound import get_path, get_text
from shared.channels.whatsapp_qr.gateway import key_of
from shared.config import host_of, settings
from shared.errors import OutsideFailure, PermanentRefusal
from shared.http.client import USER_AGENT, exchange
from shared.media.download import Download
from shared.media.fetching import MediaGone, failure_of, fetch, is_at
from shared.media.inline import Lifter, decode_into

#: Where WAHA has its files: /api/files/<session>/<name>; older versions have no folder for the session.
_WAHA_FILE = re.compile(r"/api/files/(?:(?P<session>[^/]+)/)?(?P<name>[^/]+)")


def fetch_file(account: Mapping[str, Any], source: Mapping[str, Any], download: Download) -> None:
    """Fetches a file in the dialect of its session. Raises as shared.media.fetching.fetch does."""
    key = key_of(account["session_name"], account["api_key"])
    url, message = get_text(source, "url"), source.get("message") if account["dialect"] == "evolution" else None
    if url:
        try:
            _fetch_address(account, key, url, download)
            return
        except OutsideFailure:
            if message is None:
                raise  # Evolution has it as well
    if message is None:
        raise MediaGone("media: the gateway gave the file neither with the message nor at an address")
    _fetch_from_evolution(account["session_name"], key, message, download)


def _fetch_address(account: Mapping[str, Any], key: str, url: str, download: Download) -> None:
    """From the gateway, whatever it calls itself in its container; what it keeps in a bucket, from there and without the key."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise PermanentRefusal("media: the file's address is none") from None
    if account["dialect"] == "waha" and parts.path.startswith("/api/"):
        base = settings().qr_service_url
        headers = {"X-Api-Key": key} if key else {}
        fetch(base + _waha_path(parts.path, account["session_name"]), headers, download, is_at(base))
    else:
        fetch(url, {}, download, allow_private=settings().webhooks_to_private, may_expire=True)


def _waha_path(path: str, session: str) -> str:
    match = _WAHA_FILE.fullmatch(path)
    pieces = [unquote(piece) for piece in match.groups() if piece] if match else []
    if match is None or any(piece in (".", "..") or "/" in piece or "\\" in piece for piece in pieces):
        raise PermanentRefusal("media: the gateway's address is not that of a file")
    if len(pieces) == 2 and pieces[0] != session:
        raise PermanentRefusal("media: the gateway's address is that of another session's file")
    return path


def _fetch_from_evolution(session: str, key: str, message: Any, download: Download) -> None:
    """POST /chat/getBase64FromMediaMessage/{instance}; the answer is read as it comes, and held nowhere."""
    base = settings().qr_service_url
    download.restart()
    lifter = Lifter(lambda: download)

    def read(part: bytes) -> None:
        lifter.feed(part)
        if (problem := next((file.problem for file in lifter.files.values() if file.problem), None)) is not None:
            raise problem

    answer = exchange(
        "POST",
        f"{base}/chat/getBase64FromMediaMessage/{quote(session, safe='')}",
        json.dumps({"message": message, "convertToMp4": False}).encode(),
        {"User-Agent": USER_AGENT, "Content-Type": "application/json", **({"apikey": key} if key else {})},
        settings().media_timeout,
        max_bytes=settings().media_max * 1024 * 1024 * 3 // 2,
        on_part=read,
    )
    if not answer.ok:
        if answer.status == 400:  # "Message not found": not stored, or another node's
            raise MediaGone(f"media: {host_of(base)} does not have the message any more (HTTP 400)")
        raise failure_of(answer, host_of(base))
    about = lifter.json()
    download.mime = get_text(about, "mimetype") or download.mime
    if not download.size:
        decode_into(get_path(about, "base64"), download)
