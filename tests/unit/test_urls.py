"""URLs that people give: one form of each, and a reason where there is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.urls import MAX_URL, UrlRefused, normalize_url
from tests.unit.test_http import PRIVATE

NORMALIZED = {
    "https://shop.example/Hook": "https://shop.example/Hook",
    "HTTP://LOCALHOST:18190/hook": "http://localhost:18190/hook",
    "hTTps://Shop.Example": "https://shop.example",
    "https://shop.example:443/": "https://shop.example/",
    "http://shop.example:80": "http://shop.example",
    "http://shop.example:443/": "http://shop.example:443/",
    "https://shop.example:00443/x": "https://shop.example/x",
    "https://shop.example./x": "https://shop.example/x",
    "http://bücher.example/": "http://xn--bcher-kva.example/",
    "http://BÜCHER.example.": "http://xn--bcher-kva.example",
    "http://b\u0075\u0308cher.example": "http://xn--bcher-kva.example",
    "http://faß.example": "http://xn--fa-hia.example",
    "http://例え。テスト/": "http://xn--r8jz45g.xn--zckzah/",
    "http://xn--bcher-kva.example/": "http://xn--bcher-kva.example/",
    "http://my_service.example": "http://my_service.example",
    "http://shop.example/straße?q=ü&r=%C3%BC": "http://shop.example/stra%C3%9Fe?q=%C3%BC&r=%C3%BC",
    'http://shop.example/"<x>': "http://shop.example/%22%3Cx%3E",
    "http://shop.example/a#part": "http://shop.example/a",
    "http://shop.example?token=A": "http://shop.example?token=A",
    "http://8.8.8.8:8080/x": "http://8.8.8.8:8080/x",
    "http://[2606:4700:0:0::1]:443/": "http://[2606:4700::1]:443/",
}
REFUSED = {
    "ftp://shop.example": "must begin with https:// or http://",
    "javascript:alert(1)": "must begin with https:// or http://",
    "//shop.example/x": "must begin with https:// or http://",
    "shop.example/x": "must begin with https:// or http://",
    "": "must begin with https:// or http://",
    "https://": "must name a host",
    "https:///x": "must name a host",
    "https:shop.example": "must name a host",
    "https://user:hunter2@shop.example/": "must not contain a user name or password",
    "https://@shop.example/": "must not contain a user name or password",
    "https://shop.example:99999/": "port must be a number from 1 to 65535",
    "https://shop.example:-1/": "port must be a number from 1 to 65535",
    "https://shop.example:８０/": "port must be a number from 1 to 65535",
    "https://shop.example:0/": "must have a port from 1 to 65535",
    "https://shop.example:/": "must have a port from 1 to 65535",
    "https://shop.example/ a": "must not contain spaces",
    " https://shop.example/": "must not contain spaces",
    "https://shop.example/\n": "must not contain spaces",
    "https://shop.example/\t": "must not contain spaces",
    "https://shop.example/\x00": "control characters",
    "https://shop.example/\ufffd": "control characters",
    "https://shop\u200b.example/": "control characters",
    "https://shop.example/\u202e": "control characters",
    "https://shop.example\\@evil.example/": "backslashes",
    "https:\\\\shop.example": "backslashes",
    "https://[::1": "IPv6 address between",
    "https://shop\u2100.example/": "host is malformed",
    "https://[shop.example]/": "IPv6 address between",
    "https://[8.8.8.8]/": "IPv6 address between",
    "https://[v1.x]/": "IPv6 address between",
    "http://2130706433/": "four decimal numbers",
    "http://0x7f000001/": "four decimal numbers",
    "http://0177.0.0.1/": "four decimal numbers",
    "http://127.1/": "four decimal numbers",
    "http://8.8.8.8.8/": "four decimal numbers",
    "http://256.1.1.1/": "four decimal numbers",
    "http://１２７.0.0.1/": "four decimal numbers",
    "http://shop..example/": "host that DNS can know",
    "http://.example/": "host that DNS can know",
    "http://-shop.example/": "host that DNS can know",
    "http://shop!.example/": "host that DNS can know",
    "http://xn--ü.example/": "host that DNS can know",
    "http://" + "a" * 64 + ".example/": "host that DNS can know",
    "http://" + "a." * 130 + "example/": "host that DNS can know",
    "http://sh%6fp.example/": "without percent-encoding",
    "http://shop.example/" + "a" * MAX_URL: "at most 2000 characters",
    "http://shop.example/" + "ü" * 1000: "at most 2000 characters",
}


@pytest.mark.parametrize("url", NORMALIZED)
def test_what_is_the_same_url_is_stored_as_one(url: str) -> None:
    assert normalize_url(url, allow_private=False) == NORMALIZED[url]
    assert normalize_url(NORMALIZED[url], allow_private=False) == NORMALIZED[url]


@pytest.mark.parametrize("url", REFUSED)
def test_what_is_refused_says_why(url: str) -> None:
    with pytest.raises(UrlRefused, match=re.escape(REFUSED[url])) as refusal:
        normalize_url(url, allow_private=True)
    assert "hunter2" not in str(refusal.value)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UrlRefused, match="invisible characters"):
        normalize_url("https://shop.example/\ud800", allow_private=True)


@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_refused_unless_they_are_allowed(host: str) -> None:
    with pytest.raises(UrlRefused, match="must have a public address"):
        normalize_url(f"http://{host}/", allow_private=False)
    assert normalize_url(f"http://{host}/", allow_private=True).startswith("http://")


@given(st.text(alphabet="hHtTpPsS:/.@[]#?%\\ ñß１aZ09-_\n\x00", max_size=30), st.sampled_from(["", "http://", "HTTPS://a."]))
def test_a_normalized_url_stays_as_it_is(rest: str, start: str) -> None:
    try:
        url = normalize_url(start + rest, allow_private=True)
    except UrlRefused:
        return
    assert normalize_url(url, allow_private=True) == url
    assert url.isascii()
