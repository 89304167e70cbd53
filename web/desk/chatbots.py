"""Chatbots: new ones, and their answers, model, people's hours and sites. The rules are shared/teaching/chatbots.py's."""

from __future__ import annotations

from typing import Any, NamedTuple

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import NotFound

from shared import db
from shared.errors import InvalidPayload, Refused
from shared.models import Chatbot, KnowledgeBase
from shared.models.limits import TooMany
from shared.payloads import check
from shared.teaching import chatbots as teaching
from shared.teaching import knowledge
from shared.teaching.hours import DAYS, time_zone_choices
from shared.teaching.providers import MAX_PROVIDERS
from web.addresses import shown_address
from web.api.api import MAX_TEXT_BODY
from web.audited import audited
from web.desk import desk, forms, hours, silences, test_chat
from web.desk.access import allowed
from web.desk.knowledge import own_language
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.desk.schema_words import translated_errors
from web.hardening import max_body

_ONE = "/c/<int:customer_id>/chatbots/<int:chatbot_id>"


def _providers(form: forms.Form, _name: str) -> list[dict[str, Any]]:
    """The rows that name a model. A key that is not written stays as it is."""
    rows = []
    for number in range(MAX_PROVIDERS):
        url, model, key = (forms.text(form, f"{name}-{number}") for name in ("url", "model", "key"))
        timeout = forms.number_or_none(form, f"timeout-{number}")
        if url or model or key:
            rows.append({"base_url": url or None, "model": model, "timeout": timeout, **({"api_key": key} if key else {})})
    return rows


class Section(NamedTuple):
    """A page of settings: its name, and its fields with how each is read."""

    label: object
    fields: dict[str, forms.Reader]


SECTIONS = {
    "answers": Section(
        _l("Answers"),
        {
            "name": forms.text,
            "system_prompt": forms.text,
            "knowledge_base_id": forms.number_or_none,
            "no_answer_message": forms.text,
            "unsupported_message": forms.text,
            "cite_sources": forms.tick,
            "can_see": forms.tick,
            "debounce_seconds": forms.number,
        },
    ),
    "model": Section(
        _l("Model"),
        {
            "providers": _providers,
            "temperature": forms.number,
            "max_tokens": forms.number,
            "fallback_message": forms.text,
            "fallback_hands_over": forms.tick,
        },
    ),
    "people": Section(
        _l("Your team"),
        {
            "handover_message": forms.text_or_none,
            "no_answer_hands_over": forms.tick,
            "no_answer_hands_over_after": forms.number,
            "unsupported_hands_over": forms.tick,
            "return_after_minutes": forms.number,
            "opening_hours": hours.read,
            "time_zone": forms.time_zone,
            "closed_hands_over": forms.tick,
            "closed_message": forms.text_or_none,
        },
    ),
    "website": Section(_l("Website"), {"allowed_origins": forms.lines}),
}


@desk.get("/c/<int:customer_id>/chatbots")
@allowed("owner")
def chatbots() -> Response:
    """All of them."""
    return _list()


@desk.post("/c/<int:customer_id>/chatbots")
@allowed("owner")
def create_chatbot() -> Response:
    """Makes one, with a knowledge base of its own, and goes on to its settings."""
    given = {"name": forms.text(request.form, "name")}
    try:
        checked = check(teaching.ChatbotSchema, "chatbot", given)
    except InvalidPayload as problem:
        return _list(translated_errors(problem.errors), 422)
    try:
        with db.transaction():
            base = knowledge.create_base(g.customer.id, {"name": checked["name"], "language": own_language()})
            bot = teaching.create_chatbot(g.customer.id, {**checked, "knowledge_base_id": base["id"]})
            audited("chatbot.created", "chatbot", bot["id"], name=bot["name"])
    except TooMany as problem:
        flash(refusal_text(problem), "bad")
        return _list(status=409)
    flash(_("Your chatbot is there. Say how it speaks, teach it under Knowledge, then try it."))
    return _to(bot["id"], "answers")


@desk.get(f"{_ONE}/<any({', '.join(SECTIONS)}):section>")
@allowed("owner")
def chatbot(chatbot_id: int, section: str) -> Response:
    """One page of its settings, with the test chat beside it."""
    return _page(_bot(chatbot_id), section)


@desk.post(f"{_ONE}/<any({', '.join(SECTIONS)}):section>")
@allowed("owner")
@max_body(MAX_TEXT_BODY)
def save_chatbot(chatbot_id: int, section: str) -> Response:
    """Takes one page of settings, unless somebody else has saved them meanwhile."""
    bot, fields = _bot(chatbot_id), SECTIONS[section].fields
    given = forms.read(request.form, fields)
    try:
        changes = check(teaching.ChatbotChangesSchema, "chatbot", given)
        with db.transaction():
            db.rows(Chatbot.select(Chatbot.id).where(Chatbot.id == chatbot_id).for_update())
            bot = _bot(chatbot_id)
            if request.form.get("version") != forms.version(bot, fields):
                return _page(bot, section, given, is_stale=True, status=409)
            teaching.change_chatbot(g.customer.id, chatbot_id, changes)
            audited("chatbot.changed", "chatbot", chatbot_id, name=changes.get("name", bot["name"]), section=section)
    except InvalidPayload as problem:
        return _page(bot, section, given, translated_errors(problem.errors), status=422)
    flash(_("Saved. It holds from the next answer on."))
    return _to(chatbot_id, section)


@desk.post(f"{_ONE}/delete")
@allowed("owner")
def delete_chatbot(chatbot_id: int) -> Response:
    """Deletes one that nobody has spoken to."""
    bot = _bot(chatbot_id)
    try:
        with db.transaction():
            if teaching.delete_chatbot(g.customer.id, chatbot_id) is None:
                raise NotFound
            audited("chatbot.deleted", "chatbot", chatbot_id, name=bot["name"])
    except Refused:
        kept = _(
            "%(name)s has conversations, and what was said stays with it. To end it, empty its sites and its channels.",
            name=bot["name"],
        )
        return _page(bot, "answers", refused=kept, status=409)
    flash(_("%(name)s is deleted.", name=bot["name"]))
    return see_other(url_for("desk.chatbots"))


@desk.post(f"{_ONE}/test")
@allowed("owner")
def begin_test(chatbot_id: int) -> Response:
    """A new test chat: a visitor of the widget's, whom this browser remembers."""
    test_chat.begin(_bot(chatbot_id)["id"], g.user.id)
    section = request.form.get("section", "")
    return _to(chatbot_id, section if section in SECTIONS else "answers", anchor="test")  # on a phone it is far below


@desk.get(f"{_ONE}/test")
@allowed("owner")
def test_answers(chatbot_id: int) -> Response:
    """What the answers of the test chat are made of; the page asks for it again and again."""
    bot = _bot(chatbot_id)
    answers = test_chat.answers(g.customer.id, bot["id"])
    return make_response(render_template("desk/test_answers.html", answers=answers, bot=bot))


def bots_of(customer_id: int) -> list[dict[str, Any]]:
    """A customer's chatbots, by name."""
    return db.rows(
        Chatbot.select(*teaching.CHATBOT, KnowledgeBase.name.alias("base_name"))
        .left_outer_join(KnowledgeBase)
        .where(Chatbot.customer == customer_id)
        .order_by(Chatbot.name, Chatbot.id)
    )


def _bot(chatbot_id: int) -> dict[str, Any]:
    """Raises NotFound for one that is not the customer's."""
    own = teaching.is_own(g.customer.id, chatbot_id)
    row = db.row(Chatbot.select(*teaching.CHATBOT).where(own))
    if row is None:
        raise NotFound
    return row


def _list(problems: dict[str, str] | None = None, status: int = 200) -> Response:
    silent = silences.of_business(g.customer.id)
    page = render_template("desk/chatbots.html", bots=bots_of(g.customer.id), silences=silent, problems=problems or {})
    return make_response(page, status)


def _page(
    bot: dict[str, Any],
    section: str,
    given: dict[str, Any] | None = None,
    problems: dict[str, str] | None = None,
    *,
    is_stale: bool = False,
    refused: str = "",
    status: int = 200,
) -> Response:
    """The page, with what was given in the place of what is stored: nothing that somebody wrote is lost."""
    bases = KnowledgeBase.select(KnowledgeBase.id, KnowledgeBase.name).where(KnowledgeBase.customer == g.customer.id)
    page = render_template(
        "desk/chatbot.html",
        bot=bot,
        values={name: forms.written(value) for name, value in {**bot, **(given or {})}.items()},
        hours=_written_hours(bot),
        unreadable_days=hours.unreadable(request.form),
        problems=problems or {},
        is_stale=is_stale,
        refused=refused,
        section=section,
        sections=SECTIONS,
        version=forms.version(bot, SECTIONS[section].fields),
        bases=db.rows(bases.order_by(KnowledgeBase.name)),
        test_token=test_chat.token(bot["id"]),
        site=shown_address(),
        max_providers=MAX_PROVIDERS,
        time_zones=time_zone_choices(),
    )
    return make_response(page, status)


def _written_hours(bot: dict[str, Any]) -> dict[str, str]:
    """The line of each day: what was just written, else what is stored."""
    if "version" in request.form:
        return hours.written(request.form)
    return {day: ", ".join("-".join(span) for span in (bot["opening_hours"] or {}).get(day, [])) for day in DAYS}


def _to(chatbot_id: int, section: str, anchor: str | None = None) -> Response:
    return see_other(url_for("desk.chatbot", chatbot_id=chatbot_id, section=section, _anchor=anchor))
