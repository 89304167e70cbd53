"""The addresses of the services that our settings name; while DNS is silent, the last ones that it gave."""

from __future__ import annotations

import socket
import time
from functools import partial

from shared.dns.lookups import OWN, Lookup, parse_ip
from shared.telemetry.outage import Outage

#: Seconds to wait for DNS where earlier addresses are known.
PATIENCE = 0.5
#: What `getaddrinfo` says when DNS has answered that there is no such name; with any other error DNS has not answered.
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
#: The texts of our errors. Libraries pass them on, and db and broker recognise them.
SILENT, UNKNOWN = "DNS did not answer", "DNS knows no address for it"

outage = Outage("dns", lambda _: SILENT)
_latest: dict[str, list[str]] = {}


def addresses(host: str, seconds: float) -> list[str]:
    """The addresses of a service's host. Raises socket.gaierror, whose text is SILENT or UNKNOWN."""
    if parse_ip(host) is not None:
        return [host]
    try:
        found = _ask(host, seconds)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, UNKNOWN) from None
    except OSError as problem:  # gaierror and TimeoutError are
        if isinstance(problem, socket.gaierror) and problem.errno in _NO_SUCH_NAME:
            raise socket.gaierror(problem.errno, UNKNOWN) from None
        outage.noticed(OSError(f"{host}: {problem or 'no answer in time'}"))
        if host not in _latest:
            raise socket.gaierror(socket.EAI_AGAIN, SILENT) from None
        return _latest[host]
    outage.over()
    return found


def _ask(host: str, seconds: float) -> list[str]:
    """Asks DNS. Callers who can do with earlier addresses wait PATIENCE for a look-up in all, not each anew.

    A late answer is remembered for the next caller.
    """
    deadline = time.monotonic() + seconds
    lookup = OWN.begin(host, 0, lambda: max(0.0, deadline - time.monotonic()))
    lookup.add_done_callback(partial(_remember, host))
    until = min(deadline, lookup.began + PATIENCE) if host in _latest else deadline
    lookup.result(max(0.0, until - time.monotonic()))
    _remember(host, lookup)
    return _latest[host]


def _remember(host: str, lookup: Lookup) -> None:
    if lookup.exception() is None:
        _latest[host] = list(dict.fromkeys(str(info[4][0]) for info in lookup.result()))


def forget() -> None:
    """Forgets all addresses; for tests."""
    _latest.clear()
    outage.forget()
