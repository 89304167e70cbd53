"""/api/v1/team and /api/v1/audit: who works for a business, and who changed what. The API makes neither users nor keys."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from shared.people import accounts, audit
from web.api.api import api, customer_id
from web.api.schemas import PageQuerySchema, page_of, stored_id, stored_text, stored_time
from web.parameters import BodySchema


class UserSchema(BodySchema):
    """Somebody who works for a business."""

    id = stored_id()
    name = stored_text()
    role = stored_text(*accounts.ROLES)
    active = fields.Boolean(required=True, metadata={"description": "Whether they may log in."})


class TeamSchema(BodySchema):
    """All who work for a business."""

    data = fields.List(fields.Nested(UserSchema), required=True)


class AuditQuerySchema(PageQuerySchema):
    """Which entries."""

    action = fields.String(
        validate=validate.Regexp(r"^[a-z_]{1,50}(\.[a-z_]{1,50})?\Z", error="must be like chatbot.changed, or chatbot"),
        metadata={
            "description": "Only this one, like `chatbot.changed`, or all of a kind, like `chatbot`.",
            "pattern": r"^[a-z_]{1,50}(\.[a-z_]{1,50})?$",
        },
    )


class AuditEntrySchema(BodySchema):
    """Something that somebody changed, or an operator's look at texts."""

    id = stored_id()
    at = stored_time()
    action = stored_text(metadata={"description": "Like `chatbot.changed`."})
    subject = stored_text(metadata={"description": "The kind of what was changed."})
    subject_id = stored_id(allow_none=True)
    details = fields.Dict(keys=fields.String(), required=True, metadata={"description": "What is what now: never a text."})
    user_id = stored_id(allow_none=True, metadata={"description": "Who; null: a key, a command, or nobody who was logged in."})
    user_name = stored_text(allow_none=True)


@api.get("/team")
@api.response(200, TeamSchema)
def list_team() -> dict[str, Any]:
    """List the team"""
    users = accounts.of_customer(customer_id())
    return {"data": [{**user, "active": user["disabled_at"] is None} for user in users]}


@api.get("/audit")
@api.query(AuditQuerySchema)
@api.response(200, page_of("AuditPageSchema", AuditEntrySchema))
def list_audit(query: dict[str, Any]) -> dict[str, Any]:
    """List who changed what

    What is done at the desk and by the API, where `details` name the key; but for messages and notes, which are their own record.
    Of what commands do, only contacts that were erased or exported, and changes of users.
    """
    limit = query["limit"]
    rows = audit.entries(customer_id(), action=query.get("action", ""), before=query.get("before"), limit=limit + 1)
    data = [{**row, "user_name": row["who"]} for row in rows[:limit]]
    return {"data": data, "next": data[-1]["id"] if len(rows) > limit else None}
