"""scripts/server: web and a process for each stage, on your DATABASE_URL and REDIS_URL or on embedded services.

Embedded PostgreSQL and Redis keep their data under .local. PORT is 8000, or a free one if that is taken. Ctrl-C stops it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Mapping

import psycopg2

from scripts.commands.migrate import migrate
from scripts.local.embedded import resolved_environment
from scripts.local.environment import ROOT, door_addresses, free_port, generated_secrets
from scripts.local.processes import BEHIND_WEB, SMALL, ProcessManager
from scripts.local.terminal import unreachable
from shared import config

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95)


def main() -> int:
    """Runs until Ctrl-C or SIGTERM; 1, and nothing started, if a setting is wrong or the database does not answer."""
    arguments = _arguments()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with resolved_environment() as environment:
        environment = {**environment, "PORT": environment.get("PORT") or str(free_port())}
        own_environment = dict(os.environ)
        os.environ.update(environment)
        config.settings()  # a wrong one is reported once, here, and not by nine processes again and again
        try:
            migrate(environment["DATABASE_URL"])
        except psycopg2.OperationalError as problem:
            print(f"server: {unreachable(problem)}", file=sys.stderr)
            return 1
        _serve(environment, own_environment, stopping, SMALL if arguments.small else None)
    return 0


def _arguments() -> argparse.Namespace:
    wide = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="scripts/server", description=__doc__, formatter_class=wide)
    parser.add_argument("--small", action="store_true", help="all stages in one process, the Procfile's `worker`")
    return parser.parse_args()


def _serve(
    environment: Mapping[str, str], own_environment: Mapping[str, str], stopping: threading.Event, names: list[str] | None
) -> None:
    processes = ProcessManager(ROOT / "Procfile", environment, ROOT, names, on_line=_print, behind_web=BEHIND_WEB)
    processes.start()
    lines = [f"{what}: {where}" for what, where in door_addresses(environment)]
    secrets = [f"generated for this machine: {secret}" for secret in generated_secrets(environment, own_environment)]
    if not environment.get("OPENAI_API_KEY"):
        lines.append(
            "OPENAI_API_KEY is not set: chatbots without a key of their own say their fallback message (or: scripts/simulator)"
        )
    for line in ("running; Ctrl-C stops it", *lines, *secrets):
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
