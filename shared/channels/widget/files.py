"""Which files a visitor and a business may send each other. Pure data."""

from __future__ import annotations

from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import MEGABYTE, Way

#: Bytes of one.
MOST = 10 * MEGABYTE
#: What may be sent, by its bytes, and what it is then to the pipeline.
KINDS = {
    "image/jpeg": MediaKind.IMAGE,
    "image/png": MediaKind.IMAGE,
    "image/webp": MediaKind.IMAGE,
    "image/gif": MediaKind.IMAGE,
    "application/pdf": MediaKind.DOCUMENT,
    "text/plain": MediaKind.DOCUMENT,
    "text/csv": MediaKind.DOCUMENT,
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": MediaKind.DOCUMENT,
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": MediaKind.DOCUMENT,
    "audio/ogg": MediaKind.AUDIO,
    "audio/mpeg": MediaKind.AUDIO,
    "audio/mp4": MediaKind.AUDIO,
    "audio/wav": MediaKind.AUDIO,
    "audio/webm": MediaKind.AUDIO,
}

CARRIES = (Way("file", MOST, max_caption=16_000, mimes=frozenset(KINDS)),)
