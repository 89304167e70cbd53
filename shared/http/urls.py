"""URLs that people give: normalised once, where they enter, so that what is stored, checked and called is one and the same.

Scheme and host become lower case, an international host its punycode form, a default port and the dot at the end of a name
go, and what a URL may not contain is percent-encoded (RFC 3986). What cannot be called is refused, and why. The check
constraints of schema.sql know the result.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, quote, urlsplit

import idna

from shared.dns.lookups import parse_ip
from shared.http.addresses import is_public

#: Characters of a URL.
MAX_URL = 2_000
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: A label of a host's name; DNS takes no more, but for the underscore that some names have.
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
#: A last label that makes a host a number to some (WHATWG): 0x7f000001, 2130706433, 127.1.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
#: What stays as it is in a path and a query.
_KEPT = "/:=&?~%+!$,;'@()*[]"


class UrlRefused(ValueError):
    """A URL that cannot be called; the text says why, and reads on behind the name of its field."""


def normalize_url(url: str, *, allow_private: bool) -> str:
    """The URL as it is stored and called. Raises UrlRefused. Names are not looked up: who gives one must not learn of ours."""
    _check_characters(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as problem:
        raise UrlRefused(_why_malformed(url, problem)) from None
    _check_parts(parts, port)
    host = _host(parts.hostname or "", "[" in parts.netloc, allow_private)
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        host += f":{port}"
    path, query = quote(parts.path, safe=_KEPT), quote(parts.query, safe=_KEPT)
    normalized = f"{parts.scheme}://{host}{path}" + (f"?{query}" if query else "")
    if len(normalized) > MAX_URL:
        raise UrlRefused(f"must have at most {MAX_URL} characters, percent-encoded ones counted as three")
    return normalized


_BRACKETS = "must have an IPv6 address between [ and ], and nothing else there"


def _why_malformed(url: str, problem: ValueError) -> str:
    if "[" in url or "]" in url:
        return _BRACKETS
    reason = "its port must be a number from 1 to 65535" if "ort" in str(problem) else "its host is malformed"
    return f"must be a URL like https://shop.example/hook; {reason}"


def site_of(url: str) -> str:
    """The site that a normalised URL belongs to: its host and port, with or without www."""
    return urlsplit(url).netloc.removeprefix("www.")


def _check_characters(url: str) -> None:
    if len(url) > MAX_URL:
        raise UrlRefused(f"must have at most {MAX_URL} characters")
    # Before it is split: urlsplit drops line breaks and control characters without a word.
    if any(character.isspace() for character in url):
        raise UrlRefused("must not contain spaces or line breaks; in a path write %20")
    if not url.isprintable() or "\\" in url or "\ufffd" in url:  # the last: NUL, as the front door reads it
        raise UrlRefused("must not contain control characters, other invisible characters or backslashes")


def _check_parts(parts: SplitResult, port: int | None) -> None:
    if parts.scheme not in _DEFAULT_PORTS:
        raise UrlRefused("must begin with https:// or http://")
    if "@" in parts.netloc:
        raise UrlRefused("must not contain a user name or password; deliveries are signed")
    if port == 0 or parts.netloc.endswith(":"):
        raise UrlRefused("must have a port from 1 to 65535, or none")
    if not parts.hostname:
        raise UrlRefused("must name a host, as in https://shop.example/hook")


def _host(host: str, has_brackets: bool, allow_private: bool) -> str:
    address = parse_ip(host)
    if has_brackets != isinstance(address, ipaddress.IPv6Address):
        raise UrlRefused(_BRACKETS)
    if address is None:
        return _name(host)
    if not allow_private and not is_public(address):
        raise UrlRefused(f"must have a public address; {address} is none")
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            raise UrlRefused("must have an address without a zone (%)")
        return f"[{address.compressed}]"
    return str(address)


def _name(host: str) -> str:
    if "%" in host:
        raise UrlRefused("must have a host without percent-encoding")
    try:
        name = host if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        raise UrlRefused("must have a host that DNS can know; its international name is malformed") from None
    name = name.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        raise UrlRefused("must write an IP address as four decimal numbers, as in 192.0.2.1")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise UrlRefused("must have a host that DNS can know: labels of up to 63 letters, digits and hyphens, between dots")
    return name
