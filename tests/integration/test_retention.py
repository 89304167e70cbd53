"""Messages are kept for as long as their business wants, and what hangs on them as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared import config, db
from shared.db import pruning
from shared.media import files
from shared.privacy import retention
from tests.builders import World
from tests.integration.test_contacts import conversations
from tests.integration.test_erasure import OTHER, PHONE, contact_of, write
from tests.integration.test_ledger_races import another_session


@pytest.fixture
def contacts_command(root: Path, environment: dict[str, str]) -> Any:
    """scripts/contacts."""

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "scripts.commands.contacts", *arguments]
        return subprocess.run(command, input=typed, capture_output=True, text=True, cwd=root, timeout=120, check=False)

    return run


def age(days: int, where: str = "true") -> None:
    """Makes all that there is so many days older."""
    for table, columns in {
        "message": ["created_at"],
        "conversation": ["created_at", "updated_at"],
        "contact": ["created_at", "updated_at"],
        "webhook_event": ["created_at"],
        "media": ["created_at"],
    }.items():
        changes = ", ".join(f"{column} = {column} - make_interval(days => {days})" for column in columns)
        db.rows(f"update {table} set {changes} where {where}")


def test_messages_are_deleted_after_their_days(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.endpoint(world.customer)
    write(world, "Long ago", external_id="wamid.1")
    write(world, "Long ago", OTHER, external_id="wamid.2")
    world.drain()
    age(31)
    write(world, "Today", external_id="wamid.3")
    world.drain()
    charged = db.scalar("select count(*) from usage_log")
    assert retention.prune() == {"messages": 0, "conversations": 0, "contacts": 0, "events": 0}, "for ever, by default"

    monkeypatch.setenv("KEEP_MESSAGES_DAYS", "30")
    config.reset()
    before = db.scalar("select count(*) from webhook_event")
    old = db.scalar("select count(*) from webhook_event where created_at < now() - interval '30 days'")
    assert old >= 4
    deleted = retention.prune()
    assert (deleted["conversations"], deleted["contacts"]) == (1, 1)
    assert deleted["events"] == old
    assert db.scalar("select count(*) from webhook_event") == before - old
    assert [message["content"] for message in world.messages(role="user")] == ["Today"]
    assert len(world.messages(role="assistant")) == 1
    [conversation] = conversations()
    assert conversation["contact_id"] == contact_of()
    assert db.scalar("select count(*) from usage_log") == charged
    assert sum(retention.prune().values()) == 0


def test_events_and_contacts_are_gone_through_once_beside_a_backup(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one reads, PostgreSQL keeps in its indexes what was deleted, and whoever begins anew goes through it again."""
    monkeypatch.setattr(retention, "BATCH", 10)
    monkeypatch.setattr(pruning, "BATCH", 10)
    monkeypatch.setenv("KEEP_MESSAGES_DAYS", "30")
    config.reset()
    endpoint = world.endpoint(world.customer)
    many = "from generate_series(1, 300)"
    db.rows(
        f"insert into webhook_event (customer_id, endpoint_id, event, payload) select %s, %s, 'message.sent', '{{}}' {many}",
        [world.customer, endpoint],
    )
    db.rows(f"insert into contact (chatbot_id) select %s {many}", [world.chatbot])
    age(31)
    before = _entries_read()
    with another_session() as backup:
        backup.execute("set transaction isolation level repeatable read; select from customer")
        deleted = retention.prune()
    assert (deleted["events"], deleted["contacts"]) == (300, 300)
    read = {index: entries - before[index] for index, entries in _entries_read().items()}
    assert max(read.values()) < 1_500, "each batch begins where the last one ended"


def _entries_read() -> dict[str, int]:
    """By each index of the tables that are deleted from."""
    db.rows("select pg_stat_force_next_flush()")
    tables = ["webhook_event", "contact"]
    rows = db.rows("select indexrelname, idx_tup_read from pg_stat_user_indexes where relname = any (%s)", [tables])
    return {row["indexrelname"]: row["idx_tup_read"] for row in rows}


def test_a_business_has_its_own_time(world: World, contacts_command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEEP_MESSAGES_DAYS", "30")
    config.reset()
    first, second = world.chatbot, world.tenant()[1]
    third = world.tenant()[1]
    for chatbot in (first, second, third):
        write(world, "[image]", chatbot_id=chatbot, media=[{"kind": "image", "mime": "image/jpeg", "source": {"id": "1"}}])
    world.drain()
    age(60)
    customers = [row["id"] for row in db.rows("select id from customer order by id")]
    kept = contacts_command("keep", "--customer", str(customers[1]), "--messages", "0", "--media", "0")
    assert kept.stdout == f"customer {customers[1]}: messages are kept for ever, files for ever\n", kept.stderr
    kept = contacts_command("keep", "--customer", str(customers[2]), "--messages", "90", "--media", "30")
    assert kept.stdout == f"customer {customers[2]}: messages are kept for 90 days, files for 30 days\n"
    assert "from 7 to 36500" in contacts_command("keep", "--customer", "1", "--messages", "6").stderr
    assert "no customer 99" in contacts_command("keep", "--customer", "99", "--messages", "7").stderr
    retention.prune()
    files.prune()
    assert [message["chatbot_id"] for message in world.messages(role="user")] == [second, third]
    assert [row["state"] for row in db.rows("select state from media order by id")] == ["stored", "deleted"]
    contacts_command("keep", "--customer", str(customers[2]), "--messages", "default")
    retention.prune()
    assert [message["chatbot_id"] for message in world.messages(role="user")] == [second]


def test_the_command_finds_exports_and_erases(world: World, contacts_command: Any) -> None:
    write(world, "Where is my parcel?", external_id="wamid.1")
    world.drain()
    person = str(contact_of())
    assert person in contacts_command("find", PHONE[2:9]).stdout
    assert person in contacts_command("find", f"(0{PHONE[2:5]}) {PHONE[5:]}").stdout
    assert "Where is my parcel?" in contacts_command("export", person).stdout
    assert contacts_command("erase", person, typed="no\n").returncode == 1
    assert contact_of() == int(person)
    assert "is erased: 1 conversation, 2 messages" in contacts_command("erase", person, typed=f"{person}\n").stdout
    for command in (["export", person], ["erase", person, "--yes"], ["find", PHONE]):
        assert contacts_command(*command).returncode == 1
    assert db.rows("select from contact") == []
