"""The addresses of the hosts that DATABASE_URL names: libpq would look them up without a deadline."""

from __future__ import annotations

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
    hosts, given = parameters.get("host", "").split(","), parameters.get("hostaddr", "")
    ports = parameters.get("port", "").split(",")
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
    return {**parameters, "host": host, "hostaddr": hostaddr, "port": port}


def _is_name(host: str) -> bool:
    return bool(host) and not host.startswith(("/", "@"))
