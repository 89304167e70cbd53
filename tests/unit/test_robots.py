"""What a robots.txt allows us (shared/knowledge/web.py)."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest

from shared.knowledge.web import Robots

PAGE = "https://shop.example/cart/1"


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("", True),
        ("User-agent: *\nDisallow: /cart", False),
        ("User-agent: switchboard # that one\nDisallow: /cart", False),
        ("User-agent: *\nDisallow: /\n\nUser-agent: Switchboard\nAllow: /", True),
        ("User-agent: *\nDisallow: /cart\n\nUser-agent: Googlebot\nAllow: /", False),
        ("user agent Googlebot\nUSER-AGENT : Switchboard\nDisallow: /cart", False),
        ("User-agent: Googlebot\nDisallow: /cart\n\nUser-agent: Bingbot\nDisallow: /", True),
        ("User-agent:\nDisallow: /cart", True),
        ("User-agent: Switchboard*\nDisallow: /cart", False),
        ("User-agent: *switch*\nDisallow: /cart", False),
        ("User-agent: board\nDisallow: /cart", True),
        ("User-agent: **\nDisallow: /cart", True),
    ],
)
def test_the_rules_for_us_count(text: str, may: bool) -> None:
    assert Robots(text).allows(PAGE) is may


def test_what_stands_outside_of_rules_counts_whoever_they_are_for() -> None:
    robots = Robots("User-agent: Googlebot\nCrawl-delay: 9\nSitemap: https://shop.example/map.xml\nUser-agent: *\nCrawl-delay: 2")
    assert (robots.sitemaps, robots.delay) == (["https://shop.example/map.xml"], 2.0)


def our_name(number: int) -> str:
    """Another way to write our name for each number, for asterisks in a name do not count."""
    return "".join(letter + "*" * (number >> place & 1) for place, letter in enumerate("switchboard"))


@pytest.mark.parametrize("name", ["a{}".format, our_name])
def test_many_names_with_many_rules_take_little(name: Callable[[int], str]) -> None:
    """Each rule was kept for each name: some GB of a text of 300 KB, and the worker with them."""
    names = "".join(f"User-agent: {name(number)}\n" for number in range(2_000))
    rules = "".join(f"Disallow: /{number}\n" for number in range(2_000))
    tracemalloc.start()
    begun = time.process_time()
    try:
        assert Robots(names + rules).allows(PAGE)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 50 * 1024 * 1024
    assert time.process_time() - begun < 20
