"""What people may not do, in their language."""

from __future__ import annotations

from flask_babel import gettext

from shared.models.limits import TooMany
from shared.people.users import Refused


def refusal_text(refusal: Refused | TooMany) -> str:
    """A refusal's text, translated."""
    return str(gettext(refusal.text, **refusal.values))
