"""What every page calls a channel, and how a message stands on it."""

from __future__ import annotations

from collections.abc import Mapping

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
