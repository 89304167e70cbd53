"""Questions that chatbots had no answer to: an owner writes the answer once, for all who ask next (shared/teaching/gaps.py)."""

from __future__ import annotations

from typing import Any

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from shared import db
from shared.errors import InvalidPayload
from shared.models import KnowledgeGap
from shared.models.limits import TooMany
from shared.payloads import check
from shared.teaching import gaps as teaching
from web.api.api import MAX_TEXT_BODY
from web.audited import audited
from web.desk import desk, forms
from web.desk.access import allowed, masked, may_read_texts
from web.desk.knowledge import BASE, item_page, require_base
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.desk.schema_words import translated_errors
from web.hardening import max_body

#: Groups that are shown: those that were asked most.
_SHOWN = 100


@desk.get(f"{BASE}/gaps")
@allowed("owner")
def gaps(base_id: int) -> Response:
    """The open ones, like questions together."""
    return _page(base_id)


@desk.post(f"{BASE}/gaps/<int:gap_id>/answer")
@allowed("owner")
@max_body(MAX_TEXT_BODY)
def answer_gap(base_id: int, gap_id: int) -> Response:
    """Takes the answer; chatbots know it at once."""
    base = require_base(base_id)
    given = forms.read(request.form, {"title": forms.text_or_none, "content": forms.text, "url": forms.text_or_none})
    try:
        checked = check(teaching.AnswerSchema, "answer", given)
    except InvalidPayload as problem:
        return _page(base_id, gap_id, translated_errors(problem.errors), 422)
    try:
        with db.transaction():
            item = teaching.answer(g.customer.id, base_id, gap_id, checked)
            if item is None:
                return _came_second(base, gap_id, given)
            audited("knowledge.gap_answered", "knowledge item", item["id"])
    except TooMany as problem:
        flash(refusal_text(problem), "bad")
        return _page(base_id, gap_id, status=409)
    flash(_("Answered. The next customer who asks gets it."))
    return _to(base_id)


@desk.post(f"{BASE}/gaps/<int:gap_id>/dismiss")
@allowed("owner")
def dismiss_gap(base_id: int, gap_id: int) -> Response:
    """Closes it without an answer."""
    require_base(base_id)
    with db.transaction():
        if not teaching.dismiss(g.customer.id, base_id, gap_id):
            raise NotFound
        audited("knowledge.gap_dismissed", "knowledge gap", gap_id)
    flash(_("Put aside."))
    return _to(base_id)


def _came_second(base: dict[str, Any], gap_id: int, given: dict[str, Any]) -> Response:
    """The question is open no more, or was erased: what was written is in the form of a new item."""
    own = (KnowledgeGap.id == gap_id) & (KnowledgeGap.knowledge_base == base["id"])
    question = masked(db.scalar(KnowledgeGap.select(KnowledgeGap.question).where(own))) if may_read_texts() else ""
    values = {**given, "title": given["title"] or question, "show_link": True, "is_active": True}
    return item_page(base, None, values, came_second=True, status=409)


def _page(base_id: int, answered: int = 0, problems: dict[str, str] | None = None, status: int = 200) -> Response:
    base = require_base(base_id)
    groups = [group.as_dict() for group in teaching.of_base(g.customer.id, base_id)]
    page = render_template(
        "desk/knowledge_gaps.html",
        base=base,
        gaps=groups[:_SHOWN],
        total=len(groups),
        answered=answered,
        problems=problems or {},
        form=request.form,
    )
    return make_response(page, status)


def _to(base_id: int) -> Response:
    return see_other(url_for("desk.gaps", base_id=base_id))
