"""Contact cards (vCard 2.1 to 4.0), as phones send them through WhatsApp and Telegram."""

from __future__ import annotations

import quopri
import re
from typing import Any

from shared.payloads import strip_invalid


def read(shown: str, vcard: str) -> dict[str, Any]:
    """The card as a message's data has it (words.py); `shown`: the name that the channel shows."""
    # FN:Ana Silva, TEL;type=CELL;waid=4915112345:+49 151 12345, item1.EMAIL:ana@…; a line that begins with a space goes on.
    lines = [line.partition(":") for line in vcard.replace("\r", "").replace("\n ", "").splitlines()]
    values = [(head.partition(";")[0].rpartition(".")[2].upper(), _decoded(head, value.strip())) for head, _, value in lines]

    def all_of(wanted: str) -> list[str]:
        return [_unescaped(value) for name, value in values if name == wanted and value]

    def parts_of(wanted: str) -> list[list[str]]:
        return [[_unescaped(part) for part in _BETWEEN_PARTS.split(value)] for name, value in values if name == wanted]

    family, *given = next(iter(parts_of("N")), [""])
    named = " ".join(filter(None, (*given[:2], family)))
    found: dict[str, Any] = {
        "name": shown or next(iter(all_of("FN")), "") or named,
        "organization": ", ".join(filter(None, [*next(iter(parts_of("ORG")), []), *all_of("TITLE")])),
        "phones": all_of("TEL"),
        "emails": all_of("EMAIL"),
        "addresses": [address for parts in parts_of("ADR") if (address := ", ".join(filter(None, parts)))],
        "urls": all_of("URL"),
    }
    return {name: value for name, value in found.items() if value}


#: Between the parts of a name, an address: a semicolon without a backslash before it.
_BETWEEN_PARTS = re.compile(r"(?<!\\);")


def _decoded(head: str, value: str) -> str:
    """Old phones write "João" as Jo=C3=A3o."""
    is_quoted = "QUOTED-PRINTABLE" in head.upper()
    return strip_invalid(quopri.decodestring(value.encode(errors="replace")).decode(errors="replace")) if is_quoted else value


def _unescaped(value: str) -> str:
    return re.sub(r"\\([nN,;:\\])", lambda found: ", " if found[1] in "nN" else found[1], value).strip()
