"""Tombstones: they keep an erased person from coming back when a provider delivers something again.

A mark is a keyed hash (BLAKE2b) of a name or of a message's id, salted with the chatbot's. The key is made of CREDENTIALS_KEY, so
that the database alone tells nobody whom it knew: phone numbers are few enough to try them all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b, sha256

from shared.config import settings
from shared.db import sql
from shared.db.pruning import delete_in_batches

queries = sql.load(__file__)

#: Seconds for which a mark is kept: Meta delivers again for seven days, and a day for clocks and queues.
KEEP = 8 * 86_400.0

_DEVICE = re.compile(r":\d+@", re.ASCII)
_DECORATION = re.compile(r"^\+|@(?:c\.us|s\.whatsapp\.net)\Z")


def family_of(channel: str) -> str:
    """As contact_family_v1 (schema.sql)."""
    return channel.partition("_")[0]


def name_of(channel: str, name: str) -> str:
    """As contact_name_v1: a name as identities are compared. A test compares the two."""
    if not channel.startswith("whatsapp_"):
        return name
    return _DECORATION.sub("", _DEVICE.sub("@", name, count=1)) or name


def of_name(chatbot_id: int, channel: str, name: str) -> list[str]:
    """The marks that a name may have: one for each key of CREDENTIALS_KEY, the newest first."""
    return of_identity(chatbot_id, family_of(channel), name_of(channel, name))


def of_identity(chatbot_id: int, family: str, name: str) -> list[str]:
    """The same of a name as contact_identity has it."""
    return _marks(chatbot_id, f"name {family} {name}")


def of_message(chatbot_id: int, external_id: str) -> list[str]:
    """The same of a message, inbound or a reply, by its provider's id."""
    return _marks(chatbot_id, f"message {external_id}")


def of_arrival(chatbot_id: int, channel: str, names: Sequence[str], external_id: str | None) -> list[str]:
    """What a message that arrives may be known by: any of its author's names, its id."""
    of_names = [mark for name in names for mark in of_name(chatbot_id, channel, name)]
    return of_names + (of_message(chatbot_id, external_id) if external_id else [])


def is_erased(marks: list[str]) -> bool:
    """Whether one of them was erased in the last days."""
    return bool(queries["is_erased"].scalar(marks=marks))


def prune() -> dict[str, int]:
    """Forgets old ones; returns how many."""
    return {"tombstones": delete_in_batches(queries["prune"], age=KEEP)}


def _marks(chatbot_id: int, text: str) -> list[str]:
    salt = chatbot_id.to_bytes(blake2b.SALT_SIZE, "big")
    return [
        blake2b(text.encode("utf-8", "surrogatepass"), key=key, salt=salt, digest_size=32).hexdigest()
        for key in _keys(settings().credentials_key)
    ]


@lru_cache(maxsize=4)
def _keys(credentials_keys: str) -> list[bytes]:
    return [sha256(b"tombstones " + key.encode()).digest() for key in credentials_keys.split(",")]
