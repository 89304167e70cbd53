"""Which chatbot a request is for, and whether the page that makes it may."""

from __future__ import annotations

import re
from dataclasses import dataclass

from werkzeug.exceptions import Forbidden, NotFound

from shared import db
from shared.models import Chatbot
from web.hardening import is_foreign

#: As chatbot.allowed_origins in schema.sql has them; that check comes after the last worker of the release before.
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True)
class Bot:
    """What the widget needs of a chatbot."""

    id: int
    name: str
    public_key: str
    allowed_origins: tuple[str, ...]


def find_bot(public_key: str) -> Bot:
    """The chatbot of a public key. Raises NotFound. Its id is no name here: ids can be counted through."""
    columns = (Chatbot.id, Chatbot.name, Chatbot.public_key, Chatbot.allowed_origins)
    row = db.row(Chatbot.select(*columns).where(Chatbot.public_key == public_key))
    if row is None:
        raise NotFound("There is no such chatbot. Use its public key (pk_…).")
    origins = tuple(origin for origin in row["allowed_origins"] if isinstance(origin, str) and _ORIGIN.fullmatch(origin))
    return Bot(**{**row, "allowed_origins": origins})


def check_origin(bot: Bot, origin: str, host: str) -> None:
    """Raises Forbidden if another site's page asks that the business has not listed.

    A request without an Origin is no page's; it has to show a visitor's token like every other.
    """
    if is_foreign(origin, host) and origin not in bot.allowed_origins:
        raise Forbidden(f"Pages of {origin[:200]} may not use this chatbot. Add the site to its allowed_origins.")
