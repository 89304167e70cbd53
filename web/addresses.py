"""Where this front door is reached.

What is sent to others begins with PUBLIC_URL alone: whoever sends a request chooses the host that it names.
"""

from __future__ import annotations

from flask import request

from shared.config import settings


def shown_address() -> str:
    """PUBLIC_URL, or else where this request came: for a page that only whoever sent the request sees."""
    return settings().public_url or request.host_url.rstrip("/")
