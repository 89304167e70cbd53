"""Errors to Sentry: where they are and of what class, without what customers said and where they are called.

An event is a log line at level ERROR, or an exception that nobody caught. Its breadcrumbs are the log lines before it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from shared.config import Settings
from shared.telemetry.logs import context_ids

if TYPE_CHECKING:
    from sentry_sdk.integrations import Integration

#: What of a request is kept: no headers, query, cookies, body or environment.
_REQUEST = ("method", "url")
#: A link that lets its holder choose a password (shared/people/links.py).
_LINK = re.compile(r"(/desk/link/).*")


def configure_sentry(conf: Settings, *integrations: Integration) -> None:
    """Reports errors if SENTRY_DSN is set. `integrations`: what else the process has that Sentry should watch."""
    if not conf.sentry_dsn:
        return
    import sentry_sdk  # 6 MB, which only those pay who use it
    from sentry_sdk.integrations.dramatiq import DramatiqIntegration
    from sentry_sdk.integrations.stdlib import StdlibIntegration

    sentry_sdk.init(
        dsn=conf.sentry_dsn,
        environment=conf.sentry_environment,
        integrations=[DramatiqIntegration(), *integrations],
        auto_enabling_integrations=False,  # of Redis, OpenAI and others, which note what is sent there
        disabled_integrations=[StdlibIntegration],  # notes URLs of calls, with their queries, and adds headers to them
        trace_propagation_targets=[],
        include_local_variables=False,
        max_request_body_size="never",
        send_default_pii=False,
        before_send=_before_send,
        before_breadcrumb=_log_lines_only,
    )


#: Seconds in which an error is told once: whoever can cause one many times would use up what Sentry takes in a month.
_ONCE_IN = 60.0
#: Errors that are remembered for that.
_MAX_KNOWN = 1_000
_told: dict[tuple[str, ...], float] = {}


def _before_send(event: Any, _hint: dict[str, Any]) -> Any:
    event["extra"] = {**(event.get("extra") or {}), **context_ids()}  # the job, its queue and its customer
    kind, now = _kind(event), time.monotonic()
    if now - _told.get(kind, -_ONCE_IN) < _ONCE_IN:
        return None
    if len(_told) >= _MAX_KNOWN:
        _told.clear()
    _told[kind] = now
    return _without_private_data(event)


def _kind(event: Any) -> tuple[str, ...]:
    """What makes two events the same error: all but the ids in their texts."""
    extra, exceptions = event["extra"], (event.get("exception") or {}).get("values") or []
    texts = [event.get("logger"), (event.get("logentry") or {}).get("message"), extra.get("error"), extra.get("queue")]
    texts += [text for problem in exceptions for text in (problem.get("type"), problem.get("value"))]
    return tuple(re.sub(r"\d+", "0", str(text)) for text in texts)


def _without_private_data(event: Any) -> Any:
    if request := event.get("request"):
        kept = {name: request[name] for name in _REQUEST if name in request}
        url = str(kept.get("url", "")).partition("?")[0]
        event["request"] = kept | {"url": _LINK.sub(r"\1…", url)}
    return event


def _log_lines_only(breadcrumb: Any, _hint: dict[str, Any]) -> Any:
    return breadcrumb if breadcrumb.get("type") == "log" else None


#: Headers by which a caller would have his trace continued.
_TRACE_HEADERS = ("HTTP_SENTRY_TRACE", "HTTP_BAGGAGE", "HTTP_TRACEPARENT", "HTTP_TRACESTATE")


def forget_trace(environ: dict[str, Any]) -> None:
    """Takes a stranger's trace out of a WSGI request: his would be ours, and he would find us in it."""
    for name in _TRACE_HEADERS:
        environ.pop(name, None)
