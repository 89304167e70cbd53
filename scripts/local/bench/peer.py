"""The peer's runs, by its own bench.js, in the names that ours use."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

from scripts.local.bench.modes import Run
from scripts.local.bench.rig import figures

#: Seconds for one run.
PATIENCE = 900


class PeerFailed(RuntimeError):
    """The peer could not be run; the text has its words."""


def seed(peer: Path) -> None:
    """Its schema and its twenty customers. Raises PeerFailed if it is not installed."""
    if not (peer / "bullmq" / "node_modules").is_dir():
        raise PeerFailed(f"the peer is not installed: run npm install in {peer}/bullmq")
    _node(peer, ["src/seed-db.js", "--customers", "20", "--fresh"])


def throughput(peer: Path, messages: int, conversations: int) -> Run:
    """One worker process with all its processors."""
    return _drained(_bench(peer, ["throughput", "--n", messages, "--conversations", conversations]), messages)


def ai_concurrency(peer: Path, messages: int, in_flight: int) -> Run:
    """An AI of a second."""
    asked = ["ai-concurrency", "--n", messages, "--ai-concurrency", in_flight, "--conversations", max(in_flight * 4, 2_000)]
    return _drained(_bench(peer, asked), messages)


def latency(peer: Path, messages: int, every: float) -> Run:
    """An idle system."""
    found = _bench(peer, ["latency", "--n", messages, "--every", int(every * 1000)])
    times = {f"{name} ms": found[f"{name}_ms"] for name in ("p50", "p95", "p99", "min", "max")}
    return {**times, **_per_message(found, messages)}


def _drained(found: dict[str, Any], messages: int) -> Run:
    rate, memory = found["messages_per_s"], found["max_rss_mb_total"]
    return {"messages/s": rate, "memory MB": memory, **_per_message(found, messages)}


def _per_message(found: dict[str, Any], messages: int) -> dict[str, float]:
    spent: dict[str, float] = found["cpu_s"]
    names = {"worker": "worker CPU ms", "postgres": "Postgres CPU ms", "redis": "Redis CPU ms", "mock": "mock CPU ms"}
    return {name: spent[key] * 1000 / messages for key, name in names.items()}


def _bench(peer: Path, arguments: list[object]) -> dict[str, Any]:
    return figures(_node(peer, ["src/bench.js", *(str(argument) for argument in arguments)]))


def _node(peer: Path, arguments: list[str]) -> str:
    # Its own servers, whatever this process has been told of ours.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "REDIS_", "OPENAI_"))}
    done = subprocess.run(
        ["node", *arguments], cwd=peer / "bullmq", env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    if done.returncode:
        raise PeerFailed(f"{' '.join(arguments)} of the peer failed: {(done.stderr or done.stdout)[-2000:]}")
    return done.stdout
