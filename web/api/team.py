"""/api/v1/team and /api/v1/audit: who works for a business, and who changed what.

A key that manages invites agents, and takes their access away and gives it back: an agent may nothing that a key may not. Who is
an owner, and whose password is whose, is the desk's alone: an owner may make keys that manage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from marshmallow import fields
from werkzeug.exceptions import Conflict

from shared import db
from shared.errors import InvalidPayload, Refused
from shared.models import User
from shared.payloads import Pattern
from shared.people import audit, users
from shared.teaching import fields as given
from web import invitations
from web.api.api import api, customer_id, existing
from web.api.schemas import PageQuerySchema, page_of, stored_id, stored_text, stored_time
from web.audited import audited
from web.parameters import BodySchema
from web.request_limits import check_invitations


class UserSchema(BodySchema):
    """Somebody who works for a business."""

    id = stored_id()
    name = stored_text()
    role = stored_text(*users.ROLES)
    active = fields.Boolean(required=True, metadata={"description": "Whether they may log in."})


class TeamSchema(BodySchema):
    """All who work for a business."""

    data = fields.List(fields.Nested(UserSchema), required=True)


class NewAgentSchema(BodySchema):
    """Somebody who is to answer customers."""

    what = "colleague"
    email = given.text(254, required=True, metadata={"description": "Where the invitation goes, like emma@shop.example."})
    name = given.text(200, required=True)


class AccessSchema(BodySchema):
    """Whether somebody may log in."""

    what = "colleague"
    active = given.switch(required=True)


class InvitedSchema(UserSchema):
    """An agent with a link, by which a password is chosen."""

    link = stored_text(
        allow_none=True,
        metadata={
            "description": "Null: it was sent by e-mail. Else no e-mail could be sent; pass it on, it works once, for 7 days. "
            "It begins with the server's PUBLIC_URL, or without that with the host of this request."
        },
    )


class AuditQuerySchema(PageQuerySchema):
    """Which entries."""

    action = fields.String(
        validate=Pattern(r"^[a-z_]{1,50}(\.[a-z_]{1,50})?$", error="must be like chatbot.changed, or chatbot"),
        metadata={"description": "Only this one, like `chatbot.changed`, or all of a kind, like `chatbot`."},
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
    people = users.of_customer(customer_id())
    return {"data": [{**user, "active": user["disabled_at"] is None} for user in people]}


@api.post("/team")
@api.managing
@api.arguments(NewAgentSchema)
@api.response(201, InvitedSchema)
@api.alt_response(409, response="CONFLICT")
def invite_agent(new: dict[str, Any]) -> dict[str, Any]:
    """Invite an agent

    They get a link by e-mail, with which they choose a password. Owners are made at the desk. 409 for the address of somebody who
    is a user already.
    """
    email = _checked("email", users.checked_address, new["email"])
    name = _checked("name", users.checked_name, new["name"])
    check_invitations(customer_id())
    with db.transaction():
        agent = users.create(email, name, "agent", customer_id())
        audited("user.invited", "user", agent.id, name=agent.name, role="agent")
        path = invitations.make(agent)
    return _invited(agent, path)


@api.post("/team/<int:user_id>/link")
@api.managing
@api.response(200, InvitedSchema)
@api.alt_response(409, response="CONFLICT")
def invite_again(user_id: int) -> dict[str, Any]:
    """Invite an agent once more

    The earlier link ends. 409 for somebody who has chosen a password: they ask for another one at the login.
    """
    _check_invited(_agent(user_id))
    check_invitations(customer_id())
    with db.transaction():
        agent = _agent(user_id)
        _check_invited(agent)  # or they chose a password at this moment, which nobody else's link replaces
        path = invitations.make(agent)
    return _invited(agent, path)


def _check_invited(agent: User) -> None:
    """Raises Conflict for who has come, and for who may not."""
    if agent.disabled_at:
        raise Conflict("The agent has no access. Give it back first.")
    if agent.password_hash:
        raise Conflict("The agent has a password. Who has lost it asks for another one at the login.")


@api.patch("/team/<int:user_id>")
@api.managing
@api.arguments(AccessSchema)
@api.response(200, UserSchema)
@api.alt_response(409, response="CONFLICT")
def change_access(access: dict[str, Any], user_id: int) -> dict[str, Any]:
    """Take an agent's access away, or give it back

    Their sessions end at once. An owner's is changed at the desk (409).
    """
    with db.transaction():
        agent = _agent(user_id)
        if access["active"]:
            users.enable(agent.id)
        else:
            users.disable(agent.id)
        audited("user.enabled" if access["active"] else "user.disabled", "user", agent.id, name=agent.name)
    return _shown(agent) | {"active": access["active"]}


def _agent(user_id: int) -> User:
    """Who does not become an owner until the transaction ends. Raises NotFound for somebody of another business, Conflict for
    an owner."""
    try:
        user = users.locked(user_id)
    except Refused:
        user = None
    user = existing(user if user and user.customer_id == customer_id() else None, "user")
    if user.role != "agent":
        raise Conflict("This is an owner. Owners are changed at the desk.")
    return user


def _invited(agent: User, path: str) -> dict[str, Any]:
    return _shown(agent) | {"link": invitations.hand_over(agent, path).address or None}


def _shown(user: User) -> dict[str, Any]:
    return {"id": user.id, "name": user.name, "role": user.role, "active": user.disabled_at is None}


def _checked(member: str, check: Callable[[str], str], text: str) -> str:
    try:
        return check(text)
    except Refused as refusal:
        raise InvalidPayload("colleague", {member: str(refusal)}) from None


@api.get("/audit")
@api.query(AuditQuerySchema)
@api.response(200, page_of("AuditPageSchema", AuditEntrySchema))
def list_audit(query: dict[str, Any]) -> dict[str, Any]:
    """List who changed what

    What is done at the desk and by the API, where `details` name the key; but for messages and notes, which are their own record.
    What commands change says `by: scripts/…`.
    """
    limit = query["limit"]
    rows = audit.entries(customer_id(), action=query.get("action", ""), before=query.get("before"), limit=limit + 1)
    data = [{**row, "user_name": row["who"]} for row in rows[:limit]]
    return {"data": data, "next": data[-1]["id"] if len(rows) > limit else None}
