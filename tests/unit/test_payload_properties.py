"""Whatever is sent: it is taken as it is, or refused with an error that names the field."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import payloads
from shared.channels.registry import CHANNELS
from shared.errors import InvalidPayload

ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=30), st.lists(st.integers(), max_size=2)
)
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1)
FIELDS = ["chatbot_id", "channel", "external_user_id", "content", "external_id", "metadata", "unknown"]
GOOD = st.fixed_dictionaries(
    {
        "chatbot_id": st.integers(1, payloads.MAX_ROW_ID),
        "channel": st.sampled_from(list(CHANNELS)),
        "external_user_id": st.text("abc123-", min_size=1, max_size=255),
        "content": TEXTS.filter(lambda text: not payloads.is_blank(text)),
    }
)


@given(GOOD)
def test_what_is_right_is_taken_unchanged(message: dict[str, Any]) -> None:
    taken = payloads.check(payloads.IncomingMessage, "message", message)
    assert taken == {**message, "external_id": None, "metadata": {}}


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text of a fresh clone builds a table of characters
@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
def test_what_is_wrong_is_refused_by_name(message: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload, match="|".join(FIELDS)):  # a channel is never among these
        payloads.check(payloads.IncomingMessage, "message", message)


@given(GOOD, st.sampled_from(["chatbot_id", "channel", "external_user_id", "content"]))
def test_a_missing_field_is_named(message: dict[str, Any], name: str) -> None:
    del message[name]
    with pytest.raises(InvalidPayload, match=name):
        payloads.check(payloads.IncomingMessage, "message", message)
