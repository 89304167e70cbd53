"""Short runs of six chaos scenarios; the long ones are `scripts/chaos each` and `scripts/chaos all`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = ("kill-workers", "lose-redis", "duplicates", "poison")


@pytest.mark.timeout(900)  # exact counts decide, not how fast this machine recovers
def test_nothing_is_lost_and_nothing_is_done_twice(root: Path, tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    where = ["--data", str(root / ".local" / "chaos-test"), "--json", str(figures)]
    command = [sys.executable, "-m", "scripts.commands.chaos", *SCENARIOS, "--messages", "300", *where]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    results = {result["scenario"]: result for result in json.loads(figures.read_text(encoding="utf-8"))}
    assert results["kill-workers"]["injections"] > 0
    assert results["lose-redis"]["injections"] == 4  # killed twice, restarted twice
    assert results["poison"]["counts"]["fallbacks"] == 1
    assert all(result["counts"]["sent"] == 300 and not result["duplicate_sends"] for result in results.values())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", ["endpoints-down", "budget"])
def test_endpoints_get_every_event_and_budgets_are_exact(root: Path, tmp_path: Path, scenario: str) -> None:
    figures = tmp_path / "figures.json"
    where = ["--data", str(root / ".local" / "chaos-test"), "--json", str(figures)]
    command = [sys.executable, "-m", "scripts.commands.chaos", scenario, "--messages", "60", *where]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    [result] = json.loads(figures.read_text(encoding="utf-8"))
    assert result["injections"] > 0
    assert result["counts"]["sent"] == 60
