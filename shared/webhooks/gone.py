"""Ends calls to endpoints that were deleted or switched off while the call was under way: nobody wants the answer any more."""

from __future__ import annotations

import logging
import threading

from shared import db, http
from shared.models import WebhookEndpoint

log = logging.getLogger(__name__)

#: Seconds between two looks at the endpoints of the calls under way; a call is usually over long before.
INTERVAL = 1.0

_lock = threading.Lock()
_watcher: threading.Thread | None = None
_stopping = threading.Event()


def watch() -> None:
    """Makes sure that this process watches its calls from now on. To be called before each."""
    global _watcher  # noqa: PLW0603 - one thread a process; a fork leaves a dead one behind
    if _watcher is None or not _watcher.is_alive():
        with _lock:
            if _watcher is None or not _watcher.is_alive():
                _watcher = threading.Thread(target=_keep_looking, name="gone-endpoints", daemon=True)
                _watcher.start()


def stop() -> None:
    """Ends the watch until the next call of `watch`. For programs whose settings change: tests."""
    global _watcher  # noqa: PLW0603
    with _lock:
        if _watcher is not None:
            _stopping.set()
            _watcher.join()
            _stopping.clear()
            _watcher = None


def end_calls() -> int:
    """Ends the calls to endpoints that are gone or switched off; returns how many there were."""
    keys = {key[1]: key for key in http.keys_of_calls() if isinstance(key, tuple) and key[0] == "endpoint"}
    if not keys:
        return 0
    active = WebhookEndpoint.select(WebhookEndpoint.id).where(WebhookEndpoint.id.in_(list(keys)) & WebhookEndpoint.active)
    gone = keys.keys() - {row["id"] for row in db.rows(active)}
    return sum(http.cancel_calls(keys[endpoint]) for endpoint in gone)


def _keep_looking() -> None:
    while not _stopping.wait(INTERVAL):
        try:
            ended = end_calls()
        except Exception as problem:
            if not db.is_outage(problem):
                log.exception("gone_endpoints_not_found")
            continue
        if ended:
            log.info("calls_ended", extra={"calls": ended, "reason": "their endpoint is gone or switched off"})
