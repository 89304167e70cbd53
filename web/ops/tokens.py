"""Pages that a token of the environment opens: whoever scrapes, and an operator's own tools."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import NotFound, Unauthorized

from shared.db.credentials import constant_time_equal
from web.request_limits import check_guess, count_guess

#: What a browser is told has its German by these, with each setting (tests/unit/test_desk.py).
DISABLED, WRONG = "This is disabled. Set {}.", "The token is missing or wrong. Send Authorization: Bearer with {}."
SETTINGS = ("METRICS_TOKEN", "OPERATOR_TOKEN")


def require_token(token: str, setting: str, what: str) -> None:
    """Raises Unauthorized without `token`, the value of this setting, and NotFound where none is set.

    `what` counts guesses; TooManyRequests after too many of them.
    """
    if not token:
        raise NotFound(DISABLED.format(setting))
    check_guess(what)
    shown = request.headers.get("Authorization", "")
    if not constant_time_equal(shown, f"Bearer {token}"):
        if shown:
            count_guess(what)
        raise Unauthorized(WRONG.format(setting))
