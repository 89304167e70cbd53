"""A shop's web site: help pages with etags, a sitemap of sitemaps, robots.txt, and pages that are broken in their own ways.

POST /__site changes it: {"pages": 200, "broken": {"13": 500, "57": "redirect", "111": 404}, "changed": [7], "gone": [9]}.
"""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from scripts.local.simulator.exchange import Reply, Request

#: Pages, and what is wrong with some of them: an HTTP status, "redirect" (to this machine), "noindex", "script" (no text).
DEFAULT: dict[str, Any] = {"pages": 200, "broken": {"13": 500, "57": "redirect", "111": 404}, "changed": [], "gone": []}
_EXAMPLE = '{"pages": 12, "gone": [9]}'
_TOPICS = ("Shipping", "Returns", "Payment", "Sizes", "Gift cards", "Repairs", "Orders", "Invoices")
_PAGE = """<!doctype html><html lang="en"><head><title>{title}</title>{head}</head><body>
<nav><a href="/">Home</a> <a href="/site/private">Account</a></nav>
<main><h1>{title}</h1><p>{text}</p><h2>Good to know</h2><p>{more}</p></main><footer>All rights reserved.</footer></body></html>"""


class _Changes(Schema):
    pages = fields.Integer(strict=True, validate=validate.Range(0, 100_000))
    broken = fields.Dict(fields.String(), fields.Raw())
    changed = fields.List(fields.Integer(strict=True))
    gone = fields.List(fields.Integer(strict=True))


class Site:
    """The site as it is now."""

    def __init__(self) -> None:
        self._state = dict(DEFAULT)

    def change(self, body: bytes = b"{}") -> None:
        """What is given replaces what was; {} is the site as it was at first. Raises ValueError, and changes nothing."""
        try:
            changes = _Changes().loads(body)
        except (ValueError, RecursionError, ValidationError) as problem:
            raise ValueError(f"The body must be a JSON object, like {_EXAMPLE}: {problem}") from None
        self._state = {**(self._state if changes else DEFAULT), **changes}

    def serve(self, request: Request) -> Reply:
        """GET of any of its addresses."""
        host = f"http://{request.headers.get('host', 'localhost')}"
        path = request.path.partition("?")[0]
        if path == "/robots.txt":
            text = f"User-agent: *\nDisallow: /site/private\nSitemap: {host}/sitemap.xml\n"
            return _reply(request, text.encode(), "text/plain")
        if path == "/sitemap.xml":  # it names itself
            parts = (f"{host}/sitemap.xml", f"{host}/site/sitemap-1.xml", f"{host}/site/sitemap-2.xml.gz")
            return _reply(request, _xml("sitemapindex", "sitemap", parts), "application/xml")
        pages = [n for n in range(1, self._state["pages"] + 1) if n not in self._state["gone"]]
        if path == "/site/sitemap-1.xml":
            odd = (f"{host}/site/page-{n}" for n in pages if n % 2)
            return _reply(request, _xml("urlset", "url", odd), "application/xml")
        if path == "/site/sitemap-2.xml.gz":
            even = (f"{host}/site/page-{n}" for n in pages if not n % 2)
            return _reply(request, gzip.compress(_xml("urlset", "url", even), mtime=0), "application/gzip")
        number = "1" if path == "/site/sitemap.html" else path.removeprefix("/site/page-")
        if not number.isdigit() or int(number) not in pages:
            return Reply(404, b"There is no such page.", headers={"Content-Type": "text/plain"}, key=path)
        return self._page(request, int(number))

    def _page(self, request: Request, number: int) -> Reply:
        problem = self._state["broken"].get(str(number))
        if isinstance(problem, int):
            return Reply(problem, b"Something is wrong.", headers={"Content-Type": "text/plain"}, key=request.path)
        if problem == "redirect":
            return Reply(302, b"", headers={"Location": "http://127.0.0.1:1/admin"}, key=request.path)
        topic = _TOPICS[number % len(_TOPICS)]
        days = number + (1000 if number in self._state["changed"] else 0)
        text = f"{topic} number {number} takes {days} days, and we write an e-mail when it is done."
        head = '<meta name="robots" content="noindex">' if problem == "noindex" else ""
        body = _PAGE.format(title=f"{topic} {number}", head=head, text=text, more=f"Ask for form {number} in our shop.")
        if problem == "script":
            body = "<html><head><title>App</title></head><body><script>draw()</script></body></html>"
        return _reply(request, body.encode(), "text/html; charset=utf-8")


def _reply(request: Request, body: bytes, media_type: str) -> Reply:
    etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    if request.headers.get("if-none-match") == etag:
        return Reply(304, b"", accepted=True, key=request.path, headers={"ETag": etag})
    return Reply(200, body, accepted=True, key=request.path, headers={"Content-Type": media_type, "ETag": etag})


def _xml(root: str, entry: str, urls: Any) -> bytes:
    entries = "".join(f"<{entry}><loc>{url}</loc></{entry}>" for url in urls)
    return f'<?xml version="1.0"?><{root} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{entries}</{root}>'.encode()


SITE = Site()
