"""Connecting an account by whoever proves that it is theirs: what the desk and the API do alike.

The checks ask the provider each time; they hold no database connection meanwhile, and a process asks a few at once, for each
takes a thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from flask_babel import gettext as _
from werkzeug.exceptions import ServiceUnavailable

from shared.channels import checks, connecting
from shared.channels.checks import ProviderRefused, Step
from shared.channels.health import ChannelAccount
from shared.channels.registry import CHANNELS, UnknownChannel
from shared.channels.whatsapp_qr import connect as qr
from shared.config import settings
from web.addresses import shown_address
from web.audited import audited
from web.turns import NoTurn, Turns

#: The channels on which a chatbot has an account, for routes.
CONNECTED = [one.name for one in CHANNELS.values() if one.account_table]
#: Threads of a process that ask providers at the same time, of its WEB_THREADS; how many of them for one business, and on one
#: channel, whose gateway may hang; seconds that another one waits for its turn.
_ASKING, _OF_ONE, _ON_ONE, _PATIENCE = 3, 1, 2, 2.0
_turns = Turns(_ASKING)


def connect(customer_id: int, channel: str, chatbot_id: int, given: Mapping[str, str]) -> None:
    """Connects an account that the provider says is theirs, to a chatbot that has none. `given`: secret, name and waba_id, or
    dialect. Raises InvalidPayload, ProviderRefused, OutsideFailure, ServiceUnavailable."""
    note, secret = noting(channel, chatbot_id), given.get("secret", "")
    with asking(customer_id, channel):
        match channel:
            case "whatsapp_cloud":
                connecting.own_cloud(chatbot_id, given.get("name", ""), secret, given.get("waba_id", ""), note)
            case "whatsapp_qr":
                site = settings().public_url
                if not site:
                    raise ProviderRefused("no_address", "PUBLIC_URL is not set")
                connecting.own_qr(chatbot_id, given.get("dialect", ""), site, note)
            case "telegram":
                site = settings().public_url
                connecting.connect_telegram(chatbot_id, secret, site if site.startswith("https://") else "", note)
            case _:
                raise UnknownChannel(f"nobody can prove here whose account of {channel} it is")


def noting(channel: str, chatbot_id: int) -> connecting.Note:
    """Writes the audit row of a change of an account, in its transaction."""
    return lambda action, name: audited(action, "channel", chatbot_id, name=name, channel=channel)


def steps(customer_id: int, account: ChannelAccount) -> tuple[list[Step], bool, str]:
    """What is right and what is not, asked now; whether a session waits for its phone, and the code that the phone reads ("":
    there is none yet)."""
    with asking(customer_id, account.channel.name):
        found = checks.steps(account, shown_address())
        waits = any(step.problem == "phone_missing" for step in found)
        return found, waits, qr.qr_code(checks.row_of(account) or {}) if waits else ""


@contextmanager
def asking(customer_id: int, channel: str) -> Iterator[None]:
    """A turn to ask a channel's provider. Raises ServiceUnavailable where others take all of them."""
    try:
        with _turns.turn({customer_id: _OF_ONE, channel: _ON_ONE}, _PATIENCE):
            yield
    except NoTurn:
        raise ServiceUnavailable(_("Several connections are checked at this moment. Try again."), retry_after=5) from None
