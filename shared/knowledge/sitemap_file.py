"""Reads a sitemap: XML or lines of text, packed or not."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

from shared.knowledge.documents import Document, Item, Raw, Unreadable

#: What the reading process knows a sitemap by.
MEDIA_TYPE = "application/x-sitemap"
#: What an entry is: the address of another sitemap, or of a page.
INDEX, PAGE = "sitemap", "page"
#: Entries that count, and bytes of an unpacked one: what the standard allows.
MAX_ENTRIES, MAX_UNPACKED = 50_000, 50 * 1024 * 1024
_KINDS = {"url": PAGE, "sitemap": INDEX}


def read_sitemap(raw: Raw) -> Document:
    """An item for each address, whose content says what is there."""
    body = _unpacked(raw.body)
    if body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return Document("", list(_entries(body)))
    lines = body.decode("utf-8", "replace").split()
    return Document("", [Item(line, PAGE) for line in lines[:MAX_ENTRIES] if line.startswith("http")])


def _entries(body: bytes) -> Iterator[Item]:
    from lxml import etree  # only in the process that reads

    parser = etree.iterparse(io.BytesIO(body), events=("start", "end"), resolve_entities=False, no_network=True, recover=True)
    count, root = 0, ""
    try:
        for event, element in parser:
            name = etree.QName(element).localname if isinstance(element.tag, str) else ""
            parent = element.getparent()
            if event == "start":
                root = root or name
            elif name == "loc" and element.text and (kind := _KINDS.get(etree.QName(parent).localname)):
                yield Item(element.text.strip(), kind)
                count += 1
            elif name in _KINDS:
                element.clear()  # memory
            if count == MAX_ENTRIES:
                return
    except etree.LxmlError:
        root = ""
    if root not in ("urlset", "sitemapindex"):
        raise Unreadable("is no sitemap")


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    unpacking = zlib.decompressobj(wbits=47)
    try:
        unpacked = unpacking.decompress(body, MAX_UNPACKED)
    except zlib.error:
        raise Unreadable("is a damaged gzip file") from None
    if unpacking.unconsumed_tail:
        raise Unreadable(f"unpacks to more than {MAX_UNPACKED // 1024 // 1024} MB")
    return unpacked
