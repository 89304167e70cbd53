"""The WSGI application. It stores and enqueues; it never calls anybody outside, and it never works on a job.

web/server/ serves it.
"""

from __future__ import annotations

from flask import Flask
from sentry_sdk.integrations.flask import FlaskIntegration
from werkzeug.middleware.proxy_fix import ProxyFix

from shared import db
from shared.broker import suitability
from shared.broker.connection import DOOR
from shared.broker.redis_broker import get_broker
from shared.config import settings
from shared.telemetry.logs import configure_logging
from shared.telemetry.sentry import configure_sentry
from web import hardening, problems
from web.api import (  # noqa: F401 - imported for their routes
    api_keys,
    budgets,
    channels,
    chatbots,
    connecting,
    contacts,
    document,
    events,
    gaps,
    knowledge,
    media,
    messages,
    notes,
    recovery,
    sources,
    team,
    templates,
    usage,
    webhook_attempts,
    webhooks,
)
from web.desk import install as desk
from web.event_types import event_types
from web.hooks import hook_modules
from web.ops.dashboard import dashboard
from web.ops.health import health
from web.ops.metrics import metrics
from web.ops.operations import operations
from web.start_page import start_page
from web.widget.api import api as widget_api
from web.widget.page import page as widget_page

HOOKS = tuple(module.hook for module in hook_modules().values())
BLUEPRINTS = (*HOOKS, widget_api, widget_page, health, metrics, operations, dashboard, start_page, event_types)


def create_app() -> Flask:
    """The application of a web process; stops the process, naming the variable, when a setting is wrong."""
    conf = settings()
    configure_logging(conf.log_level)
    configure_sentry(conf, FlaskIntegration())
    db.use(db.WEB)
    db.check_address()
    get_broker(DOOR)
    suitability.check_address()
    app = hardening.Application("web")
    if conf.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=conf.trusted_proxies, x_proto=conf.trusted_proxies)  # type: ignore[method-assign]  # Flask's own way
    hardening.install(app)
    problems.install(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    document.install(app)
    desk.install(app)
    return app
