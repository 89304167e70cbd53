"""The peer's runs by its own bench.js, with the same figure names as ours."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from scripts.local.bench.modes import Run

#: Seconds for one run.
RUN_TIMEOUT = 900


class PeerFailed(RuntimeError):
    """The peer could not be run; the text ends with its output."""


def seed(peer: Path) -> None:
    """Creates its schema and its twenty customers. Raises PeerFailed if it is not installed."""
    if not (peer / "bullmq" / "node_modules").is_dir():
        raise PeerFailed(f"The peer is not installed; run npm install in {peer}/bullmq.")
    _node(peer, ["src/seed-db.js", "--customers", "20", "--fresh"])


def throughput(peer: Path, messages: int, conversations: int) -> Run:
    """One worker process with all its processors."""
    return _drained(_bench(peer, ["throughput", "--n", messages, "--conversations", conversations]), messages)


def worker(peer: Path, messages: int, conversations: int, interval: float) -> Run:
    """Throughput, memory and latency of the same process."""
    paced = latency(peer, max(20, messages // 25), interval)
    return {**throughput(peer, messages, conversations), **{name: paced[name] for name in ("p50 ms", "p95 ms")}}


def ai_concurrency(peer: Path, messages: int, in_flight: int) -> Run:
    """An AI of a second."""
    arguments = ["ai-concurrency", "--n", messages, "--ai-concurrency", in_flight, "--conversations", max(in_flight * 4, 2_000)]
    return _drained(_bench(peer, arguments), messages)


def latency(peer: Path, messages: int, interval: float) -> Run:
    """An idle system."""
    result = _bench(peer, ["latency", "--n", messages, "--every", int(interval * 1000)])
    times = {f"{name} ms": result[f"{name}_ms"] for name in ("p50", "p95", "p99", "min", "max")}
    return {**times, **_per_message(result, messages)}


def _drained(result: dict[str, Any], messages: int) -> Run:
    rate, memory = result["messages_per_s"], result["max_rss_mb_total"]
    return {"messages/s": rate, "memory MB": memory, **_per_message(result, messages)}


def _per_message(result: dict[str, Any], messages: int) -> dict[str, float]:
    cpu_seconds: dict[str, float] = result["cpu_s"]
    names = {"worker": "worker CPU ms", "postgres": "Postgres CPU ms", "redis": "Redis CPU ms", "mock": "mock CPU ms"}
    return {name: cpu_seconds[key] * 1000 / messages for key, name in names.items()}


def _bench(peer: Path, arguments: list[object]) -> dict[str, Any]:
    output = _node(peer, ["src/bench.js", *map(str, arguments)])
    return dict(json.loads(output.strip().splitlines()[-1]))


def _node(peer: Path, arguments: list[str]) -> str:
    # It uses its own servers, whatever this process's environment says of ours.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_", "OPENAI_"))}
    done = subprocess.run(
        ["node", *arguments], cwd=peer / "bullmq", env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT
    )
    if done.returncode:
        raise PeerFailed(f"The peer's {' '.join(arguments)} failed: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout
