"""A request to a simulated service, and its reply."""

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
        """The body as a JSON object; an empty one if it is not an object."""
        try:
            body = json.loads(self.body)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


@dataclass
class Reply:
    """A service's reply, and what the record keeps of it: `accepted` says whether the request had its effect.

    `sender` is the phone number id or session that the request was sent from.
    """

    status: int
    body: Any
    accepted: bool = False
    key: str = ""
    text: str = ""
    answered_id: str = ""
    callback_data: str = ""
    #: Of Telegram's private chats.
    topic: int | None = None
    sender: str = ""
    #: That was sent: what as, its name, type, size, sha256 and caption (forms.py).
    file: dict[str, Any] | None = None
    #: What it costs.
    tokens: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    #: Server-sent events, where a stream was asked for: then they are the body.
    events: list[bytes] = field(default_factory=list)

    def encoded(self) -> bytes:
        """The body's bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
