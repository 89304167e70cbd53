"""The shapes of imports: what is imported, how its source stands, its documents."""

from __future__ import annotations

from marshmallow import fields, validate

from shared.config import settings
from shared.teaching import fields as values
from shared.teaching.languages import LANGUAGES
from web.api.schemas import PageQuerySchema, page_of, stored_id, stored_time
from web.parameters import BodySchema

#: The longest schedule, in hours: a year.
MAX_HOURS = 8_760
_STATES = ("waiting", "stored", "skipped", "failed", "stopped")


class UploadSchema(BodySchema):
    """A file."""

    what = "source"
    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary", "description": "With its name."})
    language = values.choice(*LANGUAGES, metadata={"description": "Of all items; without it each item has that of its text."})


class NewSourceSchema(BodySchema):
    """A page or a site."""

    what = "source"
    url = values.url(
        allow_private=lambda: settings().webhooks_to_private,
        required=True,
        metadata={"description": "Of the page, the site, or its sitemap."},
    )
    sitemap = values.switch(load_default=False, metadata={"description": "true: all pages of the site; false: this page."})
    language = values.choice(
        *LANGUAGES,
        allow_none=True,
        load_default=None,
        metadata={"description": "Of all items; without it each item has that of its text."},
    )
    sync_hours = values.whole(
        1, MAX_HOURS, allow_none=True, load_default=None, metadata={"description": "How often it is read again by itself."}
    )


def _count(about: str) -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": about})


class StoredSourceSchema(BodySchema):
    """A source, and how its import stands."""

    id = stored_id()
    knowledge_base_id = stored_id()
    kind = fields.String(required=True, validate=validate.OneOf(("file", "url", "sitemap")))
    location = fields.String(required=True, metadata={"description": "The file's name, or the address."})
    language = fields.String(required=True, allow_none=True)
    sync_hours = fields.Integer(required=True, allow_none=True)
    state = fields.String(required=True, validate=validate.OneOf(("listing", "importing", "done", "stopped", "failed")))
    error = fields.String(required=True, allow_none=True, metadata={"description": "Why its documents could not be found."})
    found = _count("Documents: one file, or pages.")
    waiting = _count("Documents that are not read yet.")
    stored = _count("Documents whose items are in the base.")
    added = _count("Of the last reading: new documents.")
    changed = _count("Of the last reading: documents with another text than before.")
    unchanged = _count("Of the last reading: documents that are the same.")
    skipped = _count("Documents that must not or need not be read.")
    failed = _count("Documents that could not be read.")
    removed = _count("Of the last reading: documents that are gone, with their items.")
    items = _count("Items that came from it.")
    items_added = _count("Of the last reading: items that are new.")
    items_removed = _count("Of the last reading: items that its documents have no longer.")
    created_at = stored_time()
    synced_at = stored_time(metadata={"description": "When its last reading began."})
    next_sync_at = stored_time(allow_none=True)


class DocumentSchema(BodySchema):
    """A file or page of a source."""

    id = stored_id()
    location = fields.String(required=True)
    state = fields.String(required=True, validate=validate.OneOf(_STATES))
    change = fields.String(required=True, allow_none=True, metadata={"description": "added, changed or unchanged."})
    error = fields.String(required=True, allow_none=True, metadata={"description": "Why it failed, or what was left out."})
    url = fields.String(required=True, allow_none=True)
    items = _count("Items that came from it.")
    updated_at = stored_time()


class DocumentQuerySchema(PageQuerySchema):
    """Which documents."""

    state = fields.String(
        validate=validate.OneOf(_STATES, error="must be one of " + ", ".join(_STATES) + "."),
        metadata={"description": "Only documents in this state."},
    )


SourcePageSchema = page_of("SourcePageSchema", StoredSourceSchema)
DocumentPageSchema = page_of("DocumentPageSchema", DocumentSchema)
