"""Pages of other people's web sites: asked for one by one, never at private addresses, and only where robots.txt allows it.

Redirects are followed within a site only, each through the guard. A page that is the same as last time is not sent again (etag).
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import SEEK_END
from tempfile import SpooledTemporaryFile
from typing import IO
from urllib.parse import urljoin, urlsplit

from protego import Protego

from shared import http
from shared.config import settings
from shared.errors import OutsideFailure, PermanentRefusal, RateLimited, Snooze
from shared.http.urls import UrlRefused, normalize_url, site_of
from shared.knowledge.documents import MAX_PAGE
from shared.media.folder import StorageDown, down_if_it_fails

log = logging.getLogger(__name__)

#: What robots.txt calls us; the User-Agent begins with it.
AGENT = "Switchboard"
#: Seconds for one request, body and all.
TIMEOUT = 20.0
#: Bytes of a page that are in memory, and not in a file, until it is read.
SMALL = 256 * 1024
#: Seconds after which a page for which our own disk had no room is asked for again.
DISK_WAIT = 30.0
#: Characters of an etag, or of a time.
MAX_HEADER = 200
#: Redirects of one page.
MAX_REDIRECTS = 5
#: Seconds to leave a site alone that says "too many requests" and not for how long.
DEFAULT_THROTTLE = 30.0
#: Bytes of a robots.txt that count (RFC 9309).
MAX_ROBOTS = 512 * 1024
#: Bytes in which a page sends its visitors elsewhere, and seconds after which: later, it shows something first.
REFRESH_WITHIN, REFRESH_SECONDS = 8 * 1024, 10
_META = re.compile(r"<meta\b[^>]{0,500}>", re.I)
_REFRESH = re.compile(
    r"content\s*=\s*[\"']?\s*(?P<seconds>\d{1,4})(\.\d+)?\s*[;,]\s*(url\s*=\s*)?[\"']?(?P<url>[^\"'>\s]+)", re.I
)
#: A line of a robots.txt that says whose the rules below it are, as Protego reads one.
_AGENT_LINE = re.compile(r"\s*user(?:-|\s+)?agent(?:\s*:|\s)(?P<agent>[^#]*)", re.I)
_HEADERS = {"Accept": "text/html,application/xhtml+xml,application/pdf;q=0.9,*/*;q=0.8", "Accept-Encoding": "identity"}
_REDIRECTS = (301, 302, 303, 307, 308)


class PageRefused(PermanentRefusal):
    """A page that will not come, however often it is asked for. The text is for the source's owner."""


class PageGone(PageRefused):
    """404 or 410."""


class PageFailed(OutsideFailure):
    """A page that did not come this time."""


class NoRoomOnDisk(RateLimited):
    """Our own disk takes no page at the moment: no fault of the site's, nor a reason to fail its import."""


@dataclass(frozen=True)
class Page:
    """What a site sent, but for its body. `is_same`: as last time, and there is none."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    is_same: bool = False

    @property
    def media_type(self) -> str:
        """As the site says."""
        return self.headers.get("Content-Type", "")

    def header(self, name: str) -> str | None:
        """A short header that is kept, and sent back next time; None if there is none, or an odd one."""
        value = self.headers.get(name)
        return value if value and len(value) <= MAX_HEADER and value.isascii() and value.isprintable() else None

    @property
    def noindex(self) -> bool:
        """Whether the site wants the page in no index."""
        directives = self.headers.get("X-Robots-Tag", "").lower()
        return "noindex" in directives or "none" in directives.replace(",", " ").split()


def new_file() -> IO[bytes]:
    """A file for the body of a page: those of all threads would fill the memory, some for as long as a slow site takes."""
    return SpooledTemporaryFile(SMALL)


def fetch(
    url: str,
    file: IO[bytes],
    *,
    etag: str | None = None,
    last_modified: str | None = None,
    max_bytes: int = MAX_PAGE,
    may_be_cut: bool = False,
) -> Page:
    """A page, if it is another than last time; its body is in the file. `may_be_cut`: of one that is too large, its beginning
    will do.

    Raises PageGone, PageRefused, PageFailed, Snooze, and what shared.http raises.
    """
    headers = dict(_HEADERS)
    headers |= {"If-None-Match": etag} if etag else {}
    headers |= {"If-Modified-Since": last_modified} if last_modified else {}
    site = site_of(url)
    for _ in range(MAX_REDIRECTS + 1):
        answer = _answer(url, headers, file, max_bytes)
        target = answer.headers.get("Location", "") if answer.status in _REDIRECTS else _refreshed(url, answer, file)
        if answer.status not in _REDIRECTS and not target:
            return _page(url, answer, file, max_bytes, may_be_cut)
        url = _redirected(url, target, site)
    raise PageRefused(f"the page redirects more than {MAX_REDIRECTS} times")


def _answer(url: str, headers: Mapping[str, str], file: IO[bytes], max_bytes: int) -> http.Response:
    file.seek(0)
    file.truncate()

    def take(part: bytes) -> None:
        with down_if_it_fails(is_temporary=True):
            file.write(part)

    # One byte more than allowed, to see that there is more.
    is_private = settings().webhooks_to_private
    try:
        return http.fetch(url, headers, TIMEOUT, allow_private=is_private, max_bytes=max_bytes + 1, on_part=take)
    except StorageDown as problem:
        log.warning("storage_down", extra={"error": str(problem)})
        raise NoRoomOnDisk(DISK_WAIT, str(problem)) from problem


def _refreshed(url: str, answer: http.Response, file: IO[bytes]) -> str:
    """Where a page sends its visitors by its markup; "" if it does not, or if it is read again itself."""
    file.seek(0)
    start = file.read(REFRESH_WITHIN)
    if not answer.ok or b"refresh" not in (head := start.lower()):
        return ""
    for tag in _META.finditer(start.decode("latin-1")):
        found = _REFRESH.search(tag[0]) if re.search(r"http-equiv\s*=\s*[\"']?refresh", tag[0], re.I) else None
        is_for_all = head.rfind(b"<noscript", 0, tag.start()) <= head.rfind(b"</noscript", 0, tag.start())
        if found and is_for_all and int(found["seconds"]) <= REFRESH_SECONDS:
            target = html.unescape(found["url"].encode("latin-1").decode("utf-8", "replace"))
            return "" if urljoin(url, target) == url else target
    return ""


def _redirected(url: str, location: str, site: str) -> str:
    try:
        target = normalize_url(urljoin(url, location), allow_private=True)
    except (UrlRefused, ValueError):
        raise PageRefused("the page redirects to an address that cannot be called") from None
    if site_of(target) != site:
        raise PageRefused(f"the page redirects to another site, {site_of(target)}; import that one if it is yours")
    return target


def _page(url: str, answer: http.Response, file: IO[bytes], max_bytes: int, may_be_cut: bool) -> Page:
    status = answer.status
    if status == 304:
        return Page(url, answer.headers, is_same=True)
    if answer.asks_to_wait:
        raise Snooze(answer.retry_after(DEFAULT_THROTTLE), f"the site asks us to slow down (HTTP {status})")
    if status in (404, 410):
        raise PageGone(f"the page is gone (HTTP {status})")
    if status >= 500 or status in (408, 425):
        raise PageFailed(f"the site answered HTTP {status}")
    if not answer.ok:
        raise PageRefused(f"the site refuses the page (HTTP {status})")
    if file.seek(0, SEEK_END) > max_bytes and not may_be_cut:
        raise PageRefused(f"the page is larger than {max_bytes // 1024 // 1024} MB")
    file.seek(0)
    return Page(url, answer.headers)


def robots_of(url: str) -> str:
    """The robots.txt of a page's site. None means that all is allowed; one that does not come, that we must wait (RFC 9309).

    One that is too large counts as far as its last whole line that fits: half of "Disallow: /cart" would forbid the site.
    """
    parts = urlsplit(url)
    with new_file() as file:
        try:
            fetch(f"{parts.scheme}://{parts.netloc}/robots.txt", file, max_bytes=MAX_ROBOTS, may_be_cut=True)
        except PageRefused:
            return ""
        body = file.read(MAX_ROBOTS)
    if len(body) == MAX_ROBOTS:
        body = b"\n".join(body.splitlines()[:-1])
    return body.decode("utf-8-sig", "replace").replace("\0", "")


def _with_few_names(text: str) -> str:
    """The same for us, with one name for all other robots: Protego keeps each rule for each name above it, and 90 KB with 3,000
    names and 3,000 rules are 640 MB."""
    return "\n".join(map(_renamed, text.splitlines()))


def _renamed(line: str) -> str:
    found = _AGENT_LINE.match(line)
    name = found["agent"].strip().lower() if found else ""
    if name in ("", "*"):
        return line
    ours = name.replace("*", "")  # Protego reads Switch* as Switch, and takes that for us
    return f"User-agent: {ours if ours and AGENT.lower().startswith(ours) else 'other'}"


class Robots:
    """What a robots.txt allows us."""

    def __init__(self, text: str) -> None:
        self._rules = Protego.parse(_with_few_names(text))

    def allows(self, url: str) -> bool:
        """Whether a page may be read."""
        return bool(self._rules.can_fetch(url, AGENT))

    @property
    def delay(self) -> float:
        """Seconds between two pages, if the site says so."""
        return float(self._rules.crawl_delay(AGENT) or 0)

    @property
    def sitemaps(self) -> list[str]:
        """Where the site says that its sitemaps are."""
        return list(self._rules.sitemaps)
