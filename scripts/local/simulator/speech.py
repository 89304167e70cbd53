"""Transcription as OpenAI's API does it: by the extension of the file's name, and of what its bytes say.

A file that has `says:` in it is heard to say what follows, up to a NUL or the end of the line; any other asks when we ship.
"""

from __future__ import annotations

import re
from typing import Any

from scripts.local.simulator.errors import openai_error
from scripts.local.simulator.exchange import Reply, Request
from scripts.local.simulator.forms import Upload, form_of

_TAKEN = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
_MAX_BYTES = 25 * 1024 * 1024
#: OpenAI's own list has "oga", but servers that speak its API know ".ogg" only, and WhatsApp's notes are named .oga.
_UNKNOWN_TO_OTHERS = {"oga"}
_SAYS = re.compile(rb"says:([^\x00\n]*)")
USUAL = "When do you ship?"


def transcribe(request: Request) -> Reply:
    """POST …/audio/transcriptions."""
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return openai_error(401, "No API key provided.", "invalid_api_key")
    try:
        fields, files = form_of(request)
    except ValueError:
        return openai_error(400, "could not parse multipart form")
    file = files.get("file", Upload("", "", b""))
    name, audio, model = file.name, file.content, fields.get("model", "")
    extension = name.rpartition(".")[2].lower()
    if not model or not name:
        return openai_error(400, "you must provide a model parameter and a file")
    if extension not in _TAKEN or extension in _UNKNOWN_TO_OTHERS:
        return openai_error(400, f"Invalid file format. Supported formats: {list(_TAKEN)}", key=name)
    if len(audio) > _MAX_BYTES:
        return openai_error(413, f"Maximum content size limit ({_MAX_BYTES}) exceeded ({len(audio)} bytes read)", key=name)
    if not audio:
        return openai_error(400, "Audio file is too short. Minimum audio length is 0.1 seconds.", "audio_too_short", key=name)
    said = _SAYS.search(audio)
    text = said[1].decode() if said else USUAL
    usage: dict[str, Any] = {"type": "duration", "seconds": 1 + len(audio) // 4_000}
    asked = " ".join(filter(None, (name, model, fields.get("language", ""))))
    return Reply(200, {"text": text, "usage": usage}, accepted=True, key=asked, text=text)
