"""Knowledge: bases and the items that chatbots answer from. Rules and writes: shared/teaching/knowledge.py, search: shared/ai."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeVar

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import gettext as _
from peewee import fn
from werkzeug.exceptions import NotFound

from shared import db
from shared.errors import InvalidPayload, Refused
from shared.models import Chatbot, KnowledgeBase, KnowledgeGap, KnowledgeItem, KnowledgeSource
from shared.models.limits import TooMany
from shared.payloads import check
from shared.teaching import gaps, storing
from shared.teaching import knowledge as teaching
from shared.teaching.languages import SIMPLE, STEMMED
from web import trying_out
from web.api.api import MAX_TEXT_BODY
from web.audited import audited
from web.desk import desk, forms, paging
from web.desk.access import allowed
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.desk.schema_words import translated_errors, translated_fields
from web.hardening import max_body

Row = TypeVar("Row")

BASE = "/c/<int:customer_id>/knowledge/<int:base_id>"
_BASE = {"name": forms.text, "language": forms.text}
_ITEM = {"title": forms.text, "content": forms.text, "url": forms.text_or_none, "show_link": forms.tick, "is_active": forms.tick}
#: Characters of a question; more says nothing more.
_MAX_QUESTION = 1_000


@desk.get("/c/<int:customer_id>/knowledge")
@allowed("owner")
def knowledge() -> Response:
    """All bases."""
    return _list({})


@desk.post("/c/<int:customer_id>/knowledge")
@allowed("owner")
def create_base() -> Response:
    """Makes a base, and goes on to it."""
    try:
        given = check(teaching.BaseSchema, "knowledge base", forms.read(request.form, _BASE))
    except InvalidPayload as problem:
        return _list(translated_errors(problem.errors), 422)
    try:
        with db.transaction():
            base = teaching.create_base(g.customer.id, given)
            audited("knowledge.base_created", "knowledge base", base["id"], name=base["name"])
    except TooMany as problem:
        flash(refusal_text(problem), "bad")
        return _list({}, 409)
    return _to("desk.items", base_id=base["id"])


@desk.get(BASE)
@allowed("owner")
def items(base_id: int) -> Response:
    """Its items, newest first; with `q` what a chatbot would find for this question."""
    base, question = require_base(base_id), request.args.get("q", "").strip()[:_MAX_QUESTION]
    if question:
        found = trying_out.found(g.customer.id, base_id, question)
        return _page("desk/knowledge_items.html", base, found=found, question=question)
    return _items_page(base)


@desk.get(f"{BASE}/items/new")
@allowed("owner")
def new_item(base_id: int) -> Response:
    """The form of a new item."""
    return item_page(require_base(base_id), None, {"show_link": True, "is_active": True})


@desk.post(f"{BASE}/items/new")
@allowed("owner")
@max_body(MAX_TEXT_BODY)
def create_item(base_id: int) -> Response:
    """Adds it; chatbots find it at once."""
    base, given = require_base(base_id), forms.read(request.form, _ITEM)
    try:
        checked = check(teaching.ItemSchema, "knowledge item", given)
    except InvalidPayload as problem:
        return item_page(base, None, given, translated_errors(problem.errors), status=422)
    try:
        with db.transaction():
            item = _there(teaching.create_item(g.customer.id, base_id, checked))
            audited("knowledge.item_created", "knowledge item", item["id"], name=checked["title"][:80])
    except TooMany as problem:
        flash(refusal_text(problem), "bad")
        return item_page(base, None, given, status=409)
    flash(_("Added. Your chatbots know it from now on."))
    return _to("desk.items", base_id=base_id)


@desk.get(f"{BASE}/items/<int:item_id>")
@allowed("owner")
def item(base_id: int, item_id: int) -> Response:
    """One item."""
    base, stored = require_base(base_id), _item(base_id, item_id)
    return item_page(base, stored, stored)


@desk.post(f"{BASE}/items/<int:item_id>")
@allowed("owner")
@max_body(MAX_TEXT_BODY)
def save_item(base_id: int, item_id: int) -> Response:
    """Takes what was written, unless somebody else has saved the item meanwhile."""
    base, stored, given = require_base(base_id), _item(base_id, item_id), forms.read(request.form, _ITEM)
    try:
        changes = check(teaching.ItemChangesSchema, "knowledge item", given)
    except InvalidPayload as problem:
        return item_page(base, stored, given, translated_errors(problem.errors), status=422)
    with db.transaction():
        db.rows(KnowledgeItem.select(KnowledgeItem.id).where(KnowledgeItem.id == item_id).for_update())
        stored = _item(base_id, item_id)
        if request.form.get("version") != forms.version(stored, _ITEM):
            return item_page(base, stored, given, is_stale=True, status=409)
        teaching.change_item(g.customer.id, item_id, changes)
        audited("knowledge.item_changed", "knowledge item", item_id, name=teaching.name_of(item_id))
    flash(_("Saved. It holds from the next answer on."))
    return _to("desk.items", base_id=base_id)


@desk.post(f"{BASE}/items/<int:item_id>/delete")
@allowed("owner")
def delete_item(base_id: int, item_id: int) -> Response:
    """Deletes it."""
    require_base(base_id)
    _item(base_id, item_id)
    with db.transaction():
        name = _there(teaching.delete_item(g.customer.id, item_id))
        audited("knowledge.item_deleted", "knowledge item", item_id, name=name)
    flash(_("Deleted."))
    return _to("desk.items", base_id=base_id)


@desk.post(f"{BASE}/settings")
@allowed("owner")
def save_base(base_id: int) -> Response:
    """Takes another name and language, unless somebody else has changed them meanwhile."""
    base = require_base(base_id)
    try:
        changes = check(teaching.BaseChangesSchema, "knowledge base", forms.read(request.form, _BASE))
    except InvalidPayload as problem:
        return _items_page(
            base, problem=translated_fields(problem.errors, {"name": _("Name"), "language": _("Language")}), status=422
        )
    with db.transaction():
        own = KnowledgeBase.select(KnowledgeBase.id).where(KnowledgeBase.id == base_id)
        db.rows(own.for_update("FOR NO KEY UPDATE"))  # type: ignore[arg-type]  # peewee takes it; an import has the key
        base = require_base(base_id)
        if request.form.get("version") != forms.version(base, _BASE):
            changed = _("Somebody else has changed it meanwhile. This is how it is now; change it again.")
            return _items_page(base, problem=changed, status=409)
        teaching.change_base(g.customer.id, base_id, changes)
        audited("knowledge.base_changed", "knowledge base", base_id, name=changes["name"])
    flash(_("Saved."))
    return _to("desk.items", base_id=base_id)


@desk.post(f"{BASE}/delete")
@allowed("owner")
def delete_base(base_id: int) -> Response:
    """Deletes a base with its items, unless a chatbot answers from it."""
    base = require_base(base_id)
    try:
        with db.patient(storing.DELETING), db.transaction():
            _there(teaching.delete_base(g.customer.id, base_id))
            audited("knowledge.base_deleted", "knowledge base", base_id, name=base["name"])
    except Refused:
        flash(_("A chatbot answers from it. Give that chatbot another knowledge base first."), "bad")
        return _to("desk.items", base_id=base_id)
    flash(_("%(name)s is deleted.", name=base["name"]))
    return _to("desk.knowledge")


def require_base(base_id: int) -> dict[str, Any]:
    """A base with its counts. Raises NotFound for one that is not the customer's."""
    own = teaching.is_own_base(g.customer.id, base_id)
    row = db.row(_bases().where(own))
    if row is None:
        raise NotFound
    return _counted(row)


def _there(row: Row | None) -> Row:
    """What was made or deleted. Raises NotFound if somebody else has deleted it, or its base, at this moment."""
    if row is None:
        raise NotFound
    return row


def languages() -> list[tuple[str, str]]:
    """Those that a base can be in, in the reader's words."""
    names = get_locale().languages if get_locale() else {}
    return [
        *sorted(((name, names.get(code, name)) for code, name in STEMMED.items()), key=lambda one: one[1]),
        (SIMPLE, _("another")),
    ]


def own_language() -> str:
    """The language of a new base: the page's."""
    return STEMMED.get(str(get_locale()), SIMPLE)


def _bases() -> Any:
    asked = KnowledgeGap.select(fn.COUNT(KnowledgeGap.id)).where(
        KnowledgeGap.knowledge_base == KnowledgeBase.id, KnowledgeGap.closed_at.is_null()
    )
    return KnowledgeBase.select(*teaching.BASE, asked.alias("gaps"))


def _counted(base: dict[str, Any]) -> dict[str, Any]:
    """With as many open questions as there are to answer: like ones are one, however often they were asked."""
    return {**base, "gaps": len(gaps.of_base(g.customer.id, base["id"]))} if base["gaps"] > 1 else base


def _list(problems: dict[str, str], status: int = 200) -> Response:
    own = _bases().where(KnowledgeBase.customer == g.customer.id)
    bases = [_counted(row) for row in db.rows(own.order_by(KnowledgeBase.name, KnowledgeBase.id))]
    more = {"users": _users(), "problems": problems, "languages": languages(), "own": own_language()}
    return make_response(render_template("desk/knowledge.html", bases=bases, **more), status)


def _users() -> dict[int, list[str]]:
    """Of each base that is used: the names of the chatbots that answer from it, the oldest first."""
    one, found = Chatbot, defaultdict[int, list[str]](list)
    is_own = (one.customer == g.customer.id) & one.knowledge_base.is_null(False)
    for row in db.rows(one.select(one.name, one.knowledge_base).where(is_own).order_by(one.id)):
        found[row["knowledge_base_id"]].append(row["name"])
    return found


def _item(base_id: int, item_id: int) -> dict[str, Any]:
    is_it = teaching.is_own_item(g.customer.id, item_id) & (KnowledgeItem.knowledge_base == base_id)
    row = db.row(teaching.items().where(is_it))
    if row is None:
        raise NotFound
    return row


def item_page(
    base: dict[str, Any],
    stored: dict[str, Any] | None,
    values: dict[str, Any],
    problems: dict[str, str] | None = None,
    *,
    is_stale: bool = False,
    came_second: bool = False,
    status: int = 200,
) -> Response:
    """The form. `came_second`: it has an answer to an open question that somebody else has answered meanwhile."""
    page = render_template(
        "desk/knowledge_item.html",
        base=base,
        item=stored,
        values=values,
        problems=problems or {},
        is_stale=is_stale,
        came_second=came_second,
        version=forms.version(stored, _ITEM) if stored else "",
    )
    return make_response(page, status)


def _items_page(base: dict[str, Any], problem: str = "", status: int = 200) -> Response:
    """A page of its items, the newest first."""
    base_id = base["id"]
    rows = teaching.items().where(KnowledgeItem.knowledge_base == base_id)
    before, source = forms.row_id(request.args, "before"), forms.row_id(request.args, "source")
    if source:
        rows = rows.where(KnowledgeSource.id == source)
    if before:
        rows = rows.where(KnowledgeItem.id < before)
    newest = db.rows(rows.order_by(KnowledgeItem.id.desc()).limit(paging.ROWS + 1))
    shown, more = paging.page_of(newest, url_for("desk.items", base_id=base_id), source=source)
    values = {"items": shown, "more": more, "question": "", "problem": problem}
    return _page("desk/knowledge_items.html", base, **values, status=status)


def _page(template: str, base: dict[str, Any], status: int = 200, **values: Any) -> Response:
    version = forms.version(base, _BASE)
    return make_response(render_template(template, base=base, languages=languages(), version=version, **values), status)


def _to(endpoint: str, **values: Any) -> Response:
    return see_other(url_for(endpoint, **values))
