"""What schemas say of a form's values: German for all of it, found by giving each field of the desk's schemas everything."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema, ValidationError

from shared import config
from shared.errors import InvalidPayload
from shared.operations.criteria import Criteria
from shared.payloads import check
from web.desk import language
from web.desk.schema_words import translated

#: Where schemas and their fields say what is wrong in words of their own.
SAYERS = (
    "shared/teaching",
    "shared/budgets",
    "shared/http/urls.py",
    "shared/operations/criteria.py",
    "web/api/webhook_schemas.py",
)
_ADDRESSES = ("http://", "http://a b", "ftp://x", "https://u:p@x.y/", "https://127.0.0.1", "https://x:0/", "https://x:99999/")
_MORE_ADDRESSES = (
    "https://1.2",
    "https://[x",
    "https://" + "a" * 70 + ".de",
    "https://*.de",
    "https://a\\b",
    "https://x.de/" + "ä" * 900,
)
_LISTS: tuple[list[Any], ...] = (
    [],
    [1],
    ["x"],
    [""],
    [None],
    [{}],
    ["*.de"],
    [{"name": "a b", "value": " "}],
    ["x.de"] * 200,
    [1] * 200,
)
_HOURS: tuple[dict[str, Any], ...] = ({}, {"a": 1}, {"mon": 1}, {"mon": []}, {"mon": [["9"]]}, {"mon": [["09:00", "08:00"]]})
ANYTHING = (
    None,
    "",
    -1,
    0,
    10**30,
    True,
    float("nan"),
    "x",
    "x y",
    "x" * 30_000,
    "\0",
    *_ADDRESSES,
    *_MORE_ADDRESSES,
    *_LISTS,
    *_HOURS,
)


@pytest.fixture
def german(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A request in German; addresses ask the settings whether they may be private."""
    for name, value in {"DATABASE_URL": "postgresql://h/db", "REDIS_HOST": "h", "CREDENTIALS_KEY": "k" * 43 + "="}.items():
        monkeypatch.setenv(name, value)
    config.reset()
    app = Flask(__name__)
    language.install(app)
    with app.test_request_context(headers={"Accept-Language": "de"}):
        yield
    config.reset()


def desk_schemas(root: Path) -> set[type[Schema]]:
    """What pages check forms with."""
    found = set()
    for path in (root / "web/desk").rglob("*.py"):
        module = importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "check" and node.args:
                found.add(eval(ast.unparse(node.args[0]), vars(module)))
    return found


def said(schema: type[Schema]) -> Iterator[str]:
    """All that it says of values in its fields, one after the other."""
    for name in [*schema().fields, "unheard_of"]:
        for value in ANYTHING:
            try:
                check(schema, "form", {name: value})
            except InvalidPayload as problem:
                yield from problem.errors.values()


def written(path: Path) -> Iterator[str]:
    """Texts of errors in a module, where something stands for each value."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"ValidationError", "UrlRefused"} and node.args:
            yield from _texts(node.args[0])
        elif isinstance(node, ast.keyword) and node.arg == "error":
            yield from _texts(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "InvalidPayload" and isinstance(node.args[1], ast.Dict):
            for value in node.args[1].values:
                yield from _texts(value)


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "7" for part in node.values)


def test_whatever_a_form_of_the_desk_gets_wrong_is_told_in_german(root: Path, german: None) -> None:
    schemas = desk_schemas(root)
    assert len(schemas) > 10
    texts = {text for schema in schemas for text in said(schema)}
    assert len(texts) > 100
    assert not sorted(text for text in texts if translated(text) == text)
    assert not sorted(translated(text) for text in texts if re.search(r"\b(must|valid|got|number|field)\b", translated(text)))


def test_texts_that_no_value_here_brings_about_have_german_too(root: Path, german: None) -> None:
    paths = [
        path for place in SAYERS for path in ([root / place] if place.endswith(".py") else sorted((root / place).glob("*.py")))
    ]
    texts = {text for path in paths for text in written(path)}
    assert len(texts) > 40
    assert not sorted(text for text in texts if translated(text) == text)


def test_what_an_operators_address_gets_wrong_is_told_in_german(german: None) -> None:
    texts = set()
    for name, field in Criteria().fields.items():
        for value in ["x", "-1", "x" * 200, "\0", ["x"], ["0"], ["7"] * 2000]:
            try:
                Criteria().load({field.data_key or name: value})
            except ValidationError as problem:
                texts |= {str(text) for text in _leaves(problem.messages_dict)}
    assert len(texts) > 8
    assert not sorted(text for text in texts if translated(text) == text)


def _leaves(messages: Any) -> Iterator[Any]:
    for inner in messages.values() if isinstance(messages, dict) else messages:
        if isinstance(inner, dict | list):
            yield from _leaves(inner)
        else:
            yield inner


@pytest.mark.parametrize(
    ("text", "german_text"),
    [
        ("must not be empty (got '')", "darf nicht leer sein"),
        (
            "number 2, model: must have at most 20,000 characters (got a text of 30000 characters)",
            "Nummer 2, model: darf höchstens 20.000 Zeichen haben (angegeben: 30.000 Zeichen)",
        ),
        ("must be a number from 0 to 1e+06 (got '(got 7)')", "muss eine Zahl von 0 bis 1.000.000 sein (angegeben: '(got 7)')"),
        ("must be given (got nothing)", "fehlt"),
        ("must be one of a, b (got a text)", "muss eins davon sein: a, b"),
        ("must be a time, such as 09:00 (got a text of 13 characters)", "muss eine Uhrzeit sein, etwa 09:00"),
        ("must name at most 50 sites (got a list of 200)", "darf höchstens 50 Websites nennen (angegeben: 200)"),
        ("something else", "something else"),
    ],
)
def test_values_and_places_stay_what_they_are(german: None, text: str, german_text: str) -> None:
    assert translated(text) == german_text


def test_english_stays_english() -> None:
    app = Flask(__name__)
    language.install(app)
    with app.test_request_context():
        text = "number 2: must be a whole number from 1 to 604,800 (got 'x')"
        assert translated(text) == text.replace("(got", "(given:")
