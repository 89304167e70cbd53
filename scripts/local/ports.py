"""Ports of this machine for processes that are started here: each is given to one of them."""

from __future__ import annotations

import socket
import sys

#: The marks of ports that this process was given.
_reserved: list[socket.socket] = []


def free_port(preferred: int = 0) -> int:
    """This port of loopback, or another one if it is taken; 0 is any, which no other process is told meanwhile."""
    while True:
        port = _unused_port(preferred)
        if port == preferred or _reserve(port):
            return port
        preferred = 0


def _unused_port(preferred: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _reserve(port: int) -> bool:
    """Whether the port is ours until this process ends: its user opens it later, and two test runs look at the same time."""
    if sys.platform != "linux":  # no names that end with their process
        return True
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0switchboard-port-{port}")
    except OSError:
        mark.close()
        return False
    _reserved.append(mark)
    return True
