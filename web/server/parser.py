"""httptools' parser, for a server that speaks nothing but HTTP/1.

A request may offer another protocol (`Upgrade`): Java's HttpClient offers HTTP/2 with each. To httptools what follows is that
protocol's: it drops a body that came with the head, and takes one that comes later for the next request.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from httptools import HttpParserUpgrade, HttpRequestParser

#: What says how long a body is.
_FRAMING = (b"content-length", b"transfer-encoding")


class Parser:
    """Goes on with HTTP/1 behind such a head. To be asked for anything else as httptools' is."""

    def __init__(self, hearer: Any) -> None:
        self._hearer = hearer
        self._parser = _parser(hearer)
        self._framing = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def head_is_complete(self, headers: list[tuple[bytes, bytes]]) -> None:
        """To be told of each head, before its body."""
        framing = [(name, value) for name, value in headers if name in _FRAMING] if self._parser.should_upgrade() else []
        self._framing = b"".join(b"%b: %b\r\n" % header for header in framing)

    @property
    def has_body_to_come(self) -> bool:
        """Whether what httptools takes for the end of a request is only that of its head."""
        return bool(self._framing)

    def feed_data(self, data: bytes) -> None:
        """As httptools'."""
        while data:
            try:
                self._parser.feed_data(data)
                return
            except HttpParserUpgrade as offer:
                data = data[offer.args[0] :]
                framing, self._framing = self._framing, b""
                if framing:  # an empty body ends at once, and is heard to
                    self._parser = _behind_head(framing, self._hearer)


def _behind_head(framing: bytes, hearer: Any) -> HttpRequestParser:
    """A parser of a body and all that follows: it has read a head that says the same of the body, and told nobody of it."""
    rest = _Rest(hearer)
    parser = _parser(rest)
    parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % framing)
    rest.is_head_known = False
    return parser


class _Rest:
    """Hears a request whose head is known, and those behind it."""

    def __init__(self, hearer: Any) -> None:
        self.is_head_known = True
        for name in ("on_message_begin", "on_url", "on_header", "on_headers_complete"):
            setattr(self, name, partial(self._hear, getattr(hearer, name)))
        self.on_body, self.on_message_complete = hearer.on_body, hearer.on_message_complete

    def _hear(self, tell: Any, *arguments: Any) -> None:
        if not self.is_head_known:
            tell(*arguments)


def _parser(hearer: Any) -> HttpRequestParser:
    parser = HttpRequestParser(hearer)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's: what is behind the last request is dropped
    return parser
