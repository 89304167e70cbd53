"""Hears which conversations changed: one LISTEN connection a process, in a thread of its own."""

from __future__ import annotations

import logging
import select
import threading
import time
from typing import Protocol

from shared import db

log = logging.getLogger(__name__)

#: Seconds between questions whether PostgreSQL is still there.
ASK_EVERY = 10.0
#: Seconds in which it answers on the listening connection; one that a network has forgotten never speaks again.
ANSWER_WITHIN = 5.0
#: Seconds between attempts to listen again.
RECONNECT_PAUSE = 1.0


class Hearer(Protocol):
    """Who is told."""

    closed: bool

    def hear(self, topic: str) -> None:
        """A conversation changed (widget_changed in schema.sql)."""

    def miss(self) -> None:
        """Any may have changed, for nobody listened."""


def listen(hearer: Hearer) -> None:
    """Tells until the hearer is closed."""
    threading.Thread(target=_listen, args=[hearer], name="widget-listener", daemon=True).start()


def _listen(hearer: Hearer) -> None:
    while not hearer.closed:
        try:
            _listen_until_broken(hearer)
        except Exception as problem:
            if db.is_outage(problem):
                db.outage.noticed(problem)
            else:
                log.exception("widget_listener_failed")
            time.sleep(RECONNECT_PAUSE)


def _listen_until_broken(hearer: Hearer) -> None:
    connection = db.listener("widget")
    try:
        db.answered()
        hearer.miss()
        asked_at = time.monotonic()
        ready = select.poll()  # select() takes no descriptor above 1023, and streams are many
        ready.register(connection, select.POLLIN)
        while not hearer.closed:
            if time.monotonic() - asked_at >= ASK_EVERY:
                if not connection.answers(ANSWER_WITHIN, "listen widget"):
                    return
                asked_at = time.monotonic()
            ready.poll(1000)
            connection.poll()
            while connection.notifies:
                hearer.hear(connection.notifies.pop(0).payload)
    finally:
        connection.close()
