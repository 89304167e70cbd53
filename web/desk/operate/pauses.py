"""What is paused, and pausing and resuming it."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from flask_babel.speaklater import LazyString
from werkzeug.exceptions import NotFound

from shared import db
from shared.channels.registry import SEND_QUEUES
from shared.models import Chatbot, Customer
from shared.operations import pauses as operations
from web.audited import audited
from web.desk import desk, forms
from web.desk.access import allowed
from web.desk.operate import customers, words
from web.desk.redirects import see_other

#: Why something cannot be paused.
_PROBLEMS: Mapping[str, LazyString] = {
    "nothing": _l("Choose what is to wait: a stage, a channel, a chatbot or a business."),
    "both": _l("Choose a stage or a channel, not both."),
    "of_all": _l("This stage cannot wait for one of them alone. Leave the stage empty, or pause it for all."),
    "gone": _l("What you chose is not there any more, or cannot be paused."),
}


@desk.get("/operate/pauses")
@allowed("operator")
def pauses() -> Response:
    """The list, and the form for another, of a business that the address may name."""
    return _page()


@desk.post("/operate/pauses")
@allowed("operator")
def pause() -> Response:
    """Pauses."""
    if any(request.form.get(name) and forms.row_id(request.form, name) is None for name in ("chatbot", "customer")):
        return _page(str(_PROBLEMS["gone"]), 422)  # else what was meant for one would wait for all
    try:
        what = operations.subject(
            request.form.get("queue") or None,
            request.form.get("channel") or None,
            forms.row_id(request.form, "chatbot"),
            forms.row_id(request.form, "customer"),
        )
    except operations.NoSuchSubject as problem:
        return _page(str(_PROBLEMS.get(problem.kind, _PROBLEMS["gone"])), 422)
    reason = request.form.get("reason", "").strip()[:500]
    with db.transaction():
        pause_id = operations.pause(what, g.user.email, reason)
        audited("pause.begun", "pause", pause_id, queue=what.queue, chatbot=what.chatbot_id, customer=what.customer_id)
    flash(_("Paused. What is being worked on at this moment is finished."))
    return see_other(url_for("desk.pauses"))


@desk.post("/operate/pauses/<int:pause_id>/resume")
@allowed("operator")
def resume(pause_id: int) -> Response:
    """Ends a pause."""
    released = operations.resume(pause_id, g.user.email, note=lambda: audited("pause.ended", "pause", pause_id))
    if released is None:
        raise NotFound
    flash(ngettext("Resumed. %(num)s job leaves now.", "Resumed. %(num)s jobs leave now, in their order.", released))
    return see_other(url_for("desk.pauses"))


def _page(problem: str = "", status: int = 200) -> Response:
    bots = (
        Chatbot.select(Chatbot.id, Chatbot.name, Customer.name.alias("customer"))
        .join(Customer)
        .order_by(Customer.name, Chatbot.name)
    )
    page = render_template(
        "desk/operate/pauses.html",
        pauses=operations.overview(),
        problem=problem,
        customers=customers.choices(),
        chatbots=[(row["id"], f"{row['customer']}: {row['name']}") for row in db.rows(bots.limit(customers.MOST_CHOICES + 1))],
        most_choices=customers.MOST_CHOICES,
        channels=[name for name, queue in SEND_QUEUES.items() if queue],
        words=words,
        given=request.form if status == 422 else request.args,
    )
    return make_response(page, status)
