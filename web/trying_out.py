"""Searches of a knowledge base by whoever teaches: each may take PostgreSQL half a second, and a thread as long."""

from __future__ import annotations

from typing import Any

from flask_babel import gettext as _
from werkzeug.exceptions import ServiceUnavailable

from shared.ai.search import try_out
from web.turns import NoTurn, Turns

#: Threads of a process that search at the same time, of its WEB_THREADS; how many of them for one business; seconds that another
#: one waits for its turn, with a thread as well.
_SEARCHING, OF_ONE, _PATIENCE = 4, 2, 0.2
turns = Turns(_SEARCHING)


def found(customer_id: int, base_id: int, question: str) -> list[dict[str, Any]]:
    """What a chatbot would find for this question, best first. Raises ServiceUnavailable where others take all turns."""
    try:
        with turns.turn({customer_id: OF_ONE}, _PATIENCE):
            return try_out(customer_id, base_id, question)
    except NoTurn:
        raise ServiceUnavailable(_("Several searches are under way at this moment. Try again."), retry_after=1) from None
