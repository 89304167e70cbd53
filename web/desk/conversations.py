"""One conversation: what was written, who has it, and what can be done with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from flask import Response, flash, g, make_response, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import Forbidden, NotFound, UnprocessableEntity

from shared import db
from shared.channels import ownership
from shared.channels.outcomes import explanation
from shared.db.outage import repeat_refused
from shared.errors import InvalidPayload
from shared.inbox import templates, thread, work
from shared.models import Conversation, Media, Message
from shared.models.limits import TooMany
from shared.payloads import check
from shared.privacy import erasure
from shared.teaching import askers, knowledge
from web.api import outbound, sending
from web.audited import audited
from web.desk import desk, forms
from web.desk.access import allowed, may_read_texts, note_look
from web.desk.inbox import CHANNEL_NAMES, REASONS, kept_list, listing
from web.desk.job_words import job_words
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.desk.schema_words import translated_fields
from web.files import FILE, answer_with

desk.add_app_template_filter(job_words)

#: A numbered placeholder of a template.
_PLACE = re.compile(r"[0-9]{1,3}")
#: Said of a form that came back from the browser's memory, and whose key was sent before.
_SENT_BEFORE = _l("This form was sent before, with another text. Here is your text in a new form: send it again.")


@desk.get("/c/<int:customer_id>/conversations/<int:conversation_id>")
@allowed("agent")
def conversation(conversation_id: int) -> Response:
    """The conversation, with the list beside it."""
    found = _existing(conversation_id)
    if found["id"] != conversation_id:  # it has become a part of another one
        return see_other(url_for("desk.conversation", conversation_id=found["id"]))
    return _page(found)


@desk.get("/c/<int:customer_id>/conversations/<int:conversation_id>/thread")
@allowed("agent")
def conversation_thread(conversation_id: int) -> Response:
    """What was written, and whose it is: for a page whose conversation has changed."""
    found = _existing(conversation_id)
    return make_response(render_template("desk/thread.html", **_shown(found), kept=kept_list()))


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/take")
@allowed("agent")
def take(conversation_id: int) -> Response:
    """Takes it, or gives it to a colleague (`user`), from whoever the page says has it (`from`); says who was faster."""
    found, given = _existing(conversation_id), request.form.get("user", "")
    colleagues = {str(one["id"]): one["id"] for one in work.colleagues(g.customer.id)}
    if given and given not in colleagues:
        raise NotFound(_("There is no such colleague."))
    user_id = colleagues[given] if given else g.user.id
    may_take_from = found["assigned_to"] if request.form.get("from") == str(found["assigned_to"]) else None
    try:
        work.take(found["id"], user_id, may_take_from, _noting("conversation.assigned", found, user=user_id))
    except work.Taken as faster:
        return _page(_existing(conversation_id), problem=_("%(name)s has taken it already.", name=faster.name), status=409)
    return _back(found)


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/<any(bot, closed):owner>")
@allowed("agent")
def hand_conversation_to(conversation_id: int, owner: str) -> Response:
    """Gives it back to the bot, or closes it until the customer writes again."""
    found = _existing(conversation_id)
    action = "conversation.closed" if owner == "closed" else "conversation.returned"
    work.hand_to(found["id"], owner, _noting(action, found))
    flash(_("Closed. It opens again when the customer writes.") if owner == "closed" else _("The bot has it again."))
    return _back(found)


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/notes")
@allowed("agent")
def add_note(conversation_id: int) -> Response:
    """Leaves a note for colleagues; sent twice by the same form it is one."""
    found, content, key = _existing(conversation_id), _text("content"), _key()
    if not content:
        return _back(found)
    # Once more, if the conversation is erased at this moment: then it is not found.
    note = repeat_refused(lambda: work.note(_existing(found["id"])["id"], g.user, content, key))
    if note["content"] != content[: work.MAX_NOTE]:
        return _page(found, problem=str(_SENT_BEFORE), status=409, draft=content, kind="note")
    return _back(found)


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/messages")
@allowed("agent")
def reply(conversation_id: int) -> Response:
    """Sends a text, or a template once WhatsApp's window is closed. The conversation is the sender's, unless somebody has it."""
    found = _existing(conversation_id)
    if request.form.get("kind") == "note":
        return add_note(customer_id=g.customer.id, conversation_id=conversation_id)  # type: ignore[call-arg]  # the decorator's own
    message = _template() if request.form.get("template") else {"content": _text("content")}
    return _send(found, message, _key())


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/messages/<int:message_id>/retry")
@allowed("agent")
def retry(conversation_id: int, message_id: int) -> Response:
    """Sends what failed once more, as a message of its own; pressed twice it is sent once."""
    found = _existing(conversation_id)
    again = sending.again(_own_message(found["id"], message_id))
    if again is None:
        raise NotFound(_("There is no message that failed."))
    return _send(found, *again)


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/messages/<int:message_id>/improve")
@allowed("agent")
def improve(conversation_id: int, message_id: int) -> Response:
    """Writes what should have been answered into the chatbot's knowledge."""
    found = _existing(conversation_id)
    asked = _question_of(_own_message(found["id"], message_id))
    try:
        item = check(knowledge.ItemSchema, "knowledge item", {"title": _text("title"), "content": _text("content")})
    except InvalidPayload as wrong:
        problem = translated_fields(wrong.errors, {"title": _("Question"), "content": _("Answer")})
        return _page(found, problem=_("The answer was not saved: %(problem)s", problem=problem), status=422)
    try:
        with db.transaction():
            item["asked_in"] = askers.asked_in(item["title"], asked)
            new = knowledge.create_item(g.customer.id, found["knowledge_base_id"], item) if found["knowledge_base_id"] else None
            if new is None:
                return _page(found, problem=_("This chatbot has no knowledge base. An owner can give it one."), status=409)
            audited("knowledge.item_created", "knowledge item", new["id"])
    except TooMany as refusal:
        return _page(found, problem=refusal_text(refusal), status=409)
    flash(_("Saved. From the next question on the bot knows it."))
    return _back(found)


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
    """The bytes of a file that a customer sent."""
    if not may_read_texts():
        raise Forbidden(_("You may not read what customers write. Another operator can allow it."))
    own = (Media.id == media_id) & (Media.customer == g.customer.id)
    answer = answer_with(db.row(Media.select(*FILE).where(own)))
    note_look()
    return answer


def _send(found: dict[str, Any], message: dict[str, Any], key: str) -> Response:
    try:
        # Once more, if the conversation becomes a part of another one at this moment.
        repeat_refused(lambda: _send_as_person(_existing(found["id"]), message, key))
    except outbound.WindowClosed:
        problem = _("The customer has not written for 24 hours, so WhatsApp takes no free text. Send a template instead.")
        return _page(_existing(found["id"]), problem=problem, status=409, draft=_text("content"))
    except UnprocessableEntity:
        return _page(_existing(found["id"]), problem=str(_SENT_BEFORE), status=409, draft=_text("content"))
    except InvalidPayload as wrong:
        problem = "; ".join(f"{name} {text}" for name, text in wrong.errors.items())
        return _page(_existing(found["id"]), problem=problem, status=422, draft=_text("content"))
    return _back(found)


def _send_as_person(found: dict[str, Any], message: dict[str, Any], key: str) -> None:
    """Sends it in the user's name. The conversation is a person's from now on: the user's, unless a colleague has it."""
    user = g.user

    def take_over() -> Any:
        tickets = ownership.assign(found["id"], "person", "desk")
        free = (Conversation.id == found["id"]) & Conversation.assigned_to_id.is_null()
        db.rows(Conversation.update(assigned_to_id=user.id).where(free))
        return tickets

    written_by = {"source": "desk", "author": user.name, "user_id": user.id}
    sending.send(g.customer.id, found, message, key, written_by, take_over)


def _template() -> dict[str, Any]:
    """The template of the form: its name and language, and a text for each of its placeholders."""
    name, _bar, language = request.form["template"].rpartition("|")
    parameters: dict[str, Any] = {}
    for field, text in request.form.items():
        part, _dot, place = field.partition(".")
        if part in ("header", "body", "buttons") and place:
            parameters.setdefault(part, {})[place] = text
    for part in ("header", "body"):
        places = parameters.get(part, {})
        if places and all(map(_PLACE.fullmatch, places)):
            parameters[part] = [places[place] for place in sorted(places, key=int)]
    return {"template": {"name": name, "language": language, "parameters": parameters}}


def _page(found: dict[str, Any], problem: str = "", status: int = 200, draft: str = "", kind: str = "message") -> Response:
    more = {
        "problem": problem,
        "draft": draft,
        "kind": "note" if found["is_window_closed"] else kind,
        "contact": thread.contact(found["contact_id"], found["id"]),
        "colleagues": work.colleagues(g.customer.id),
        "replies": work.quick_replies(g.customer.id),
        "templates": templates.offered(outbound.waba_id(found)) if found["is_window_closed"] else [],
        "key": uuid4().hex,
    }
    return make_response(render_template("desk/conversation.html", **{**listing(found["id"]), **_shown(found), **more}), status)


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    before = forms.row_id(request.args, "before")
    entries, earlier = thread.entries(found["id"], before)
    return {
        "conversation": found,
        "entries": entries,
        "earlier": earlier,
        "before": before,
        "explanation": explanation,
        "reasons": REASONS,
        "channel_names": CHANNEL_NAMES,
    }


def _existing(conversation_id: int) -> dict[str, Any]:
    found = thread.conversation(g.customer.id, conversation_id)
    if found is None:
        raise NotFound(_("There is no such conversation."))
    return found


def _noting(action: str, found: Mapping[str, Any], **details: Any) -> Callable[[], object]:
    """Records what was done to a conversation, in its transaction. Raises NotFound if it was erased meanwhile."""

    def note() -> None:
        _existing(found["id"])
        audited(action, "conversation", found["id"], **details)

    return note


def _own_message(conversation_id: int, message_id: int) -> dict[str, Any]:
    own = (Message.conversation == conversation_id) & (Message.id == message_id)
    columns = (Message.id, Message.role, Message.status, Message.content, Message.data, Message.reply_to)
    row = db.row(Message.select(*columns).where(own))
    if row is None:
        raise NotFound(_("There is no such message."))
    return row


def _question_of(reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What it answers."""
    question = Message.select(Message.id.alias("message_id"), Message.content.alias("question"))
    return db.rows(question.where(Message.id == reply["reply_to"]))


def _text(name: str) -> str:
    return request.form.get(name, "").replace("\x00", "").replace("\r\n", "\n").strip()


def _key() -> str:
    """By which a form that is sent twice is known."""
    return request.form.get("key", "")[:64] or uuid4().hex


def _back(found: Mapping[str, Any]) -> Response:
    return see_other(url_for("desk.conversation", conversation_id=found["id"]) + _kept())


def _kept() -> str:
    """The list beside it stays as it is."""
    return f"?{kept_list()}" if request.form.get("list") else ""
