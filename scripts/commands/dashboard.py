"""scripts/dashboard: the dramatiq-dashboard web UI on the queues of REDIS_URL, or of the embedded services that run.

It has no login: it listens on this machine only unless --host says otherwise. Put your own login in front of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from wsgiref.simple_server import make_server

from scripts.local.environment import use_running_services
from scripts.local.terminal import count
from shared.broker.redis_broker import get_broker
from web.ops.dashboard import application


def main() -> int:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="scripts/dashboard", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at (default 127.0.0.1)")
    parser.add_argument("--port", type=count, default=os.environ.get("PORT") or "8080", help="default PORT, or 8080")
    arguments = parser.parse_args()
    if not os.environ.get("REDIS_URL") and not os.environ.get("REDIS_HOST"):
        use_running_services("dashboard", "REDIS_URL")
    try:
        server = make_server(arguments.host, arguments.port, application(get_broker(), prefix=""))
    except (OSError, OverflowError) as problem:
        reason = os.strerror(problem.errno) if isinstance(problem, OSError) and problem.errno else str(problem).rstrip(".")
        sys.exit(f"dashboard: port {arguments.port} cannot be used: {reason}. Choose another one with --port.")
    with server:
        print(f"dashboard: http://{arguments.host}:{arguments.port}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("dashboard: stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
