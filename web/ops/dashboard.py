"""/dashboard: dramatiq-dashboard on our queues, behind a login. Without DASHBOARD_USER and DASHBOARD_PASSWORD it is 404.

It shows what Redis carries: ids of jobs, no texts. Its buttons act on the jobs: Requeue runs a failed one again, Delete gives
one up. Its forms have a token of their own; here its cookie is made strict, and a form that another site sends is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import Any, cast

from dramatiq.common import q_name
from dramatiq_dashboard import DashboardApp
from dramatiq_dashboard.application import tab_from_q_name
from dramatiq_dashboard.csrf import csrf_protect
from dramatiq_dashboard.http import handler, redirect
from flask import Blueprint, Response, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, NotFound, Unauthorized

from shared import queues
from shared.broker.enqueue import job_id_of
from shared.broker.redis_broker import Broker, get_broker
from shared.config import settings
from shared.db.credentials import constant_time_equal
from shared.jobs import operator
from web.hardening import came_by_https, is_foreign, reads_no_body_without
from web.request_limits import check_guess, count_guess

dashboard = Blueprint("dashboard", __name__)
reads_no_body_without(lambda headers: headers.get("Authorization", "") != "", dashboard)

PREFIX = "/dashboard"
_HEADERS = {
    # Its pages have their styles and scripts in themselves.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    # With the other pages' no-referrer a browser sends its forms with `Origin: null`, which is every other site's as well.
    "Referrer-Policy": "same-origin",
}
CSRF_COOKIE, _CSRF_TOKEN = "__dd_csrf", re.compile(r"[0-9a-f]{64}")
_CONFLICT = "409 Conflict"
#: Digits that fit into 64 bits, whatever they are.
_LONGEST_CURSOR = 19


def _wrong_parameter() -> BadRequest:
    return BadRequest("A parameter is wrong. Use the links and forms of the dashboard's pages.")


def _form(view: Callable[..., Any]) -> Callable[..., Any]:
    """A method that a form of the dashboard's pages posts to."""
    return handler(csrf_protect(view))  # type: ignore[no-any-return]  # dramatiq-dashboard has no types


class Dashboard(DashboardApp):  # type: ignore[misc]  # dramatiq-dashboard has no types
    """dramatiq-dashboard, whose buttons act on the job of a message; messages without a job it handles as ever."""

    def requeue_message(self, req: Any, start_response: Any) -> Any:
        """Requeue: the failed job runs again, and its message leaves the dead-letter queue."""
        handle = self._requeue_job if _job_of(req) else super().requeue_message
        return handle(req, start_response)

    def delete_message(self, req: Any, start_response: Any) -> Any:
        """Delete: the job is given up, and its message forgotten."""
        handle = self._delete_job if _job_of(req) else super().delete_message
        return handle(req, start_response)

    @_form
    def _requeue_job(self, req: Any) -> Any:
        try:
            operator.requeue(_job_of(req))
        except operator.JobRefused as refusal:
            return _CONFLICT, str(refusal)
        return self._back_to_the_list(req)

    @_form
    def _delete_job(self, req: Any) -> Any:
        try:
            operator.discard(_job_of(req))
        except operator.JobRefused as refusal:
            if refusal.state not in ("gone", "completed"):  # of those the message is all that is left
                return _CONFLICT, str(refusal)
        self.iface.delete_message(req.post_data["queue"], req.post_data["id"])
        return self._back_to_the_list(req)

    def _back_to_the_list(self, req: Any) -> Any:
        queue = req.post_data["queue"]
        return redirect(self.make_uri("queues", q_name(queue), tab_from_q_name(queue)))


def _job_of(req: Any) -> int:
    """The job whose message a form names; 0 if it is no job's. (A GET has no form.)"""
    return job_id_of(req.post_data.get("id", "")) or 0


@dashboard.before_request
def _authenticate() -> None:
    conf, login = settings(), request.authorization
    if not (conf.dashboard_user and conf.dashboard_password):
        raise NotFound("The dashboard is disabled. Set DASHBOARD_USER and DASHBOARD_PASSWORD.")
    check_guess("dashboard")
    user, password = (login.username or "", login.password or "") if login and login.type == "basic" else ("", "")
    if not (constant_time_equal(user, conf.dashboard_user) & constant_time_equal(password, conf.dashboard_password)):
        if login is not None:
            count_guess("dashboard")
        challenge = WWWAuthenticate("basic", {"realm": "Switchboard"})
        raise Unauthorized(
            "The login is missing or wrong. Log in with DASHBOARD_USER and DASHBOARD_PASSWORD.", www_authenticate=challenge
        )
    origin = request.headers.get("Origin", "")
    if request.method == "POST" and is_foreign(origin, request.host):
        raise Forbidden("This form came from another site. Use the dashboard's own pages.")


@dashboard.route(PREFIX + "/", defaults={"rest": ""}, methods=["GET", "POST"])
@dashboard.route(PREFIX + "/<path:rest>", methods=["GET", "POST"])
def show(rest: str) -> Response:
    """A page of the dashboard."""
    if len(request.args.get("cursor", "")) > _LONGEST_CURSOR:  # Redis would refuse it, which looks as if it were down
        raise _wrong_parameter()
    form = request.get_data()  # through our limit: the dashboard would read any length
    environ = {
        **request.environ,
        "PATH_INFO": f"/{rest}",
        "HTTP_COOKIE": _csrf_cookie(),
        "wsgi.input": BytesIO(form),
        "CONTENT_LENGTH": str(len(form)),
    }
    try:
        answer = Response.from_app(application(get_broker()), environ, buffered=True)
    except (ValueError, KeyError):
        raise _wrong_parameter() from None
    answer.headers.update(_HEADERS)
    kept = "; SameSite=Strict; Secure" if came_by_https() else "; SameSite=Strict"
    cookies = answer.headers.getlist("Set-Cookie")
    answer.headers.setlist("Set-Cookie", [cookie.replace("Path=/", f"Path={PREFIX}") + kept for cookie in cookies])
    return cast(Response, answer)


def _csrf_cookie() -> str:
    """The cookie that the dashboard made. It writes the cookie's value into its pages as it is, and a neighbouring subdomain
    may have set another.
    """
    token = request.cookies.get(CSRF_COOKIE, "")
    return f"{CSRF_COOKIE}={token}" if _CSRF_TOKEN.fullmatch(token) else ""


@lru_cache(maxsize=1)
def application(broker: Broker, prefix: str = PREFIX) -> Dashboard:
    """The dashboard without a login. It shows the queues that its broker has declared: all of ours."""
    for name in (*queues.every_lane(), queues.MAINTENANCE_QUEUE):
        broker.declare_queue(name)
    return Dashboard(broker=broker, prefix=prefix)
