"""Webhooks: addresses of a business's own servers that hear of events. Rules and writes: shared/webhooks/endpoints.py."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import NotFound

from shared import db
from shared.errors import InvalidPayload, Refused
from shared.models import WebhookEndpoint
from shared.models.limits import TooMany
from shared.payloads import check, id_in
from shared.teaching import chatbots
from shared.webhooks import endpoints, overview
from shared.webhooks.events import DEFAULT_EVENTS, EVENT_TYPES
from shared.webhooks.rotation import MAX_OLD_SECRETS
from web.api.webhook_schemas import EndpointChangesSchema, NewEndpointSchema, TestEventSchema
from web.audited import audited
from web.desk import desk, forms
from web.desk.access import allowed
from web.desk.message_words import CHANNEL_NAMES
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.desk.schema_words import translated_errors
from web.desk.webhook import OFF, ONE, name_of, own, page, to

#: What a schedule is written with, and the word for none at all; an empty one is the platform's.
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NEVER = "0"


def _ticked(form: forms.Form, name: str) -> list[str]:
    return form.getlist(name)


def _ticked_or_all(form: forms.Form, name: str) -> list[str] | None:
    return form.getlist(name) or None


def _numbers_or_all(form: forms.Form, name: str) -> list[int | str] | None:
    """Ids; what is none stays, for the schema to refuse."""
    return [id_in(one) or one for one in form.getlist(name)] or None


def _schedule(form: forms.Form, name: str) -> list[int | str] | None:
    """Seconds of what is written like 5m 30m 2h; what is no time stays, for the schema to refuse."""
    given = forms.text(form, name).replace(",", " ").split()
    return None if not given else [] if given == [_NEVER] else [_seconds(time) for time in given]


def _seconds(time: str) -> int | str:
    number, unit = time[:-1], _UNITS.get(time[-1:])
    return int(number) * unit if unit and number.isdecimal() and len(number) < 9 else time


def _written(schedule: list[int | str] | None) -> str:
    """A schedule as the form has it."""
    if schedule is None:
        return ""
    return " ".join(time if isinstance(time, str) else _time(time) for time in schedule) or _NEVER


def _time(seconds: int) -> str:
    return next(f"{seconds // size}{unit}" for unit, size in _UNITS.items() if seconds % size == 0)


#: What the form has of what is stored; own headers are beside it, for what is stored is never shown.
_FIELDS: dict[str, forms.Reader] = {
    "url": forms.text_or_none,
    "description": forms.text,
    "events": _ticked,
    "chatbots": _numbers_or_all,
    "channels": _ticked_or_all,
    "rate_limit": forms.text_or_none,
    "redelivery_schedule": _schedule,
}


def _headers(form: forms.Form) -> dict[str, Any]:
    """Own headers, if any were written: they replace all that there were; or null, if these are to go."""
    if not (lines := forms.lines(form, "headers")):
        return {"headers": None} if forms.tick(form, "drop_headers") else {}
    parts = [line.partition(":") for line in lines]
    return {"headers": [{"name": name.strip(), "value": value.strip()} for name, _colon, value in parts]}


class Switch(NamedTuple):
    """A change by one button: what is set, the audit's word, and what is said afterwards."""

    values: dict[str, bool]
    action: str
    said: object


SWITCHES = {
    "pause": Switch({"paused": True}, "webhook.paused", _l("Paused. Its events wait.")),
    "resume": Switch({"paused": False}, "webhook.resumed", _l("Resumed. What waited is sent now, the oldest first.")),
    "enable": Switch({"active": True}, "webhook.enabled", _l("It is on again, and hears of events from now on.")),
    "disable": Switch({"active": False}, "webhook.disabled", _l("It is off. Events from now on are not kept for it.")),
}


@desk.get("/c/<int:customer_id>/webhooks")
@allowed("owner")
def webhooks() -> Response:
    """All of them."""
    states = overview.states(g.customer.id)
    rows = db.rows(endpoints.listed(g.customer.id).order_by(WebhookEndpoint.id))
    shown = [{**row, **states.get(row["id"], {}), "name": name_of(row)} for row in rows]
    return make_response(render_template("desk/webhooks.html", endpoints=shown, off=OFF))


@desk.get("/c/<int:customer_id>/webhooks/new")
@allowed("owner")
def new_webhook() -> Response:
    """The form of a new one."""
    return _form(None, {"events": DEFAULT_EVENTS})


@desk.post("/c/<int:customer_id>/webhooks/new")
@allowed("owner")
def create_webhook() -> Response:
    """Makes it, and shows its secret, this once."""
    given = forms.read(request.form, _FIELDS)
    try:
        checked = check(NewEndpointSchema, "webhook endpoint", {**given, **_headers(request.form)})
        with db.transaction():
            made = endpoints.create(g.customer.id, checked)
            audited("webhook.created", "webhook", made["id"], name=name_of(made))
    except InvalidPayload as problem:
        return _form(None, given, translated_errors(problem.errors), status=422)
    except TooMany as problem:
        return _form(None, given, refused=refusal_text(problem), status=409)
    return page(made, made["secret"])


@desk.get(f"{ONE}/settings")
@allowed("owner")
def webhook_settings(endpoint_id: int) -> Response:
    """The form of one that is there."""
    endpoint = own(endpoint_id)
    return _form(endpoint, endpoint)


@desk.post(f"{ONE}/settings")
@allowed("owner")
def save_webhook(endpoint_id: int) -> Response:
    """Takes what was written, unless somebody else has saved it meanwhile."""
    endpoint, given = own(endpoint_id), forms.read(request.form, _FIELDS)
    try:
        changes = check(EndpointChangesSchema, "webhook endpoint", {**given, **_headers(request.form)})
        changes.pop("rotate_secret")
        with db.transaction():
            stored = WebhookEndpoint.select(WebhookEndpoint.id).where(WebhookEndpoint.id == endpoint_id)
            db.rows(stored.for_update("FOR NO KEY UPDATE"))  # type: ignore[arg-type]  # peewee takes it
            endpoint = own(endpoint_id)
            if request.form.get("version") != forms.version(endpoint, _FIELDS):
                return _form(endpoint, given, is_stale=True, status=409)
            if endpoints.change(g.customer.id, endpoint_id, changes) is None:
                raise NotFound
            audited("webhook.changed", "webhook", endpoint_id, name=name_of({**endpoint, **changes}))
    except InvalidPayload as problem:
        return _form(endpoint, given, translated_errors(problem.errors), status=422)
    except Refused:
        text = _("An endpoint with an address keeps one, and one whose events are read gets none. Make a new one.")
        return _form(endpoint, given, {"url": text}, status=422)
    flash(_("Saved."))
    return to(endpoint_id)


@desk.post(f"{ONE}/<any({', '.join(SWITCHES)}):what>")
@allowed("owner")
def switch_webhook(endpoint_id: int, what: str) -> Response:
    """Pauses, resumes, switches on or off."""
    endpoint, switch = own(endpoint_id), SWITCHES[what]
    with db.transaction():
        if endpoints.change(g.customer.id, endpoint_id, switch.values) is None:
            raise NotFound
        audited(switch.action, "webhook", endpoint_id, name=name_of(endpoint))
    flash(str(switch.said))
    return to(endpoint_id)


@desk.post(f"{ONE}/test")
@allowed("owner")
def test_webhook(endpoint_id: int) -> Response:
    """Sends an example of an event."""
    endpoint = own(endpoint_id)
    try:
        wanted = check(TestEventSchema, "test event", {"event": forms.text_or_none(request.form, "event")})
        note = partial(audited, "webhook.tested", "webhook", endpoint_id, name=name_of(endpoint))
        endpoints.send_test(g.customer.id, endpoint_id, wanted["event"], note)
    except (InvalidPayload, Refused):
        flash(_("The test was not sent: switch the webhook on first, and choose an event of the list."), "bad")
        return to(endpoint_id)
    if endpoint["url"]:
        flash(_("The test is on its way. What your server answers appears below in a moment."))
    else:
        flash(_("The test is there, to be read with GET /events."))
    return to(endpoint_id)


@desk.post(f"{ONE}/secret")
@allowed("owner")
def rotate_webhook_secret(endpoint_id: int) -> Response:
    """A new secret, shown this once."""
    own(endpoint_id)
    try:
        with db.transaction():
            endpoint = endpoints.change(g.customer.id, endpoint_id, {}, rotates=True)
            if endpoint is None:
                raise NotFound
            audited("webhook.secret_rotated", "webhook", endpoint_id, name=name_of(endpoint))
    except Refused:
        flash(
            _(
                "The secret was replaced %(most)s times within 24 hours. Wait until the first of them has ended.",
                most=MAX_OLD_SECRETS,
            )
        )
        return to(endpoint_id)
    return page(endpoint, endpoint["secret"])


@desk.post(f"{ONE}/delete")
@allowed("owner")
def delete_webhook(endpoint_id: int) -> Response:
    """Deletes it with its events."""
    endpoint = own(endpoint_id)
    with db.transaction():
        if endpoints.delete(g.customer.id, endpoint_id) is None:
            raise NotFound
        audited("webhook.deleted", "webhook", endpoint_id, name=name_of(endpoint))
    flash(_("%(name)s is deleted.", name=name_of(endpoint)))
    return see_other(url_for("desk.webhooks"))


def _form(
    endpoint: dict[str, Any] | None,
    values: dict[str, Any],
    problems: dict[str, str] | None = None,
    *,
    is_stale: bool = False,
    refused: str = "",
    status: int = 200,
) -> Response:
    """The form, with what was given in the place of what is stored: nothing that somebody wrote is lost."""
    html = render_template(
        "desk/webhook_form.html",
        endpoint=endpoint,
        name=name_of(endpoint) if endpoint else "",
        values=values,
        problems=problems or {},
        is_stale=is_stale,
        refused=refused,
        version=forms.version(endpoint, _FIELDS) if endpoint else "",
        events=[(event.name, _(event.meaning)) for event in EVENT_TYPES.values()],
        bots=chatbots.names(g.customer.id),
        channels=CHANNEL_NAMES,
        schedule=_written(values.get("redelivery_schedule")),
        headers=request.form.get("headers", ""),
    )
    return make_response(html, status)
