"""Live checks of a connection: what the provider itself says of a token, of whose it is, and of where messages go.

A channel's `connect` asks (shared/channels/<name>/connect.py): `steps` looks, and changes nothing at the provider. Pages have the
words for each problem, and what to do about it; the provider's own words stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from shared import db
from shared.channels.health import ChannelAccount
from shared.db.credentials import CredentialsUnreadable
from shared.errors import OutsideFailure, PermanentError

#: A connection works with these, but not as well, or not for long.
WARNINGS = frozenset({"token_ends", "fields_missing", "business_unknown"})
#: The provider could not be asked.
NO_ANSWER = "no_answer"
#: The stored token cannot be decrypted any more.
UNREADABLE = "unreadable"
#: Characters of a provider's words that are shown.
MAX_WORDS = 300


class ProviderRefused(Exception):
    """The provider does not take it. `problem`: a code of ours; `words`: the provider's own."""

    def __init__(self, problem: str, text: str, words: str = "") -> None:
        super().__init__(text)
        self.problem, self.words = problem, words[:MAX_WORDS]


@dataclass(frozen=True)
class Step:
    """One thing that has to be right. `problem` is "" if it is; `found`: what is there (a number, an address, missing names)."""

    name: str
    problem: str = ""
    found: str = ""
    words: str = ""

    @property
    def tone(self) -> str:
        """Good, warn or bad."""
        return "bad" if self.problem and self.problem not in WARNINGS else "warn" if self.problem else "good"


@cache
def of_channel(name: str) -> ModuleType:
    """A channel's `connect`, which has `steps(row, site)`."""
    return import_module(f"shared.channels.{name}.connect")


def steps(account: ChannelAccount, site: str) -> list[Step]:
    """What is right and what is not with an account, asked now. `site`: where providers reach this front door. Raises nothing
    for what providers answer, or do not, nor for a token that cannot be decrypted."""
    row = row_of(account)
    return [] if row is None else list(of_channel(account.channel.name).steps(row, site))


def row_of(account: ChannelAccount) -> dict[str, Any] | None:
    """An account's row, with its secrets as they are stored."""
    query = f"select * from {account.channel.account_table} where chatbot_id = %s"
    return next(iter(db.rows(query, [account.chatbot_id])), None)


def asked(name: str, question: Callable[[], Mapping[str, str] | str]) -> Step:
    """The step that a question answers: with what it found, or with why that was refused."""
    try:
        found = question()
    except ProviderRefused as refusal:
        return Step(name, refusal.problem, words=refusal.words)
    except CredentialsUnreadable:
        return Step(name, UNREADABLE)
    except (OutsideFailure, PermanentError) as failure:
        return Step(name, NO_ANSWER, words=str(failure))
    return Step(name, **found) if isinstance(found, Mapping) else Step(name, found=found)
