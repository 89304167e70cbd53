"""One file, fetched by HTTP: which redirects are followed, and what an answer means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urljoin, urlsplit

from shared.config import host_of, settings
from shared.errors import OutsideFailure, PermanentRefusal, Snooze
from shared.http import PASSING, Response
from shared.http.client import USER_AGENT, exchange
from shared.http.urls import UrlRefused, normalize_url
from shared.media.download import Download

#: Redirects that are followed, each to an address that the caller allows.
MAX_REDIRECTS = 3
#: Seconds to wait for a provider that says "too many" and not for how long.
THROTTLED = 30.0
#: Seconds until credentials that were refused are tried again: somebody has to store others.
CREDENTIALS = 300.0


class MediaGone(PermanentRefusal):
    """The provider does not have the file any more."""


class MediaUnavailable(OutsideFailure):
    """The provider does not give the file now."""


def fetch(
    url: str,
    headers: Mapping[str, str],
    download: Download,
    is_allowed: Callable[[str], bool] | None = None,
    *,
    allow_private: bool = True,
    may_expire: bool = False,
) -> None:
    """GETs a file into a download. Redirects lead to allowed addresses only, for `headers` go along; by default to the same site.

    `may_expire`: the address is good for a while, and refused afterwards, whatever credentials are shown.

    Raises what `failure_of` makes of the answer, what the download and shared.http raise; PermanentRefusal for an address
    that is not allowed.
    """
    download.restart()
    for _ in range(MAX_REDIRECTS + 1):
        try:
            url = normalize_url(url, allow_private=True)  # one reading of it, for the check and for the call
        except UrlRefused as problem:
            raise PermanentRefusal(f"media: the file's address {problem}") from None
        is_allowed = is_allowed or is_at(url)
        if not is_allowed(url):
            raise PermanentRefusal(f"media: the file is said to be at {host_of(url)}, which is not called")
        answer = exchange(
            "GET",
            url,
            None,
            {"User-Agent": USER_AGENT, "Accept": "*/*", **headers},
            settings().media_timeout,
            allow_private=allow_private,
            max_bytes=settings().media_max * 1024 * 1024 + 1,
            on_part=download.write,
        )
        if answer.ok:
            return
        url = _redirected(answer, url, may_expire)
    raise PermanentRefusal(f"media: {host_of(url)} redirects again and again")


def _redirected(answer: Response, url: str, may_expire: bool) -> str:
    """Where an answer without the file leads. Raises what it means if it is no redirect."""
    if may_expire and answer.status in (401, 403):
        raise MediaGone(f"media: {host_of(url)} answered HTTP {answer.status}; the file's address has expired")
    if not (300 <= answer.status < 400 and answer.headers.get("Location")):
        raise failure_of(answer, host_of(url))
    return urljoin(url, answer.headers["Location"])


def failure_of(answer: Response, host: str) -> Exception:
    """What an answer without the file means: it is gone, it comes later (Snooze), its provider failed, or it will never come."""
    text = f"media: {host} answered HTTP {answer.status}"
    if answer.status in (404, 410):
        return MediaGone(f"{text}; the file is not there any more")
    if answer.status in (401, 403):
        return Snooze(CREDENTIALS, f"{text}: the channel's credentials are not taken")
    if answer.asks_to_wait:
        return Snooze(answer.retry_after(THROTTLED), text)
    if answer.status >= 500 or answer.status in PASSING:
        return MediaUnavailable(text)
    return PermanentRefusal(text)


def is_at(base: str) -> Callable[[str], bool]:
    """For `is_allowed`: scheme, host and port are those of a service of our settings."""
    site = _site_of(normalize_url(base, allow_private=True))
    return lambda url: _site_of(url) == site


def _site_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
