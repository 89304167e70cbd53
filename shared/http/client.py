"""The one door to the outside, for AI, sends and webhooks: timeouts, keep-alive, a size cap, and what an error means.

Connections are kept. Redirects are not followed. `timeout` bounds the whole exchange,
a server that drips its answer included.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests_hardened import Config, Manager
from urllib3.exceptions import ConnectTimeoutError, HTTPError, LocationValueError, NewConnectionError, SSLError

from shared.errors import OutcomeUnknown, PermanentError
from shared.payloads import strip_invalid

#: Bytes of an answer that are read; nobody we talk to has more to say, but for a model, whose caller gives its own limit.
MAX_ANSWER = 64 * 1024
#: Seconds for a TCP connection and TLS, part of the whole.
CONNECT_TIMEOUT = 5.0
#: Characters of a foreign answer that go into an error.
EXCERPT = 300
#: Seconds to stay away from who asks for a pause, also for one of none: it costs no attempt, and would be asked on and on.
LEAST_WAIT = 1.0
USER_AGENT = "Switchboard/1"
#: Bytes of one read.
CHUNK = 8192
#: Idle connections that are kept for a host: one for each thread of a big process. More than these are closed after use.
MAX_CONNECTIONS = 1_000


class ConnectFailed(Exception):
    """The request never left: no connection. Trying again is safe."""


@dataclass(frozen=True)
class Answer:
    """What came back; what `body` holds beyond the asker's limit was not read."""

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
    """Seconds that a Retry-After header asks for, no less than LEAST_WAIT; `default` where it does not say, or says a date."""
    try:
        return max(LEAST_WAIT, float(header)) if header else default
    except ValueError:
        return default


_local = threading.local()

#: Connections to services of our own settings, shared by all threads.
_pool = urllib3.PoolManager(num_pools=20, maxsize=MAX_CONNECTIONS)


def _guarded_session() -> requests.Session:
    """This thread's session that refuses private addresses, after the name is resolved (SSRF)."""
    if not hasattr(_local, "session"):
        _local.session = _new_guarded_session()
    session: requests.Session = _local.session
    return session


def _new_guarded_session() -> requests.Session:
    config = Config(
        ip_filter_enable=True,
        ip_filter_allow_loopback_ips=False,
        never_redirect=True,
        default_timeout=(CONNECT_TIMEOUT, CONNECT_TIMEOUT),
        user_agent_override=USER_AGENT,
    )
    session: requests.Session = Manager(config).get_session()
    session.trust_env = False
    return session


def post(
    url: str, body: bytes, headers: Mapping[str, str], timeout: float, *, private_allowed: bool = True, most: int = MAX_ANSWER
) -> Answer:
    """POSTs JSON bytes; at most `most` bytes of the answer are read.

    Raises ConnectFailed, OutcomeUnknown (no whole answer in time), PermanentError (the address is refused).
    """
    return _exchange("POST", url, body, {"Content-Type": "application/json", **headers}, timeout, private_allowed, most)


def get(url: str, headers: Mapping[str, str], timeout: float) -> Answer:
    """GETs from a service of ours. Raises as `post` does."""
    return _exchange("GET", url, None, headers, timeout, private_allowed=True, most=MAX_ANSWER)


def _exchange(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float, private_allowed: bool, most: int
) -> Answer:
    exchange = _trusted if private_allowed else _guarded
    try:
        return exchange(method, url, body, headers, timeout, most)
    except (requests.exceptions.RequestException, HTTPError) as problem:
        raise _classify_error(problem, url) from problem


def _trusted(method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float, most: int) -> Answer:
    """To a service of our own settings: what `requests` adds to urllib3 costs a third of a millisecond a call."""
    deadline = time.monotonic() + timeout
    times = urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout)
    named = {"User-Agent": USER_AGENT, **headers}
    response = _pool.request(
        method, url, body=body, headers=named, timeout=times, retries=False, redirect=False, preload_content=False
    )
    answered = False
    try:
        answer = Answer(response.status, _read(response.stream(CHUNK), deadline, most), response.headers)
        answered = len(answer.body) < most
    finally:
        # What was not read to its end must not be read by the next call.
        response.release_conn() if answered else response.close()
    return answer


def _guarded(method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float, most: int) -> Answer:
    """To an address that a customer gave."""
    deadline = time.monotonic() + timeout
    times = (min(CONNECT_TIMEOUT, timeout), timeout)
    with _guarded_session().request(
        method, url, data=body, headers=dict(headers), timeout=times, allow_redirects=False, stream=True
    ) as response:
        return Answer(response.status_code, _read(response.iter_content(CHUNK), deadline, most), response.headers)


def _read(parts: Iterable[bytes], deadline: float, most: int) -> bytes:
    whole, size = [], 0
    for part in parts:
        whole.append(part)
        size += len(part)
        if size >= most:
            break
        if time.monotonic() > deadline:
            raise requests.exceptions.ReadTimeout("the answer did not end in time")
    return b"".join(whole)[:most]


def _classify_error(problem: Exception, url: str) -> Exception:
    host = urlsplit(url).netloc.rpartition("@")[2]
    if isinstance(problem, _NO_ADDRESS):
        return PermanentError(f"not an address that can be called: {host or 'no host'}")
    if "InvalidIPAddress" in repr(problem) or "private" in str(problem).lower():
        return PermanentError(f"{host} is a private address; WEBHOOK_ALLOW_PRIVATE_ADDRESSES=1 allows those")
    reason = getattr(problem.args[0] if problem.args else None, "reason", problem)
    if isinstance(reason, requests.exceptions.ConnectTimeout | ConnectTimeoutError | NewConnectionError):
        return ConnectFailed(f"{host} cannot be reached")
    if isinstance(reason, requests.exceptions.SSLError | SSLError):
        return ConnectFailed(f"{host}: TLS failed")
    return OutcomeUnknown(f"{host} did not answer: {type(problem).__name__}")


_NO_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    LocationValueError,
)
