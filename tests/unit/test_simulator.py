"""What the simulator says to a wrong fault rule, a wrong address and a port that is taken."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from scripts.local.simulator.client import ROOT, Simulator
from scripts.local.simulator.services import SERVICES
from tests.waiting import until

AI = {"kind": "ai", "fault": "status"}
HOOK = b"POST /customer/hook HTTP/1.1\r\nHost: simulator\r\nContent-Length: 0\r\n\r\n"


def connected(simulator: Simulator) -> socket.socket:
    host, port = simulator.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


@pytest.fixture(autouse=True)
def no_rules_are_left(simulator: Simulator) -> Iterator[None]:
    """The simulator serves the other tests too."""
    yield
    simulator.reset()


KINDS = ", ".join(SERVICES)


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        ({**AI}, "The body must be a JSON list of rules, like "),
        (7, "The body must be a JSON list of rules, like "),
        (["status"], "Rule 1 must be a JSON object, like "),
        ([AI, {"kind": "ai"}], "Rule 2: fault must be one of bad_key, big, "),
        ([{"kind": "ai", "fault": ["status"]}], "Rule 1: fault must be one of bad_key, big, "),
        (
            [{"kind": "meta", "fault": "half"}],
            f"Rule 1: kind must be one of {KINDS}, got 'meta'.",
        ),
        (
            [{"fault": "half"}],
            f"Rule 1: kind must be one of {KINDS}, and is",
        ),
        (
            [{**AI, "staus": 503}],
            "Rule 1: the fault status has no field staus; its fields are kind, fault, match, rate, times, status, body, headers.",
        ),
        ([{"kind": "ai", "fault": "half", "ms": 5}], "Rule 1: the fault half has no field ms; "),
        ([{**AI, "rate": "high"}], "Rule 1: rate must be a number from 0 to 1, got 'high'."),
        ([{**AI, "rate": 2}], "Rule 1: rate must be a number from 0 to 1, got 2."),
        ([{**AI, "times": -1}], "Rule 1: times must be how many requests it applies to at most, a whole number, got -1."),
        ([{**AI, "times": True}], "Rule 1: times must be how many requests it applies to at most, a whole number, got True."),
        ([{**AI, "match": None}], "Rule 1: match must be a text, got None."),
        ([{**AI, "status": 99}], "Rule 1: status must be an HTTP status from 200 to 599, a whole number, got 99."),
        ([{**AI, "headers": {"A": 1}}], "Rule 1: headers must be an object of texts, got {'A': 1}."),
        ([{"kind": "ai", "fault": "latency"}], "Rule 1: ms must be milliseconds from 0, a whole number, and is missing."),
        ([{"kind": "ai", "fault": "timeout", "ms": "x"}], "Rule 1: ms must be milliseconds from 0, a whole number, got 'x'."),
        ([{"kind": "ai", "fault": "drip", "part": "tail"}], "Rule 1: part must be head or body, got 'tail'."),
        ([{"kind": "graph", "fault": "statuses"}], "Rule 1: url must be an http(s) address, and is missing."),
        (
            [{"kind": "ai", "fault": "statuses", "url": "http://127.0.0.1:1/"}],
            "Rule 1: kind must be one of graph, waha, evolution, got 'ai'.",
        ),
        (
            [{"kind": "graph", "fault": "statuses", "url": "http://127.0.0.1:1/{sender}", "statuses": [["sent"]]}],
            "Rule 1: statuses must be a list of sent, delivered, read, failed, got [['sent']].",
        ),
    ],
)
def test_a_wrong_rule_is_refused_in_a_sentence(simulator: Simulator, rules: Any, error: str) -> None:
    simulator.faults([AI])
    answer = requests.post(f"{simulator.url}/__faults", json=rules, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
    assert requests.get(f"{simulator.url}/__faults", timeout=60).json() == [AI]


@pytest.mark.parametrize("body", [b"x", b"", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_json_is_refused_in_a_sentence(simulator: Simulator, body: bytes) -> None:
    answer = requests.post(f"{simulator.url}/__faults", data=body, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith('The body must be a JSON list of rules, like [{"kind": "ai"')


def test_rules_are_shown_replaced_and_removed(simulator: Simulator) -> None:
    rules = [
        {"kind": "graph", "fault": "statuses", "url": "http://localhost:8000/webhooks/whatsapp/qr/{sender}", "delay_ms": 5},
        {"kind": "ai", "fault": "latency", "ms": 1, "rate": 0.5, "times": 3, "match": "tea"},
    ]
    address = f"{simulator.url}/__faults"
    simulator.faults([AI])
    assert requests.post(address, json=rules, timeout=60).status_code == 200
    assert requests.get(address, timeout=60).json() == rules
    assert requests.delete(address, timeout=60).status_code == 200
    assert requests.get(address, timeout=60).json() == []


def test_a_request_is_held_until_the_rules_are_replaced(simulator: Simulator) -> None:
    simulator.faults([{"kind": "webhook", "fault": "hold", "times": 1}])
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(requests.post, f"{simulator.url}/customer/hook", timeout=60)
        until(simulator.faults_are_drawn)
        assert simulator.record("webhook") == [], "it has not had its effect"
        simulator.clear_faults()
        assert asked.result(60).ok
    [held] = simulator.record("webhook")
    assert held["faults"] == ["hold"]


def test_a_held_request_whose_client_has_gone_has_no_effect(simulator: Simulator) -> None:
    hold = {"kind": "webhook", "fault": "hold", "times": 1}
    simulator.faults([hold])
    with connected(simulator) as connection:
        connection.sendall(HOOK)
        until(simulator.faults_are_drawn)
    simulator.faults([hold])  # the first one may go on
    with connected(simulator) as connection:
        connection.sendall(HOOK)
        until(simulator.faults_are_drawn)
        simulator.clear_faults()
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    assert len(simulator.record("webhook")) == 1


@pytest.mark.parametrize(
    ("address", "body", "error"),
    [
        ("__record?count=many", None, "count must be a whole number, got 'many'."),
        ("__record?first=-1", None, "first must be a whole number, got '-1'."),
        ("__site", b"{", "The body must be a JSON object, like "),
        ("__site", b"[" * 100_000, "The body must be a JSON object, like "),
        ("__site", b'{"pages": "many"}', "The body must be a JSON object, like "),
        ("__site", b'{"page": 3}', "The body must be a JSON object, like "),
    ],
)
def test_what_is_wrong_at_its_own_addresses_is_refused_in_a_sentence(
    simulator: Simulator, address: str, body: bytes | None, error: str
) -> None:
    simulator.site(pages=3)
    answer = requests.request("POST" if body else "GET", f"{simulator.url}/{address}", data=body, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
    assert requests.get(f"{simulator.url}/site/page-4", timeout=60).status_code == 404, "nothing was changed"
    assert requests.get(f"{simulator.url}/site/page-3", timeout=60).ok


def test_an_unknown_address_is_answered_with_the_valid_ones(simulator: Simulator) -> None:
    answer = requests.post(f"{simulator.url}/webhook/shop", timeout=60)
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("The simulator has no address /webhook/shop. It has /v1/chat/completions (AI), ")
    assert "/customer/<anything>" in answer.json()["error"]


def test_a_port_that_is_taken_is_named_in_a_sentence(simulator: Simulator) -> None:
    port = simulator.url.rsplit(":", 1)[1]
    words = [sys.executable, "-m", "scripts.local.simulator", "--port", port]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.startswith(f"simulator: port {port} cannot be used: ")
    assert done.stderr.endswith("Choose another one with --port; --port 0 takes a free one.\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("part", "first"), [("head", b"H"), ("body", b"HTTP/1.1 200 OK\r\n")])
def test_an_answer_drips_from_its_first_byte_or_after_its_head(simulator: Simulator, part: str, first: bytes) -> None:
    simulator.faults([{"kind": "webhook", "fault": "drip", "ms": 2_000, "part": part}])
    with connected(simulator) as connection:
        connection.sendall(HOOK)
        received = connection.recv(4096)
    assert received == first if part == "head" else received.startswith(first)
