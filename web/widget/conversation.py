"""What a visitor may read: its own conversation, whole or what changed since. One statement each, so one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peewee import Case, Cast, ModelSelect, Value, fn

from shared import db
from shared.ai.written_html import begun_as_markdown
from shared.channels.formatting import completed, is_plain, to_html
from shared.db import sql
from shared.db.prepared import Statement
from shared.models import Conversation, Job, Media, Message
from shared.queues import Queue
from web.widget.ids import public_id
from web.widget.visitor import Visitor

_read_news = Statement(sql.load(__file__)["read_news"], db.WEB_RETRY_SECONDS)

#: Changes that are read at once; a page that is further behind gets the rest in the next read.
BATCH = 200
#: Messages of a page of history, at most.
MAX_PAGE = 100

#: The status of a message that was accepted and is not yet saved.
ACCEPTED = "ACCEPTED"

_MEMBERS = ("id", "role", "content", "status", "reply_to")


#: By how much a draft with marks grows before it is formatted again; the page shows what came since as it is.
GROWTH = 1.05


@dataclass(frozen=True)
class Draft:
    """A reply while it is written: the public id of its question, and its text so far.

    `html` shows as much of it as `formatted` says; None if the page has that already, or there are no marks.
    """

    reply_to: str
    text: str
    html: str | None = None
    formatted: int = 0


@dataclass(frozen=True)
class Asked:
    """Whose news, behind which revision, and the draft that its page shows."""

    visitor: Visitor
    after: int
    draft: Draft | None = None


@dataclass(frozen=True)
class News:
    """Messages that are new or have another status, each with its revision; `cursor` is where the next read begins."""

    cursor: int
    messages: list[tuple[int, dict[str, Any]]]
    draft: Draft | None = None
    #: The draft that the page has is no more, and no reply takes its place.
    is_draft_gone: bool = False
    #: There are more messages than were read at once.
    is_behind: bool = False


def history(visitor: Visitor, limit: int, before: int | None) -> dict[str, Any]:
    """The newest messages (before that id), oldest first: {messages, cursor, more}."""
    conversation = _conversation_of(visitor)
    columns = (Message.id, Message.role, Message.content, Message.status, Message.reply_to, Message.created_at)
    sources = Message.metadata["sources"].as_json().alias("sources")
    choices = Message.data["choices"].as_json().alias("choices")
    is_shown = (Message.conversation == conversation) & Message.status.not_in(("PENDING", "SUPERSEDED"))
    label = Message.metadata["unsupported"].as_json().alias("label")
    more_columns = (sources, choices, label, _files_of_message().alias("files"), _author_of_message().alias("author"), _silence())
    shown = (Message.revision, *columns, *more_columns)
    saved = Message.select(*shown).where(is_shown).order_by(Message.id.desc()).limit(limit + 1)
    if before is None:
        rows = db.rows(saved + _accepted_messages(visitor) + _cursor_row(conversation))
    else:
        rows = db.rows(saved.where(Message.id < before) + _cursor_row(conversation))
    cursor = next((row["revision"] for row in rows if row["id"] is None), 0)
    messages = sorted((row for row in rows if row["id"]), key=lambda row: (row["status"] == ACCEPTED, row["id"]))
    more = sum(message["status"] != ACCEPTED for message in messages) > limit
    return {"messages": [_to_json(message) for message in messages[more:]], "cursor": cursor, "more": more}


def news(visitor: Visitor, after: int) -> News:
    """What changed after that revision."""
    [latest] = news_of_many([Asked(visitor, after)])
    return latest


def news_of_many(asked: Sequence[Asked]) -> list[News]:
    """The news of many visitors, each after a revision, by one statement."""
    items = [
        {
            "chatbot_id": one.visitor.chatbot_id,
            "visitor_id": one.visitor.id,
            "after": one.after,
            "has_draft": one.draft is not None,
            "batch": BATCH,
        }
        for one in asked
    ]
    return [_news_in(row, one) for row, one in zip(_read_news.rows_by_item(items), asked, strict=True)]


def _news_in(row: dict[str, Any] | None, asked: Asked) -> News:
    if row is None:
        return News(asked.after, [])
    changes = [(revision, _to_json(message)) for revision, message in row["changes"]]
    is_behind = len(changes) == BATCH
    newest = changes[-1][0] if is_behind else max(asked.after, row["newest"])
    draft = None if row["draft"] is None else _draft(public_id(row["draft_of"]), row["draft"], asked.draft)
    return News(newest, changes, draft, row["is_draft_gone"], is_behind)


def _draft(reply_to: str, text: str, shown: Draft | None) -> Draft:
    formatted = shown.formatted if shown and shown.reply_to == reply_to and text.startswith(shown.text) else 0
    if is_plain(text) or (formatted and len(text) < formatted * GROWTH):
        return Draft(reply_to, text, None, formatted)
    return Draft(reply_to, text, to_html(completed(begun_as_markdown(text))), len(text))


def said_in(message_id: int) -> tuple[str, list[str]] | None:
    """What an accepted message says, and the hashes of its files; None: it was pruned this moment."""
    # A message is in the ledger until it is saved. The other of the two may be gone already, or not there yet.
    typed = fn.COALESCE(Message.data["choice"]["typed"], Message.content)  # a number that named a choice
    hashes = Media.select(fn.jsonb_agg(Media.sha256).order_by(Media.position)).where(Media.message == Message.id)
    saved = Message.select(typed.alias("content"), hashes.alias("files")).where(Message.id == message_id)
    accepted = Job.select(Job.payload["content"], fn.jsonb_path_query_array(Job.payload, "$.media[*].sha256"))
    row = db.row((saved + accepted.where(Job.message_id == message_id, Job.queue == Queue.INCOMING)).limit(1))
    return None if row is None else (row["content"], row["files"] or [])


def _conversation_of(visitor: Visitor) -> ModelSelect[Conversation]:
    return Conversation.select(Conversation.id).where(
        Conversation.chatbot == visitor.chatbot_id,
        Conversation.channel == "widget",
        Conversation.external_user_id == visitor.id,
    )


def _accepted_messages(visitor: Visitor) -> Any:
    """What was accepted and not yet saved is in the ledger. Two halves, for each has its partial index."""
    no_id, no_json = Cast(None, "bigint"), Cast(None, "jsonb")
    message = (Job.message_id, Value("user"), Job.payload["content"], Value(ACCEPTED), no_id, Job.created_at)
    columns = (no_id, *message, *[no_json] * 5, Cast(None, "boolean"))
    accepted = Job.select(*columns).where(
        Job.queue == Queue.INCOMING, Job.ordering_key == visitor.ordering_key, Job.closed_at.is_null()
    )
    return accepted.where(~Job.held) + accepted.where(Job.held)


def _files_of_message() -> Any:
    about = {
        "id": Media.id,
        "kind": Media.kind,
        "name": Media.filename,
        "size": Media.size,
        "mime": Media.mime,
        "state": Media.state,
    }
    pairs = [part for name, column in about.items() for part in (Value(name), column)]
    files = Media.select(fn.jsonb_agg(fn.jsonb_build_object(*pairs))).where(Media.message == Message.id)
    return Case(None, [(Message.kind == "media", files)])


def _author_of_message() -> Any:
    """Who wrote it, if the bot did not: {name}, null where only the business is known. No more of them leaves the house."""
    name = fn.jsonb_build_object(Value("name"), Message.metadata["author"])
    return Case(None, [(Message.metadata["source"].is_null(False), name)])


def _silence() -> Any:
    """Whether the bot answers nothing in its conversation: a person has it, it is closed, or braked (shared/ai/brakes.py)."""
    is_silent = (Conversation.owner != "bot") | fn.COALESCE(Conversation.braked_until > fn.now(), False)
    return Conversation.select(is_silent).where(Conversation.id == Message.conversation).alias("is_bot_silent")


def _cursor_row(conversation: ModelSelect[Conversation]) -> ModelSelect[Conversation]:
    """The conversation's own revision, as a row without a message."""
    return conversation.select(Conversation.revision, *[Value(None)] * 12)


def _to_json(row: dict[str, Any]) -> dict[str, Any]:
    ids = {name: row[name] and public_id(row[name]) for name in ("id", "reply_to")}
    at = row["created_at"]
    message = {name: row[name] for name in _MEMBERS} | ids | {"created_at": at if isinstance(at, str) else at.isoformat()}
    if files := row.get("files"):
        # A label such as [image] stands for what the page shows itself.
        message |= {"content": "" if row["label"] else row["content"], "files": _files(files)}
    if row["role"] == "user":
        message |= {"bot_is_silent": True} if row["is_bot_silent"] else {}
    else:
        message |= {"author": author} if (author := row["author"]) else {}
        message |= {} if is_plain(message["content"]) else {"html": to_html(message["content"])}
        message |= {"choices": offered} if (offered := row["choices"]) else {}
        message |= {"sources": links} if (links := _links(row["sources"])) else {}
    return message


def _files(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "id": public_id(row["id"])} for row in sorted(rows, key=lambda row: int(row["id"]))]


def _links(sources: Any) -> list[dict[str, str]]:
    """The sources that a page may link to: what is no http address could be a script."""
    stored = sources if isinstance(sources, list) else []
    return [{"title": one["title"], "url": one["url"]} for one in stored if one["url"].startswith(("https://", "http://"))]
