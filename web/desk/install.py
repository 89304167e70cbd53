"""Puts the desk into the application: its cookie, its forms' tokens, its headers, and how its errors look."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from functools import cache

import redis
from flask import Flask, Response, current_app, g, make_response, render_template, request
from flask.sessions import SecureCookieSessionInterface
from flask_babel import get_locale, gettext
from flask_babel import lazy_gettext as _l
from flask_wtf.csrf import CSRFError, CSRFProtect
from itsdangerous import URLSafeTimedSerializer
from peewee import InterfaceError, OperationalError
from werkzeug.exceptions import BadRequest, HTTPException, NotFound

from shared import db
from shared.config import settings
from shared.db.credentials import CredentialsUnreadable
from shared.errors import ServiceDown
from shared.media.folder import StorageDown
from shared.people import sessions
from web.assets import asset
from web.desk import access, dates, desk, language, navigation, pages  # noqa: F401 - pages for their routes
from web.desk.operate.check_words import check_words, remedy
from web.error_words import own_words, words_of
from web.hardening import came_by_https, reads_no_body_without
from web.problems import record, service_down, unreadable
from web.signing import Signer

COOKIE = "switchboard_desk"
#: Only our own files: no script and no style is written into a page. blob: is media that a page has fetched.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_STALE_FORM = _l("This form was open for too long, or came from another page. Go back, reload the page, and send it again.")
_NOT_FOUND = _l("It may have been deleted, or it belongs to a business that is not yours.")
#: Seconds after which a page that PostgreSQL kept from being shown is asked for again.
_RETRY = 3

csrf = CSRFProtect()
reads_no_body_without(lambda headers: COOKIE in headers.get("Cookie", ""), desk)


class _Cookies(SecureCookieSessionInterface):
    """Flask's signed cookie, which goes over https only where the page came that way."""

    def __init__(self) -> None:
        # Every request asks. A cache of the class would keep each application for as long as the process lives.
        self.get_signing_serializer = cache(self._new_serializer)  # type: ignore[method-assign]  # the same, kept

    def _new_serializer(self, app: Flask) -> URLSafeTimedSerializer | None:
        """Flask's own, with signatures that other machines take."""
        serializer = super().get_signing_serializer(app)
        if serializer is not None:
            serializer.signer = Signer
        return serializer

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 - Flask's signature
        return came_by_https()


def install(app: Flask) -> None:
    """Registers the desk with all its pages."""
    app.session_interface = _Cookies()
    newest, *older = [_signing_key(key) for key in settings().credentials_key.split(",")]
    app.config.update(
        SECRET_KEY=newest,
        SECRET_KEY_FALLBACKS=older,
        SESSION_COOKIE_NAME=COOKIE,
        SESSION_COOKIE_PATH="/desk",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=timedelta(days=sessions.LONGEST_DAYS),
        WTF_CSRF_CHECK_DEFAULT=False,  # the API and the hooks have no forms
        WTF_CSRF_TIME_LIMIT=None,  # as long as its session: a page may be open for days
    )
    csrf.init_app(app)
    language.install(app)
    app.register_blueprint(desk)
    told = {name: getattr(dates, name) for name in ("since", "exact", "counted", "day", "month", "clock", "duration")}
    app.jinja_env.filters.update(masked=access.masked, language_name=language.language_name, **told)
    app.jinja_env.globals.update(asset=asset)


@desk.before_request
def _check_request() -> None:
    """Raises BadRequest for a text that no row can have, and for a form without its token."""
    if any("\0" in value for _name, value in request.values.items(multi=True)):
        raise BadRequest(gettext("A text has a NUL character. Remove it."))
    csrf.protect()


@desk.context_processor
def _for_templates() -> dict[str, object]:
    return {
        "may": access.may,
        "may_read_texts": access.may_read_texts,
        "page_of_form": access.page_of_form,
        "rights": access.rights,
        "roles": access.ROLES,
        "menu": navigation.menu,
        "languages": language.languages(),
        "locale": str(get_locale()),
        "user": g.get("user"),
        "customer": g.get("customer"),
    }


@desk.url_defaults
def _same_customer(endpoint: str, values: dict[str, object]) -> None:
    """Links of a customer's page lead to pages of the same customer."""
    if g.get("customer") and "customer_id" not in values and current_app.url_map.is_endpoint_expecting(endpoint, "customer_id"):
        values["customer_id"] = g.customer.id


@desk.after_request
def _headers(answer: Response) -> Response:
    answer.headers.setdefault("Content-Security-Policy", _POLICY)
    # With no-referrer a browser sends forms with `Origin: null`, and Flask-WTF asks over https where a form came from.
    answer.headers.setdefault("Referrer-Policy", "same-origin")
    answer.headers.setdefault("Vary", "Cookie, HX-Request, Accept-Language")
    # A form that is refused (409, 422) shows texts, too; an outage shows none, and nothing could be recorded.
    return access.record_look(answer) if answer.status_code < 500 else answer


@desk.errorhandler(HTTPException)
def _http_error(error: HTTPException) -> Response:
    if error.response is not None:
        return make_response(error.response)
    retry_after = getattr(error, "retry_after", None)
    answer = _error_page(error.code or 500, _own_words(error), retry_after)
    if retry_after:
        answer.headers["Retry-After"] = str(retry_after)
    return answer


def _own_words(error: HTTPException) -> str | None:
    if isinstance(error, CSRFError):
        return str(_STALE_FORM)
    return str(_NOT_FOUND) if isinstance(error, NotFound) else own_words(error)


def _error_page(status: int, own: str | None = None, retry_after: int | None = None) -> Response:
    title, advice = words_of(status, own, retry_after)
    if status == 403:
        title = gettext("This page is not for your role")
    return make_response(render_template("desk/error.html", title=title, advice=advice), status)


@desk.errorhandler(CredentialsUnreadable)
def _unreadable(error: CredentialsUnreadable) -> Response:
    return _http_error(unreadable(error))


@desk.errorhandler(redis.RedisError)
@desk.errorhandler(StorageDown)
def _service_down(error: redis.RedisError | StorageDown) -> Response:
    answer = _error_page(503)
    answer.headers["Retry-After"] = str(service_down(error).retry_after)
    return answer


@desk.errorhandler(OperationalError)
@desk.errorhandler(InterfaceError)
@desk.errorhandler(ServiceDown)
def _outage(error: Exception) -> Response:
    db.outage.noticed(error)
    # Who asks is not known without PostgreSQL. Why and since when is no secret: /readyz says it as well.
    page = render_template(
        "desk/outage.html",
        retry=_RETRY,
        can_repeat=request.method == "GET",
        reason=check_words(db.word_for(error)),
        noticed=datetime.now(UTC) - timedelta(seconds=db.outage.lasts() or 0.0),
        remedy=remedy("postgres"),
    )
    answer = make_response(page, 503)
    answer.headers["Retry-After"] = str(_RETRY)
    return answer


@desk.errorhandler(Exception)
def _unexpected(error: Exception) -> Response:
    if db.is_passing(error):
        return _outage(error)
    record(error)
    return _error_page(500)


def _signing_key(key: str) -> bytes:
    """What signs cookies and tokens: derived, so that there is no further secret to set."""
    return hmac.new(key.encode(), b"switchboard desk", hashlib.sha256).digest()
