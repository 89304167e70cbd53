"""The people of a business, for its owners; and operators, for operators."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from shared import db
from shared.errors import Refused
from shared.models import User
from shared.people import mail, users
from web import invitations
from web.api import keys as api_keys
from web.audited import audited
from web.desk import desk
from web.desk.access import allowed
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.request_limits import check_invitations


@desk.get("/c/<int:customer_id>/team")
@allowed("owner")
def team() -> Response:
    """Owners and agents."""
    return _page(g.customer.id)


@desk.post("/c/<int:customer_id>/team")
@allowed("owner")
def invite() -> Response:
    """Takes a colleague's address, name and role."""
    role = request.form.get("role", "")
    return _invite(g.customer.id, role if role in ("agent", "owner") else "agent")


@desk.post("/c/<int:customer_id>/team/<int:user_id>/role")
@allowed("owner")
def change_role(user_id: int) -> Response:
    """Makes an agent an owner, or an owner an agent. Who is only invited needs a new link as an owner."""
    member, role = _member(user_id, g.customer.id), request.form.get("role", "")
    answer = _do(member, "user.role_changed", lambda: users.set_role(member.id, role), role=role)
    has_no_link = answer.status_code == HTTPStatus.SEE_OTHER and not member.password_hash and not member.disabled_at
    return _link(member) if has_no_link and (member.role, role) == ("agent", "owner") else answer


@desk.post("/c/<int:customer_id>/team/<int:user_id>/<any(disable, enable):what>")
@allowed("owner")
def change_access(user_id: int, what: str) -> Response:
    """Ends a colleague's access, or gives it back."""
    return _change_access(_member(user_id, g.customer.id), what)


@desk.post("/c/<int:customer_id>/team/<int:user_id>/link")
@allowed("owner")
def new_link(user_id: int) -> Response:
    """A new link for a colleague."""
    return _link(_member(user_id, g.customer.id))


@desk.get("/operate/people")
@allowed("operator")
def operators() -> Response:
    """Operators."""
    return _page(None)


@desk.post("/operate/people")
@allowed("operator")
def invite_operator() -> Response:
    """Takes another operator's address and name."""
    return _invite(None, "operator")


@desk.post("/operate/people/<int:user_id>/<any(disable, enable):what>")
@allowed("operator")
def change_operators_access(user_id: int, what: str) -> Response:
    """Ends an operator's access, or gives it back."""
    return _change_access(_member(user_id, None), what)


@desk.post("/operate/people/<int:user_id>/link")
@allowed("operator")
def new_operators_link(user_id: int) -> Response:
    """A new link for another operator."""
    return _link(_member(user_id, None))


@desk.post("/operate/people/<int:user_id>/texts")
@allowed("operator")
def change_grant(user_id: int) -> Response:
    """Lets another operator read texts, or no longer. Nobody grants it to himself: two people have to want it."""
    member, is_allowed = _member(user_id, None), request.form.get("allowed") == "1"
    if is_allowed and member.id == g.user.id:
        return _page(None, _("Another operator has to allow you that; or scripts/users grant-texts on the server."), status=409)
    action = "user.texts_granted" if is_allowed else "user.texts_revoked"
    return _do(member, action, lambda: users.allow_texts(member.id, is_allowed))


def _page(customer_id: int | None, problem: str = "", made: invitations.Made | None = None, status: int = 200) -> Response:
    people = users.of_customer(customer_id)
    has_owner = any(one["role"] == "owner" for one in people)
    page = render_template(
        "desk/team.html", people=people, has_owner=has_owner, problem=problem, made=made, has_mail=mail.is_on()
    )
    return make_response(page, status)


def _invite(customer_id: int | None, role: str) -> Response:
    check_invitations(customer_id or 0)
    try:
        with db.transaction():
            member = users.create(request.form.get("email", ""), request.form.get("name", ""), role, customer_id)
            audited("user.invited", "user", member.id, name=member.name, role=role)
            path = invitations.make(member)
    except Refused as refusal:
        return _page(customer_id, refusal_text(refusal), status=422)
    return _page(customer_id, made=invitations.hand_over(member, path))


def _link(member: User) -> Response:
    if member.disabled_at:
        return _page(member.customer_id, _("Give %(name)s the access back first.", name=member.name), status=409)
    check_invitations(member.customer_id or 0)
    with db.transaction():
        path = invitations.make(member)
    return _page(member.customer_id, made=invitations.hand_over(member, path))


def _change_access(member: User, what: str) -> Response:
    if what == "enable":
        return _do(member, "user.enabled", lambda: users.enable(member.id))
    return _do(member, "user.disabled", lambda: users.disable(member.id))


def _do(member: User, action: str, change: Callable[[], None], **details: Any) -> Response:
    try:
        with db.transaction():
            change()
            audited(action, "user", member.id, name=member.name, **details)
    except Refused as refusal:
        return _page(member.customer_id, refusal_text(refusal), status=409)
    flash(_saved(member))
    return see_other(url_for("desk.operators" if member.customer_id is None else "desk.team"))


def _saved(before: User) -> str:
    """What is said of a change; of an owner's end also what does not end with it."""
    now, customer_id = users.require(before.id), before.customer_id
    was_owner, is_owner = ((user.role == "owner" and not user.disabled_at) for user in (before, now))
    keys = api_keys.of_customer(customer_id) if customer_id and was_owner and not is_owner else []
    if any(key["revoked_at"] is None for key in keys):
        return str(_("Saved. API keys that %(name)s knows still work. Revoke them under API keys.", name=before.name))
    return str(_("Saved."))


def _member(user_id: int, customer_id: int | None) -> User:
    """Raises NotFound for somebody of another business."""
    try:
        member = users.require(user_id)
    except Refused:
        raise NotFound from None
    if member.customer_id != customer_id:
        raise NotFound
    return member
