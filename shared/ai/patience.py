"""How long a person waits for a provider that takes no more: AI_PATIENCE_SECONDS from the first attempt, then the fallback.

The ledger's own limit, JOB_MAX_AGE_SECONDS, suits what nobody waits for. Here somebody looks at a chat, and what they write next
stands in line behind the question.
"""

from __future__ import annotations

import random

from shared.config import settings
from shared.errors import PermanentRefusal, Snooze

#: Seconds before a provider that does not say when is asked again. Each further wait is as long as all before
#: it together: six questions in a minute, and not twelve.
FIRST_WAIT = 2.0
#: A wait that the provider says is at least this share of all before it: some ask for a second each time, or for none.
LEAST_SHARE = 0.25
#: The share by which such a wait may be longer or shorter, so that not all questions come back at once.
JITTER = 0.2


def later(reason: str, tried_for: float, retry_after: float | None = None, words: str = "") -> Snooze | PermanentRefusal:
    """What becomes of a job that is refused, `tried_for` seconds after its first attempt.

    `retry_after`: in how many seconds the provider takes it; None: it does not say. `words` are the provider's.
    """
    patience = settings().ai_patience
    left = patience - tried_for
    wait = max(FIRST_WAIT, tried_for) * random.uniform(1 - JITTER, 1 + JITTER) if retry_after is None else tried_for * LEAST_SHARE
    wait = max(min(left, wait), retry_after or 0.0)
    if wait > left or left < FIRST_WAIT:
        asked = f"it asks for {retry_after:,.0f} s, and " if retry_after is not None else ""
        return PermanentRefusal(f"{reason}; {asked}{max(0.0, left):.0f} s are left of AI_PATIENCE_SECONDS={patience:g}", words)
    return Snooze(wait, reason)
