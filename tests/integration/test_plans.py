"""No query that runs for a message, and none of the housekeeping, scans a table: counted by PostgreSQL itself."""

from __future__ import annotations

import pytest

from scripts.local.volume import fill
from shared import db
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.whatsapp_qr import acks, lids
from shared.jobs.sweep import release_orphans, sweep
from tests.builders import World, prune
from web.api import usage

GROWING = ("conversation", "message", "job", "webhook_event", "usage_log")
#: psycopg2's statements are planned each time, those within functions at most five times and then for good.
MESSAGES = 8
CHANNELS = ("widget", "whatsapp_cloud", "whatsapp_qr")
#: Messages that wait, many beside the few entries that one may read.
BACKLOG = 150
#: Indexes by which the tests here look for jobs themselves.
LOOKED_FOR = ("job_pkey", "job_open_idx")

_COUNTS = "select relname, seq_scan, idx_scan from pg_stat_user_tables where relname = any (%s)"


def _counts(column: str) -> dict[str, int]:
    db.reset()  # a session that ends hands in its counts
    return {row["relname"]: row[column] for row in db.rows(_COUNTS, [list(GROWING)])}


def test_no_query_of_the_pipeline_scans_a_table(world: World) -> None:
    world.endpoint(world.customer)
    fill(world.chatbot, world.customer, messages=20_000, jobs=60_000)
    scans, looks = _counts("seq_scan"), _counts("idx_scan")
    for number in range(MESSAGES):
        for channel in ("widget", "whatsapp_cloud", "whatsapp_qr"):
            world.say(channel=channel, user=f"49{number % 2}", external_id=f"{channel}-{number}")
        _drain_without_looking(world)
        apply_delivery_status("READ", provider_id=f"wamid.unknown-{number}")
    sweep()
    release_orphans()
    acks.watch()
    lids.look_up()
    assert prune()["completed"] > 0
    assert all(_counts("idx_scan")[table] > looks[table] for table in ("job", "message", "webhook_event"))
    assert _counts("seq_scan") == scans
    assert len(world.messages(status="SENT", role="assistant", conversation_id=_newest())) > 0


def test_no_plan_that_was_made_on_empty_tables_reads_them_whole(world: World) -> None:
    world.endpoint(world.customer)
    world.say(channel="whatsapp_cloud", user="49", external_id="first")
    _drain_without_looking(world)
    scans = _counts("seq_scan")
    for number in range(MESSAGES):
        world.say(channel="whatsapp_cloud", user=f"49{number % 2}", external_id=f"later-{number}")
        _drain_without_looking(world)
        apply_delivery_status("READ", provider_id=f"wamid.unknown-{number}")
    assert _counts("seq_scan") == scans


@pytest.mark.parametrize("while_empty", ["", "analyze", "vacuum analyze"], ids=lambda done: f"{done or 'nothing'} while empty")
def test_a_message_reads_few_index_entries_though_its_plans_were_made_on_empty_tables(world: World, while_empty: str) -> None:
    with db.connection() as database:
        for table in GROWING:  # of a hundred rows the foreign keys' own checks may read all, until the next analyze
            database.execute_sql(f"alter table {table} set (autovacuum_enabled = false)")
        if while_empty:
            database.execute_sql(while_empty)
    db.reset()
    world.endpoint(world.customer)
    for channel in CHANNELS:
        world.say(channel=channel, user="49", external_id=f"first-{channel}")
    _drain_without_looking(world)
    for number in range(BACKLOG):
        world.say(channel=CHANNELS[number % 3], user=f"49{number}", external_id=f"later-{number}")
    before = _entries_read()
    _drain_without_looking(world)
    per_message = {index: (read - before[index]) / BACKLOG for index, read in _entries_read().items()}
    assert not {index: read for index, read in per_message.items() if read > 30 and index not in LOOKED_FOR}
    assert per_message["message_pkey"] > 1, "something was counted"


def _entries_read() -> dict[str, int]:
    db.rows("select pg_stat_force_next_flush()")
    rows = db.rows("select indexrelname, idx_tup_read from pg_stat_user_indexes")
    return {row["indexrelname"]: row["idx_tup_read"] for row in rows}


def test_a_status_is_found_by_its_index_though_the_plan_was_made_on_an_empty_table(world: World) -> None:
    world.say(channel="whatsapp_cloud", user="49", external_id="first")
    _drain_without_looking(world)
    [reply] = world.messages(role="assistant")
    assert apply_delivery_status("SENT", provider_id=reply["external_id"]) == "stale"
    db.rows(
        "insert into message (conversation_id, chatbot_id, channel, role, content, status, external_id)"
        " select conversation_id, chatbot_id, channel, role, content, 'SENT', 'wamid.more-' || n"
        " from message, generate_series(1, 5000) n where id = %s",
        [reply["id"]],
    )
    read = _index_rows()
    assert apply_delivery_status("DELIVERED", provider_id="wamid.more-77") == "applied"
    assert apply_delivery_status("READ", message_id=reply["id"]) == "applied"
    assert _index_rows() - read < 100


def _index_rows() -> int:
    """Entries of the indexes of `message` that were read until now."""
    db.rows("select pg_stat_force_next_flush()")
    return int(db.scalar("select sum(idx_tup_read) from pg_stat_user_indexes where relname = 'message'"))


def _newest() -> int:
    return int(db.scalar("select max(id) from conversation"))


def _drain_without_looking(world: World) -> None:
    while True:
        ready = db.rows(
            "select id from job where queue <> '' and id > 0 and closed_at is null and not held order by queue, id limit 50"
        )
        if not ready:
            return
        for row in ready:
            world.run(row["id"])


def test_how_a_business_stands_is_counted_without_looking_at_everybodys_jobs(world: World) -> None:
    fill(world.chatbot, world.customer, messages=1_000, jobs=60_000)
    other, _ = world.tenant()
    db.rows("update job set customer_id = %s where id %% 50 = 0", [other])
    db.rows("vacuum analyze job")
    sql, values = usage.job_counts(other).sql()
    plan = "\n".join(row["QUERY PLAN"] for row in db.rows(f"explain {sql}", values))
    assert "Seq Scan" not in plan, plan
    assert "job_customer_idx" in plan, plan  # by index or by bitmap
