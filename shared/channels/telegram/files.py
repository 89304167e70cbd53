"""What a bot sends of files, by the methods that do it. Pure data.

Source: Bot API 9, sending files: what a method does not show goes as a document.
"""

from __future__ import annotations

from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import KILOBYTE, MEGABYTE, Way

CAPTION = 1_024
_MOST = 50 * MEGABYTE
_SOUNDS = frozenset({"audio/mpeg", "audio/mp4"})

CARRIES = (
    Way("sendPhoto", 10 * MEGABYTE, CAPTION, frozenset({MediaKind.IMAGE}), frozenset({"image/jpeg", "image/png", "image/webp"})),
    Way("sendAnimation", _MOST, CAPTION, frozenset({MediaKind.IMAGE, MediaKind.VIDEO}), frozenset({"image/gif"})),
    Way("sendVideo", _MOST, CAPTION, frozenset({MediaKind.VIDEO}), frozenset({"video/mp4"})),
    Way("sendVoice", _MOST, CAPTION, frozenset({MediaKind.VOICE}), _SOUNDS | {"audio/ogg"}),
    Way("sendAudio", _MOST, CAPTION, frozenset({MediaKind.AUDIO}), _SOUNDS),
    Way("sendSticker", 512 * KILOBYTE, 0, frozenset({MediaKind.STICKER}), frozenset({"image/webp"})),
    Way("sendDocument", _MOST, CAPTION),
)
