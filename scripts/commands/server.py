"""scripts/server: every process of the Procfile, on your DATABASE_URL and REDIS_URL or on embedded services."""

from __future__ import annotations

import os
import signal
import sys
import threading

from scripts.commands.migrate import migrate
from scripts.local.embedded import resolved_environment
from scripts.local.environment import ROOT, door_addresses, free_port
from scripts.local.processes import BEHIND_WEB, ProcessManager

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95)


def main() -> int:
    """Runs until Ctrl-C or SIGTERM."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with resolved_environment() as environment:
        environment = {**environment, "PORT": environment.get("PORT") or str(free_port())}
        migrate(environment["DATABASE_URL"])
        processes = ProcessManager(ROOT / "Procfile", env=environment, cwd=ROOT, on_line=_print, behind_web=BEHIND_WEB)
        processes.start()
        print("server: running; Ctrl-C stops it", flush=True)
        for what, where in door_addresses(environment):
            print(f"server: {what}: {where}", flush=True)
        if not os.environ.get("METRICS_TOKEN") and environment.get("METRICS_TOKEN"):
            print(f"server: the token of /metrics: {environment['METRICS_TOKEN']}", flush=True)
        if not os.environ.get("DASHBOARD_PASSWORD") and environment.get("DASHBOARD_PASSWORD"):  # made for this machine only
            print(f"server: the dashboard's password: {environment['DASHBOARD_PASSWORD']}", flush=True)
        try:
            stopping.wait()
        finally:
            print("server: stopping", flush=True)
            processes.stop()
    return 0


def _print(name: str, line: str) -> None:
    label = f"{name:15} |"
    if sys.stdout.isatty():
        label = f"\033[{_COLOURS[sum(name.encode()) % len(_COLOURS)]}m{label}\033[0m"
    print(label, line.rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
