"""/: what this is, and where to go. It asks nobody, so that it answers while PostgreSQL is down."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template

from shared.config import settings

start_page = Blueprint("start_page", __name__)

_WAYS = (
    ("/desk/", "Desk", "Answer customers, teach chatbots, repair what failed"),
    ("/api/v1/openapi.json", "API", "For your own servers: the OpenAPI document"),
    ("/readyz", "Health", "Whether everything works, and if not, what is missing"),
)
_DASHBOARD = ("/dashboard/", "Queues", "dramatiq-dashboard: what Redis carries right now")


@start_page.get("/")
def start() -> Response:
    """The page. The dashboard is named where it is served."""
    conf = settings()
    ways = (*_WAYS, _DASHBOARD) if conf.dashboard_user and conf.dashboard_password else _WAYS
    answer = make_response(render_template("start.html", ways=ways))
    answer.headers["Content-Security-Policy"] = (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return answer
