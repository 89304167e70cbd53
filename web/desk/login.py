"""Logging in and out, and the pages of links that let somebody choose a password."""

from __future__ import annotations

import logging
import re
import secrets
from typing import Any

from flask import Response, flash, g, make_response, render_template, request, session, url_for
from flask_babel import gettext as _
from werkzeug.exceptions import NotFound

from shared import db
from shared.db.credentials import digest
from shared.errors import Refused
from shared.models import User, UserLink
from shared.people import audit, links, mail, passwords, sessions, users
from web import invitations
from web.audited import audited
from web.desk import desk
from web.desk.access import TOKEN, allowed, current_user
from web.desk.navigation import first_page
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.request_limits import check_guess, check_login, check_mail, client_site, count_guess, count_login

log = logging.getLogger(__name__)

#: A page of the desk, to which a login may lead.
_OURS = re.compile(r"/desk/[\w/?=&%.,:+-]*", re.ASCII)
#: Where a browser's session keeps to whose accounts it has logged in, each with a name of the browser's own, and how many.
_KNOWN, _MOST_KNOWN = "known", 5


@desk.get("/")
@allowed("agent")
def start() -> Response:
    """To the page where this person's work begins."""
    return see_other(first_page(g.user))


@desk.get("/<path:unknown>")
@allowed("agent")
def nothing_here(unknown: str) -> Response:  # noqa: ARG001 - the route gives it
    """An address that no page has."""
    raise NotFound


@desk.get("/login")
def login() -> Response:
    """The form."""
    if current_user():
        return see_other(_next() or url_for("desk.start"))
    return _login_form("")


@desk.post("/login")
def log_in() -> Response:
    """Takes address and password."""
    email, password = request.form.get("email", ""), request.form.get("password", "")
    account = _counted_as(email)
    check_guess("desk")
    check_login(account)
    user = users.authenticate(email, password)
    if user is None or not _begin(user):
        count_login(account)
        count_guess("desk")
        return _login_form(_("This address and password do not belong together. Try again, or ask for a new password."), 401)
    return see_other(_next() or first_page(user))


@desk.post("/logout")
@allowed("agent")
def log_out() -> Response:
    """Ends this browser's session."""
    sessions.end(g.user.id, g.session_id)
    _forget_all_but_accounts()
    return see_other(url_for("desk.login"))


@desk.get("/forgotten")
def forgotten() -> Response:
    """How to get a new password."""
    return make_response(render_template("desk/forgotten.html", has_mail=mail.is_on(), is_sent=False))


@desk.post("/forgotten")
def ask_for_link() -> Response:
    """Takes an address, and says the same whether it is a user's or not."""
    email = request.form.get("email", "")
    check_mail(email)
    user = users.find(email) if mail.is_on() else None
    if user is not None and not user.disabled_at:
        invitations.send_later(user)
    return make_response(render_template("desk/forgotten.html", has_mail=mail.is_on(), is_sent=True))


@desk.get("/link/<token>")
def link(token: str) -> Response:
    """The form in which the holder of a link chooses a password. To look at it uses nothing up: mail programs look, too."""
    found = links.find(token)
    return _gone() if found is None else _link_form(found, {})


@desk.post("/link/<token>")
def use_link(token: str) -> Response:
    """Takes the password, and logs in."""
    check_guess("desk-link")
    found = links.find(token)
    if found is None:
        count_guess("desk-link")
        return _gone()
    problems = _problems(found)
    if not problems:
        try:
            user = _redeem(found, token)
        except Refused as refusal:
            problems = {"email": refusal_text(refusal)}
        else:
            return _gone() if user is None else _welcome(user)
    return _link_form(found, problems, 422)


def _redeem(found: UserLink, token: str) -> User | None:
    """The user with the new password; None if the link was used meanwhile."""
    password_hash = passwords.hashed(request.form["password"])  # takes long; nobody's connection is held meanwhile
    with db.transaction():
        if not links.use(token):
            return None
        user = _user_of(found) or users.create(request.form.get("email", ""), request.form.get("name", ""), "operator")
        users.set_password_hash(user.id, password_hash)
        audit.record("user.password_chosen", "user", user.id, {"by": found.kind}, user=user, customer_id=user.customer_id)
        return users.require(user.id)


def _problems(found: UserLink) -> dict[str, str]:
    """What is wrong with the form, by field."""
    user, password = _user_of(found), request.form.get("password", "")
    own = (user.email, user.name) if user else (request.form.get("email", ""), request.form.get("name", ""))
    match passwords.problem_with(password, *own):
        case "length":
            return {"password": _("A password has 10 to 200 characters. Several words are easy to remember.")}
        case "guessable":
            return {"password": _("Others would guess this password. Choose another one.")}
    if password != request.form.get("again", ""):
        return {"again": _("The two passwords differ. Write the same one twice.")}
    if user is None:
        try:
            users.checked_name(request.form.get("name", ""))
        except Refused as refusal:
            return {"name": refusal_text(refusal)}
    return {}


def _welcome(user: User) -> Response:
    if not _begin(user):
        return see_other(url_for("desk.login"))
    flash(_("Your password is set. Welcome!"))
    return see_other(first_page(user))


def _begin(user: User) -> bool:
    """A new session in place of whatever this browser had: nobody can have prepared it. False: as of sessions.begin."""
    token = sessions.begin(user, client_site(), request.headers.get("User-Agent", ""))
    if token is None:
        return False
    _forget_all_but_accounts()
    session[_KNOWN] = {**session.get(_KNOWN, {}), _key_of(user.email): secrets.token_urlsafe(6)}
    g.user = user
    session[TOKEN] = token
    log.info("logged_in", extra={"user_id": user.id})
    audited("user.logged_in", "user", user.id)
    return True


def _forget_all_but_accounts() -> None:
    """Nobody else's session is left in the browser, and nothing that somebody else has put there."""
    known = dict([*session.get(_KNOWN, {}).items()][-_MOST_KNOWN:])
    session.clear()
    session[_KNOWN] = known
    session.permanent = True


def _counted_as(email: str) -> str:
    """Under which name wrong passwords of an account are counted. Those of a browser that was logged in to it count apart: else
    whoever knows the address would keep its holder out, by guessing at it all the time."""
    browser = session.get(_KNOWN, {}).get(_key_of(email))
    return f"{email} {browser}" if browser else email


def _key_of(email: str) -> str:
    """A hash, so that a browser that many people share keeps no addresses."""
    return digest(email.strip().lower())[:16]


def _user_of(found: UserLink) -> User | None:
    return users.require(found.user_id) if found.user_id else None


def _login_form(problem: str, status: int = 200) -> Response:
    return make_response(render_template("desk/login.html", problem=problem, next=_next()), status)


def _link_form(found: UserLink, problems: dict[str, Any], status: int = 200) -> Response:
    page = render_template("desk/link.html", kind=found.kind, person=_user_of(found), problems=problems)
    return make_response(page, status)


def _gone() -> Response:
    return make_response(render_template("desk/link_gone.html"), 404)


def _next() -> str:
    """Where the login leads, if that is a page of ours."""
    wanted = request.values.get("next", "")
    return wanted if _OURS.fullmatch(wanted) else ""
