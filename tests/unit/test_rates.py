"""What a rate limit's setting may say."""

from __future__ import annotations

import pytest
from environs import ValidationError

from shared.config import ConfigError, read_settings
from shared.setting_types import parse_rate
from tests.settings import variables

LIMITS = [name for name in sorted(variables()) if name.startswith("RATE_LIMIT_")]


@pytest.mark.parametrize(("text", "limit", "window"), [("10/1s", 10, 1), ("600/1m", 600, 60), ("5000/2h", 5000, 7200)])
def test_a_rate_is_read(text: str, limit: int, window: int) -> None:
    rate = parse_rate(text)
    assert rate is not None
    assert (rate.limit, rate.window, str(rate)) == (limit, window, text)


def test_nothing_is_no_limit() -> None:
    assert parse_rate("") is None


@pytest.mark.parametrize(
    "text", ["10 per sec", "10", "0/1s", "10/0s", "-1/1s", "1.5/1s", "10/s", "10/1d", " 10/1s", "999999/1s", "١/1s"]
)
@pytest.mark.parametrize("name", [LIMITS[0], "RATE_LIMIT_WHATSAPP_NUMBER"])
def test_a_malformed_rate_stops_the_process_and_says_the_right_form(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValidationError, match="like 10/1s"):
        parse_rate(text)
    for other, value in (
        ("DATABASE_URL", "postgresql://h/db"),
        ("REDIS_URL", "redis://h/0"),
        ("CREDENTIALS_KEY", "k" * 43 + "="),
    ):
        monkeypatch.setenv(other, value)
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError, match=f"^{name}: .*like 10/1s"):
        read_settings()


def test_each_queue_has_its_setting() -> None:
    from shared.queues import Queue

    wanted = {f"RATE_LIMIT_{queue.replace('-', '_').upper()}" for queue in Queue}
    assert set(LIMITS) == wanted | {"RATE_LIMIT_WHATSAPP_NUMBER"}
