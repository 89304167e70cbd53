"""Ctrl-C and SIGTERM end scripts/bench and scripts/chaos with all that they started."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

#: What each prints once its load is under way.
BUSY = {"bench latency": "messages enqueued", "chaos kill-workers": "  kill -9"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("script", "how"), [("bench latency", signal.SIGINT), ("chaos kill-workers", signal.SIGTERM)])
def test_a_stopped_script_leaves_nothing_running(root: Path, script: str, how: signal.Signals) -> None:
    name, mode = script.split()
    where = ["--data", str(root / ".local" / "stopped-test"), "--messages", "20000"]
    command = [sys.executable, "-m", f"scripts.commands.{name}", mode, *where]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert any(BUSY[script] in line for line in process.stderr), "it ended"
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(how)
    said = process.stderr.read()
    try:
        assert (process.wait(), said.splitlines()[-1]) == (1, f"{name}: stopped")
        assert "Traceback" not in said
        assert [each.name() for each in started if each.is_running()] == []
    finally:
        for each in started:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.stderr.close()
