"""The one door to the outside, for AI, sends and webhooks: deadlines, keep-alive, a size cap, and what an error means.

Connections are kept. Redirects are not followed. `timeout` bounds the whole exchange, also with a server that sends its
response a byte at a time.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError, LocationValueError, TimeoutError

from shared.http import connections
from shared.http.failures import classify
from shared.payloads import strip_invalid

#: Bytes of a response that are read. Only a model has more to say, and its caller gives a limit of its own.
MAX_RESPONSE_BYTES = 64 * 1024
#: Seconds for a TCP connection and TLS, part of the whole.
CONNECT_TIMEOUT = 5.0
#: Characters of a foreign response that go into an error.
EXCERPT = 300
#: The least that a Retry-After is honoured with. `Retry-After: 0` waits too: a snoozed job costs no attempt and would loop.
MIN_RETRY_AFTER = 1.0
USER_AGENT = "Switchboard/1"
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*"}
#: Bytes of one read.
CHUNK = 8192


@dataclass(frozen=True)
class Response:
    """What came back, up to the caller's limit of bytes; the rest was not read."""

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

    def retry_after(self, default: float) -> float:
        """Seconds of the Retry-After header, if it is a number."""
        return retry_after(self.headers.get("Retry-After"), default)


def retry_after(header: str | None, default: float) -> float:
    """Seconds that a Retry-After header asks for, at least MIN_RETRY_AFTER; `default` if it is missing, a date or nonsense."""
    try:
        seconds = float(header) if header else default
    except ValueError:
        return default
    return max(MIN_RETRY_AFTER, seconds) if math.isfinite(seconds) else default


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout: float,
    *,
    allow_private: bool = True,
    max_bytes: int = MAX_RESPONSE_BYTES,
) -> Response:
    """POSTs JSON; reads at most `max_bytes` of the response. Raises as `exchange` does."""
    headers = {**_HEADERS, "Content-Type": "application/json", **headers}
    return exchange("POST", url, body, headers, timeout, allow_private=allow_private, max_bytes=max_bytes)


def get(url: str, headers: Mapping[str, str], timeout: float) -> Response:
    """GETs from a service of our own settings. Raises as `exchange` does."""
    return exchange("GET", url, None, {**_HEADERS, **headers}, timeout)


def exchange(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout: float,
    *,
    allow_private: bool = True,
    max_bytes: int = MAX_RESPONSE_BYTES,
) -> Response:
    """One request and its response. Every call to the outside passes here.

    Raises ConnectFailed (never sent), OutcomeUnknown (no whole response in time), PermanentError (the address is refused).
    """
    deadline = time.monotonic() + timeout
    try:
        if not url.startswith(("http://", "https://")):  # urllib3 takes "nonsense" for a host
            raise LocationValueError
        response = (_call if allow_private else _call_guarded)(method, url, body, headers, timeout)
        return Response(response.status, _read(response, deadline, max_bytes), response.headers)
    except (RequestException, HTTPError, ValueError) as problem:
        raise classify(problem, url) from problem


def _call(method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float) -> urllib3.BaseHTTPResponse:
    """To a service of our own settings."""
    times = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout)
    return connections.OPEN.urlopen(
        method, url, body=body, headers=headers, timeout=times, retries=False, redirect=False, preload_content=False
    )


def _call_guarded(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float
) -> urllib3.BaseHTTPResponse:
    """To an address that a customer gave."""
    times = (min(CONNECT_TIMEOUT, timeout), timeout)
    session = connections.guarded_session()
    response = session.request(method, url, data=body, headers=headers, timeout=times, allow_redirects=False, stream=True)
    raw: urllib3.BaseHTTPResponse = response.raw
    return raw


def _read(response: urllib3.BaseHTTPResponse, deadline: float, max_bytes: int) -> bytes:
    """The body, up to `max_bytes`. Keeps the connection if the response ended, closes it otherwise."""
    chunks, size, ended = [], 0, False
    try:
        # read1 returns what has come; read and stream would wait until CHUNK is full, and so past the deadline.
        while size < max_bytes and not ended:
            chunk = response.read1(CHUNK)
            chunks.append(chunk)
            size += len(chunk)
            ended = not chunk
            if not ended and time.monotonic() > deadline:
                raise TimeoutError("the response did not end in time")
    finally:
        if ended:
            response.release_conn()
        else:
            response.close()
    return b"".join(chunks)[:max_bytes]
