"""The simulated outside world of a scenario: what fails there at the moment, and who hears its statuses."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scripts.local.chaos.statuses import StatusReceiver
from scripts.local.simulator.client import Simulator

#: Milliseconds from a send to its first status, and between two.
STATUS_DELAY = 200


class Outside:
    """`rules` are those of the whole scenario; disruptions add theirs."""

    def __init__(self, simulator: Simulator, rules: list[dict[str, Any]], receiver: StatusReceiver | None) -> None:
        self.simulator, self.receiver = simulator, receiver
        self._rules, self._lock = [*rules, *_status_rules(receiver)], threading.Lock()
        simulator.faults(self._rules)

    @contextmanager
    def failing(self, rule: dict[str, Any]) -> Iterator[None]:
        """One more rule, for the length of the block."""
        self._change(lambda: self._rules.append(rule))
        try:
            yield
        finally:
            self._change(lambda: self._rules.remove(rule))

    def _change(self, change: Callable[[], None]) -> None:
        with self._lock:
            change()
            self.simulator.faults(self._rules)


def _status_rules(receiver: StatusReceiver | None) -> list[dict[str, Any]]:
    if receiver is None:
        return []
    rule = {"fault": "statuses", "url": receiver.url, "delay_ms": STATUS_DELAY, "statuses": ["sent", "delivered"]}
    return [{"kind": kind, **rule} for kind in ("graph", "waha")]
