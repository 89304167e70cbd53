"""What goes through a QR gateway of files, whatever its dialect. Pure data.

Files are base64 within JSON, of which gateway and engine make copies: hence the limit. What WhatsApp might not show in a chat
goes as a document.
"""

from __future__ import annotations

from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import MEGABYTE, Way

CAPTION = 1_024
_MOST = 16 * MEGABYTE
#: Whatever is no Ogg yet the gateway converts.
_SOUNDS = frozenset({"audio/ogg", "audio/mpeg", "audio/mp4", "audio/aac", "audio/amr", "audio/wav", "audio/webm"})

CARRIES = (
    Way("image", _MOST, CAPTION, frozenset({MediaKind.IMAGE}), frozenset({"image/jpeg", "image/png"}), may_split=False),
    Way("video", _MOST, CAPTION, frozenset({MediaKind.VIDEO}), frozenset({"video/mp4", "video/3gpp"}), may_split=False),
    Way("voice", _MOST, 0, frozenset({MediaKind.VOICE}), _SOUNDS, may_split=False),
    Way("document", _MOST, CAPTION, may_split=False),
)
