"""Replays: a preview that says what would happen, the replay's own page while it runs, and the list of them."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.exceptions import BadRequest, NotFound

from shared import db
from shared.errors import Refused
from shared.operations import bulk_actions, criteria
from shared.operations import replays as operations
from shared.operations.dead_letters import Filter
from web.audited import audited
from web.desk import audit_words, desk, forms
from web.desk.access import allowed
from web.desk.operate import words
from web.desk.operate.failures import meant
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text

#: Replays on the page.
_ROWS = 50
#: Failures that a preview looks at: each of them takes 0.05 ms, and the page must not keep anybody waiting.
_LOOKED_AT = 2_000
#: Failures a second that may be chosen.
PACES = (5, 20, 50, 200)


@desk.get("/operate/replays")
@allowed("operator")
def replays() -> Response:
    """The newest."""
    page = render_template("desk/operate/replays.html", actions=bulk_actions.newest(operations.KIND, _ROWS), words=words)
    return make_response(page)


@desk.get("/operate/replays/new")
@allowed("operator")
def new_replay() -> Response:
    """The preview: nothing is sent."""
    unknown = "unknown" in request.args
    plan = operations.preview(meant(request.args), unknown, _LOOKED_AT)
    page = render_template(
        "desk/operate/new_replay.html",
        plan=plan,
        said=criteria.written(plan.where),
        paces=PACES,
        pace=int(bulk_actions.PACE),
        words=words,
    )
    return make_response(page)


@desk.post("/operate/replays")
@allowed("operator")
def begin_replay() -> Response:
    """Begins what was previewed: not what failed since."""
    where = meant(request.form)
    pace = forms.row_id(request.form, "pace") or bulk_actions.PACE
    name = request.form.get("name", "").strip()[:200] or None
    try:
        bulk_actions.check_pace(pace)
    except Refused as refusal:
        raise BadRequest(refusal_text(refusal)) from None
    with db.transaction():
        action = operations.begin(
            where,
            g.user.email,
            include_unknown="unknown" in request.form,
            pace=pace,
            name=name,
        )
        audited("replay.begun", "replay", action, **criteria.facts(where))
    return see_other(url_for("desk.replay", action_id=action))


@desk.get("/operate/replays/<int:action_id>")
@allowed("operator")
def replay(action_id: int) -> Response:
    """How far it is, and what became of what it gave out."""
    action = _action(action_id)
    done = sum(action["counts"].values())
    where = {criteria.NAMES[name]: value for name, value in action["filter"].items() if name not in ("ids", "state", "until")}
    page = render_template(
        "desk/operate/replay.html",
        action=action,
        done=done,
        results=operations.results(action_id),
        until=Filter.of_json(action["filter"]).until,
        said=audit_words.told(where),
        ticked=len(action["filter"].get("ids", ())),
        words=words,
    )
    return make_response(page)


@desk.post("/operate/replays/<int:action_id>/stop")
@allowed("operator")
def stop_replay(action_id: int) -> Response:
    """What was begun goes on; the rest stays as it is."""
    _action(action_id)
    with db.transaction():
        stopped = bulk_actions.stop(action_id, g.user.email)
        if stopped:
            audited("replay.stopped", "replay", action_id)
    flash(_("The replay is stopped. What was begun goes on.") if stopped else _("The replay had ended."))
    return see_other(url_for("desk.replay", action_id=action_id))


def _action(action_id: int) -> dict[str, Any]:
    action = bulk_actions.find(operations.KIND, action_id)
    if action is None:
        raise NotFound
    return action
