"""The threads of a worker process: one is added for each whose call hangs, as ForkJoinPool's compensating threads are."""

from __future__ import annotations

import threading
from typing import Any

from dramatiq.broker import Broker
from dramatiq.middleware import Middleware
from dramatiq.worker import WorkerThread

from shared.broker.redis_broker import Broker as SwitchboardBroker
from shared.queues import Queue


class ThreadPool(Middleware):
    """Adds threads for a stage to Dramatiq's worker and retires them; the broker fetches messages for those that are there."""

    def __init__(self, broker: SwitchboardBroker, stage: Queue) -> None:
        self._broker, self._stage = broker, stage
        self._lock = threading.Lock()
        self._siblings: list[ThreadPool] = []  # of other stages, which Dramatiq tells nothing
        self._worker: Any = None  # Dramatiq's, with a FairQueue (shared/jobs/worker_process.py)

    @classmethod
    def of(cls, broker: SwitchboardBroker, stage: Queue) -> ThreadPool:
        """A stage's threads in the process whose broker this is."""
        threads = cls(broker, stage)
        known = next((each for each in broker.middleware if isinstance(each, cls)), None)
        if known is None:
            broker.add_middleware(threads)
        else:  # Dramatiq warns of a second one
            known._siblings.append(threads)
        return threads

    @property
    def size(self) -> int:
        """The threads that the process began with; 0 before it has."""
        worker = self._worker
        return worker.worker_threads if worker is not None else 0

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:
        """From now on there is a worker to add threads to."""
        self._worker = worker
        for sibling in self._siblings:
            sibling.after_worker_boot(broker, worker)

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:
        """From now on threads are neither added nor retired: the shutdown waits for those that are there."""
        with self._lock:
            self._worker = None
        for sibling in self._siblings:
            sibling.before_worker_shutdown(broker, worker)

    def add_thread(self) -> bool:
        """Adds a thread; False if the worker has not started, or is shutting down."""
        with self._lock:
            if self._worker is None:
                return False
            try:
                self._worker._add_worker()
            except RuntimeError:  # the system has no thread to spare; those that are there go on
                return False
            self._worker.work_queue.add_threads(self._stage, 1)
        self._broker.add_capacity(self._stage, 1)
        return True

    def retire_thread(self) -> None:
        """Ends the calling thread after its job."""
        thread = threading.current_thread()
        with self._lock:
            if self._worker is not None and isinstance(thread, WorkerThread):
                thread.stop()
                self._worker.workers.remove(thread)
                self._worker.work_queue.add_threads(self._stage, -1)
        self._broker.add_capacity(self._stage, -1)
