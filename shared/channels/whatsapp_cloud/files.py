"""What Meta takes of files. Pure data.

Source: Meta's Cloud API reference, media. What has no place of its own there, a GIF, a HEIC, a large picture, goes as a document.
"""

from __future__ import annotations

from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import KILOBYTE, MEGABYTE, Way

#: Of Ogg only Opus (send_file.py).
_SOUNDS = frozenset({"audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg"})
_VIDEO = frozenset({"video/mp4", "video/3gpp"})
_PICTURES = frozenset({"image/jpeg", "image/png"})
CAPTION = 1_024

CARRIES = (
    Way("image", 5 * MEGABYTE, CAPTION, frozenset({MediaKind.IMAGE}), _PICTURES),
    Way("video", 16 * MEGABYTE, CAPTION, frozenset({MediaKind.VIDEO}), _VIDEO),
    Way("audio", 16 * MEGABYTE, 0, frozenset({MediaKind.VOICE, MediaKind.AUDIO}), _SOUNDS),
    Way("sticker", 100 * KILOBYTE, 0, frozenset({MediaKind.STICKER}), frozenset({"image/webp"})),
    Way("document", 100 * MEGABYTE, CAPTION),
)
