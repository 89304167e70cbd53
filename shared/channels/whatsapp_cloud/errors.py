"""What Meta's error codes do to a send. To change what a code does, edit `ERRORS`.

Source: Meta's Cloud API reference, error codes. Branch on `code`, never on titles. Failures that Meta reports after it accepted a
message come by webhook, and are stored as they are (shared/channels/whatsapp_cloud/webhook.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.channels.inbound import get_path
from shared.channels.reactions import Fail, Reaction, Retry, Wait, error_of
from shared.errors import OutsideFailure
from shared.http import Response, code_of

#: code -> what happens to the send. A code that is not here goes by its HTTP status and by `is_transient`
#: (`_reaction`): so 131026 (no WhatsApp user), 131047 (24 hours since the customer wrote) and 190 (access token expired) fail the
#: message, for Meta sends them with 4xx.
ERRORS: dict[int, Reaction] = {
    1: Retry(),  # unknown error
    2: Retry(),  # service temporarily down
    4: Wait(30.0),  # the app's calls
    17: Wait(30.0),  # the user's calls
    32: Wait(30.0),  # the page's calls
    341: Wait(30.0),  # the application's limit
    613: Wait(30.0),  # calls to this API
    80007: Wait(30.0),  # the business account's calls
    130429: Wait(5.0),  # the number's throughput
    131000: Retry(),  # something went wrong
    131016: Retry(),  # service overloaded
    131053: Retry(),  # media upload
    131056: Wait(6.0),  # one message in 6 seconds to the same person
    131057: Wait(30.0),  # account in maintenance
    133004: Retry(),  # server temporarily unavailable
}
#: HTTP 429 with a code that says nothing of waiting.
THROTTLED = Wait(5.0)
#: Statuses that pass by themselves: a timeout on their side, a conflict, locked, too early.
PASSING = frozenset({408, 409, 423, 424, 425})


class GraphApiError(OutsideFailure):
    """Meta failed; it may do better next time."""


def classify_error(answer: Response) -> Exception:
    """What a send stage raises for an answer that is not 2xx: Snooze, PermanentError or GraphApiError."""
    error = get_path(answer.json(), "error")
    error = error if isinstance(error, dict) else {}
    code = error.get("code")
    words = ": ".join(str(part) for part in (error.get("message"), get_path(error, "error_data", "details")) if part)
    text = f"WhatsApp Cloud: HTTP {answer.status}" + (f", code {known}" if (known := code_of(code)) else "")
    return error_of(_reaction(answer.status, error), text, words or answer.excerpt(), answer, GraphApiError)


def _reaction(status: int, error: Mapping[str, Any]) -> Reaction:
    code = error.get("code")
    reaction = ERRORS.get(code) if isinstance(code, int) else None
    if status == 429 and not isinstance(reaction, Wait):
        return THROTTLED
    may_pass = status >= 500 or status in PASSING or not error or error.get("is_transient") is True
    return reaction or (Retry() if may_pass else Fail())
