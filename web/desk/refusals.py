"""What people may not do, in their language."""

from __future__ import annotations

from flask_babel import gettext

from shared.errors import Refused


def refusal_text(refusal: Refused) -> str:
    """A refusal's text, translated."""
    return str(gettext(refusal.text, **refusal.values))
