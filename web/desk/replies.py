"""What is sent from a conversation's page: a text, a file, a template, and what failed once more."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, g, request
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound, UnprocessableEntity

from shared import db
from shared.channels import ownership
from shared.db.outage import repeat_refused
from shared.errors import InvalidPayload
from shared.models import Conversation
from web import uploads
from web.api import outbound, sending
from web.desk import desk, forms
from web.desk.access import allowed
from web.desk.conversations import SENT_BEFORE, add_note, back, existing, key, own_message, show
from web.desk.file_words import file_problem
from web.desk.message_words import CHANNEL_NAMES
from web.desk.sending_words import sending_problem
from web.hardening import max_body
from web.uploads import FileRefused

#: A numbered placeholder of a template.
_PLACE = re.compile(r"[0-9]{1,3}")


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/messages")
@allowed("agent")
@max_body(uploads.MAX_FILE + uploads.FORM, uploads.IN_MEMORY)
def reply(conversation_id: int) -> Response:
    """Sends a text, a file, or, once WhatsApp's window is closed, a template. The conversation becomes the sender's."""
    found, file, content = existing(conversation_id), request.files.get("file"), forms.text(request.form, "content")
    if request.form.get("kind") == "note":
        if file:
            return show(found, problem=_("A note takes no file."), status=422, draft=content, kind="note")
        return add_note(customer_id=g.customer.id, conversation_id=conversation_id)  # type: ignore[call-arg]  # the decorator's own
    if file:
        with uploads.arriving(file.stream, file.mimetype, file.filename or "") as upload:
            return _send(found, {"content": content, "file": upload}, key())
    message = _template() if request.form.get("template") else {"content": content}
    if message == {"content": ""}:
        return show(found, problem=_("Write something, or choose a file."), status=422)
    return _send(found, message, key())


@desk.post("/c/<int:customer_id>/conversations/<int:conversation_id>/messages/<int:message_id>/retry")
@allowed("agent")
def retry(conversation_id: int, message_id: int) -> Response:
    """Sends what failed once more, as a message of its own; pressed twice it is sent once."""
    found = existing(conversation_id)
    again = sending.again(own_message(found["id"], message_id))
    if again is None:
        raise NotFound(_("There is no message that failed."))
    return _send(found, *again)


@desk.errorhandler(FileRefused)
def _refuse_file(refusal: FileRefused) -> Response:
    """The conversation again, with what is wrong with the file."""
    found, draft = existing((request.view_args or {})["conversation_id"]), forms.text(request.form, "content")
    return show(found, problem=file_problem(refusal, CHANNEL_NAMES[found["channel"]]), status=422, draft=draft)


def _send(found: dict[str, Any], message: dict[str, Any], form_key: str) -> Response:
    try:
        # Once more, if the conversation becomes a part of another one at this moment.
        repeat_refused(lambda: _send_as_person(existing(found["id"]), message, form_key))
        return back(found)
    except outbound.WindowClosed:
        problem = _("The customer has not written for 24 hours, so WhatsApp takes no free text. Send a template instead.")
        status = 409
    except UnprocessableEntity:
        problem, status = str(SENT_BEFORE), 409
    except FileRefused:
        raise  # an InvalidPayload, and answered by _refuse_file
    except InvalidPayload as wrong:
        problem, status = sending_problem(wrong.errors), 422
    return show(existing(found["id"]), problem=problem, status=status, draft=forms.text(request.form, "content"))


def _send_as_person(found: dict[str, Any], message: dict[str, Any], form_key: str) -> None:
    """Sends it in the user's name. The conversation is a person's from now on: the user's, unless a colleague has it."""
    user = g.user

    def take_over() -> Any:
        tickets = ownership.assign(found["id"], "person", "desk")
        free = (Conversation.id == found["id"]) & Conversation.assigned_to_id.is_null()
        db.rows(Conversation.update(assigned_to_id=user.id).where(free))
        return tickets

    written_by = {"source": "desk", "author": user.name, "user_id": user.id}
    sending.send(g.customer.id, found, message, form_key, written_by, take_over)


def _template() -> dict[str, Any]:
    """The template of the form: its name and language, and a text for each of its placeholders."""
    name, _bar, language = request.form["template"].rpartition("|")
    parameters: dict[str, Any] = {}
    for field, words in request.form.items():
        part, _dot, place = field.partition(".")
        if part in ("header", "body", "buttons") and place:
            parameters.setdefault(part, {})[place] = words
    for part in ("header", "body"):
        places = parameters.get(part, {})
        if places and all(map(_PLACE.fullmatch, places)):
            parameters[part] = [places[place] for place in sorted(places, key=int)]
    return {"template": {"name": name, "language": language, "parameters": parameters}}
