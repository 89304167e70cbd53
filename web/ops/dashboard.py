"""/dashboard: dramatiq-dashboard on our queues, behind a login. Without DASHBOARD_USER and DASHBOARD_PASSWORD it is not there.

It shows what Redis carries: ids of jobs, no texts. Its forms have a token of their own; here its cookie is made strict, and a
form that another site sends is refused.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import cast

from dramatiq_dashboard import DashboardApp
from flask import Blueprint, Response, request
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import BadRequest, Forbidden, NotFound, Unauthorized

from shared import queues
from shared.broker.redis_broker import Broker, get_broker
from shared.channels.signatures import constant_time_equal
from shared.config import settings
from web.widget.access import is_foreign

dashboard = Blueprint("dashboard", __name__)

PREFIX = "/dashboard"
#: Its pages have their styles and scripts in themselves.
_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@dashboard.before_request
def _admit() -> None:
    conf, given = settings(), request.authorization
    if not (conf.dashboard_user and conf.dashboard_password):
        raise NotFound("The dashboard is disabled. Set DASHBOARD_USER and DASHBOARD_PASSWORD.")
    user, password = (given.username or "", given.password or "") if given and given.type == "basic" else ("", "")
    if not (constant_time_equal(user, conf.dashboard_user) & constant_time_equal(password, conf.dashboard_password)):
        challenge = WWWAuthenticate("basic", {"realm": "Switchboard"})
        raise Unauthorized(
            "the login is missing or wrong; want DASHBOARD_USER and DASHBOARD_PASSWORD", www_authenticate=challenge
        )
    origin = request.headers.get("Origin", "")
    if request.method == "POST" and is_foreign(origin, request.host):
        raise Forbidden("this form came from another site; want one of the dashboard's own pages")


@dashboard.route(PREFIX + "/", defaults={"rest": ""}, methods=["GET", "POST"])
@dashboard.route(PREFIX + "/<path:rest>", methods=["GET", "POST"])
def show(rest: str) -> Response:
    """A page of the dashboard."""
    form = request.get_data()  # through our limit: the dashboard reads whatever length it is told
    environ = {**request.environ, "PATH_INFO": f"/{rest}", "wsgi.input": BytesIO(form), "CONTENT_LENGTH": str(len(form))}
    try:
        answer = Response.from_app(application(get_broker()), environ, buffered=True)
    except (ValueError, KeyError):
        raise BadRequest("a parameter of the dashboard is wrong; want a link or form of its pages") from None
    answer.headers["Content-Security-Policy"] = _POLICY
    cookies = answer.headers.getlist("Set-Cookie")
    answer.headers.setlist("Set-Cookie", [f"{cookie.replace('Path=/', f'Path={PREFIX}')}; SameSite=Strict" for cookie in cookies])
    return cast(Response, answer)


@lru_cache(maxsize=1)
def application(broker: Broker, prefix: str = PREFIX) -> DashboardApp:
    """dramatiq-dashboard as it comes, without a login. It shows the queues that its broker has declared: all of ours."""
    for name in (*queues.every_lane(), queues.MAINTENANCE_QUEUE):
        broker.declare_queue(name)
    return DashboardApp(broker=broker, prefix=prefix)
