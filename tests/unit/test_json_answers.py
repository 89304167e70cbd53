"""What the API answers in JSON: the same whatever is in it, and there once, however large a page is."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from web.json_bodies import SafeJson


@pytest.fixture
def safe() -> Iterator[SafeJson]:
    app = Flask(__name__)
    with app.test_request_context():
        yield SafeJson(app)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        "a text",
        {"data": [], "next": None},
        {"data": [{"text": "Grüße, привет 👋 </script> \u2028", "n": [1, {"a": []}]}, 1.5], "z": {"b": 1, "a": True}, "": {}},
        [[1, [2, {"a": 3}]], {}],
    ],
)
def test_json_says_what_it_was_given(safe: SafeJson, value: Any) -> None:
    answer = safe.response(value)
    assert answer.get_json() == value
    assert answer.get_data(as_text=True) == safe.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def test_a_number_as_a_name_and_half_a_character_are_no_error(safe: SafeJson) -> None:
    assert safe.response({1: "\ud83d"}).get_data() == b'{"1":"?"}\n'


def test_what_goes_into_pages_and_headers_is_ascii(safe: SafeJson) -> None:
    assert safe.dumps("ü\u2028").isascii()


@pytest.mark.parametrize("text", ["Hello there, ", "Привет, мир! ", "Hello there, 👋"])
def test_a_page_of_the_api_is_in_memory_once(safe: SafeJson, text: str) -> None:
    """In Russian it was there five times over: eight pages of 30 MB were a gigabyte."""
    page = {"data": [{"id": number, "text": text * 5_000} for number in range(100)], "next": None}
    tracemalloc.start()
    try:
        answer = safe.response(page)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 1.3 * len(answer.get_data())
