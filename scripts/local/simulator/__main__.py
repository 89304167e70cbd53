"""scripts/simulator: simulates an AI provider, Meta, a QR gateway and customers' endpoints for a local Switchboard.

Runs until Ctrl-C and prints the settings with which scripts/server uses it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from scripts.local.simulator.client import settings_for
from scripts.local.simulator.server import World

#: Connections that may wait to be accepted: a benchmark starts 500 AI calls at once.
BACKLOG = 2_048


async def _main(port: int, seed: int | None, follow_stdin: bool) -> None:
    world = World(seed)
    try:
        server = await asyncio.start_server(world.serve, "127.0.0.1", port, backlog=BACKLOG)
    except (OSError, OverflowError) as problem:
        reason = os.strerror(problem.errno) if isinstance(problem, OSError) and problem.errno else str(problem).rstrip(".")
        sys.exit(f"simulator: port {port} cannot be used: {reason}. Choose another one with --port; --port 0 takes a free one.")
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(f"simulator ready on {url}", flush=True)
    if not follow_stdin:
        print("in a second terminal, this starts Switchboard with it:", flush=True)
        # A line of its own, so that it can be copied whole.
        print(" ".join(f"{name}={value}" for name, value in settings_for(url).items()) + " scripts/server", flush=True)
    if follow_stdin:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    else:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8088, help="default 8088; 0 picks a free one")
    parser.add_argument("--seed", type=int, help="seed of random faults")
    parser.add_argument("--follow-stdin", action="store_true", help="exit when standard input is closed")
    arguments = parser.parse_args()
    try:
        asyncio.run(_main(arguments.port, arguments.seed, arguments.follow_stdin))
    except KeyboardInterrupt:
        pass
