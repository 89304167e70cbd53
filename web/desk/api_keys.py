"""API keys of a business's servers: made, named and revoked; a key itself is shown once."""

from __future__ import annotations

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from shared import db
from shared.errors import Refused
from shared.models.limits import TooMany
from shared.people.users import checked_name
from web.api import keys as api_keys
from web.audited import audited
from web.desk import desk
from web.desk.access import allowed
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text


@desk.get("/c/<int:customer_id>/keys")
@allowed("owner")
def keys() -> Response:
    """The keys."""
    return _page()


@desk.post("/c/<int:customer_id>/keys")
@allowed("owner")
def create_key() -> Response:
    """Makes one, and shows it, this once."""
    try:
        name = checked_name(request.form.get("name", ""))
    except Refused as refusal:
        return _page(problem=refusal_text(refusal), status=422)
    manages = {"manages": True} if request.form.get("manages") == "1" else {}
    try:
        with db.transaction():
            key = api_keys.create(g.customer.id, name, **manages)
            audited("key.created", "key", name=name, **manages)
    except TooMany as refusal:
        return _page(problem=refusal_text(refusal), status=409)
    return _page(made=key)


@desk.post("/c/<int:customer_id>/keys/<int:key_id>/revoke")
@allowed("owner")
def revoke_key(key_id: int) -> Response:
    """Ends one."""
    with db.transaction():
        if not api_keys.revoke(key_id, g.customer.id):
            raise NotFound
        audited("key.revoked", "key", key_id)
    flash(_("The key is revoked. Requests with it are refused from now on."))
    return see_other(url_for("desk.keys"))


def _page(problem: str = "", made: str = "", status: int = 200) -> Response:
    page = render_template("desk/keys.html", keys=api_keys.of_customer(g.customer.id), problem=problem, made=made)
    return make_response(page, status)
