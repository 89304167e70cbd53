"""Finds the pages of a site by its sitemaps: XML or text, packed or not, and indexes of more of them."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from shared.errors import PermanentRefusal
from shared.http.urls import UrlRefused, normalize_url, site_of
from shared.knowledge import reading
from shared.knowledge.documents import Raw
from shared.knowledge.sitemap_file import INDEX, MEDIA_TYPE
from shared.knowledge.web import PageFailed, PageRefused, Robots, fetch

#: Pages of one source, sitemaps that are read for them, and seconds for all of these.
MAX_PAGES, MAX_SITEMAPS, SECONDS = 2_000, 50, 120.0
#: Bytes of one as it is sent; most are packed.
MAX_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class Listing:
    """The pages of a source. `is_complete`: what is not among them is gone."""

    pages: list[str]
    is_complete: bool = True
    warning: str | None = None


def pages_of(location: str, robots: Robots, customer: int | None) -> Listing:
    """The pages that the sitemap at this address lists, or those of the site, if the address is no sitemap's."""
    site, ends = site_of(location), time.monotonic() + SECONDS
    found: dict[str, None] = {}
    wanted, seen, problems = deque(_first(location, robots)), set[str](), list[str]()
    while wanted and len(found) <= MAX_PAGES and len(seen) < MAX_SITEMAPS:
        sitemap = wanted.popleft()
        if sitemap in seen or site_of(sitemap) != site:
            continue
        seen.add(sitemap)
        if time.monotonic() > ends:
            raise PageFailed(f"the site's sitemaps take longer than {SECONDS:.0f} s to read")
        try:
            entries = _entries(sitemap, customer)
        except PermanentRefusal as problem:
            problems.append(f"{urlsplit(sitemap).path}: {problem}")
            continue
        wanted += (url for url, is_index in entries if is_index)
        found |= dict.fromkeys(url for url, is_index in entries if not is_index and site_of(url) == site)
    if not found:
        raise PageRefused("; ".join(problems[:3]) or "the sitemap lists no pages of this site")
    if len(found) > MAX_PAGES:
        problems.append(f"the site has more than {MAX_PAGES:,} pages; the first {MAX_PAGES:,} are imported")
    is_complete = not problems and not wanted
    return Listing(list(found)[:MAX_PAGES], is_complete, "; ".join(problems[:3]) or None)


def _first(location: str, robots: Robots) -> list[str]:
    parts = urlsplit(location)
    if parts.path.endswith((".xml", ".gz", ".txt")) or "sitemap" in parts.path.lower():
        return [location]
    return [url for text in robots.sitemaps if (url := _normalized(location, text))] or [urljoin(location, "/sitemap.xml")]


def _entries(sitemap: str, customer: int | None) -> list[tuple[str, bool]]:
    """What a sitemap lists: addresses, and whether each is another sitemap's."""
    page = fetch(sitemap, max_bytes=MAX_BYTES)
    document = reading.read(Raw("sitemap", page.body or b"", MEDIA_TYPE, page.url), customer)
    entries = ((_normalized(page.url, item.title), item.content == INDEX) for item in document.items)
    return [(url, is_index) for url, is_index in entries if url]


def _normalized(base: str, text: str) -> str:
    try:
        return normalize_url(urljoin(base, text), allow_private=True)
    except (UrlRefused, ValueError):
        return ""
