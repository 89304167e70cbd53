"""Budgets: what the models of a business, or of one of its chatbots, may cost in a month. Rules and writes: shared/budgets."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import NotFound

from shared import db
from shared.budgets import budgets
from shared.budgets.budgets import BudgetSchema
from shared.errors import InvalidPayload, Refused
from shared.models import Budget, Chatbot, Customer
from shared.payloads import check, id_in
from shared.teaching.chatbots import is_own
from shared.teaching.hours import time_zone_choices
from web.audited import audited
from web.desk import desk, forms
from web.desk.access import allowed
from web.desk.redirects import see_other
from web.desk.schema_words import translated_errors

#: What the form has.
_FIELDS: dict[str, forms.Reader] = {
    "tokens": forms.number_or_none,
    "money": forms.number_or_none,
    "time_zone": forms.time_zone,
    "at_limit": forms.text,
    "text": forms.text_or_none,
    "model": forms.text_or_none,
}
#: Fields that count for one `at_limit` only; what is written in them while another one is chosen is left out.
_ONLY_FOR = {"text": "text", "model": "cheaper_model"}
#: What to do where the one that counts is empty; the schema says it in the API's words.
_MISSING = {"text": _l("Write the text that customers get."), "model": _l("Name the model that answers then.")}
AT_LIMIT = {
    "hand_over": _l("a person takes over"),
    "text": _l("customers get a text of yours"),
    "cheaper_model": _l("a cheaper model answers"),
}


@desk.get("/c/<int:customer_id>/usage/budget")
@allowed("owner")
def budget() -> Response:
    """The form, for all chatbots together or for the one that `chatbot` names."""
    scope = _scope(request.args.get("chatbot", ""))
    stored = _stored(scope)
    return _form(scope, stored, stored or {"time_zone": _time_zone(scope), "at_limit": "hand_over"})


@desk.post("/c/<int:customer_id>/usage/budget")
@allowed("owner")
def save_budget() -> Response:
    """Sets it, unless somebody else has done so meanwhile."""
    scope, given = _scope(request.form.get("chatbot", "")), forms.read(request.form, _FIELDS)
    by_operator = g.user.role == "operator"
    try:
        wanted = check(BudgetSchema, "budget", {**given, **_unused(given), "chatbot_id": scope and scope["id"]})
        with db.transaction():
            stored = _locked(scope)
            if request.form.get("version") != _version(stored):
                return _form(scope, stored, given, is_stale=True, status=409)
            is_open = forms.tick(request.form, "is_open")
            budget_id = budgets.store(g.customer.id, wanted, by_operator=by_operator, is_open=is_open)
            audited("budget.set", "budget", budget_id, name=_name(scope), tokens=wanted["tokens"], money=wanted["money"])
    except InvalidPayload as problem:
        return _form(scope, _stored(scope), given, _problems(problem, given), status=422)
    except Refused:
        return _form(scope, _stored(scope), given, status=409)  # it says so by itself
    budgets.counted(budget_id)
    flash(_("Saved. What this month has cost so far counts for it."))
    return _to_usage()


@desk.post("/c/<int:customer_id>/usage/budget/remove")
@allowed("owner")
def remove_budget() -> Response:
    """Removes it, unless somebody else has changed it meanwhile: nothing is bounded by it any more."""
    scope = _scope(request.form.get("chatbot", ""))
    try:
        with db.transaction():
            stored = _locked(scope)
            if stored is not None and request.form.get("version") != _version(stored):
                return _form(scope, stored, stored, is_kept=True, status=409)
            is_operator = g.user.role == "operator"
            if stored is None or not budgets.remove_budget(g.customer.id, stored["id"], by_operator=is_operator):
                raise NotFound
            audited("budget.removed", "budget", stored["id"], name=_name(scope))
    except Refused:
        return _form(scope, stored, stored or {}, status=409)
    flash(_("The budget is removed."))
    return _to_usage()


def _scope(chatbot: str) -> dict[str, Any] | None:
    """The chatbot of this id; None: all of them. Raises NotFound for one that is not the customer's."""
    if not chatbot:
        return None
    own = is_own(g.customer.id, id_in(chatbot) or 0)
    row = db.row(Chatbot.select(Chatbot.id, Chatbot.name, Chatbot.time_zone).where(own))
    if row is None:
        raise NotFound
    return row


def _stored(scope: dict[str, Any] | None) -> dict[str, Any] | None:
    wanted = scope and scope["id"]
    return next((row for row in budgets.budgets(g.customer.id) if row["chatbot_id"] == wanted), None)


def _locked(scope: dict[str, Any] | None) -> dict[str, Any] | None:
    """The budget as it is, which nobody else changes until the transaction ends; nor does anybody make one."""
    owner = Customer.select(Customer.id).where(Customer.id == g.customer.id)
    db.rows(owner.for_update("FOR NO KEY UPDATE"))  # type: ignore[arg-type]  # peewee takes it
    db.rows(Budget.select(Budget.id).where(Budget.customer == g.customer.id).order_by(Budget.id).for_update())
    return _stored(scope)


def _version(stored: dict[str, Any] | None) -> str:
    return forms.version(stored, {**_FIELDS, "by_operator": None}) if stored else ""


def _unused(given: dict[str, Any]) -> dict[str, None]:
    return {name: None for name, at_limit in _ONLY_FOR.items() if given["at_limit"] != at_limit}


def _problems(problem: InvalidPayload, given: dict[str, Any]) -> dict[str, str]:
    missing = {name: str(words) for name, words in _MISSING.items() if name in problem.errors and not given[name]}
    return translated_errors(problem.errors) | missing


def _time_zone(scope: dict[str, Any] | None) -> str:
    """What a new budget begins with: by whose clock the chatbot, or the business's first one, has its hours."""
    first = Chatbot.select(Chatbot.time_zone).where(Chatbot.customer == g.customer.id).order_by(Chatbot.id).limit(1)
    return str(scope["time_zone"] if scope else db.scalar(first) or "UTC")


def _name(scope: dict[str, Any] | None) -> str:
    return str(scope["name"] if scope else g.customer.name)


def _form(
    scope: dict[str, Any] | None,
    stored: dict[str, Any] | None,
    values: dict[str, Any],
    problems: dict[str, str] | None = None,
    *,
    is_stale: bool = False,
    is_kept: bool = False,
    status: int = 200,
) -> Response:
    """The form, with what was given in the place of what is stored: nothing that somebody wrote is lost."""
    is_filled_in = bool(request.form) and not is_kept  # the form of a removal has no fields
    page = render_template(
        "desk/budget.html",
        scope=scope,
        name=_name(scope),
        budget=stored,
        values={**values, "money": forms.written(values.get("money"))},
        problems=problems or {},
        is_stale=is_stale,
        is_kept=is_kept,
        is_locked=bool(stored and stored["by_operator"] and g.user.role != "operator"),
        is_open=forms.tick(request.form, "is_open") if is_filled_in else bool(stored and not stored["by_operator"]),
        time_zones=time_zone_choices(),
        version=_version(stored),
        at_limit=AT_LIMIT,
    )
    return make_response(page, status)


def _to_usage() -> Response:
    return see_other(url_for("desk.usage"))
