"""What the unit tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.tls import self_signed
from web.desk import language


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and a certificate for shop.example, signed by itself, in one file."""
    return self_signed(tmp_path, "shop.example")


@pytest.fixture
def german() -> Iterator[None]:
    """A request of a German browser."""
    app = Flask("desk")
    language.install(app)
    with app.test_request_context(headers={"Accept-Language": "de"}):
        yield
