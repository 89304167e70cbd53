"""Sites as they are: without a sitemap where it should be, with too many pages, with pages that send on or have a wrong name."""

from __future__ import annotations

import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from shared import config, db
from shared.knowledge import sitemaps, sources, web
from shared.knowledge.sources import Page, Sitemap
from shared.models import KnowledgeItem
from tests.builders import World
from tests.integration.test_knowledge_import import counts, errors, run

TEXT = "We ship each order within two working days, and write an e-mail when it is done: {}."


class Shop:
    """A web site of these paths; any other is not found."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages: dict[str, str] = {}

    def page(self, path: str, text: str, head: str = "") -> None:
        self.pages[path] = f"<html><head><title>{path}</title>{head}</head><body><p>{TEXT.format(text)}</p></body></html>"

    def sitemap(self, path: str, *pages: str, kind: str = "url", end: str = "") -> None:
        root = "urlset" if kind == "url" else "sitemapindex"
        entries = "".join(f"<{kind}><loc>{self.url}{page}</loc></{kind}>" for page in pages)
        self.pages[path] = f"<{root}>{entries}{end or f'</{root}>'}"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = shop.pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/plain" if self.path.endswith(".txt") else "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write((body or "There is no such page.").encode())

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shop = Shop(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "1")
        config.reset()
        yield shop
        server.shutdown()
    config.reset()


@pytest.fixture
def base(world: World) -> int:
    return int(db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot]))


def items() -> dict[str, str]:
    return {row["title"]: row["content"] for row in db.rows(KnowledgeItem.select().where(KnowledgeItem.document.is_null(False)))}


def test_a_sitemap_that_nobody_names_is_looked_for_where_programs_put_it(world: World, base: int, shop: Shop) -> None:
    shop.page("/a", "a")
    shop.page("/b", "b")
    shop.sitemap("/wp-sitemap.xml", "/wp-sitemap-posts.xml", kind="sitemap")
    shop.sitemap("/wp-sitemap-posts.xml", "/a", "/b")
    source = sources.start_import(base, Sitemap(shop.url))
    run(world)
    assert counts(source) == {"state": "done", "found": 2, "stored": 2, "added": 2}
    assert (sources.progress(source) or {})["error"] is None
    shop.sitemap("/wp-sitemap-posts.xml", "/a")
    assert sources.sync(source)
    run(world)
    assert counts(source) == {"state": "done", "found": 1, "stored": 1, "unchanged": 1, "removed": 1}


def test_a_site_without_a_sitemap_says_what_to_do(world: World, base: int, shop: Shop) -> None:
    source = sources.start_import(base, Sitemap(shop.url))
    run(world)
    progress = sources.progress(source) or {}
    assert progress["state"] == "failed"
    assert progress["error"].endswith("has no sitemap that can be found; give the address of one, or import its pages one by one")


def test_many_products_do_not_keep_out_the_page_about_shipping(
    world: World, base: int, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sitemaps, "MAX_PAGES", 6)
    shop.sitemap("/sitemap.xml", "/products.xml", "/more-products.xml", "/pages.xml", kind="sitemap")
    shop.sitemap("/products.xml", *(f"/products/{number}" for number in range(50)))
    shop.sitemap("/more-products.xml", *(f"/products/{number}" for number in range(30, 80)))
    shop.sitemap("/pages.xml", "/shipping", "/contact")
    for path in ("/shipping", "/contact", *(f"/products/{number}" for number in range(80))):
        shop.page(path, path)
    source = sources.start_import(base, Sitemap(shop.url))
    run(world)
    progress = sources.progress(source) or {}
    assert (progress["stored"], progress["error"]) == (6, "the site has more than 6 pages; 6 are imported, some of each sitemap")
    assert {"/shipping", "/contact"} < set(items())


def test_a_sitemap_that_breaks_off_removes_nothing(world: World, base: int, shop: Shop) -> None:
    for path in ("/a", "/b", "/c"):
        shop.page(path, path)
    shop.sitemap("/sitemap.xml", "/a", "/b", "/c")
    source = sources.start_import(base, Sitemap(shop.url))
    run(world)
    shop.sitemap("/sitemap.xml", "/a", end=f"<url><loc>{shop.url}/b")
    assert sources.sync(source)
    run(world)
    assert counts(source) == {"state": "done", "found": 3, "stored": 3, "added": 2, "unchanged": 1}
    assert (sources.progress(source) or {})["error"] == "/sitemap.xml: breaks off"
    assert set(items()) == {"/a", "/b", "/c"}


def test_a_page_that_sends_its_visitors_on_by_its_markup(world: World, base: int, shop: Shop) -> None:
    shop.page("/", "nothing", '<meta http-equiv="refresh" content="0; url=/de/start">')
    shop.page("/de/start", "the start")
    shop.page("/loop", "nothing", '<meta http-equiv="refresh" content="0; url=/loop?again">')
    shop.page("/loop?again", "nothing", '<meta http-equiv="refresh" content="0; url=/loop">')
    source, loop = (sources.start_import(base, Page(f"{shop.url}{path}")) for path in ("/", "/loop"))
    run(world)
    assert counts(source)["stored"] == 1
    assert items() == {"/de/start": TEXT.format("the start")}
    assert errors(loop) == {"loop": "the page redirects more than 5 times"}


def test_a_page_waits_for_room_on_our_own_disk(
    world: World, base: int, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.page("/large", "parcels of all kinds " * 20_000)
    source = sources.start_import(base, Page(shop.url + "/large"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    run(world)
    assert errors(source) == {}
    [job] = db.rows("select * from job where queue = 'knowledge-import' and closed_at is null")
    assert (job["attempts"], "the folder of temporary files (TMPDIR, or /tmp) refuses" in job["last_error"]) == (0, True)
    (tmp_path / "gone").mkdir()
    run(world)
    assert counts(source) == {"state": "done", "found": 1, "stored": 1, "added": 1}


def test_a_theme_that_calls_all_pages_the_first_costs_none(world: World, base: int, shop: Shop) -> None:
    shop.sitemap("/sitemap.xml", "/", "/a", "/b", "/b?utm_source=x")
    for path in ("/", "/a"):
        shop.page(path, path, '<link rel="canonical" href="/">')
    for path in ("/b", "/b?utm_source=x"):
        shop.page(path, "b", '<link rel="canonical" href="/b">')
    source = sources.start_import(base, Sitemap(shop.url))
    run(world)
    assert counts(source) == {"state": "done", "found": 4, "stored": 3, "added": 3, "skipped": 1}
    assert errors(source) == {"b?utm_source=x": f"the same page as {shop.url}/b"}


def test_of_a_robots_txt_that_is_too_large_the_beginning_counts(world: World, base: int, shop: Shop) -> None:
    shop.page("/private/a", "a")
    shop.page("/b", "b")
    shop.sitemap("/sitemap.xml", "/private/a", "/b")
    first = "\ufeffUser-agent: *\nDisallow: /private\n"
    comments = "# a comment\n" * (web.MAX_ROBOTS // 12 - 10)
    last = "Disallow: /"
    padding = "#" * (web.MAX_ROBOTS - len((first + comments + last).encode()) - 1) + "\n"
    shop.pages["/robots.txt"] = f"{first}{comments}{padding}{last}cart\n" + "# and so on\n" * 10_000
    source = sources.start_import(base, Sitemap(shop.url))
    run(world)
    assert set(errors(source).values()) == {"robots.txt does not allow us to read the page"}
    assert counts(source) == {"state": "done", "found": 2, "stored": 1, "added": 1, "skipped": 1}


@pytest.mark.usefixtures("world")
def test_of_many_large_sitemaps_no_more_is_kept_than_is_imported(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """50 of 2,001 long addresses were 200 MB."""
    monkeypatch.setattr(sitemaps, "MAX_PAGES", 40)
    shop.sitemap("/small.xml", "/shipping", "/contact")
    for number in range(9):
        shop.sitemap(f"/{number}.xml", *(f"/{number}/{page}" for page in range(100)))
    search = sitemaps._Search(shop.url.removeprefix("http://"), deque())
    for name in (*range(9), "small"):
        search.read(f"{shop.url}/{name}.xml", 1)
        assert len(search.pages()) <= 2 * 40
    listing = sitemaps._listing(search)
    assert (len(listing.pages), listing.is_complete) == (40, False)
    assert {f"{shop.url}/shipping", f"{shop.url}/contact", *(f"{shop.url}/{number}/0" for number in range(9))} < set(
        listing.pages
    )


@pytest.mark.usefixtures("world")
def test_sitemaps_that_list_the_same_pages_lose_none(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemaps, "MAX_PAGES", 40)
    search = sitemaps._Search(shop.url.removeprefix("http://"), deque())
    for name in range(9):
        shop.sitemap(f"/{name}.xml", *(f"/{page}" for page in range(40)))
        search.read(f"{shop.url}/{name}.xml", 1)
    assert (len(sitemaps._listing(search).pages), sitemaps._listing(search).is_complete) == (40, True)


@pytest.mark.usefixtures("world")
def test_of_an_index_no_more_is_kept_than_is_read(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sitemaps, "MAX_SITEMAPS", 3)
    shop.sitemap("/sitemap.xml", *["/sitemap.xml", "/0.xml"] * 100, *(f"/{number}.xml" for number in range(500)), kind="sitemap")
    for number in range(500):
        shop.sitemap(f"/{number}.xml", f"/page-{number}")
    search = sitemaps._Search(shop.url.removeprefix("http://"), deque())
    search.read(f"{shop.url}/sitemap.xml", 1)
    assert len(search.wanted) == 4
    listing = sitemaps.pages_of(f"{shop.url}/sitemap.xml", web.Robots(""), 1)
    assert listing.pages == [f"{shop.url}/page-0", f"{shop.url}/page-1"]
    assert not listing.is_complete
