"""What the log of a worker says, and how often."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

#: Dramatiq's own worker, whose broker is away for the first three looks at its queue.
AWAY = """
import dramatiq, threading
from dramatiq import worker
from dramatiq.brokers.stub import StubBroker
from shared.telemetry.logs import configure_logging

class Away(StubBroker):
    looks, is_back = 0, threading.Event()

    def consume(self, *args, **kwargs):
        Away.looks += 1
        if Away.looks < 4:
            raise dramatiq.errors.ConnectionClosed("Error 111")
        Away.is_back.set()
        return super().consume(*args, **kwargs)

configure_logging("INFO")
worker.CONSUMER_RESTART_DELAY_SECS = 0.01
broker = Away()
broker.declare_queue("ai-processing")
threads = dramatiq.Worker(broker, worker_threads=1)
threads.start()
assert Away.is_back.wait(30)
threads.stop()
"""


def test_an_outage_of_redis_is_not_told_by_each_consumer_again_and_again(root: Path) -> None:
    """shared/telemetry/outage.py says it once."""
    done = subprocess.run([sys.executable, "-c", AWAY], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line for line in lines if line["level"] in ("warning", "error", "critical")] == []
    assert not any("Restarting consumer" in line["event"] for line in lines)
