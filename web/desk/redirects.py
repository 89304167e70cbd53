"""The answer to a form that was taken."""

from __future__ import annotations

from typing import cast

from flask import Response, redirect


def see_other(address: str) -> Response:
    """The browser gets this page instead: to load it again repeats nothing. Flask makes one of its own responses, and promises
    Werkzeug's."""
    return cast(Response, redirect(address, 303))
