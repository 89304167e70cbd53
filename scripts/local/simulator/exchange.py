"""A request as the simulated services see it, and what they answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One HTTP request. `headers` have lower-case names."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as an object; empty if it is none."""
        try:
            said = json.loads(self.body)
        except ValueError:
            return {}
        return said if isinstance(said, dict) else {}


@dataclass
class Reply:
    """What a service answers, and what it notes of it: `accepted` if the request had its effect.

    `sender` is the phone number id or session that it was sent from.
    """

    status: int
    body: Any
    accepted: bool = False
    key: str = ""
    text: str = ""
    answered_id: str = ""
    callback_data: str = ""
    sender: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
