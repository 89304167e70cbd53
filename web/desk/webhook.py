"""One webhook: each call of its address and what was answered, an event sent again, and all of a time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import BadRequest, NotFound

from shared import db
from shared.errors import InvalidPayload, Refused
from shared.models import BulkAction, Chatbot, WebhookEvent
from shared.operations import bulk_actions
from shared.operations import webhook_recovery as recovery
from shared.payloads import MAX_ROW_ID, check
from shared.webhooks import deliveries, endpoints, overview
from shared.webhooks.triggers import Trigger
from web.api.recovery import NewRecoverySchema
from web.audited import audited
from web.desk import desk, forms
from web.desk.access import allowed
from web.desk.message_words import CHANNEL_NAMES
from web.desk.redirects import see_other

ONE = "/c/<int:customer_id>/webhooks/<int:endpoint_id>"
#: Hours that a recovery may go back.
HOURS = (1, 6, 24, 72, 168)
#: Recoveries on the page.
_RECOVERIES = 5
#: Why an attempt was made.
TRIGGERS = {
    Trigger.FIRST: _l("new event"),
    Trigger.AUTOMATIC: _l("tried again by itself"),
    Trigger.MANUAL: _l("sent again"),
    Trigger.BULK: _l("recovery"),
    Trigger.TEST: _l("test"),
}
#: Why one is switched off: the reason's words; None: somebody here did it.
OFF = {
    "failing": _l("It only failed for days, so it was switched off."),
    "gone": _l("It answered that it is gone for good (410), so it was switched off."),
    None: _l("It was switched off here or by the API."),
}


@desk.get(ONE)
@allowed("owner")
def webhook(endpoint_id: int) -> Response:
    """Its attempts; with `hours` how many events a recovery would send."""
    return page(own(endpoint_id))


@desk.post(f"{ONE}/events/<int:event_id>/resend")
@allowed("owner")
def resend_event(endpoint_id: int, event_id: int) -> Response:
    """Sends one event once more."""
    own(endpoint_id)
    is_its = (WebhookEvent.id == event_id) & (WebhookEvent.endpoint == endpoint_id)
    if db.row(WebhookEvent.select(WebhookEvent.id).where(is_its)) is None:
        raise NotFound
    try:
        deliveries.resend(g.customer.id, event_id, lambda: audited("webhook.event_resent", "webhook event", event_id))
    except Refused:
        flash(_("It cannot be sent now: it is on its way already, or the webhook is switched off."), "bad")
        return to(endpoint_id)
    flash(_("It is sent again, with the same id."))
    return to(endpoint_id)


@desk.post(f"{ONE}/recover")
@allowed("owner")
def recover_webhook(endpoint_id: int) -> Response:
    """Begins what was counted before."""
    endpoint = own(endpoint_id)
    given = {name: request.form.get(name, "") for name in ("since", "status")}
    try:
        asked = check(NewRecoverySchema, "recovery", given)
    except InvalidPayload as problem:
        raise BadRequest(_("Choose a period, and see how many events there are.")) from problem
    pace = asked.pop("pace")
    where = recovery.Filter(endpoint_id, **asked)
    total = recovery.count(where)
    try:
        with db.transaction():
            recovery.begin(where, total, g.user.email, pace)
            audited("webhook.recovered", "webhook", endpoint_id, name=name_of(endpoint), since=given["since"][:16])
    except Refused:
        flash(_("It cannot begin now: another one is running, or the webhook is switched off."), "bad")
    return to(endpoint_id)


@desk.post(f"{ONE}/recoveries/<int:action_id>/stop")
@allowed("owner")
def stop_recovery(endpoint_id: int, action_id: int) -> Response:
    """Deliveries that were begun go on."""
    endpoint = own(endpoint_id)
    if db.row(_recoveries(endpoint_id).where(BulkAction.id == action_id)) is None:
        raise NotFound
    with db.transaction():
        if bulk_actions.stop(action_id, g.user.email):
            audited("webhook.recovery_stopped", "webhook", endpoint_id, name=name_of(endpoint))
    flash(_("Stopped. Deliveries that were begun go on."))
    return to(endpoint_id)


def own(endpoint_id: int) -> dict[str, Any]:
    """The endpoint. Raises NotFound for one that is not the customer's."""
    endpoint = endpoints.get(g.customer.id, endpoint_id)
    if endpoint is None:
        raise NotFound
    return endpoint


def name_of(endpoint: dict[str, Any]) -> str:
    """As people call it. Not its whole address: that may hold a secret, and this goes to the audit."""
    return endpoints.name_of(endpoint) or _("Read by your server")


def to(endpoint_id: int) -> Response:
    """To its page."""
    return see_other(url_for("desk.webhook", endpoint_id=endpoint_id))


def page(endpoint: dict[str, Any], secret: str = "", status: int = 200) -> Response:
    """Its page; with a secret that is new."""
    only_failed, before = "failed" in request.args, forms.row_id(request.args, "before") or MAX_ROW_ID
    rows, after = overview.attempts(endpoint["id"], before, only_failed=only_failed)
    failed = "1" if only_failed else None
    recoveries = db.rows(_recoveries(endpoint["id"]).order_by(BulkAction.id.desc()).limit(_RECOVERIES))
    counts = overview.states(g.customer.id, endpoint["id"]).get(endpoint["id"], {})
    is_running = any(action["state"] == "running" for action in recoveries)
    plan = _plan(endpoint["id"])
    is_moving = is_running or (counts.get("waiting") and endpoint["active"] and endpoint["url"] and not endpoint["paused"])
    html = render_template(
        "desk/webhook.html",
        endpoint=endpoint,
        name=name_of(endpoint),
        bots=_names_of_chatbots(endpoint["chatbots"]),
        channels=[CHANNEL_NAMES[channel] for channel in endpoint["channels"] or []],
        secret=secret,
        counts=counts,
        attempts=[{**row, "took": round(sum(row["ms"].values()))} for row in rows],
        more=url_for("desk.webhook", endpoint_id=endpoint["id"], failed=failed, before=after) if after else "",
        only_failed=only_failed,
        triggers=TRIGGERS,
        off=OFF,
        recoveries=[{**action, "since": datetime.fromisoformat(action["filter"]["since"])} for action in recoveries],
        is_running=is_running,
        refresh=is_moving and not plan and not secret and "before" not in request.args,
        plan=plan,
        hours=HOURS,
    )
    return make_response(html, status)


def _names_of_chatbots(ids: list[int] | None) -> list[str]:
    own = (Chatbot.customer == g.customer.id) & Chatbot.id.in_(ids or [])
    return [row["name"] for row in db.rows(Chatbot.select(Chatbot.name).where(own).order_by(Chatbot.id))] if ids else []


def _recoveries(endpoint_id: int) -> Any:
    return BulkAction.select().where(BulkAction.customer == g.customer.id, recovery.of_endpoint(endpoint_id))


def _plan(endpoint_id: int) -> dict[str, Any] | None:
    """What the page's address asks for: since when, which events, how many. None: it asks for nothing."""
    hours, status = request.args.get("hours", type=int), request.args.get("status", recovery.FAILED)
    if hours not in HOURS or status not in (recovery.FAILED, recovery.DELIVERED):
        return None
    since = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=hours)
    return {
        "hours": hours,
        "status": status,
        "since": since,
        "total": recovery.count(recovery.Filter(endpoint_id, since, status=status)),
    }
