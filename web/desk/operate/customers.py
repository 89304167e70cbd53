"""The businesses: a list, a new one, and another name or plan."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import format_number
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from shared import db
from shared.errors import InvalidPayload
from shared.models import Customer
from shared.operations import customers as operations
from shared.operations import pauses
from shared.people import audit
from web.desk import desk, forms, paging
from web.desk.access import allowed
from web.desk.operate import words
from web.desk.redirects import see_other

#: What the form of a business shows.
_SHOWN = {"name": str, "plan_price_cents": int}

#: Choices of a list; of more than that one is named by its id.
MOST_CHOICES = 500


def choices() -> list[tuple[int, str]]:
    """All businesses, by name; one more than a list takes, if there are more."""
    rows = db.rows(Customer.select(Customer.id, Customer.name).order_by(Customer.name).limit(MOST_CHOICES + 1))
    return [(row["id"], row["name"]) for row in rows]


@desk.get("/operate/customers")
@allowed("operator")
def customers() -> Response:
    """The list."""
    return _page()


@desk.post("/operate/customers")
@allowed("operator")
def create_customer() -> Response:
    """A new one."""
    try:
        with db.transaction():
            name = request.form.get("name", "")
            customer_id = operations.create(name, _plan())
            audit.record("customer.created", "customer", customer_id, {"name": name}, user=g.user, customer_id=customer_id)
    except InvalidPayload as problem:
        return _page(_wrong(problem), 422)
    flash(_("%(name)s is there. Make its first chatbot here, and invite its owner under Team.", name=name))
    return see_other(url_for("desk.chatbots", customer_id=customer_id))


@desk.post("/operate/customers/<int:changed_id>")
@allowed("operator")
def change_customer(changed_id: int) -> Response:
    """Another name or plan."""
    try:
        with db.transaction():
            name, plan = request.form.get("name", ""), _plan()
            stored = operations.stored(changed_id)
            if stored is None:
                raise NotFound
            if request.form.get("version") != _version(stored):
                changed = _("Somebody else has changed it meanwhile. This is how it is now; change it again.")
                return _page({"name": changed}, 409, str(changed_id))
            operations.change(changed_id, name, plan)
            about = {"name": name, "plan": plan}
            audit.record("customer.changed", "customer", changed_id, about, user=g.user, customer_id=changed_id)
    except InvalidPayload as problem:
        return _page(_wrong(problem), 422, str(changed_id))
    flash(_("Saved."))
    return see_other(url_for("desk.customers", q=changed_id))


def _plan() -> str:
    """What it costs, as the reader's language writes numbers."""
    return str(forms.number(request.form, "plan"))


def _version(row: dict[str, Any]) -> str:
    return forms.version(row, _SHOWN)


def _wrong(problem: InvalidPayload) -> dict[str, str]:
    words = {
        "name": _("A name has 1 to %(most)s characters.", most=operations.LONGEST_NAME),
        "plan": _("A plan is a number from 0 to %(most)s, in dollars a month.", most=format_number(operations.DEAREST)),
    }
    return {field: words[field] for field in problem.errors}


def _page(problems: dict[str, str] | None = None, status: int = 200, search: str = "") -> Response:
    text = search or request.args.get("q", "").strip()[:100]
    rows = operations.page(text, paging.ROWS + 1, forms.row_id(request.args, "after") or 0)
    shown, more = paging.page_of(rows, url_for("desk.customers"), "after", q=text or None)
    page = render_template(
        "desk/operate/customers.html",
        customers=shown,
        text=text,
        more=more,
        problems=problems or {},
        words=words,
        paused=pauses.paused_customers(),
        version=_version,
        written=forms.written,
    )
    return make_response(page, status)
