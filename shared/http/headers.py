"""What a header may hold. A token or key that none can hold is refused where it is given: no provider could be asked with it."""

from __future__ import annotations

import re

#: For schemas, which describe it to others as well.
VALUE = r"^[!-~]([ -~]*[!-~])?$"


def may_hold(text: str) -> bool:
    """Whether a header may have this value."""
    return bool(re.fullmatch(VALUE, text))
