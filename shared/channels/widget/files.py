"""What a page with the widget shows of files, which is what its visitors may send. Pure data."""

from __future__ import annotations

from shared.channels.outbound_file import MEGABYTE, Way

#: By their bytes.
_TAKEN = frozenset(
    {
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/gif",
        "application/pdf",
        "text/plain",
        "text/csv",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "audio/ogg",
        "audio/mpeg",
        "audio/mp4",
        "audio/wav",
        "audio/webm",
    }
)

CARRIES = (Way("file", 10 * MEGABYTE, max_caption=16_000, mimes=_TAKEN),)
