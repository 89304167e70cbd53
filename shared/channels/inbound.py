"""What webhooks report, in types that all channels share, and how to read JSON whose shape nobody promises.

A channel's parser turns a body into batches of items; web/hooks/inbox.py stores them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Protocol, TypeVar

from shared.channels.kinds import Author, Kind, MediaKind
from shared.payloads import is_blank

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class Headers(Protocol):
    """The headers of a request, looked up whatever the case of their names."""

    def get(self, name: str, default: str, /) -> str:
        """A header's value, or the default."""


@dataclass(frozen=True, kw_only=True)
class InboundItem:
    """One thing that a webhook reports. `raw` is what the channel sent, kept if the item cannot be stored."""

    raw: Any = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Media:
    """A file that a message came with. `source`: what its channel needs to fetch it, for example {"id"} or {"url"}; `text`: what
    is said in it, if the channel has heard that already."""

    kind: MediaKind
    source: dict[str, Any] = field(repr=False)
    mime: str | None = None
    filename: str | None = None
    size: int | None = None
    sha256: str | None = None
    text: str | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class InboundMessage(InboundItem):
    """A message that a customer wrote, or a person of the business elsewhere than here.

    `content` has the words that a person and the model read, whatever its kind; `data` the same as an object; `metadata` ids and
    names, no texts. `sent_at`: when it was written, `reported_at`: when the channel reported it, both by the provider's clock
    (Unix seconds). `identities`: other names of the same customer that this message tells. `may_answer` False: it is kept, and
    the bot does not answer it.
    """

    external_user_id: str
    content: str
    external_id: str
    metadata: dict[str, Any] = field(default_factory=dict)
    kind: Kind = Kind.TEXT
    sent_at: float | None = None
    reported_at: float | None = None
    data: dict[str, Any] = field(default_factory=dict, repr=False)
    media: tuple[Media, ...] = ()
    identities: tuple[str, ...] = ()
    author: Author = Author.CUSTOMER
    may_answer: bool = True
    edited_at: float | None = None  #: when it was changed, before it came


@dataclass(frozen=True, kw_only=True)
class InboundEdit(InboundItem):
    """The customer, or a person of the business on the phone, changed an earlier message of their own: what it says now.
    `message`: the same by itself, if the original never came."""

    original_id: str
    content: str
    sent_at: float | None = None
    message: InboundMessage | None = None
    author: Author = Author.CUSTOMER


@dataclass(frozen=True, kw_only=True)
class InboundRevoke(InboundItem):
    """The same of who deleted an earlier message."""

    original_id: str
    external_user_id: str = ""
    identities: tuple[str, ...] = ()
    author: Author = Author.CUSTOMER


@dataclass(frozen=True, kw_only=True)
class InboundReaction(InboundItem):
    """The customer reacted to a message, the bot's or their own; `emoji` "": took the reaction back."""

    message_id: str
    emoji: str
    external_user_id: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportedError(InboundItem):
    """An error of the provider that is about no message; `code` is its own."""

    code: str
    words: str


@dataclass(frozen=True, kw_only=True)
class IdentityLearnt(InboundItem):
    """The customer has other names from now on. `changes`: old ones, each with the one that replaces it; `names`: the new."""

    changes: tuple[tuple[str, str], ...]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DeliveryStatus(InboundItem):
    """How far a reply got; by our id where the channel sends it along, else by the provider's."""

    status: str
    provider_id: str
    message_id: int | None = None
    #: Of a failure: the provider's words, and why in a code of ours (outcomes.Reason).
    error: str | None = None
    error_code: str | None = None
    #: When it happened, by the provider's clock (Unix seconds), if it says so.
    at: float | None = None


@dataclass(frozen=True, kw_only=True)
class OwnerChange(InboundItem):
    """The provider says who answers this customer from now on: we ("bot"), or somebody else ("person")."""

    external_user_id: str
    owner: str


@dataclass(frozen=True, kw_only=True)
class SessionState(InboundItem):
    """Whether an account can send; `detail` is the provider's word for it, `at` its time (Unix seconds), if it says one."""

    connected: bool
    detail: str
    at: float | None = None


@dataclass(frozen=True, kw_only=True)
class TemplateUpdate(InboundItem):
    """What became of a template of a WhatsApp business account; None where nothing is said of it. `is_changed`: its text."""

    waba_id: str
    provider_id: str | None
    name: str
    language: str
    status: str | None = None
    quality: str | None = None
    category: str | None = None
    reason: str | None = None
    is_changed: bool = False


@dataclass(frozen=True, kw_only=True)
class MalformedItem(InboundItem):
    """Something that cannot be understood."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class IgnoredItem(InboundItem):
    """Something that is understood and needs nothing: a group's message, a reaction, an event of no use."""


@dataclass(frozen=True)
class InboundBatch:
    """What one account was sent, in the order in which it is to be stored; `raw` is all of it, as the channel sent it."""

    account_name: str
    items: list[InboundItem]
    raw: dict[str, Any]


@dataclass(frozen=True)
class InboundAccount:
    """Whose a webhook is: the active row by which a chatbot is connected to its channel; `name` is the provider's for it."""

    id: int
    name: str
    chatbot_id: int
    #: The business account that it is known to be of; WhatsApp Cloud.
    waba_id: str | None = None


def parse_item(parse: Callable[[dict[str, Any]], InboundItem], raw: dict[str, Any]) -> InboundItem:
    """One item, parsed; a fault of the parser costs this item and no other of its batch."""
    try:
        return parse(raw)
    except Exception as problem:
        log.exception("inbound_item_not_parsed")
        return MalformedItem(raw=raw, reason=f"The parser failed with {type(problem).__name__}; the log has the traceback.")


def get_objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; one that stands without its list is the only one, and of anything else there are none."""
    if isinstance(value, dict):
        return [value] if value else []
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def get_path(value: Any, *path: str) -> Any:
    """value[a][b]…, or None where an object on the way is missing."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def get_text(value: Any, *path: str) -> str:
    """The text at a path, without space around it; "" if there is none, or nobody would see anything of it."""
    text = get_path(value, *path)
    return text.strip() if isinstance(text, str) and not is_blank(text) else ""


def get_id(value: Any, *path: str) -> str:
    """The id at a path, which programs between the provider and us may have made a number; "" if there is none."""
    found = get_path(value, *path)
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else get_text(value, *path)


def present(**members: Any) -> dict[str, Any]:
    """The members that say something."""
    return {name: value for name, value in members.items() if value not in (None, "", [], {})}


def is_true(value: Any) -> bool:
    """Whether a flag is set, which programs between the provider and us may have made a text or a number."""
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


def integer(value: Any) -> int | None:
    """A whole number as protobuf's JSON writes it: 7, "7", {"low": 7, "high": 0}."""
    if isinstance(value, dict):
        low, high = integer(value.get("low")), integer(value.get("high"))
        return None if low is None or high is None else (high << 32) + (low & 0xFFFFFFFF)
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


#: Unix seconds from which on a number must be milliseconds; or thousandths of them, or of those.
_MILLISECONDS, _UNITS = 100_000_000_000, 4


def get_time(value: Any) -> float | None:
    """A provider's time in Unix seconds; None if it is none. It may be a text, {"low", "high"}, in smaller units, or a date."""
    seconds = _number(value) or 0.0
    for _ in range(_UNITS):
        if seconds < _MILLISECONDS:
            return seconds if seconds > 0 else None
        seconds /= 1000
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, dict):
        return _number(integer(value))
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return _date(value) if isinstance(value, str) else None
    return number if isfinite(number) else None


def _date(text: str) -> float | None:
    """2026-11-27T15:00:00Z; in UTC, if it names no zone."""
    try:
        date = datetime.fromisoformat(text.strip())
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def in_order(items: Sequence[_T], time_of: Callable[[_T], float | None]) -> list[_T]:
    """The items of a delivery in the order of their times. What has none stays behind what it came behind."""
    times: list[float] = []
    for item in items:
        time = time_of(item)
        times.append(time if time is not None else times[-1] if times else 0.0)
    return [items[index] for index in sorted(range(len(items)), key=times.__getitem__)]
