"""Who a visitor of a widget is: a token that the page gets once, keeps, and shows with every request.

A token is a random id and the time when it was issued, signed together with its chatbot; nothing is stored for a visitor who
writes nothing. The id is the conversation's `external_user_id`, which the business sees in its webhooks; without the signature it
opens nothing. A token expires; until then it can be exchanged for a new one of the same visitor.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import string
import time
from dataclasses import dataclass

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from shared.config import settings
from web.widget.keys import derived_keys

#: Separates these signatures from every other use of CREDENTIALS_KEY.
_PURPOSE = b"switchboard widget visitor 1"
#: What a token looks like.
TOKEN = re.compile(r"(w_[\w-]{22})\.(?:([0-9]{10})\.)?([\w-]{43})", re.ASCII)
#: When tokens without a time, which the release before made, count as issued: 26 November 2026.
_FIRST_ISSUED = 1_795_651_200
_DAY = 86_400
#: Of what a new id is made: its beginning is shown to people, who may type it.
_LETTERS = string.ascii_letters + string.digits


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
    """A token for a visitor whom nobody has seen before; 131 random bits."""
    return token_of(Visitor(chatbot_id, "w_" + "".join(secrets.choice(_LETTERS) for _place in range(22))))


def token_of(visitor: Visitor) -> str:
    """A new token of a visitor."""
    issued = f"{time.time():.0f}"
    return f"{visitor.id}.{issued}.{_signature(visitor, issued, derived_keys(_PURPOSE)[0])}"


def visitor_of(chatbot_id: int, authorization: str) -> Visitor:
    """The visitor whose token an `Authorization: Bearer` header carries. Raises Unauthorized."""
    scheme, _, token = authorization.partition(" ")
    match = TOKEN.fullmatch(token.strip()) if scheme.lower() == "bearer" else None
    if match is None:
        raise _unauthorized("The visitor token is missing. Send Authorization: Bearer with the token of POST …/sessions.")
    visitor, issued, signature = Visitor(chatbot_id, match[1]), match[2] or "", match[3]
    if not any(hmac.compare_digest(_signature(visitor, issued, key), signature) for key in derived_keys(_PURPOSE)):
        raise _unauthorized("The visitor token is not valid for this chatbot. Get one with POST …/sessions of this chatbot.")
    if time.time() > int(issued or _FIRST_ISSUED) + settings().widget_token_days * _DAY:
        raise _unauthorized("The visitor token has expired. Get one with POST …/sessions.")
    return visitor


def _signature(visitor: Visitor, issued: str, key: bytes) -> str:
    text = f"{visitor.chatbot_id}:{visitor.id}" + (f":{issued}" if issued else "")
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).decode().rstrip("=")


def _unauthorized(detail: str) -> Unauthorized:
    return Unauthorized(detail, www_authenticate=WWWAuthenticate("bearer"))
