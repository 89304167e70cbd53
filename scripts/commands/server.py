"""scripts/server: every process of the Procfile, on your DATABASE_URL and REDIS_URL or on embedded services.

Embedded PostgreSQL and Redis keep their data under .local. PORT is 8000, or a free one if that is taken. Ctrl-C stops it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping

import psycopg2

from scripts.commands.migrate import migrate
from scripts.local.embedded import resolved_environment
from scripts.local.environment import ROOT, door_addresses, free_port, generated_secrets
from scripts.local.processes import BEHIND_WEB, ProcessManager
from scripts.local.terminal import no_arguments, unreachable
from shared import config

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95)


def main() -> int:
    """Runs until Ctrl-C or SIGTERM; 1, and nothing started, if a setting is wrong or the database does not answer."""
    no_arguments("server", __doc__)
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with resolved_environment() as environment:
        environment = {**environment, "PORT": environment.get("PORT") or str(free_port())}
        given = dict(os.environ)
        os.environ.update(environment)
        config.settings()  # a wrong one is said once, here, and not by nine processes again and again
        try:
            migrate(environment["DATABASE_URL"])
        except psycopg2.OperationalError as problem:
            print(f"server: {unreachable(problem)}", file=sys.stderr)
            return 1
        _serve(environment, given, stopping)
    return 0


def _serve(environment: Mapping[str, str], given: Mapping[str, str], stopping: threading.Event) -> None:
    processes = ProcessManager(ROOT / "Procfile", env=environment, cwd=ROOT, on_line=_print, behind_web=BEHIND_WEB)
    processes.start()
    told = [f"{what}: {where}" for what, where in door_addresses(environment)]
    made = [f"made for this machine: {secret}" for secret in generated_secrets(environment, given)]
    if not environment.get("OPENAI_API_KEY"):
        told.append(
            "OPENAI_API_KEY is not set: chatbots without a key of their own say their fallback message (or: scripts/simulator)"
        )
    for line in ("running; Ctrl-C stops it", *told, *made):
        print(f"server: {line}", flush=True)
    try:
        stopping.wait()
    finally:
        print("server: stopping", flush=True)
        processes.stop()


def _print(name: str, line: str) -> None:
    label = f"{name:15} |"
    if sys.stdout.isatty():
        label = f"\033[{_COLOURS[sum(name.encode()) % len(_COLOURS)]}m{label}\033[0m"
    sys.stdout.write(f"{label} {line.rstrip()}\n")  # in one piece: each process has a thread that prints
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
