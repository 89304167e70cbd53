"""While the AI works its customer sees it, and the answer never waits for that."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.channels import typing_indicator
from shared.channels.typing_indicator import Typing
from shared.db.credentials import encrypt
from shared.telemetry import metrics
from tests.builders import World
from tests.waiting import until


@pytest.fixture(autouse=True)
def _fresh_second() -> Iterator[None]:
    """No earlier test used up what a process may show in a second; none of its calls goes on into the next test."""
    typing_indicator._begun.clear()
    yield
    until(lambda: not typing_indicator._in_hand)


def shown(simulator: Simulator) -> list[tuple[str, str]]:
    """What was done, and to whom."""
    return [(row["text"], row["key"]) for row in simulator.record("typing")]


WAHA_CHAT, EVOLUTION_CHAT = "551190000@c.us", "551190000@s.whatsapp.net"
#: A channel, its gateway, the customer, and what is done in its order.
SHOWN: dict[str, tuple[str, str, str, list[tuple[str, str]]]] = {
    "Meta": ("whatsapp_cloud", "", "551190000", [("read, typing", "wamid.IN")]),
    "WAHA": (
        "whatsapp_qr",
        "waha",
        WAHA_CHAT,
        [("sendSeen", WAHA_CHAT), ("startTyping", WAHA_CHAT), ("stopTyping", WAHA_CHAT), ("offline", "")],
    ),
    "Evolution": (
        "whatsapp_qr",
        "evolution",
        EVOLUTION_CHAT,
        [("markMessageAsRead", EVOLUTION_CHAT), ("composing", EVOLUTION_CHAT)],
    ),
    "Telegram": ("telegram", "", "42", [("typing", "42")]),
}


@pytest.mark.parametrize("case", SHOWN)
def test_the_message_is_read_and_somebody_types(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    answered = Typing.end

    def end(typing: Typing) -> None:
        until(lambda: typing._is_shown)
        answered(typing)

    monkeypatch.setattr(Typing, "end", end)
    ask(world, case)
    expected = SHOWN[case][-1]
    until(lambda: len(shown(simulator)) >= len(expected))
    assert shown(simulator) == expected


@pytest.mark.parametrize("case", ["Meta", "WAHA", "Evolution"])
def test_a_quick_answer_only_has_the_message_read(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    is_answered = threading.Event()
    monkeypatch.setattr(Typing, "_show", lambda typing, target, show=Typing._show: is_answered.wait(60) and show(typing, target))
    ask(world, case)
    is_answered.set()
    until(lambda: shown(simulator))
    until(lambda: not typing_indicator._in_hand)
    [(does, to)] = SHOWN[case][-1][:1]
    assert shown(simulator) == [(does.removesuffix(", typing"), to)]


def test_typing_that_begins_with_the_answer_is_ended(simulator: Simulator, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway takes longer to show it than the answer does."""
    begun, is_answered, call, end = threading.Event(), threading.Event(), Typing._call, Typing.end

    def call_slowly(typing: Typing, what: str, target: Mapping[str, Any]) -> None:
        begun.set()
        assert is_answered.wait(60)
        call(typing, what, target)

    def end_meanwhile(typing: Typing) -> None:
        assert begun.wait(60)
        end(typing)
        is_answered.set()

    monkeypatch.setattr(Typing, "_call", call_slowly)
    monkeypatch.setattr(Typing, "end", end_meanwhile)
    ask(world, "WAHA")
    expected = SHOWN["WAHA"][-1]
    until(lambda: len(shown(simulator)) >= len(expected))
    assert shown(simulator) == expected


def ask(world: World, case: str) -> None:
    """Says something by this channel; returns when it is answered."""
    channel, dialect, user, _ = SHOWN[case]
    if channel == "telegram":
        values = [world.chatbot, encrypt("123:token"), encrypt("s")]
        insert = "insert into telegram_bot (chatbot_id, bot_id, username, token, webhook_secret) values (%s, '123', 'b', %s, %s)"
        db.rows(insert, values)
    if dialect:
        db.rows("update whatsapp_qr_session set dialect = %s, api_key = %s", [dialect, encrypt("k")])
    world.say(channel=channel, user=user, external_id="wamid.IN")
    world.drain()
    assert world.messages(role="assistant")[0]["status"] == "SENT"


def test_a_chatbot_may_do_without(world: World, simulator: Simulator) -> None:
    db.rows("update chatbot set shows_typing = false")
    world.say(channel="whatsapp_cloud", user="551190000", external_id="wamid.IN")
    world.drain()
    world.say(channel="widget", user="v-2")
    world.drain()
    assert world.messages(role="assistant")[0]["status"] == "SENT"
    assert not shown(simulator)


@pytest.mark.parametrize("fault", [{"fault": "status", "status": 500}, {"fault": "timeout", "ms": 60_000}, {"fault": "garbage"}])
def test_a_failure_neither_delays_nor_fails_the_answer(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    monkeypatch.setattr("shared.channels.whatsapp_cloud.typing.TIMEOUT", 3.0)
    simulator.faults([{"kind": "typing", **fault}])
    world.say(channel="whatsapp_cloud", user="551190000", external_id="wamid.IN")
    world.drain()
    assert world.messages(role="assistant")[0]["status"] == "SENT"
    until(lambda: sum(by for name, by in metrics.read().items() if name[0] == "typing") == 1)


def test_a_busy_process_leaves_it_out(world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typing_indicator, "PER_SECOND", 0)
    world.say(channel="whatsapp_cloud", user="551190000", external_id="wamid.IN")
    world.drain()
    until(lambda: metrics.read().get(("typing", "whatsapp_cloud", "left_out")) == 1)
    assert not shown(simulator)


def test_an_account_that_hangs_leaves_room_for_others() -> None:
    calls: list[str] = []
    is_over = threading.Event()

    def hang(target: Mapping[str, Any]) -> None:
        calls.append(target["account"])
        is_over.wait(60)

    for _ in range(10):
        typing_indicator._submit("x", {"account": "slow"}, hang)
    typing_indicator._submit("x", {"account": "other"}, hang)
    try:
        until(lambda: len(calls) >= 5)
        assert sorted(calls) == ["other", *["slow"] * 4]
    finally:
        is_over.set()
