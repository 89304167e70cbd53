"""What every page calls a channel, and how a message stands on it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

from shared.channels.registry import CHANNELS

#: Their titles; the one that is no name of a product has a translation (chatbots.po).
CHANNEL_NAMES: Mapping[str, LazyString] = {channel.name: _l(channel.title) for channel in CHANNELS.values()}

#: How a message or a webhook's event stands.
STATUSES: Mapping[str, LazyString] = {
    "PENDING": _l("on its way"),
    "SENT": _l("sent"),
    "DELIVERED": _l("delivered"),
    "READ": _l("read"),
    "FAILED": _l("not sent"),
    "SUPERSEDED": _l("not sent: a person took over"),
}

#: Characters of no category below that show nothing: Braille's blank, and Hangul's fillers.
_BLANKS = frozenset("\u2800\u115f\u1160\u3164\uffa0")


def seen(text: str) -> str:
    """A message's text, or what stands in its place where nothing is to be seen: its bubble would look like our mistake."""
    is_seen = any(unicodedata.category(one)[0] not in "CZM" and one not in _BLANKS for one in text)
    return text if is_seen or not text else _("(only invisible characters)")
