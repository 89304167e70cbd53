"""The one door to the outside, for AI, sends and webhooks: deadlines, keep-alive, a size cap, and what an error means.

Connections are kept. Redirects are not followed. `timeout` bounds the whole exchange from the look-up of the name on, also
with a server that sends its response a byte at a time (exchange.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError

from shared.config import host_of
from shared.http import connections
from shared.http.exchange import Exchange, Phases, under_way
from shared.http.failures import PASSING, CallCancelled, classify
from shared.http.pauses import retry_after
from shared.payloads import strip_invalid

#: Bytes of a response that are read. Only a model has more to say, and its caller gives a limit of its own.
MAX_RESPONSE_BYTES = 64 * 1024
#: Characters of a foreign response that go into an error.
EXCERPT = 300
USER_AGENT = "Switchboard/1"
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*"}
#: What a provider's code looks like: model_not_found, insufficient_quota.
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
#: The largest number that is a code: Meta's have seven digits. Above that it may be somebody's phone number.
LARGEST_CODE = 9_999_999
#: Bytes of one read.
CHUNK = 8192
#: Is given each part of a body when it has come. Returns for how many seconds it is still worth waiting for more: the answer
#: is complete then, however the body ends. None: until the deadline.
OnPart = Callable[[bytes], float | None]


@dataclass(frozen=True)
class Response:
    """What came back, up to the caller's limit of bytes; the rest was not read. `body` is what came of one that broke off."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON; an empty dict if it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return {}

    def excerpt(self) -> str:
        """The beginning of the body, for an error."""
        return strip_invalid(self.body[:EXCERPT].decode("utf-8", "replace")).strip()

    @property
    def asks_to_wait(self) -> bool:
        """Whether it was refused for now, and before anything was done: 429, or what passes by itself and says when."""
        return self.status == 429 or (self.status in {503, *PASSING} and "Retry-After" in self.headers)

    def retry_after(self, default: float) -> float:
        """Seconds of the Retry-After header."""
        return retry_after(self.headers.get("Retry-After"), default, self.headers.get("Date"))


def code_of(value: object) -> str:
    """A code that a provider gave, if it is one: anything else may be words, which are not for logs."""
    if isinstance(value, str):
        return value if _CODE.fullmatch(value) else ""
    return str(value) if isinstance(value, int) and abs(value) <= LARGEST_CODE else ""


def number_of(text: str) -> int | None:
    """The number that a code is where a provider writes it as a text; None for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(LARGEST_CODE)) else None


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,
    *,
    allow_private: bool = True,
    max_bytes: int = MAX_RESPONSE_BYTES,
    needs_body: bool = True,
    key: Hashable = None,
    phases: Phases | None = None,
) -> Response:
    """POSTs JSON, or what Content-Type says; reads at most `max_bytes` of the response. The rest, and what is raised, is as of
    `exchange`."""
    return exchange(
        "POST",
        url,
        body,
        {**_HEADERS, "Content-Type": "application/json", **headers},
        timeout,
        allow_private=allow_private,
        max_bytes=max_bytes,
        needs_body=needs_body,
        key=key,
        phases=phases,
    )


def get(url: str, headers: Mapping[str, str], timeout: float) -> Response:
    """GETs from a service of our own settings. Raises as `exchange` does."""
    return exchange("GET", url, None, {**_HEADERS, **headers}, timeout)


def fetch(
    url: str, headers: Mapping[str, str], timeout: float, *, allow_private: bool, max_bytes: int, on_part: OnPart | None = None
) -> Response:
    """GETs from an address that a customer gave. Raises as `exchange` does, which says what `on_part` is."""
    return exchange(
        "GET", url, None, {**_HEADERS, **headers}, timeout, allow_private=allow_private, max_bytes=max_bytes, on_part=on_part
    )


def exchange(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout: float,
    *,
    allow_private: bool = True,
    max_bytes: int = MAX_RESPONSE_BYTES,
    needs_body: bool = True,
    on_part: OnPart | None = None,
    key: Hashable = None,
    phases: Phases | None = None,
) -> Response:
    """One request and its response. Every call to the outside passes here.

    `needs_body` False: the status says it all, so a body that breaks off, or does not end in time, is no failure.
    `on_part` is given the body of a 2xx response as it comes, and the Response then has none. What it raises ends the call.
    `key`: the call can be ended from another thread (`cancel_calls`), and shares connections with none of another key.
    `phases` is told where the time goes, whatever comes of it.

    Raises ConnectFailed (never sent), OutcomeUnknown (no whole response in time), CallCancelled (an OutcomeUnknown),
    PermanentRefusal (the address is refused).
    """
    chunks: list[bytes] = []
    raw: urllib3.BaseHTTPResponse | None = None
    with under_way(timeout, max_bytes, key, phases) as call:
        try:
            if not url.startswith(("http://", "https://")):  # urllib3 takes "nonsense" for a host
                raise LocationValueError
            raw = (_send if allow_private else _send_guarded)(method, url, body, headers)
            is_success = 200 <= raw.status < 300
            if on_part and not is_success:  # what is said instead of a file is not as long as one may be
                max_bytes = min(max_bytes, MAX_RESPONSE_BYTES)
            _read(raw, max_bytes, _handed_on(call, on_part) if on_part and is_success else chunks.append)
        except (HTTPError, HTTPException, OSError, ValueError) as problem:  # OSError: of requests as well
            is_enough = call.is_complete or (call.status is not None and not needs_body)
            if call.cancelled or not is_enough:
                raise classify(problem, url, call) from problem
        if call.cancelled:  # its end looked like the end of the body
            raise CallCancelled(f"the call to {host_of(url)} was ended from here")
        return Response(call.status or 0, b"".join(chunks)[:max_bytes], raw.headers if raw else {})


def _send(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
    """To a service of our own settings."""
    return connections.OPEN.urlopen(
        method, url, body=body, headers=headers, timeout=None, retries=connections.ONCE, redirect=False, preload_content=False
    )


def _send_guarded(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
    """To an address that a customer gave."""
    session = connections.guarded_session()
    response: urllib3.BaseHTTPResponse = session.request(
        method, url, data=body, headers=headers, timeout=None, allow_redirects=False, stream=True
    ).raw
    response.decode_content = True  # some compress for whoever asks; requests leaves that to its own ways of reading
    return response


def _handed_on(call: Exchange, on_part: OnPart) -> Callable[[bytes], None]:
    def take(part: bytes) -> None:
        seconds = on_part(part) if part else None
        if seconds is not None:
            call.end_within(seconds)

    return take


def _read(response: urllib3.BaseHTTPResponse, max_bytes: int, take: Callable[[bytes], None]) -> None:
    """Hands the body on as it comes, up to `max_bytes`. Keeps the connection if the response ended, closes it otherwise."""
    size, ended = 0, False
    try:
        while size < max_bytes and not ended:
            chunk = response.read1(CHUNK)  # what has come, without waiting for all of it
            take(chunk)
            size += len(chunk)
            ended = not chunk
    finally:
        if ended:
            response.release_conn()
        else:
            response.close()
