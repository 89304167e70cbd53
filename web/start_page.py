"""/: what this is, and where to go."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, render_template
from flask_babel import get_locale, gettext
from flask_babel import lazy_gettext as _l
from peewee import InterfaceError, OperationalError

from shared import db
from shared.config import settings
from shared.errors import ServiceDown
from shared.models import Chatbot
from web.hardening import PAGE_POLICY

start_page = Blueprint("start_page", __name__)

Way = tuple[str, str, str]

_DESK = ("/desk/", _l("Open the desk"), _l("Answer customers, teach chatbots, repair what failed"))
_API = ("/api/v1/openapi.json", _l("API"), _l("For your own servers: the OpenAPI document"))
_HEALTH = ("/readyz", _l("Health"), _l("Whether everything works, and if not, what is missing"))
_DASHBOARD = ("/dashboard/", _l("Queues"), _l("dramatiq-dashboard: what Redis carries right now"))


@start_page.get("/")
def start() -> Response:
    """The page. The dashboard is named where it is served."""
    conf = settings()
    dashboard = [_DASHBOARD] if conf.dashboard_user and conf.dashboard_password else []
    ways, locale = [_DESK, *_chat(), _API, _HEALTH, *dashboard], str(get_locale() or "en")
    answer = make_response(render_template("start.html", ways=ways, locale=locale))
    answer.headers["Content-Security-Policy"] = PAGE_POLICY
    answer.headers.add("Vary", "Accept-Language")
    return answer


def _chat() -> list[Way]:
    """The chat to try, while there is one chatbot: where there are several, it is nobody's business which."""
    try:
        bots = db.rows(Chatbot.select(Chatbot.public_key, Chatbot.name).order_by(Chatbot.id).limit(2))
    except (OperationalError, InterfaceError, ServiceDown) as problem:
        db.outage.noticed(problem)
        return []
    if len(bots) != 1:
        return []
    return [(f"/widget/{bots[0]['public_key']}", gettext("Chat"), gettext("%(name)s, as visitors meet it", name=bots[0]["name"]))]
