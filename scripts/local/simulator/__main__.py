"""python -m scripts.local.simulator [--port 8088] [--seed 1]: runs until it is ended, or its parent is."""

from __future__ import annotations

import argparse
import asyncio
import sys

from scripts.local.simulator.server import World

#: Connections that may wait to be accepted: 500 AI calls begin at once.
BACKLOG = 2_048


async def _main(port: int, seed: int | None, follow_stdin: bool) -> None:
    world = World(seed)
    server = await asyncio.start_server(world.serve, "127.0.0.1", port, backlog=BACKLOG)
    print(f"simulator ready on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    if follow_stdin:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    else:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8088, help="0: a free one")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--follow-stdin", action="store_true", help="end when standard input is closed")
    arguments = parser.parse_args()
    try:
        asyncio.run(_main(arguments.port, arguments.seed, arguments.follow_stdin))
    except KeyboardInterrupt:
        pass
