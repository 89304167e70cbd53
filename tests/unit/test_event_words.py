"""The table of events in workers/README.md names what an event has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.webhooks import schemas
from shared.webhooks.events import EVENTS

#: What the text above the table says of many events at once.
OF_MANY = {"sequence", "chatbot_id", "channel", "is_test"}
#: What the table describes in other words than by naming it.
AS_ANOTHER = {"conversation.closed": "conversation.assigned"}


def named(root: Path) -> dict[str, set[str]]:
    text = (root / "workers/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z]+\.[a-z_]+`.*?) \| (.*) \|$", text.partition("| event | `data`, besides |")[2], re.M)
    return {event: set(re.findall(r"`(\w+)`", about)) for events, about in rows for event in re.findall(r"`([\w.]+)`", events)}


@pytest.mark.parametrize("event", EVENTS)
def test_each_member_of_an_event_is_named(root: Path, event: str) -> None:
    members = set(schemas.schema(event)["properties"]["data"]["properties"])
    assert members - OF_MANY - named(root)[AS_ANOTHER.get(event, event)] == set()
