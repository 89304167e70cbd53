"""The channels: the only list of them in Python. Pure data, so that payloads, broker and web may ask it as well.

To add a channel, as Telegram was added:

1. shared/queues.py: the send stage's queue and its module; shared/payloads.py: what the queue carries;
   shared/broker/fair_queue.py: its share of a process's threads.
2. `CHANNELS` below: its entry.
3. shared/channels/telegram/: what its __init__.py lists. Copy telegram/; sending.py has the rest. Its files.py says what it
   carries of files (none: an empty `CARRIES`), its send_file.py sends one (outbound_file.py).
4. web/hooks/telegram.py: `hook` (a blueprint) and `replay`. web/hooks/__init__.py finds it by the channel's name.
5. workers/telegram.py and .sql: the send stage. Its process type: Procfile (a line, and the module in `worker`), app.json,
   compose.yaml. shared/config.py and .env.example: its sizes, its rate limit, its provider's address.
6. A migration, and schema.sql: a row of `channel`, the table of its accounts; shared/models/channels.py: that table's model.
7. scripts/commands/connect.py: connects an account. scripts/local/simulator: a module that plays the provider, its lines in
   services.py and client.py.
8. workers/ai.sql: by which account somebody types. shared/privacy/erasure.sql: whose what was rejected is.
9. connecting.py, web/connecting.py and web/templates/desk/connect.html: an owner connects one, where the provider proves whose it
   is.
10. README.md of web, workers, scripts and shared; tests.

tests/unit/test_channels.py says what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import PermanentError
from shared.queues import Queue


class UnknownChannel(PermanentError):
    """There is no channel of that name."""


@dataclass(frozen=True, kw_only=True)
class Channel:
    """What others must know of a channel. Whoever connects one (a phone number, a session) has an account of it."""

    #: As rows, the API and metrics call it; its package, its hook and its worker are modules of this name.
    name: str
    #: As people know it.
    title: str
    #: Where a customer writes, as a model is told: "on WhatsApp".
    place: str
    #: Characters of a reply that a person writes.
    max_content: int
    #: Characters of a customer's text. What is longer loses its middle where it comes by a hook, and is refused elsewhere.
    max_inbound: int
    #: The queue whose stage calls the provider; None: workers/outgoing.py delivers it, for there is nobody to call.
    send_queue: Queue | None = None
    #: The links that an answer is taken from stay beside it (metadata); elsewhere they are lines of its text.
    shows_sources: bool = False
    #: The provider has no idempotency keys: a send whose outcome is unknown follows AMBIGUOUS_SEND instead of being retried.
    at_most_once: bool = False
    #: Its accounts are WhatsApp's: RATE_LIMIT_WHATSAPP_NUMBER is a limit of each.
    has_numbers: bool = False
    #: Its package has `typing`: customers are shown that somebody types (typing_indicator.py). The widget's page does it itself.
    shows_typing: bool = False
    #: Customers' messages come in by web/hooks/<name>.py; what has no account there is kept, and replayed by that module.
    has_hook: bool = False
    #: The table of its accounts, the column by which the provider names one, and what people call such a name.
    account_table: str = ""
    account_column: str = ""
    account_noun: str = ""
    #: The column of its token or key, encrypted.
    account_secret: str = ""
    #: Seconds between two replies that were held and leave when their account can send again.
    release_pace: float = 0.1


CHANNELS: dict[str, Channel] = {
    one.name: one
    for one in (
        # A page of text, not a book.
        Channel(
            name="widget",
            title="Website",
            place="in the chat on the website",
            max_content=16_000,
            max_inbound=16_000,
            shows_sources=True,
        ),
        Channel(
            name="whatsapp_cloud",
            title="WhatsApp",
            place="on WhatsApp",
            max_content=4_096,  # WhatsApp's own limit
            max_inbound=131_072,  # people may write 65,536 there, and gateways add to it
            send_queue=Queue.WHATSAPP_CLOUD,
            has_numbers=True,
            shows_typing=True,
            at_most_once=True,
            has_hook=True,
            account_table="whatsapp_cloud_account",
            account_column="phone_number_id",
            account_noun="number",
            account_secret="access_token",
            release_pace=0.05,  # 20/s; Meta takes 80/s, and new replies leave at the same time
        ),
        Channel(
            name="whatsapp_qr",
            title="WhatsApp (QR)",
            place="on WhatsApp",
            max_content=4_096,
            max_inbound=131_072,
            send_queue=Queue.WHATSAPP_QR,
            has_numbers=True,
            shows_typing=True,
            at_most_once=True,
            has_hook=True,
            account_table="whatsapp_qr_session",
            account_column="session_name",
            account_noun="session",
            account_secret="api_key",
        ),
        Channel(
            name="telegram",
            title="Telegram",
            place="on Telegram",
            max_content=4_096,  # Telegram's own limit
            max_inbound=4_096,
            send_queue=Queue.TELEGRAM,
            shows_typing=True,
            at_most_once=True,
            has_hook=True,
            account_table="telegram_bot",
            account_column="bot_id",
            account_noun="bot",
            account_secret="token",
        ),
    )
}

#: What the table `channel` must hold: the send queue of each channel.
SEND_QUEUES: dict[str, str | None] = {one.name: one.send_queue and one.send_queue.value for one in CHANNELS.values()}


def channel(name: str) -> Channel:
    """The channel of this name. Raises UnknownChannel."""
    try:
        return CHANNELS[name]
    except KeyError:
        raise UnknownChannel(f"There is no channel {name!r}; it must be one of {', '.join(CHANNELS)}.") from None


def channel_of(send_queue: Queue) -> Channel:
    """The channel whose replies a send queue carries. Raises UnknownChannel for a queue that is no channel's."""
    for one in CHANNELS.values():
        if one.send_queue is send_queue:
            return one
    raise UnknownChannel(f"The queue {send_queue} sends for no channel; see shared/channels/registry.py.")
