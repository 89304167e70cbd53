"""What models cost: the operator says so, and budgets in money count by it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from flask import Response, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from shared import db
from shared.budgets import prices as rules
from shared.budgets.prices import PriceSchema
from shared.config import settings
from shared.errors import InvalidPayload
from shared.http.urls import UrlRefused
from shared.payloads import check
from web.audited import audited
from web.desk import desk, forms
from web.desk.access import allowed
from web.desk.redirects import see_other
from web.desk.schema_words import translated_errors

_FIELDS: dict[str, forms.Reader] = {
    "base_url": forms.text,
    "model": forms.text,
    "prompt": forms.number,
    "completion": forms.number,
}


@desk.get("/operate/prices")
@allowed("operator")
def prices() -> Response:
    """All of them; `base_url` and `model` fill the form."""
    chosen = {name: request.args.get(name, "") for name in ("base_url", "model")}
    chosen["base_url"] = chosen["base_url"] or settings().openai_base_url
    rows = {(row["base_url"], row["model"]): row for row in rules.prices()}
    stored = rows.get((chosen["base_url"], chosen["model"]))
    return _page(stored or chosen, listed=list(rows.values()))


@desk.post("/operate/prices")
@allowed("operator")
def set_price() -> Response:
    """Sets one in place of the one before."""
    given = forms.read(request.form, _FIELDS) | {"minute": forms.number_or_none(request.form, "minute") or 0}
    try:
        price = check(PriceSchema, "price", given)
    except InvalidPayload as problem:
        return _page(given, translated_errors(problem.errors), status=422)
    costs = {name: Decimal(repr(price[name])) for name in ("prompt", "completion", "minute")}
    with db.transaction():
        rules.set_price(price["base_url"], price["model"], **costs)
        audited("price.set", "price", None, model=price["model"], **{name: str(cost) for name, cost in costs.items()})
    flash(_("Saved. It counts for the calls that end from now on."))
    return see_other(url_for("desk.prices"))


@desk.post("/operate/prices/remove")
@allowed("operator")
def remove_price() -> Response:
    """Forgets one."""
    model = forms.text(request.form, "model")
    try:
        with db.transaction():
            if not rules.remove_price(forms.text(request.form, "base_url"), model):
                raise NotFound
            audited("price.removed", "price", model=model)
    except UrlRefused:
        raise NotFound from None
    flash(_("%(model)s has no price any more: its tokens count, and no money.", model=model))
    return see_other(url_for("desk.prices"))


def _page(
    values: dict[str, Any],
    problems: dict[str, str] | None = None,
    *,
    listed: list[dict[str, Any]] | None = None,
    status: int = 200,
) -> Response:
    page = render_template(
        "desk/operate/prices.html",
        prices=rules.prices() if listed is None else listed,
        unpriced=rules.without_price(),
        values={name: forms.written(value) for name, value in values.items()},
        problems=problems or {},
        written=forms.written,
    )
    return make_response(page, status)
