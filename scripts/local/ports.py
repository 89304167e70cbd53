"""Ports of this machine for processes that are started here: each is given to one of them."""

from __future__ import annotations

import random
import socket
import sys

#: Of these are free ports: Linux gives those from 32768 on, others from 49152 on, to connections and to who asks for any.
PORTS = range(20_000, 32_768)
#: The marks of ports that this process was given.
_reserved: list[socket.socket] = []


def free_port(preferred: int = 0) -> int:
    """This port of loopback, or another one if it is taken; 0 is any, which nobody else is given meanwhile."""
    port = preferred
    while not port or _is_taken(port) or (port != preferred and not _reserve(port)):
        port = random.choice(PORTS)
    return port


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


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
