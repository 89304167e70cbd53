"""Reads a sitemap: XML or lines of text, packed or not."""

from __future__ import annotations

import codecs
import io
import re
import zlib
from collections.abc import Iterator
from typing import Any

from shared.knowledge.documents import Document, Item, Raw, Unreadable

#: What the reading process knows a sitemap by.
MEDIA_TYPE = "application/x-sitemap"
#: What an entry is: the address of another sitemap, or of a page.
INDEX, PAGE = "sitemap", "page"
#: Entries that count, and bytes of an unpacked one: what the standard allows.
MAX_ENTRIES, MAX_UNPACKED = 50_000, 50 * 1024 * 1024
#: Where an XML one begins: some have warnings of a program above; and where it ends. Both within so many bytes.
_ROOT = re.compile(rb"<(\?xml|([\w-]+:)?(urlset|sitemapindex))\b")
_END = re.compile(rb"</([\w-]+:)?(urlset|sitemapindex)\s*>|<([\w-]+:)?(urlset|sitemapindex)\b[^>]*/>")
WITHIN = 4096
_AMPERSAND = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});)")
_KINDS = {"url": PAGE, "sitemap": INDEX}


def read_sitemap(raw: Raw) -> Document:
    """An item for each address, whose content says what is there. One that breaks off has a warning: it does not list all."""
    body = _as_utf8(_unpacked(raw.body))
    if found := _ROOT.search(body[:WITHIN]):
        items = list(_entries(_with_ampersands(body[found.start() :])))
        is_whole = _END.search(body[-WITHIN:]) or len(items) == MAX_ENTRIES
        return Document("", items if is_whole else items[:-1], warning=None if is_whole else "breaks off")
    if body.lstrip().startswith(b"<"):
        raise Unreadable("is no sitemap")
    lines = body.decode("utf-8", "replace").split()
    return Document("", [Item(line, PAGE) for line in lines[:MAX_ENTRIES] if line.startswith("http")])


def _as_utf8(body: bytes) -> bytes:
    """Bytes of UTF-16, which XML knows by itself, where lines of text are read too."""
    if not body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body
    return re.sub(r"^<\?xml[^>]{0,200}\?>", "", body.decode("utf-16", "replace")).encode()


def _with_ampersands(body: bytes) -> bytes:
    """An address with "&" that is not written as XML wants it keeps what stands behind it."""
    return body if b"<![CDATA[" in body else _AMPERSAND.sub(b"&amp;", body)


def _entries(body: bytes) -> Iterator[Item]:
    from lxml import etree  # only in the process that reads

    parser = etree.iterparse(io.BytesIO(body), events=("start", "end"), resolve_entities=False, no_network=True, recover=True)
    count, root = 0, ""
    try:
        for event, element in parser:
            name = _name(element)
            parent = element.getparent()
            if event == "start":
                root = root or name
            elif name == "loc" and element.text and (kind := _KINDS.get(_name(parent))):
                yield Item(element.text.strip(), kind)
                count += 1
            elif name in _KINDS:
                element.clear()  # memory
            if count == MAX_ENTRIES:
                return
    except etree.LxmlError:
        if not count:
            root = ""
    if root not in ("urlset", "sitemapindex"):
        raise Unreadable("is no sitemap")


def _name(element: Any) -> str:
    """Without its namespace, or a prefix that nobody has declared: <image:image>."""
    tag = getattr(element, "tag", None)
    return re.split("[}:]", tag)[-1] if isinstance(tag, str) else ""


def _unpacked(body: bytes) -> bytes:
    if not body.startswith(b"\x1f\x8b"):
        return body
    unpacked = b""
    try:
        while body.startswith(b"\x1f\x8b"):  # some are packed in pieces
            unpacking = zlib.decompressobj(wbits=31)
            unpacked += unpacking.decompress(body, MAX_UNPACKED - len(unpacked))
            if unpacking.unconsumed_tail or len(unpacked) >= MAX_UNPACKED:
                raise Unreadable(f"unpacks to more than {MAX_UNPACKED // 1024 // 1024} MB")
            body = unpacking.unused_data
    except zlib.error:
        raise Unreadable("is a damaged gzip file") from None
    return unpacked
