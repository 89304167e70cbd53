"""What an owner types as the address of a site becomes the origin that browsers send, or is refused in a sentence."""

from __future__ import annotations

import pytest

from shared.http.urls import UrlRefused
from shared.teaching.sites import site_origin


@pytest.mark.parametrize(
    ("typed", "origin"),
    [
        ("shop.example", "https://shop.example"),
        (" https://shop.example/ ", "https://shop.example"),
        ("HTTPS://Shop.Example/path?x=1#y", "https://shop.example"),
        ("http://shop.example", "http://shop.example"),
        ("//shop.example/cart", "https://shop.example"),
        ("shop.example?x", "https://shop.example"),
        ("https://shop.example?x", "https://shop.example"),
        ("https://shop.example.", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:80/", "http://shop.example"),
        ("http://shop.example:443", "http://shop.example:443"),
        ("shop.example:8443/a", "https://shop.example:8443"),
        ("münchen-tee.de", "https://xn--mnchen-tee-9db.de"),
        ("https://MÜNCHEN-tee.de/ä", "https://xn--mnchen-tee-9db.de"),
        ("localhost:3000", "http://localhost:3000"),
        ("http://intranet", "http://intranet"),
        ("192.168.1.5:8080", "http://192.168.1.5:8080"),
        ("[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_address_becomes_an_origin(typed: str, origin: str) -> None:
    assert site_origin(typed) == origin


@pytest.mark.parametrize(
    "typed",
    [
        *("", " ", "nonsense", "my shop", "null", "https://", "ftp://shop.example", "file:///x", "javascript:alert(1)"),
        *("mailto:a@shop.example", "https://user:pw@shop.example", "shop.example:x", "shop.example:70000", "shop.example:0"),
        *("https://sh op.example", "127.1", "https://shop_1.example", "https://a..example", "https://[::1"),
        "x" * 3000 + ".example",
    ],
)
def test_nonsense_is_refused_with_what_is_right(typed: str) -> None:
    with pytest.raises(UrlRefused, match=r"must be the address of a site, like https://shop\.example; got '"):
        site_origin(typed)


def test_a_wildcard_is_refused_with_what_to_give_instead() -> None:
    with pytest.raises(UrlRefused, match="without wildcards"):
        site_origin("*.shop.example")
