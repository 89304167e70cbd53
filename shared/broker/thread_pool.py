"""The threads of a worker process: one steps in for each whose call hangs, as ForkJoinPool's compensating threads do."""

from __future__ import annotations

import threading
from typing import Any

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware
from dramatiq.worker import Worker, WorkerThread

from shared.broker.redis_broker import Broker as SwitchboardBroker


class Crew(Middleware):
    """Adds threads to Dramatiq's worker and takes them away; the broker fetches for those that are there."""

    def __init__(self, broker: SwitchboardBroker) -> None:
        self._broker = broker
        self._lock = threading.Lock()
        self._worker: Worker | None = None

    @classmethod
    def of(cls, broker: SwitchboardBroker) -> Crew:
        """The crew of the process whose broker this is."""
        crew = cls(broker)
        broker.add_middleware(crew)
        return crew

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        """From now on there is somebody to add to."""
        self._worker = worker

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        """Whoever is there now is waited for; nobody comes or goes any more."""
        with self._lock:
            self._worker = None

    def step_in(self) -> bool:
        """One thread more; False if the worker is not there, or ends."""
        with self._lock:
            if self._worker is None:
                return False
            try:
                self._worker._add_worker()
            except RuntimeError:  # the system has no thread to spare: those who are there go on
                return False
        self._broker.add_capacity(1)
        return True

    def step_out(self) -> None:
        """The calling thread ends when its job is done."""
        thread = threading.current_thread()
        with self._lock:
            if self._worker is not None and isinstance(thread, WorkerThread):
                thread.stop()
                self._worker.workers.remove(thread)
        self._broker.add_capacity(-1)
