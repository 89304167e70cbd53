"""The addresses of the hosts that DATABASE_URL, or PGHOST, names: libpq would look them up without a deadline.

So it does with the host of a service's file (PGSERVICE), which is read by libpq alone.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import psycopg2

from shared.db.refusals import NOT_TRANSLATED
from shared.dns import services


def with_addresses(parameters: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """libpq's parameters, with each address of each host as `hostaddr`. Raises psycopg2.OperationalError if no host has one.

    `host` stays beside it, because certificates name hosts. A folder of sockets has no address; a host that DNS does not give
    us is left out.
    """
    hosts, given = _of(parameters, "host").split(","), _of(parameters, "hostaddr")
    ports = _of(parameters, "port").split(",")
    if given or not any(map(_is_name, hosts)) or len(ports) not in (1, len(hosts)):
        return dict(parameters)
    if len(ports) == 1:
        ports *= len(hosts)
    places, problem = list[tuple[str, str, str]](), ""
    for host, port in zip(hosts, ports, strict=True):
        try:
            found = services.addresses(host, seconds) if _is_name(host) else [""]
            places += [(host, address, port) for address in found]
        except socket.gaierror as failed:
            problem = f'{NOT_TRANSLATED} "{host}" to address: {failed.args[1]}'
    if not places:
        raise psycopg2.OperationalError(problem)
    host, hostaddr, port = (",".join(parts) for parts in zip(*places, strict=True))
    # None at all is left to libpq, which may know one from a service's file.
    return {**parameters, "host": host, "hostaddr": hostaddr, **({"port": port} if any(ports) else {})}


def _of(parameters: Mapping[str, Any], name: str) -> str:
    """What the URL says, or else libpq's own variable; a service's file comes before that one."""
    is_libpqs = name not in parameters and "service" not in parameters and "PGSERVICE" not in os.environ
    return os.environ.get(f"PG{name.upper()}", "") if is_libpqs else str(parameters.get(name, ""))


def _is_name(host: str) -> bool:
    return bool(host) and not host.startswith(("/", "@"))
