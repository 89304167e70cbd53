"""Files of visitors: stored first, then named by a message. Files of a conversation are given to its visitor, and to nobody else.

Until its message comes, a stored file is known by a text that is signed for its visitor. If no message comes, its bytes are
deleted after a day (shared/media/files.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any

from flask import request
from itsdangerous import BadData
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, UnprocessableEntity, UnsupportedMediaType

from shared import db
from shared.media import files
from shared.models import Chatbot, Conversation, Media, Message
from web import turned_away, uploads
from web.files import FILE
from web.request_limits import counted_file
from web.server.wsgi import BODY_FILE
from web.signing import Serializer
from web.uploads import FileRefused, Why
from web.widget.ids import row_id
from web.widget.keys import derived_keys
from web.widget.visitor import Visitor

#: Files of one message.
MAX_FILES = 5
#: Seconds in which the message has to follow.
LIFE = files.GRACE * 3600 // 2
#: Separates these signatures from every other use of CREDENTIALS_KEY.
_PURPOSE = b"switchboard widget file 1"


@dataclass(frozen=True)
class Sent:
    """A file that a visitor has sent."""

    kind: str
    mime: str
    size: int
    sha256: str
    name: str

    def as_media(self) -> dict[str, Any]:
        """As a message's payload has it (shared/payloads.py)."""
        about = {"kind": self.kind, "mime": self.mime, "filename": self.name, "size": self.size, "sha256": self.sha256}
        return {**about, "is_stored": True, "source": {}}


def take(visitor: Visitor, name: str) -> tuple[Sent, str]:
    """Stores the request's body; returns what it is, and the text by which a message names it.

    Raises UnsupportedMediaType, RequestEntityTooLarge, UnprocessableEntity, BadRequest, TooManyRequests, StorageDown.
    """
    source: IO[bytes] = request.environ.get(BODY_FILE) or request.stream
    try:
        with uploads.arriving(source, request.content_type, name) as file:
            customer_id = _customer_of(visitor)
            with counted_file(visitor, customer_id, file.size):
                file.keep(customer_id)
    except FileRefused as refusal:
        if refusal.why is Why.QUOTA:
            turned_away.note(visitor.chatbot_id, "quota")
        raise _refusal(refusal) from None
    sent = Sent(file.kind, file.mime, file.size, file.sha256, file.name)
    text = _signer(derived_keys(_PURPOSE)).dumps([*_whose(visitor), sent.kind, sent.mime, sent.size, sent.sha256, sent.name])
    return sent, str(text)


def sent_by(visitor: Visitor, names: Any) -> list[Sent]:
    """The files that a message names. Raises BadRequest, UnprocessableEntity."""
    if not isinstance(names, list) or len(names) > MAX_FILES or not all(isinstance(name, str) for name in names):
        raise BadRequest(f"files must be a list of at most {MAX_FILES} texts, each from POST …/files.")
    return [_read(visitor, name) for name in names]


def find(visitor: Visitor, public: str) -> dict[str, Any] | None:
    """A visitor's file, by its public id."""
    query = Media.select(*FILE).join(Message).join(Conversation)
    own = (Conversation.chatbot == visitor.chatbot_id) & (Conversation.channel == "widget")
    own &= Conversation.external_user_id == visitor.id
    return db.row(query.where(Media.id == (row_id(public) or 0), own))


def _refusal(refusal: FileRefused) -> HTTPException:
    match refusal.why:
        case Why.TOO_LARGE:
            return RequestEntityTooLarge()
        case Why.EMPTY:
            return BadRequest("The body must be the file's bytes; it is empty.")
        case Why.QUOTA:
            return UnprocessableEntity("This chat takes no more files at the moment.")
    return UnsupportedMediaType("Send a picture (JPEG, PNG, WebP, GIF), a PDF, a text, a document, a table, or a sound.")


def _read(visitor: Visitor, name: str) -> Sent:
    try:
        chatbot_id, visitor_id, *about = _signer(derived_keys(_PURPOSE)).loads(name, max_age=LIFE)
    except BadData:
        chatbot_id, visitor_id, about = 0, "", []
    if [chatbot_id, visitor_id] != _whose(visitor):
        raise UnprocessableEntity("A file is not known any more, or is another visitor's. Send it again with POST …/files.")
    return Sent(*about)


def _whose(visitor: Visitor) -> list[Any]:
    return [visitor.chatbot_id, visitor.id]


def _signer(keys: Any) -> Serializer:
    return Serializer(list(reversed(keys)), salt=_PURPOSE)  # the last of the list signs


def _customer_of(visitor: Visitor) -> int:
    customer = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == visitor.chatbot_id))
    return int(customer)
