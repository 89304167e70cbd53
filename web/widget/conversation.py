"""What a visitor may read: its own conversation, whole or what changed since. One statement each, so one snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared import db
from web.widget.visitor import Visitor

#: Changes that are read at once; a page that is further behind gets the rest in the next read.
BATCH = 200
#: Messages of a page of history, at most.
MAX_PAGE = 100

_FIELDS = """jsonb_build_object('id', id, 'role', role, 'content', content, 'status', status, 'reply_to', reply_to,
    'created_at', created_at)"""

_MINE = "chatbot_id = %(chatbot_id)s and channel = 'widget' and external_user_id = %(visitor)s"

# What was accepted and not yet saved is in the ledger. Two halves, for each has its partial index.
_HISTORY = f"""
    with talk as (
        select id, revision from conversation where {_MINE}
    ), saved as (
        select m.id, {_FIELDS} as message from message m
        where m.conversation_id = (select id from talk) and m.status <> 'PENDING'
          and (%(before)s::bigint is null or m.id < %(before)s)
        order by m.id desc limit %(limit)s + 1
    ), accepted as (
        select message_id as id, 'user' as role, payload ->> 'content' as content, 'ACCEPTED' as status, null::bigint as reply_to,
            created_at
        from (select * from job where queue = 'incoming-messages' and ordering_key = %(line)s and closed_at is null and not held
              union all
              select * from job where queue = 'incoming-messages' and ordering_key = %(line)s and closed_at is null and held) j
        where %(before)s::bigint is null
    )
    select coalesce((select revision from talk), 0) as cursor,
        (select coalesce(jsonb_agg(message order by id), '[]') from saved) as saved,
        (select coalesce(jsonb_agg({_FIELDS} order by id), '[]') from accepted) as accepted
"""

# A conversation's messages are few enough to be looked through; an index on revision would make every status a new entry.
_NEWS = f"""
    with talk as (
        select id, revision from conversation where {_MINE} and revision > %(after)s
    ), changed as (
        select m.revision, {_FIELDS} as message from message m
        where m.conversation_id = (select id from talk) and m.revision > %(after)s and m.status <> 'PENDING'
        order by m.revision limit %(batch)s
    )
    select revision as newest,
        (select coalesce(jsonb_agg(jsonb_build_array(revision, message) order by revision), '[]') from changed) as changed
    from talk
"""


# A message is in the ledger until it is saved. The other of the two may be gone already, or not there yet.
_CONTENT = """
    select content from message where id = %(id)s
    union all
    select payload ->> 'content' from job where message_id = %(id)s and queue = 'incoming-messages' limit 1
"""


@dataclass(frozen=True)
class News:
    """Messages that are new or have another status, each with its revision; `cursor` is where the next read begins."""

    cursor: int
    messages: list[tuple[int, dict[str, Any]]]


def history(visitor: Visitor, limit: int, before: int | None) -> dict[str, Any]:
    """The newest messages (before that id), oldest first: {messages, cursor, more}."""
    params = {"chatbot_id": visitor.chatbot_id, "visitor": visitor.id, "line": visitor.line, "limit": limit, "before": before}
    found = db.row(_HISTORY, params) or {}
    saved = found["saved"]
    return {"messages": [*saved[-limit:], *found["accepted"]], "cursor": found["cursor"], "more": len(saved) > limit}


def content_of(message_id: int) -> str | None:
    """What an accepted message says."""
    return db.scalar(_CONTENT, {"id": message_id})  # type: ignore[no-any-return]  # a text


def news(visitor: Visitor, after: int) -> News:
    """What changed after that revision."""
    params = {"chatbot_id": visitor.chatbot_id, "visitor": visitor.id, "after": after, "batch": BATCH}
    found = db.row(_NEWS, params)
    if found is None:
        return News(after, [])
    changed = [(revision, message) for revision, message in found["changed"]]
    return News(changed[-1][0] if len(changed) == BATCH else found["newest"], changed)
