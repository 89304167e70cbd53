"""What failed for good: by reason, and behind each reason the rows, with all filters in the address."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, NotFound

from shared import db
from shared.channels import accounts, health
from shared.errors import InvalidPayload
from shared.models import Chatbot
from shared.operations import criteria, dead_letters
from shared.operations.dead_letters import Filter
from shared.people import audit
from web.audited import audited
from web.desk import audit_words, charts, desk, forms, paging
from web.desk.access import allowed
from web.desk.dates import COUNTED, exact
from web.desk.operate import customers, words
from web.desk.operate.overview import down_accounts
from web.desk.redirects import see_other
from web.desk.schema_words import translated_fields


@desk.get("/operate/failures")
@allowed("operator")
def failures() -> Response:
    """By reason."""
    page = render_template(
        "desk/operate/failures.html",
        groups=dead_letters.groups(),
        endpoints=dead_letters.failing_endpoints(),
        held=[row for row in down_accounts() if row["is_down"]],
        spark=charts.spark,
        words=words,
    )
    return make_response(page)


@desk.get("/operate/failures/list")
@allowed("operator")
def failure() -> Response:
    """The rows of a reason, or of any filter."""
    where, problem = asked(request.args)
    until = where.frozen().until  # what is ignored or replayed from this page is what it shows: nothing that fails afterwards
    rows = [] if problem else dead_letters.page(where, paging.ROWS + 1, forms.row_id(request.args, "before"))
    said = criteria.written(where)
    shown, more = paging.page_of(rows, request.path, **said)
    page = render_template(
        "desk/operate/failure.html",
        rows=shown,
        total=0 if problem else dead_letters.count(where, COUNTED + 1),
        said=said,
        frozen={**said, "until": until.isoformat() if until else None},
        more=more,
        problem=problem,
        **_periods(request.args.get("since", ""), where),
        customers=customers.choices(),
        most_choices=customers.MOST_CHOICES,
        words=words,
        states=words.STATES,
    )
    return make_response(page)


@desk.post("/operate/failures/ignore")
@allowed("operator")
def ignore_failures() -> Response:
    """Nothing is to be done about what is ticked, or about all that match."""
    where = meant(request.form)
    count = dead_letters.ignore(where, g.user.email, _noting(where))
    flash(ngettext("%(num)s failure is ignored from now on.", "%(num)s failures are ignored from now on.", count))
    return see_other(url_for("desk.failures"))


@desk.post("/operate/channels/<int:chatbot_id>/<channel>/try")
@allowed("operator")
def try_channel(chatbot_id: int, channel: str) -> Response:
    """A reply tries an account that is down, at once."""
    account = accounts.find(None, channel, chatbot_id)
    if account is None:
        raise NotFound
    with db.transaction():
        tried = health.retry(account)
        if tried:
            business = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == chatbot_id))
            audit.record("channel.tried", "channel", chatbot_id, {"channel": channel}, user=g.user, customer_id=business)
    if tried:
        flash(_("One reply tries the channel now. If it gets through, the others follow."))
    else:
        flash(_("The channel is not down any more."))
    return see_other(url_for("desk.failures"))


def asked(args: MultiDict[str, str]) -> tuple[Filter, str]:
    """What an address says, and what is wrong with it: then nothing is listed, for nobody acts on more than they meant."""
    try:
        return criteria.read(_said(args)), ""
    except InvalidPayload as problem:
        return Filter(), translated_fields(problem.errors, audit_words.LABELS)


def meant(form: MultiDict[str, str]) -> Filter:
    """What a form says that acts upon it. Raises BadRequest: nobody acts on more than they meant."""
    said = _said(form)
    if form.get("which") == "ticked" and "ids" not in said:
        raise BadRequest(_("Nothing is ticked. Tick failures, or choose all that match."))
    if form.get("which") == "all":
        said.pop("ids", None)
    try:
        return criteria.read(said)
    except InvalidPayload as problem:
        raise BadRequest(translated_fields(problem.errors, audit_words.LABELS)) from None


def _said(args: MultiDict[str, str]) -> dict[str, Any]:
    ids = args.getlist("ids")
    return {name: args[name] for name in criteria.NAMES.values() if name in args} | ({"ids": ids} if ids else {})


def _periods(asked: str, where: Filter) -> dict[str, Any]:
    """How far back the list may go, and does: a time that the address names is one of them."""
    choices = [("", _("any time")), *words.PERIODS.items()]
    if where.since is None or asked in words.PERIODS:
        return {"periods": choices, "period": asked if asked in words.PERIODS else ""}
    named = where.since.isoformat()
    return {"periods": [*choices, (named, _("since %(time)s", time=exact(where.since)))], "period": named}


def _noting(where: Filter) -> Callable[[int], None]:
    """One audit row of all batches, that always tells how many are done."""
    rows: list[int] = []

    def note(count: int) -> None:
        if rows:
            audit.went_on(rows[0], count=count)
        else:
            rows.append(audited("failures.ignored", "failures", count=count, **criteria.facts(where)))

    return note
