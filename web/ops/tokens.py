"""Pages that a token of the environment opens: whoever scrapes, and an operator's own tools."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import NotFound, Unauthorized

from shared.db.credentials import constant_time_equal
from web.request_limits import check_guess, count_guess


def require_token(token: str, setting: str, what: str) -> None:
    """Raises Unauthorized without `token`, the value of this setting, and NotFound where none is set.

    `what` counts guesses; TooManyRequests after too many of them.
    """
    if not token:
        raise NotFound(f"This is disabled. Set {setting}.")
    check_guess(what)
    shown = request.headers.get("Authorization", "")
    if not constant_time_equal(shown, f"Bearer {token}"):
        if shown:
            count_guess(what)
        raise Unauthorized(f"The token is missing or wrong. Send Authorization: Bearer with {setting}.")
