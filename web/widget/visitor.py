"""Who a visitor of a widget is: a token that the page gets once, keeps, and shows with every request.

A token is a random id, signed together with its chatbot; nothing is stored for a visitor who writes nothing. The id is the
conversation's `external_user_id`, which the business sees in its webhooks; without the signature it opens nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from shared.config import settings

#: Separates these signatures from every other use of CREDENTIALS_KEY.
_PURPOSE = b"switchboard widget visitor 1"
#: What a token looks like.
TOKEN = re.compile(r"(w_[\w-]{22})\.([\w-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Visitor:
    """`id` is the external_user_id of the conversation."""

    chatbot_id: int
    id: str

    @property
    def topic(self) -> str:
        """What a notification calls this conversation (widget_changed in schema.sql)."""
        return hashlib.md5(f"{self.chatbot_id}:{self.id}".encode(), usedforsecurity=False).hexdigest()

    @property
    def ordering_key(self) -> str:
        """The ordering key of this visitor's incoming jobs (message_accept_v1 in schema.sql)."""
        return f"{self.chatbot_id}:widget:{self.id}"


def new_token(chatbot_id: int) -> str:
    """A token for a visitor whom nobody has seen before; 128 random bits."""
    visitor = Visitor(chatbot_id, "w_" + secrets.token_urlsafe(16))
    return f"{visitor.id}.{_signature(visitor, _keys()[0])}"


def visitor_of(chatbot_id: int, authorization: str) -> Visitor:
    """The visitor whose token an `Authorization: Bearer` header carries. Raises Unauthorized."""
    scheme, _, token = authorization.partition(" ")
    match = TOKEN.fullmatch(token.strip()) if scheme.lower() == "bearer" else None
    if match is None:
        raise _unauthorized("The visitor token is missing. Send Authorization: Bearer with the token of POST …/sessions.")
    visitor = Visitor(chatbot_id, match[1])
    if not any(hmac.compare_digest(_signature(visitor, key), match[2]) for key in _keys()):
        raise _unauthorized("The visitor token is not valid for this chatbot. Get one with POST …/sessions of this chatbot.")
    return visitor


def _signature(visitor: Visitor, key: bytes) -> str:
    signed = hmac.digest(key, f"{visitor.chatbot_id}:{visitor.id}".encode(), "sha256")
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")


def _keys() -> list[bytes]:
    """Newest first, as CREDENTIALS_KEY has them: a token outlives the first rotation, and ends when its key is dropped."""
    return [hmac.digest(key.strip().encode(), _PURPOSE, "sha256") for key in settings().credentials_key.split(",")]


def _unauthorized(detail: str) -> Unauthorized:
    return Unauthorized(detail, www_authenticate=WWWAuthenticate("bearer"))
