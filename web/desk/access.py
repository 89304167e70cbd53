"""Who may open which page. Each view but those of logging in has `@allowed`; a test walks all routes.

It sets `g.user`, `g.session_id`, and `g.customer`: the address's, or else the user's own. The address of another's customer is as
unknown as one that does not exist: 404.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from flask import Response, current_app, g, request, session, url_for
from flask_babel import gettext, ngettext, refresh
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import Forbidden, HTTPException, NotFound
from werkzeug.routing import RequestRedirect

from shared import db
from shared.models import Customer, User
from shared.people import audit, sessions, users
from web.desk.language import remember
from web.desk.redirects import see_other

View = TypeVar("View", bound=Callable[..., Any])

#: Where a browser's session keeps the token of who is logged in.
TOKEN = "token"
#: What roles are called.
ROLES = {"agent": _l("Agent"), "owner": _l("Owner"), "operator": _l("Operator")}
#: What stands in the place of a text that its reader may not see begins with this.
MASK = "•"
#: One audit row tells of an operator's looks at the same page for so long: an open page looks again and again.
SAME_LOOK = timedelta(minutes=10)


def allowed(role: str) -> Callable[[View], View]:
    """For people with the rights of this role ("agent", "owner", "operator"); others log in, or get 403."""

    def protect(view: View) -> View:
        @wraps(view)
        def protected(**arguments: Any) -> Any:
            user = _who()
            if user is None:
                return _to_login()
            g.user = user
            remember(user.language)
            refresh()  # from now on in this user's language
            if "customer_id" in arguments:
                g.customer = _customer(user, arguments.pop("customer_id"))
            elif user.customer_id is not None:
                g.customer = _customer(user, user.customer_id)
            if not users.may(user, role):
                raise Forbidden(_whom_to_ask(role))
            return view(**arguments)

        protected.allowed = role  # type: ignore[attr-defined]  # the test that walks all routes reads it
        return protected  # type: ignore[return-value]  # the same view, protected

    return protect


def _whom_to_ask(role: str) -> str:
    """About a page of this role: owners cannot open an operator's page either."""
    if role == "operator":
        return str(gettext("It is for whoever runs this server. Ask them if you need something from it."))
    return str(gettext("It is for owners of your business. Ask one of them: they can also make you an owner."))


def current_user() -> User | None:
    """Who is logged in, if anybody is."""
    return g.user if "user" in g else _who()


def _who() -> User | None:
    token = session.get(TOKEN)
    found = sessions.find(token) if isinstance(token, str) else None
    if found is None:
        return None
    user, g.session_id = found
    return user


def _customer(user: User, customer_id: int) -> Customer:
    """Raises NotFound for one that this user does not work for."""
    is_own = user.role == "operator" or user.customer_id == customer_id
    row = db.row(Customer.select().where(Customer.id == customer_id)) if is_own else None
    if row is None:
        raise NotFound(gettext("There is no such page, or it is not yours."))
    return Customer(**row)


def _to_login() -> Response:
    """To the login, and back afterwards: to the page that was asked for, or on which a form was sent or a part was asked for."""
    is_part = "HX-Request" in request.headers
    back = request.full_path.rstrip("?") if request.method == "GET" and not is_part else _page_of_request()
    login = url_for("desk.login") + (f"?next={quote(back)}" if back else "")
    if is_part:  # the page goes there as a whole
        return Response(status=401, headers={"HX-Redirect": login})
    return see_other(login)


def _page_of_request() -> str:
    """The page that sent this request, as its browser says; "" if that is none of ours."""
    page = urlsplit(request.referrer or "")
    is_ours = page.netloc == request.host and _is_page(page.path)
    return page.path + (f"?{page.query}" if page.query else "") if is_ours else ""


def _is_page(path: str) -> bool:
    """Whether something can be opened there. That of a form that is only sent is none (`nothing_here`)."""
    addresses = current_app.create_url_adapter(request)
    try:
        return addresses is not None and addresses.match(path, "GET")[0] != "desk.nothing_here"
    except RequestRedirect:
        return True
    except HTTPException:
        return False


def page_of_form() -> str:
    """Of an answer to a form whose address opens no page: the page on which the form was; "" where it opens one."""
    return "" if request.method == "GET" or _is_page(request.path) else _page_of_request()


def may(role: str) -> bool:
    """For templates: whether who is logged in has the rights of this role."""
    return "user" in g and users.may(g.user, role)


def may_read_texts() -> bool:
    """Whether who is logged in may read what customers and chatbots wrote."""
    return g.user.role != "operator" or bool(g.user.can_read_texts)


def rights(user: User) -> str:
    """What pages depend on of somebody's rights, as one word."""
    return f"{user.role} texts" if user.role == "operator" and user.can_read_texts else user.role


def masked(text: str | None) -> str:
    """A message's text, or only its length for an operator without the grant. For one with it the look is recorded."""
    if not text:
        return ""
    if not may_read_texts():
        return str(ngettext("••••• (%(count)s character)", "••••• (%(count)s characters)", len(text), count=len(text)))
    note_look()
    return text


def note_look() -> None:
    """Who is logged in was shown what customers and chatbots wrote, or sent: of an operator that is recorded (`record_look`)."""
    if g.user.role == "operator":
        g.texts_were_shown = True


def record_look(answer: Response) -> Response:
    """After a request: the audit row of an operator who was shown texts, by the page's endpoint and the id in its address."""
    if g.get("texts_were_shown"):
        subject = (request.endpoint or "").rpartition(".")[2]
        ids = [value for name, value in (request.view_args or {}).items() if name != "customer_id" and isinstance(value, int)]
        subject_id = ids[-1] if ids else None
        customer = g.get("customer")
        if not audit.look_was_recorded(subject, subject_id, g.user, SAME_LOOK):
            audit.record(audit.LOOK, subject, subject_id, user=g.user, customer_id=customer.id if customer else None)
    return answer
