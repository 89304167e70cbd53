"""The HTTP room below a library that speaks httpx: the openai client builds the request and reads the response, we carry it.

So its calls have our deadline, size cap, errors and connections.
Not imported by shared.http itself: only shared.ai needs httpx.
"""

from __future__ import annotations

import httpx2

from shared.errors import OutcomeUnknown
from shared.http import client
from shared.http.failures import ConnectFailed

#: Headers that say how a body came over the wire, which `exchange` has decoded already; and cookies, for the openai client
#: would send them with later calls.
_DROPPED = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie"})


def httpx_client(max_bytes: int) -> httpx2.Client:
    """An httpx client whose requests the HTTP room carries; at most `max_bytes` of a response are read."""
    # Only urllib3 knows which encodings urllib3 can decode; httpx offers those that it could itself.
    return httpx2.Client(transport=_Transport(max_bytes), headers={"Accept-Encoding": "identity"})


class _Transport(httpx2.BaseTransport):
    """The read timeout of a request is the deadline of the whole exchange."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange. Raises httpx's exceptions, and PermanentError for an address that is refused."""
        try:
            response = client.exchange(
                request.method,
                str(request.url),
                request.read(),
                dict(request.headers.items()),
                request.extensions["timeout"]["read"],
                max_bytes=self._max_bytes,
            )
        except ConnectFailed as problem:
            raise httpx2.ConnectError(str(problem)) from problem
        except OutcomeUnknown as problem:
            raise httpx2.ReadError(str(problem)) from problem
        headers = [(name, value) for name, value in response.headers.items() if name.lower() not in _DROPPED]
        return httpx2.Response(response.status, headers=headers, stream=httpx2.ByteStream(response.body))
