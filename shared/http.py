"""The one door to the outside for sends and webhooks: timeouts, keep-alive, a size cap, and what an error means.

A session for each thread keeps its connections. Redirects are not followed. `timeout` bounds the whole exchange,
a server that drips its answer included.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests_hardened import Config, Manager
from urllib3.exceptions import NewConnectionError

from shared.errors import OutcomeUnknown, Permanent

#: Bytes of an answer that are read; nobody we talk to has more to say.
MAX_ANSWER = 64 * 1024
#: Seconds for a TCP connection and TLS, part of the whole.
CONNECT_TIMEOUT = 5.0
#: Characters of a foreign answer that go into an error.
EXCERPT = 300
USER_AGENT = "Switchboard/1"


class NotSent(Exception):
    """The request never left: no connection. Trying again is safe."""


@dataclass(frozen=True)
class Answer:
    """What came back: `body` is at most MAX_ANSWER bytes."""

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
        except ValueError:
            return {}

    def excerpt(self) -> str:
        """The beginning of the body, for an error."""
        return self.body[:EXCERPT].decode("utf-8", "replace").strip()

    def retry_after(self, default: float) -> float:
        """Seconds of the Retry-After header, if it is a number."""
        return retry_after(self.headers.get("Retry-After"), default)


def retry_after(header: str | None, default: float) -> float:
    """Seconds that a Retry-After header asks for; `default` where it does not say, or says a date."""
    try:
        return max(0.0, float(header)) if header else default
    except ValueError:
        return default


_local = threading.local()


def _session(private_allowed: bool) -> requests.Session:
    sessions: dict[bool, requests.Session] = _local.__dict__.setdefault("sessions", {})
    if private_allowed not in sessions:
        sessions[private_allowed] = _plain_session() if private_allowed else _guarded_session()
    return sessions[private_allowed]


def _plain_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # proxies and .netrc are not ours, and looking for them costs time on each call
    session.headers["User-Agent"] = USER_AGENT
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=20, pool_maxsize=4, max_retries=0))
    return session


def _guarded_session() -> requests.Session:
    """A session that refuses private addresses, after the name is resolved (SSRF)."""
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


def post(url: str, body: bytes, headers: Mapping[str, str], timeout: float, *, private_allowed: bool = True) -> Answer:
    """POSTs JSON bytes. Raises NotSent, OutcomeUnknown (no whole answer in time), Permanent (the address is refused)."""
    return _exchange("POST", url, body, {"Content-Type": "application/json", **headers}, timeout, private_allowed)


def get(url: str, headers: Mapping[str, str], timeout: float) -> Answer:
    """GETs from a service of ours. Raises as `post` does."""
    return _exchange("GET", url, None, headers, timeout, private_allowed=True)


def _exchange(
    method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout: float, private_allowed: bool
) -> Answer:
    deadline = time.monotonic() + timeout
    try:
        with _session(private_allowed).request(
            method,
            url,
            data=body,
            headers=dict(headers),
            timeout=(min(CONNECT_TIMEOUT, timeout), timeout),
            allow_redirects=False,
            stream=True,
        ) as response:
            return Answer(response.status_code, _read(response, deadline), response.headers)
    except requests.exceptions.RequestException as problem:
        raise _meaning(problem, url) from problem


def _read(response: requests.Response, deadline: float) -> bytes:
    parts, size = [], 0
    for part in response.iter_content(8192):
        parts.append(part)
        size += len(part)
        if size >= MAX_ANSWER:
            break
        if time.monotonic() > deadline:
            raise requests.exceptions.ReadTimeout("the answer did not end in time")
    return b"".join(parts)[:MAX_ANSWER]


def _meaning(problem: requests.exceptions.RequestException, url: str) -> Exception:
    host = urlsplit(url).netloc.rpartition("@")[2]
    if isinstance(
        problem, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema | requests.exceptions.InvalidSchema
    ):
        return Permanent(f"not an address that can be called: {host or 'no host'}")
    if "InvalidIPAddress" in repr(problem) or "private" in str(problem).lower():
        return Permanent(f"{host} is a private address; WEBHOOK_ALLOW_PRIVATE_ADDRESSES=1 allows those")
    reason = getattr(problem.args[0] if problem.args else None, "reason", None)
    if isinstance(problem, requests.exceptions.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return NotSent(f"{host} cannot be reached")
    if isinstance(problem, requests.exceptions.SSLError):
        return NotSent(f"{host}: TLS failed")
    return OutcomeUnknown(f"{host} did not answer: {type(problem).__name__}")
