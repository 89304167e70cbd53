"""Links that let people choose a password: sent by e-mail where that is set up, shown to whoever made them where it is not."""

from __future__ import annotations

import logging
import re
import threading
from typing import NamedTuple

from flask import copy_current_request_context
from flask_babel import gettext as _

from shared import db
from shared.config import settings
from shared.models import User
from shared.people import audit, links, mail
from web.addresses import shown_address
from web.audited import audited

log = logging.getLogger(__name__)


#: What a mail program may take for an address, and the longest name that a letter repeats.
_ADDRESS, _LONGEST = re.compile("[:/@]|[.\u3002\uff0e\uff61]\\S"), 60


class Made(NamedTuple):
    """A link that was made, for the page: `address` is "" where it was sent. An invitation lasts longer than a new password's."""

    email: str
    address: str
    problem: str
    is_invitation: bool


def make(user: User) -> str:
    """The path of a new link. Call it in a transaction; `hand_over` comes after its commit."""
    path = links.for_user(user)
    audited("user.link_made", "user", user.id, name=user.name)
    return path


def hand_over(user: User, path: str) -> Made:
    """Sends the link, or has it shown. It was made for somebody whom the page's user invited, or helps."""
    address = shown_address() + path
    problem = ""
    if mail.is_on():
        if mail.send(user.email, *_letter(user, path)):
            address = ""
        else:
            problem = _("The e-mail could not be sent. Pass the link on yourself.")
    return Made(user.email, address, problem, is_invitation=not user.password_hash)


def send_later(user: User) -> None:
    """Makes a link for a forgotten password and sends it, in a thread: the answer's time must not tell who has an account."""
    threading.Thread(target=copy_current_request_context(_make_and_send), args=(user,), name="mail", daemon=True).start()


def _make_and_send(user: User) -> None:
    try:
        with db.transaction():
            path = links.asked_for(user)
            if path is None:
                return
            audit.record("user.link_made", "user", user.id, {"by": "login"}, user=None, customer_id=user.customer_id)
        mail.send(user.email, *_letter(user, path))
    except Exception:
        log.exception("link_not_sent")


def _letter(user: User, path: str) -> tuple[str, str]:
    """Subject and text. Who invited somebody wrote their name: it must not tell strangers, in our name, to go elsewhere."""
    name = user.email if _ADDRESS.search(user.name) or len(user.name) > _LONGEST else user.name
    address = settings().public_url + path
    if user.password_hash:
        return _("Your new password"), _(
            "Hello %(name)s,\n\nwith this link you choose a new password. It works once, within an hour:\n\n%(address)s\n\n"
            "If you did not ask for it, ignore it: your password stays as it is.",
            name=name,
            address=address,
        )
    return _("You are invited"), _(
        "Hello %(name)s,\n\nyou are invited to the desk, where customers' messages are answered. With this link you choose a "
        "password. It works once, within seven days:\n\n%(address)s",
        name=name,
        address=address,
    )
