"""Turns of the desk's checks: one whose provider hangs keeps none from others."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from web.turns import NoTurn, Turns


def shares(customer: int, channel: str) -> dict[object, int]:
    return {customer: 1, channel: 2}


def test_one_business_has_one_turn_and_others_have_theirs() -> None:
    turns = Turns(3)
    with turns.turn(shares(1, "qr"), 0.0):
        with pytest.raises(NoTurn), turns.turn(shares(1, "telegram"), 0.0):
            pass
        with turns.turn(shares(2, "qr"), 0.0):
            pass


def test_a_gateway_that_hangs_leaves_a_turn_for_other_channels() -> None:
    turns = Turns(3)
    with ExitStack() as stack:
        for customer in (1, 2):
            stack.enter_context(turns.turn(shares(customer, "qr"), 0.0))
        with pytest.raises(NoTurn), turns.turn(shares(3, "qr"), 0.0):
            pass
        stack.enter_context(turns.turn(shares(3, "telegram"), 0.0))
        with pytest.raises(NoTurn), turns.turn(shares(4, "cloud"), 0.0):
            pass
    for customer in range(9):  # all were given back, also by what was refused
        with turns.turn(shares(customer, "qr"), 0.0):
            pass


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns(1)
    with pytest.raises(ZeroDivisionError), turns.turn(shares(1, "qr"), 0.0):
        raise ZeroDivisionError
    with turns.turn(shares(1, "qr"), 0.0):
        pass
