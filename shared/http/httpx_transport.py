"""The HTTP room below a library that speaks httpx: the openai client builds the request and reads the response, we carry it.

So its calls have our deadline, size cap, errors and connections. Not imported by shared.http itself: only shared.ai needs httpx.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from shared.errors import OutcomeUnknown
from shared.http import client
from shared.http.failures import ConnectFailed

#: The openai client's headers about the machine that it runs on: no provider needs them.
_TELLS_OF_US = "x-stainless-"
#: Headers that say how a body came over the wire, which `exchange` has decoded already; and cookies, for the openai client
#: would send them with later calls.
_DROPPED = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie"})


_local = threading.local()


@contextmanager
def streaming(on_part: client.OnPart, max_bytes: int) -> Iterator[None]:
    """What this thread calls in the block hands its 2xx responses on as they come, and then has no content.

    The other way round, a response that is read while it comes, would leave the exchange open in the hands of its reader.
    """
    _local.on_part, _local.max_bytes = on_part, max_bytes
    try:
        yield
    finally:
        _local.on_part = None


class CarriedClient(httpx2.Client):
    """An httpx client whose requests the HTTP room carries, as `exchange` does by these options.

    It replaces httpx's two public steps as a whole, and not its transport below them: cookies, redirects, hooks and merged
    URLs that nobody here uses cost a tenth of a call.
    """

    def __init__(self, max_bytes: int, *, allow_private: bool = True) -> None:
        super().__init__()
        self._max_bytes, self._allow_private = max_bytes, allow_private

    def build_request(  # type: ignore[override]  # of what httpx takes, what JSON and forms need
        self,
        method: str,
        url: str,
        *,
        params: Any = None,
        headers: Any = None,
        content: Any = None,
        json: Any = None,
        data: Any = None,
        files: Any = None,
        timeout: Any = None,
        **_: Any,
    ) -> httpx2.Request:
        """The request as it leaves. `timeout` (its read timeout, if it is httpx's) is the deadline of the whole exchange."""
        kept = [(name, value) for name, value in httpx2.Headers(headers).items() if not name.startswith(_TELLS_OF_US)]
        request = httpx2.Request(method, url, params=params, headers=kept, content=content, json=json, data=data, files=files)
        request.headers["User-Agent"] = client.USER_AGENT
        known = timeout if isinstance(timeout, int | float | httpx2.Timeout) else self.timeout
        request.extensions = {"timeout": known.read if isinstance(known, httpx2.Timeout) else known}
        return request

    def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """One exchange. Raises httpx's exceptions, and PermanentError for an address that is refused."""
        headers, timeout = dict(request.headers.items()), request.extensions["timeout"]
        on_part = getattr(_local, "on_part", None)
        try:
            response = client.exchange(
                request.method,
                str(request.url),
                request.read(),  # a form's files are put together here
                headers,
                timeout,
                max_bytes=_local.max_bytes if on_part else self._max_bytes,
                on_part=on_part,
                allow_private=self._allow_private,
            )
        except ConnectFailed as problem:
            raise httpx2.ConnectError(str(problem)) from problem
        except OutcomeUnknown as problem:
            raise httpx2.ReadError(str(problem)) from problem
        kept = [(name, value) for name, value in response.headers.items() if name.lower() not in _DROPPED]
        return httpx2.Response(response.status, headers=kept, content=response.body, request=request)
