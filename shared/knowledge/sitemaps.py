"""Finds the pages of a site by its sitemaps: XML or text, packed or not, and indexes of more of them."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from itertools import chain, islice
from urllib.parse import urljoin, urlsplit

from shared.errors import PermanentRefusal
from shared.http.urls import UrlRefused, normalize_url, site_of
from shared.knowledge import reading
from shared.knowledge.documents import Raw
from shared.knowledge.sitemap_file import INDEX, MEDIA_TYPE
from shared.knowledge.web import PageFailed, PageRefused, Robots, fetch, new_file

#: Pages of one source, sitemaps that are read for them, and seconds for all of these.
MAX_PAGES, MAX_SITEMAPS, SECONDS = 2_000, 50, 120.0
#: Bytes of one as it is sent; most are packed.
MAX_BYTES = 10 * 1024 * 1024
#: Where sitemaps are that nobody names: by the standard, and of the usual programs.
_USUAL = ("/sitemap.xml", "/sitemap_index.xml", "/wp-sitemap.xml", "/sitemap-index.xml", "/sitemap.txt")


@dataclass(frozen=True)
class Listing:
    """The pages of a source. `is_complete`: what is not among them is gone."""

    pages: list[str]
    is_complete: bool = True
    warning: str | None = None


@dataclass
class _Search:
    """What was found in the sitemaps that were read, and which are to be read."""

    site: str
    wanted: deque[str]
    found: list[dict[str, None]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    #: Whether there were more pages than there may be.
    is_cut: bool = False

    def read(self, sitemap: str, customer: int | None) -> None:
        """Takes in a sitemap. Raises PermanentRefusal for what is none."""
        more, pages, warning = self._entries(sitemap, customer)
        self.problems += [f"{urlsplit(sitemap).path}: {warning}"] if warning else []
        self.wanted += more
        self.found.append(pages)
        if sum(map(len, self.found)) > 2 * MAX_PAGES:
            self._leave_out()

    def _entries(self, sitemap: str, customer: int | None) -> tuple[dict[str, None], dict[str, None], str | None]:
        """The site's sitemaps and pages that a sitemap lists, of each one more than may be: it shows that not all are taken; and
        what is wrong with it. The others of its 50,000 addresses are only in memory for the customer's turn."""
        more, pages = dict[str, None](), dict[str, None]()
        with new_file() as file:
            page = fetch(sitemap, file, max_bytes=MAX_BYTES)
            with reading.turn(customer) as read:
                document = read(Raw("sitemap", file.read(), MEDIA_TYPE, page.url))
                for item in document.items:
                    kind, most = (more, MAX_SITEMAPS) if item.content == INDEX else (pages, MAX_PAGES)
                    if len(kind) <= most and site_of(url := _normalized(page.url, item.title)) == self.site:
                        kind[url] = None
                return more, pages, document.warning

    def _leave_out(self) -> None:
        """Keeps what would be imported if this were all, for further sitemaps can only make a share smaller; each address once.

        All that 50 of them list was 200 MB, where addresses are long.
        """
        pages = self.pages()
        self.is_cut = self.is_cut or len(pages) > MAX_PAGES
        kept = {url: url for url in (_fair(self.found) if len(pages) > MAX_PAGES else pages)}
        self.found = [dict.fromkeys(kept[url] for url in pages if url in kept) for pages in self.found]

    def pages(self) -> list[str]:
        """All that were found, each once."""
        return list(dict.fromkeys(chain.from_iterable(self.found)))


def pages_of(location: str, robots: Robots, customer: int | None) -> Listing:
    """The pages that the sitemap at this address lists, or those of the site, if the address is no sitemap's."""
    search, guesses = _Search(site_of(location), deque(_first(location, robots))), _guesses(location, robots)
    seen, missing, ends = set[str](), list[str](), time.monotonic() + SECONDS
    while (search.wanted or (guesses and not any(search.found))) and len(seen) < MAX_SITEMAPS:
        is_guess = not search.wanted
        sitemap = guesses.popleft() if is_guess else search.wanted.popleft()
        if sitemap in seen or site_of(sitemap) != search.site:
            continue
        seen.add(sitemap)
        if time.monotonic() > ends:
            raise PageFailed(f"the site's sitemaps take longer than {SECONDS:.0f} s to read")
        try:
            search.read(sitemap, customer)
        except PermanentRefusal as problem:
            (missing if is_guess else search.problems).append(f"{urlsplit(sitemap).path}: {problem}")
    if not any(search.found):
        raise PageRefused(_why_none(search.problems, missing))
    return _listing(search)


def _listing(search: _Search) -> Listing:
    pages, problems = search.pages(), search.problems
    is_cut = search.is_cut or len(pages) > MAX_PAGES
    is_complete = not problems and not search.wanted and not is_cut
    if is_cut:
        pages = _fair(search.found)
        problems = [*problems, f"the site has more than {MAX_PAGES:,} pages; {MAX_PAGES:,} are imported, some of each sitemap"]
    return Listing(pages, is_complete, "; ".join(problems[:3]) or None)


def _fair(found: list[dict[str, None]]) -> list[str]:
    """As many pages as there may be, of each sitemap its share: 5,000 products do not keep out the page about shipping."""
    chosen: dict[str, None] = {}
    for left, pages in zip(range(len(found), 0, -1), sorted(found, key=len), strict=True):
        chosen |= dict.fromkeys(islice((page for page in pages if page not in chosen), (MAX_PAGES - len(chosen)) // left))
    return list(chosen)


def _why_none(problems: list[str], missing: list[str]) -> str:
    if not problems and all(problem.endswith(("(HTTP 404)", "(HTTP 410)", "is no sitemap")) for problem in missing) and missing:
        return "the site has no sitemap that can be found; give the address of one, or import its pages one by one"
    return "; ".join((problems + missing)[:3]) or "the sitemap lists no pages of this site"


def _first(location: str, robots: Robots) -> list[str]:
    parts = urlsplit(location)
    if parts.path.endswith((".xml", ".gz", ".txt")) or "sitemap" in parts.path.lower():
        return [location]
    return [url for text in robots.sitemaps if (url := _normalized(location, text))]


def _guesses(location: str, robots: Robots) -> deque[str]:
    """Where a sitemap is that neither its owner nor the site names."""
    return deque() if _first(location, robots) else deque(urljoin(location, path) for path in _USUAL)


def _normalized(base: str, text: str) -> str:
    try:
        return normalize_url(urljoin(base, text), allow_private=True)
    except (UrlRefused, ValueError):
        return ""
