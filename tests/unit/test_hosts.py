"""Which addresses libpq gets for the hosts of DATABASE_URL, and the words for those that have none."""

from __future__ import annotations

import socket
from typing import Any

import psycopg2
import pytest

from shared.db.hosts import with_addresses
from shared.db.outage import word_for
from shared.dns import services

ADDRESSES = {"a.example": ["10.0.0.1", "fd00::1"], "b.example": ["10.0.0.2"]}


@pytest.fixture(autouse=True)
def dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Knows ADDRESSES, and is out of order for *.silent."""

    def ask(name: str, *_: Any, **__: Any) -> Any:
        if name.endswith(".silent"):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if name not in ADDRESSES:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(None, None, 0, "", (address, 0)) for address in ADDRESSES[name]]

    services.forget()
    monkeypatch.setattr(socket, "getaddrinfo", ask)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"host": "a.example"}, ("a.example,a.example", "10.0.0.1,fd00::1", None)),
        ({"host": "a.example", "port": "1"}, ("a.example,a.example", "10.0.0.1,fd00::1", "1,1")),
        ({"host": "b.example,a.example", "port": "1,2"}, ("b.example,a.example,a.example", "10.0.0.2,10.0.0.1,fd00::1", "1,2,2")),
        ({"host": "none.example,x.silent,b.example", "port": "1,2,"}, ("b.example", "10.0.0.2", "")),
        ({"host": "10.0.0.9,b.example", "hostaddr": ""}, ("10.0.0.9,b.example", "10.0.0.9,10.0.0.2", None)),
        ({"host": "/run/postgresql,b.example", "port": "1"}, ("/run/postgresql,b.example", ",10.0.0.2", "1,1")),
    ],
)
def test_each_address_of_each_host_is_tried(given: dict[str, str], expected: tuple[str, str, str | None]) -> None:
    parameters = with_addresses({"sslmode": "verify-full", **given}, 5)
    assert (parameters["host"], parameters["hostaddr"], parameters.get("port")) == expected
    assert parameters["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"host": "/run/postgresql"},
        {"host": "a.example", "hostaddr": "10.0.0.7"},
        {"host": "a.example", "port": "1,2"},  # libpq says what is wrong with that
    ],
)
def test_what_names_no_host_is_left_to_libpq(given: dict[str, str]) -> None:
    assert with_addresses(given, 5) == given


@pytest.mark.parametrize(
    ("variables", "given", "expected"),
    [
        ({"PGHOST": "a.example"}, {}, ("a.example,a.example", "10.0.0.1,fd00::1", None)),
        (
            {"PGHOST": "b.example,a.example", "PGPORT": "1,2"},
            {},
            ("b.example,a.example,a.example", "10.0.0.2,10.0.0.1,fd00::1", "1,2,2"),
        ),
        ({"PGHOST": "a.example", "PGPORT": "1"}, {"host": "b.example"}, ("b.example", "10.0.0.2", "1")),
        ({"PGPORT": "1"}, {"host": "b.example", "port": "2"}, ("b.example", "10.0.0.2", "2")),
        ({"PGHOST": "a.example", "PGHOSTADDR": "10.0.0.7"}, {}, (None, None, None)),  # libpq has nothing to look up
        ({"PGHOST": "a.example", "PGSERVICE": "shop"}, {}, (None, None, None)),  # the service says another one, perhaps
        ({"PGPORT": "1"}, {"host": "b.example", "service": "shop"}, ("b.example", "10.0.0.2", None)),
    ],
)
def test_what_libpq_takes_from_its_variables_has_addresses_too(
    variables: dict[str, str],
    given: dict[str, str],
    expected: tuple[str | None, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    parameters = with_addresses(given, 5)
    assert tuple(parameters.get(name) for name in ("host", "hostaddr", "port")) == expected


@pytest.mark.parametrize(
    ("host", "word"),
    [
        ("x.silent", "DNS did not answer"),
        ("none.example", "DNS knows no address for it"),
        ("x" * 99, "DNS knows no address for it"),
    ],
)
def test_a_host_without_an_address_has_a_word(host: str, word: str) -> None:
    with pytest.raises(psycopg2.OperationalError) as refused:
        with_addresses({"host": host}, 5)
    assert word_for(refused.value) == word
