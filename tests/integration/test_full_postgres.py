"""A PostgreSQL that is full is back when a write that needs room succeeds: who reads, or writes where there is room, does not
say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from shared import db
from shared.jobs.worker_process import refresh_pauses
from shared.telemetry.outage import Outage
from tests.integration.front_door import FrontDoor, change, webhook, written
from tests.waiting import until
from web.widget import notifications

AWAY, BACK = "service_unavailable", "service_recovered"


@pytest.fixture
def told(log_of: Callable[[Outage, str], Callable[[], list[str]]]) -> Callable[[], list[str]]:
    """What the log says of PostgreSQL."""
    return log_of(db.outage, "postgres")


@contextmanager
def _refusing(full: bool, state: str) -> Iterator[None]:
    """New messages are refused with this SQLSTATE; and what needs room is, if it is `full`, in whose place a limit stands."""
    [name] = db.row("select current_database() as name").values()  # type: ignore[union-attr]
    db.rows(
        f"create function refuse() returns trigger language plpgsql as "
        f"$$ begin raise exception 'so it is' using errcode = '{state}'; end $$;"
        f"create trigger refuse before insert on job for each row execute function refuse()"
    )
    _limit(f"alter database {name} set temp_file_limit = 0", full)
    try:
        yield
    finally:
        _limit(f"alter database {name} reset temp_file_limit", full)
        db.rows("drop trigger refuse on job; drop function refuse()")


def _limit(statement: str, full: bool) -> None:
    if full:
        db.rows(statement)
        db.reset()


class _Hearer:
    """Hears that it listens, and is closed then."""

    closed = False

    def hear(self, topic: str) -> None:
        pass

    def miss(self) -> None:
        self.closed = True


@pytest.mark.parametrize("state", ["53100", "58030", "53400"])
def test_who_reads_from_a_full_postgres_does_not_say_that_it_is_back(
    door: FrontDoor, told: Callable[[], list[str]], state: str
) -> None:
    hearer = _Hearer()
    with _refusing(True, state):
        assert _post(door, "wamid.1") == 503
        assert told() == [AWAY]
        notifications.listen(hearer)
        until(lambda: hearer.closed)
        for number in range(3):
            refresh_pauses()
            assert _post(door, f"wamid.{number}") == 503
        assert AWAY in told()
        assert BACK not in told()
    refresh_pauses()
    assert told()[-1] == BACK
    assert told().count(BACK) == 1
    assert _post(door, "wamid.1") == 200


def test_a_message_that_is_taken_says_that_writes_are(door: FrontDoor, told: Callable[[], list[str]]) -> None:
    with _refusing(True, "53100"):
        assert _post(door, "wamid.1") == 503
    assert _post(door, "wamid.1") == 200
    assert told() == [AWAY, BACK]


def test_a_message_that_still_found_room_does_not(door: FrontDoor, told: Callable[[], list[str]]) -> None:
    with _refusing(True, "53100"):
        assert _post(door, "wamid.1") == 503
        db.rows("alter table job disable trigger refuse")
        assert _post(door, "wamid.1") == 200
        assert BACK not in told()


def test_readyz_ends_it(door: FrontDoor, told: Callable[[], list[str]]) -> None:
    with _refusing(True, "53100"):
        assert _post(door, "wamid.1") == 503
        assert door.client.get("/readyz").status_code == 503
        assert BACK not in told()
    assert door.client.get("/readyz").status_code == 200
    assert told()[-1] == BACK


def test_what_reads_ends_an_outage_of_another_kind(door: FrontDoor, told: Callable[[], list[str]]) -> None:
    with _refusing(False, "57P03"):
        assert _post(door, "wamid.1") == 503
    refresh_pauses()
    assert told() == [AWAY, BACK]


def _post(door: FrontDoor, external_id: str) -> int:
    return door.meta(webhook(change(door.number, messages=[written(external_id)]))).status_code
