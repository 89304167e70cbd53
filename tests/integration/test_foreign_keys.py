"""A row is deleted without reading other tables whole: what refers to it is found by an index, or there is a reason."""

from __future__ import annotations

import re
from pathlib import Path

from shared import db
from tests.builders import World

#: Foreign keys whose column that says which row is no index's first, so that PostgreSQL, asked to delete that row, looks for it.
NO_CHANNEL_GOES = "rows of `channel` come by a migration, and none is ever deleted"
FEW_PAUSES = "there are a handful of pauses at a time"
NOBODY_IS_DELETED = "people are switched off and businesses are paused; nothing deletes one"
ALLOWED = {
    "channel_health.channel": NO_CHANNEL_GOES,
    "conversation.channel": NO_CHANNEL_GOES,
    "inbound_reject.source": NO_CHANNEL_GOES,
    "parked_change.channel": NO_CHANNEL_GOES,
    "parked_reaction.channel": NO_CHANNEL_GOES,
    "pause.chatbot_id": FEW_PAUSES,
    "pause.customer_id": FEW_PAUSES,
    "chatbot.knowledge_base_id": "a business's few chatbots are found by chatbot_customer_idx",
    "conversation_note.user_id": NOBODY_IS_DELETED,
    "media.customer_id": NOBODY_IS_DELETED,
}

#: Of a key of several columns, the one that refers to the parent's `id`; an index that leaves only nulls out serves as well.
_UNINDEXED = """
    select child.relname || '.' || referring.attname as name
    from pg_constraint key
        join pg_class child on child.oid = key.conrelid
        cross join unnest(key.conkey, key.confkey) as pair(own, theirs)
        join pg_attribute referring on referring.attrelid = key.conrelid and referring.attnum = pair.own
        join pg_attribute referred on referred.attrelid = key.confrelid and referred.attnum = pair.theirs
    where key.contype = 'f' and (cardinality(key.conkey) = 1 or referred.attname = 'id')
        and not exists (
            select from pg_index where indrelid = key.conrelid and indisvalid and indkey[0] = pair.own
                and coalesce(pg_get_expr(indpred, indrelid), '') in ('', format('(%%I IS NOT NULL)', referring.attname)))
"""


def test_what_refers_to_a_row_that_can_go_is_found_by_an_index(world: World) -> None:
    assert {row["name"] for row in db.rows(_UNINDEXED)} == ALLOWED.keys()


def test_each_key_of_several_columns_is_looked_at(world: World) -> None:
    several = "select conname from pg_constraint where contype = 'f' and cardinality(conkey) > 1"
    with_id = several + (
        " and exists (select from pg_attribute where attrelid = confrelid and attnum = any (confkey) and attname = 'id')"
    )
    assert db.rows(several) == db.rows(with_id) != []


def test_nothing_deletes_a_business_or_a_person_of_it(root: Path) -> None:
    """Who adds that has to give what is allowed above an index."""
    deleted = re.compile(r"\b(?:Customer|User)\.delete\b|delete from (?:only )?(?:customer|app_user)\b")
    files = [path for room in ("shared", "web", "workers") for path in (root / room).rglob("*") if path.suffix in (".py", ".sql")]
    assert len(files) > 300
    assert [path for path in (*files, root / "schema.sql") if deleted.search(path.read_text(encoding="utf-8"))] == []
