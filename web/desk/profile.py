"""A person's own page: name, language, password, and where they are logged in."""

from __future__ import annotations

from flask import Response, flash, g, make_response, render_template, request, session, url_for
from flask_babel import gettext as _

from shared import db
from shared.errors import Refused
from shared.people import passwords, sessions, users
from web.audited import audited
from web.desk import desk
from web.desk.access import TOKEN, allowed
from web.desk.language import languages
from web.desk.redirects import see_other
from web.desk.refusals import refusal_text
from web.request_limits import check_login, client_site, count_login

#: How browsers and systems name themselves. The first that fits: all call themselves Safari, and Android calls itself Linux.
_BROWSERS = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
_SYSTEMS = {
    **{"Android": "Android", "iPhone": "iPhone", "iPad": "iPad"},
    **{"Windows": "Windows", "Mac OS X": "macOS", "CrOS": "ChromeOS", "Linux": "Linux"},
}


@desk.get("/profile")
@allowed("agent")
def profile() -> Response:
    """The page."""
    return _page({})


@desk.post("/profile")
@allowed("agent")
def change_profile() -> Response:
    """Takes name and language."""
    language = request.form.get("language", "")
    try:
        with db.transaction():
            users.set_profile(g.user.id, request.form.get("name", ""), language if language in languages() else None)
            audited("user.changed", "user", g.user.id, language=language or None)
    except Refused as refusal:
        return _page({"name": refusal_text(refusal)}, 422)
    g.user = users.require(g.user.id)
    flash(_("Saved."))
    return _back()


@desk.post("/profile/password")
@allowed("agent")
def change_password() -> Response:
    """Takes a new password from who knows the old one; other browsers are logged out."""
    new = request.form.get("password", "")
    account = f"{g.user.email} profile"  # strangers who guess at the login do not count
    check_login(account)
    if not passwords.matches(request.form.get("current", ""), g.user.password_hash):
        count_login(account)
        return _page({"current": _("This is not your present password.")}, 422)
    if passwords.problem_with(new, g.user.email, g.user.name):
        return _page({"password": _("Choose 10 to 200 characters that others would not guess.")}, 422)
    password_hash = passwords.hashed(new)
    with db.transaction():
        # Who was helped out with a link meanwhile keeps the password of then: whoever knew the old one may be a thief.
        if not users.replace_password_hash(g.user, password_hash):
            return see_other(url_for("desk.login"))
        audited("user.password_chosen", "user", g.user.id, by="profile")
        session[TOKEN] = sessions.begin(users.require(g.user.id), client_site(), request.headers.get("User-Agent", ""))
    flash(_("Your password is changed. Other browsers were logged out."))
    return _back()


@desk.post("/profile/sessions/end")
@allowed("agent")
def end_sessions() -> Response:
    """Logs all other browsers out."""
    with db.transaction():
        ended = sessions.end_others(g.user.id, g.session_id)
        audited("user.logged_out_everywhere", "user", g.user.id, sessions=ended)
    flash(_("All other browsers were logged out."))
    return _back()


def _page(problems: dict[str, str], status: int = 200) -> Response:
    rows = [{**row, "browser": browser_name(row["agent"])} for row in sessions.of_user(g.user.id)]
    page = render_template("desk/profile.html", sessions=rows, this_session=g.session_id, problems=problems)
    return make_response(page, status)


def browser_name(agent: str) -> str:
    """What people call it: "Firefox, Windows"; "" for what says neither."""
    return ", ".join(
        name for names in (_BROWSERS, _SYSTEMS) if (name := next((names[mark] for mark in names if mark in agent), ""))
    )


def _back() -> Response:
    return see_other(url_for("desk.profile"))
