"""The 24 hours of WhatsApp: who opens them, and what happens to a text that would leave after them."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from shared import db
from tests.builders import World

HOUR, DAY = 3600.0, 24 * 3600.0
_numbers = itertools.count(1)


def receive(world: World, channel: str = "whatsapp_cloud", user: str = "5511912345678", **more: Any) -> None:
    """A message as a hook accepts it, saved."""
    external_id = f"in-{next(_numbers)}"
    payload = {"chatbot_id": world.chatbot, "channel": channel, "external_user_id": user, "external_id": external_id}
    payload |= {"content": "When do you ship?", "metadata": {}, **more}
    db.rows(
        "select message_accept_v1(%s, %s, %s, %s, %s::jsonb)", [world.chatbot, channel, user, external_id, json.dumps(payload)]
    )
    [job] = world.jobs(queue="incoming-messages", state="waiting")
    assert world.run(job["id"]) is None


def window(world: World) -> float | None:
    """Seconds from now until the only conversation's window ends; None: it has none."""
    [row] = db.rows("select extract(epoch from window_ends_at - now())::float8 as left from conversation")
    return row["left"]  # type: ignore[no-any-return]


#: What a conversation receives, as seconds from now by the provider's clock (None: it says none) with its author, and the seconds
#: for which the window is open then; None: none was ever opened.
RECEIVED = {
    "a message that says no time": ([(None, "customer")], DAY),
    "a message of two hours ago": ([(-2 * HOUR, "customer")], DAY - 2 * HOUR),
    "one of last month": ([(-30 * DAY, "customer")], -29 * DAY),
    "an old one behind a new one": ([(-HOUR, "customer"), (-20 * HOUR, "customer")], DAY - HOUR),
    "a new one behind an old one": ([(-20 * HOUR, "customer"), (-HOUR, "customer")], DAY - HOUR),
    "a clock that is ahead": ([(40 * HOUR, "customer")], DAY),
    "a colleague on the phone": ([(-HOUR, "colleague")], None),
    "a colleague behind the customer": ([(-5 * HOUR, "customer"), (-HOUR, "colleague")], DAY - 5 * HOUR),
}


@pytest.mark.parametrize("case", RECEIVED)
def test_the_window_is_open_for_a_day_after_the_customer_wrote(world: World, case: str) -> None:
    received, expected = RECEIVED[case]
    for seconds, author in received:
        said = {} if seconds is None else {"sent_at": time.time() + seconds}
        receive(world, **said, **({} if author == "customer" else {"author": author}))
    left = window(world)
    assert left is None if expected is None else left == pytest.approx(expected, abs=60)


@pytest.mark.parametrize("channel", ["whatsapp_qr", "widget"])
def test_other_channels_have_no_window(world: World, channel: str) -> None:
    receive(world, channel, sent_at=time.time())
    assert window(world) is None
