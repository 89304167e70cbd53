"""The addresses of the services that we keep connections to. While DNS is silent, those that it knew the last time."""

from __future__ import annotations

import socket
import time
from functools import partial

from shared.dns.lookups import OWN, Lookup, parse_ip
from shared.telemetry.outage import Outage

#: Seconds for which DNS is waited for where there are addresses of the last time.
PATIENCE = 0.5
#: What DNS says of a name that there is not; anything else is no answer.
_NO_SUCH_NAME = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
#: Words that libraries pass on.
SILENT, UNKNOWN = "DNS did not answer", "DNS knows no address for it"

outage = Outage("dns", lambda _: SILENT)
_latest: dict[str, list[str]] = {}


def addresses(host: str, seconds: float) -> list[str]:
    """Where a service is. Raises socket.gaierror, whose text says whether DNS was silent or knows no such name."""
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
    """One that is late is not waited for once more by each who needs it; its answer still counts for those who come later."""
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
    """As if no name had been looked up yet."""
    _latest.clear()
    outage.forget()
