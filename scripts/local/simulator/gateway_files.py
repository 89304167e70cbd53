"""Files that are sent through QR gateways, as base64 within JSON: what WAHA and Evolution refuse of them."""

from __future__ import annotations

import mimetypes
from typing import Any

from scripts.local.simulator.forms import Upload, decoded

#: Bytes of a request that each takes.
WAHA_MOST, EVOLUTION_MOST = 50 * 1024 * 1024, 136 * 1024 * 1024
#: WAHA's calls, what each sends, and how its type begins.
WAHA_CALLS = {
    "/api/sendImage": ("image", "image/"),
    "/api/sendVideo": ("video", "video/"),
    "/api/sendVoice": ("voice", "audio/"),
    "/api/sendFile": ("document", ""),
}
#: What Evolution's `mediatype` may be, and the message that it makes.
_MESSAGES = {
    "image": "imageMessage",
    "video": "videoMessage",
    "audio": "audioMessage",
    "document": "documentMessage",
    "ptv": "ptvMessage",
}
#: Evolution's calls that send files.
EVOLUTION_CALLS = ("/message/sendMedia/", "/message/sendWhatsAppAudio/")
_CAPTION = 1_024


def waha(path: str, sent: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The file that is sent, as the record has it, or what is wrong with it."""
    kind, begins = WAHA_CALLS[path]
    file = sent.get("file")
    content = decoded(file.get("data")) if isinstance(file, dict) else None
    mime = str(file.get("mimetype", "")) if isinstance(file, dict) else ""
    caption = sent.get("caption", "")
    if not content or not isinstance(file, dict):
        return {}, "file.data must be a base64 string"
    if "/" not in mime or not mime.startswith(begins):
        return {}, f"file.mimetype must be a type like {begins or 'application/'}…"
    if kind in ("voice", "video") and not (isinstance(sent.get("convert"), bool) and file.get("filename")):
        return {}, "convert must be a boolean, and file.filename a string"
    if kind == "voice" and (caption or ("opus" not in mime and not sent.get("convert"))):
        return {}, "a voice message has no caption, and must be OPUS or converted"
    if len(caption) > _CAPTION:
        return {}, "caption is too long"
    return Upload(str(file.get("filename", "")), mime, content).shown(kind, caption, converted=sent.get("convert", False)), ""


def evolution(path: str, sent: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The same of Evolution."""
    if path.startswith("/message/sendWhatsAppAudio/"):
        content = decoded(sent.get("audio"))
        shown = Upload("", "audio/ogg; codecs=opus", content or b"").shown("voice", converted=sent.get("encoding", False))
        return (shown, "") if content else ({}, "Owned media must be a url, base64, or valid file with buffer")
    content, kind = decoded(sent.get("media")), sent.get("mediatype")
    if kind not in _MESSAGES:
        return {}, f"mediatype must be one of {', '.join(_MESSAGES)}: it does not meet the schema"
    if not content:
        return {}, "Owned media must be a url or base64"
    if kind == "document" and not sent.get("fileName"):
        return {}, "For base64 the file name must be informed."
    if len(sent.get("caption", "")) > _CAPTION:
        return {}, "the caption does not meet the schema"
    name = sent.get("fileName") or {"image": "image.jpg", "video": "video.mp4"}.get(kind, "")
    mime = mimetypes.guess_type(name)[0] or "false"  # as its name says, whatever `mimetype` does
    return Upload(name, mime, content).shown(kind, sent.get("caption", "")), ""


def message_of(shown: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The type of the message that Evolution makes of a file, and the message."""
    kind = "audioMessage" if shown["kind"] == "voice" else _MESSAGES[shown["kind"]]
    return kind, {kind: {"mimetype": shown["mime"], "fileName": shown["name"], "caption": shown["caption"]}}
