"""From what a browser sends to what the schemas take: numbers, lists, ticks. What is no number stays, for them to refuse."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from babel.numbers import get_decimal_symbol
from flask_babel import get_locale
from werkzeug.datastructures import MultiDict

from shared.payloads import id_in
from shared.teaching.hours import time_zone_choices

Form = MultiDict[str, str]
Reader = Callable[[Form, str], Any]
#: Thousands as people write them, all with the same mark between them; a fraction has another one.
_GROUPED = re.compile(r"[1-9][0-9]{0,2}([.,'\u2019 \u00a0\u202f])[0-9]{3}(?:\1[0-9]{3})*((?!\1)[.,][0-9]+)?")


def text(form: Form, name: str) -> str:
    """What somebody wrote; browsers send line breaks as two characters."""
    return form.get(name, "").replace("\r\n", "\n").strip()


def text_or_none(form: Form, name: str) -> str | None:
    """Null for an empty field."""
    return text(form, name) or None


def number(form: Form, name: str) -> int | float | str:
    """A number; what is none stays as it was written."""
    given = text(form, name)
    plain = _without_groups(given)
    try:
        return int(plain) if plain.lstrip("-").isdigit() else float(plain.replace(",", "."))
    except ValueError:
        return given


def _without_groups(given: str) -> str:
    """50,000 without the marks of its thousands. The reader's decimal mark is none of them, unless it stands there twice or
    another one follows."""
    grouped = _GROUPED.fullmatch(given)
    if grouped is None:
        return given
    mark, fraction = grouped.groups()
    is_decimal = mark == get_decimal_symbol(get_locale() or "en") and given.count(mark) == 1 and not fraction
    return given if is_decimal else given.replace(mark, "")


def number_or_none(form: Form, name: str) -> int | float | str | None:
    """Null for an empty field."""
    return number(form, name) if text(form, name) else None


def time_zone(form: Form, name: str) -> str:
    """A time zone by its name, or by a city of which there is one: the browser offers London, and not everybody chooses."""
    given = text(form, name)
    city = given.casefold().replace(" ", "_")
    zones = [zone for zone in time_zone_choices() if zone.casefold().rpartition("/")[2] == city]
    return zones[0] if len(zones) == 1 else given


def row_id(form: Form, name: str) -> int | None:
    """The id of a row; None for what is none."""
    return id_in(form.get(name, ""))


def tick(form: Form, name: str) -> bool:
    """Whether a box is ticked: browsers do not send those that are not."""
    return name in form


def lines(form: Form, name: str) -> list[str]:
    """Each line that says something."""
    return [line.strip() for line in text(form, name).splitlines() if line.strip()]


def read(form: Form, fields: Mapping[str, Reader]) -> dict[str, Any]:
    """The values of these fields."""
    return {name: reader(form, name) for name, reader in fields.items()}


def written(value: Any) -> Any:
    """A number as its reader writes it: 20.5, in German 20,5, and not 20.500000. `number` reads the same in it: a German's 2.125
    is two thousand. A whole one may be larger than any that formats as a float."""
    if not isinstance(value, float | Decimal):
        return value
    return f"{value:.6f}".rstrip("0").rstrip(".").replace(".", get_decimal_symbol(get_locale() or "en"))


def version(values: Mapping[str, Any], names: Mapping[str, Any]) -> str:
    """Names what a form shows, so that a save knows whether somebody else has changed it meanwhile."""
    shown = json.dumps({name: values[name] for name in sorted(names)}, default=str)
    return hashlib.sha256(shown.encode()).hexdigest()[:16]
