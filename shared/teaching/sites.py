"""An address that somebody typed becomes the origin that browsers send: `https://shop.example`."""

from __future__ import annotations

import re

from shared.dns.lookups import parse_ip
from shared.http.urls import UrlRefused, normalize_url

#: Sites of a chatbot: they are one header of its chat's page.
MAX_SITES = 50
#: Characters of a wrong address that are repeated to whoever typed it.
_QUOTED = 60
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.I)
#: As the check of chatbot.allowed_origins in schema.sql.
_ORIGIN = re.compile(r"(https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?)(?:[/?].*)?")


def site_origin(typed: str) -> str:
    """The origin of a page's address: "shop.example" and "HTTPS://Shop.Example/path" are https://shop.example.

    Raises UrlRefused; its text reads on behind the name of the field.
    """
    address = typed.strip().removeprefix("//")
    try:
        url = normalize_url(address if _SCHEME.match(address) else _with_scheme(address), allow_private=True)
    except UrlRefused:
        raise _refused(typed) from None
    match = _ORIGIN.fullmatch(url)
    if match is None:
        raise _refused(typed)
    return match[1]


def _with_scheme(address: str) -> str:
    """What a browser's address bar would make of it. Raises UrlRefused for a single word, which names no site."""
    host = re.split(r"[/?#]", address)[0]
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    if name.lower() == "localhost" or parse_ip(name.strip("[]")):
        return f"http://{address}"
    if "." not in name.strip("."):
        raise UrlRefused("must have a domain")
    return f"https://{address}"


def _refused(typed: str) -> UrlRefused:
    wrong = repr(typed[:_QUOTED])
    if "*" in typed:
        return UrlRefused(f"must name each site, without wildcards: https://shop.example, https://www.shop.example; got {wrong}")
    return UrlRefused(f"must be the address of a site, like https://shop.example; got {wrong}")
