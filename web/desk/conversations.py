"""One conversation: what was written, who has it, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import Forbidden, NotFound

from shared import db
from shared.channels.outbound_file import ways_of
from shared.channels.outcomes import TOLD_IN_WORDS, explanation
from shared.db.outage import repeat_refused
from shared.errors import InvalidPayload
from shared.inbox import templates, thread, work
from shared.models import Media, Message
from shared.models.limits import TooMany
from shared.payloads import check
from shared.privacy import erasure
from shared.teaching import askers, knowledge
from web import uploads
from web.api import outbound
from web.audited import audited
from web.desk import desk, forms
from web.desk.access import allowed, may_read_texts, note_look
from web.desk.inbox import REASONS, kept_list, listing
from web.desk.job_words import job_words
from web.desk.message_words import CHANNEL_NAMES, STATUSES, seen
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.desk.schema_words import translated_fields
from web.files import FILE, answer_with

desk.add_app_template_filter(job_words)
desk.add_app_template_filter(seen)

#: Said of a form that came back from the browser's memory, and whose key was sent before.
SENT_BEFORE = _l("This form was sent before, with another text. Here is your text in a new form: send it again.")


@desk.get("/c/<int:customer_id>/conversations/<int:conversation_id>")
@allowed("agent")
def conversation(conversation_id: int) -> Response:
    """The conversation, with the list beside it."""
    found = existing(conversation_id)
    if found["id"] != conversation_id:  # it has become a part of another one
        return see_other(url_for("desk.conversation", conversation_id=found["id"]))
    return show(found)


@desk.get("/c/<int:customer_id>/conversations/<int:conversation_id>/thread")
@allowed("agent")
def conversation_thread(conversation_id: int) -> Response:
    """What was written, and whose it is: for a page whose conversation has changed."""
    found = existing(conversation_id)
    return make_response(render_template("desk/thread.html", **_shown(found), kept=kept_list()))


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/take")
@allowed("agent")
def take(conversation_id: int) -> Response:
    """Takes it, or gives it to a colleague (`user`), from whoever the page says has it (`from`); says who was faster."""
    found, given = existing(conversation_id), request.form.get("user", "")
    colleagues = {str(one["id"]): one["id"] for one in work.colleagues(g.customer.id)}
    if given and given not in colleagues:
        raise NotFound(_("There is no such colleague."))
    user_id = colleagues[given] if given else g.user.id
    may_take_from = found["assigned_to"] if request.form.get("from") == str(found["assigned_to"]) else None
    try:
        work.take(found["id"], user_id, may_take_from, _noting("conversation.assigned", found, user=user_id))
    except work.Taken as faster:
        return show(existing(conversation_id), problem=_("%(name)s has taken it already.", name=faster.name), status=409)
    return back(found)


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/<any(bot, closed):owner>")
@allowed("agent")
def hand_conversation_to(conversation_id: int, owner: str) -> Response:
    """Gives it back to the bot, or closes it until the customer writes again."""
    found = existing(conversation_id)
    action = "conversation.closed" if owner == "closed" else "conversation.returned"
    work.hand_to(found["id"], owner, _noting(action, found))
    flash(_("Closed. It opens again when the customer writes.") if owner == "closed" else _("The bot has it again."))
    return back(found)


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/notes")
@allowed("agent")
def add_note(conversation_id: int) -> Response:
    """Leaves a note for colleagues; sent twice by the same form it is one."""
    found, content, form_key = existing(conversation_id), forms.text(request.form, "content"), key()
    if not content:
        return back(found)
    # Once more, if the conversation is erased at this moment: then it is not found.
    note = repeat_refused(lambda: work.note(existing(found["id"])["id"], g.user, content, form_key))
    if note["content"] != content[: work.MAX_NOTE]:
        return show(found, problem=str(SENT_BEFORE), status=409, draft=content, kind="note")
    return back(found)


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/messages/<int:message_id>/improve")
@allowed("agent")
def improve(conversation_id: int, message_id: int) -> Response:
    """Writes what should have been answered into the chatbot's knowledge, in the place of what that says to the same question."""
    found = existing(conversation_id)
    reply = own_message(found["id"], message_id)
    asked = _question_of(reply)
    given = forms.read(request.form, {"title": forms.text, "content": forms.text})
    try:
        item = check(knowledge.ItemSchema, "knowledge item", given)
    except InvalidPayload as wrong:
        problem = translated_fields(wrong.errors, {"title": _("Question"), "content": _("Answer")})
        return show(found, problem=_("The answer was not saved: %(problem)s", problem=problem), status=422, better=given)
    try:
        with db.transaction():
            item["asked_in"] = askers.asked_in(item["title"], asked)
            new = knowledge.create_item(g.customer.id, found["knowledge_base_id"], item) if found["knowledge_base_id"] else None
            if new is None:
                problem = _("This chatbot has no knowledge base. An owner can give it one.")
                return show(found, problem=problem, status=409, better=given)
            audited("knowledge.item_created", "knowledge item", new["id"])
            earlier = knowledge.put_aside(g.customer.id, found["knowledge_base_id"], new, _made_of(reply))
            for item_id in earlier:
                audited("knowledge.item_changed", "knowledge item", item_id, name=knowledge.name_of(item_id))
    except TooMany as refusal:
        return show(found, problem=refusal_text(refusal), status=409, better=given)
    flash(_("Saved. From the next question on the bot knows it."))
    if earlier:
        flash(_("What it knew before under the same question is switched off. An owner finds it under Knowledge."))
    return back(found)


@desk.post("/c/<int:customer_id>/contacts/<int:contact_id>/erase")
@allowed("owner")
def erase_contact(contact_id: int) -> Response:
    """Erases all that is known of a person."""
    if erasure.erase(g.customer.id, contact_id, by="desk", user=g.user) is None:
        raise NotFound(_("There is no such contact."))
    flash(_("The contact is erased."))
    return see_other(url_for("desk.inbox"))


@desk.get("/c/<int:customer_id>/media/<int:media_id>")
@allowed("agent")
def media(media_id: int) -> Response:
    """The bytes of a file that a customer, or the business, sent."""
    if not may_read_texts():
        raise Forbidden(_("You may not read what customers write. Another operator can allow it."))
    own = (Media.id == media_id) & (Media.customer == g.customer.id)
    answer = answer_with(db.row(Media.select(*FILE).where(own)))
    answer.vary.update(("Cookie", "Sec-Fetch-Dest"))
    # Opened by itself it would be behind the button Back after a log-out. An operator's grant may end, and looks are recorded.
    if request.headers.get("Sec-Fetch-Dest") == "document" or g.user.role == "operator":
        answer.headers["Cache-Control"] = "no-store"
    note_look()
    return answer


def show(
    found: dict[str, Any],
    problem: str = "",
    status: int = 200,
    draft: str = "",
    kind: str = "message",
    better: Mapping[str, Any] | None = None,
) -> Response:
    """The page. `better`: the answer for the knowledge that was refused, which is still in its dialog."""
    more = {
        "better": better,
        "problem": problem,
        "draft": draft,
        "kind": "note" if found["is_window_closed"] else kind,
        "contact": thread.contact(found["contact_id"], found["id"]),
        "colleagues": work.colleagues(g.customer.id),
        "replies": work.quick_replies(g.customer.id),
        "templates": templates.offered(outbound.waba_id(found)) if found["is_window_closed"] else [],
        "key": uuid4().hex,
        "sends_files": bool(ways_of(found["channel"])),
        "accepted": uploads.ACCEPTED,
        "max_file": uploads.MAX_FILE,
    }
    shown = {**listing(found["id"], found), **_shown(found), **more}
    return make_response(render_template("desk/conversation.html", **shown), status)


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    before = forms.row_id(request.args, "before")
    entries, earlier = thread.entries(found["id"], before)
    return {
        "conversation": found,
        "entries": entries,
        "earlier": earlier,
        "before": before,
        "explanation": explanation,
        "told_in_words": TOLD_IN_WORDS,
        "reasons": REASONS,
        "statuses": STATUSES,
        "channel_names": CHANNEL_NAMES,
    }


def existing(conversation_id: int) -> dict[str, Any]:
    found = thread.conversation(g.customer.id, conversation_id)
    if found is None:
        raise NotFound(_("There is no such conversation."))
    return found


def _noting(action: str, found: Mapping[str, Any], **details: Any) -> Callable[[], object]:
    """Records what was done to a conversation, in its transaction. Raises NotFound if it was erased meanwhile."""

    def note() -> None:
        existing(found["id"])
        audited(action, "conversation", found["id"], **details)

    return note


def own_message(conversation_id: int, message_id: int) -> dict[str, Any]:
    own = (Message.conversation == conversation_id) & (Message.id == message_id)
    kept = (Message.content, Message.data, Message.metadata)
    columns = (Message.id, Message.role, Message.kind, Message.status, Message.reply_to, *kept)
    row = db.row(Message.select(*columns).where(own))
    if row is None:
        raise NotFound(_("There is no such message."))
    return row


def _question_of(reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What it answers."""
    question = Message.select(Message.id.alias("message_id"), Message.content.alias("question"))
    return db.rows(question.where(Message.id == reply["reply_to"]))


def _made_of(reply: Mapping[str, Any]) -> list[int]:
    """The knowledge items that the model was given for it."""
    return [item["id"] for item in reply["metadata"].get("knowledge", ())]


def key() -> str:
    """By which a form that is sent twice is known."""
    return request.form.get("key", "")[:64] or uuid4().hex


def back(found: Mapping[str, Any]) -> Response:
    return see_other(url_for("desk.conversation", conversation_id=found["id"]) + _kept())


def _kept() -> str:
    """The list beside it stays as it is."""
    return f"?{kept_list()}" if request.form.get("list") else ""
