"""The openai client for an address, over our HTTP room: it builds requests and reads responses, `exchange` carries them.

So its calls have our deadline, size cap, errors and connections. One client for each base URL and key.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import httpx2
import openai

from shared.errors import OutcomeUnknown
from shared.http import ConnectFailed
from shared.http.client import USER_AGENT, OnPart, exchange

#: Bytes of a completion: 32,000 tokens (schema.sql, max_tokens) of any alphabet, escaped.
MAX_RESPONSE_BYTES = 1024 * 1024
#: Azure's API where the base URL does not name a version: the newest that is generally available for deployments.
AZURE_API_VERSION = "2024-10-21"
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".openai.azure.us")
_COMPLETIONS = "/chat/completions"
#: The openai client's headers about the machine that it runs on: no provider needs them.
_TELLS_OF_US = "x-stainless-"
#: Headers that say how a body came over the wire, which `exchange` has decoded already; and cookies, for the openai client
#: would send them with later calls.
_DROPPED = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie"})

_local = threading.local()


@contextmanager
def streaming(on_part: OnPart, max_bytes: int) -> Iterator[None]:
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
        request.headers["User-Agent"] = USER_AGENT
        known = timeout if isinstance(timeout, int | float | httpx2.Timeout) else self.timeout
        request.extensions = {"timeout": known.read if isinstance(known, httpx2.Timeout) else known}
        return request

    def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """One exchange. Raises httpx's exceptions, and PermanentError for an address that is refused."""
        headers, timeout = dict(request.headers.items()), request.extensions["timeout"]
        on_part = getattr(_local, "on_part", None)
        try:
            response = exchange(
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


#: By whether private addresses may be called.
_http_clients = {allow: CarriedClient(MAX_RESPONSE_BYTES, allow_private=allow) for allow in (True, False)}


@lru_cache(maxsize=256)
def client(base_url: str, api_key: str, allow_private: bool) -> openai.OpenAI:
    """The client. A base URL may be the address of the completions themselves, and have a query."""
    parts = urlsplit(base_url)
    path, query = parts.path.rstrip("/").removesuffix(_COMPLETIONS), dict(parse_qsl(parts.query))
    is_azure = (parts.hostname or "").endswith(_AZURE_HOSTS)
    url = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
    http_client = _http_clients[allow_private]
    if "/openai/deployments/" in f"{path}/" or (is_azure and path in {"", "/openai"}):
        return openai.AzureOpenAI(
            base_url=url if path else f"{url}/openai",
            api_key=api_key,
            api_version=query.pop("api-version", AZURE_API_VERSION),
            default_query=query,
            max_retries=0,
            http_client=http_client,
        )
    headers = {"api-key": api_key} if is_azure else None
    return openai.OpenAI(
        base_url=url,
        api_key=api_key,
        default_query=query or None,
        default_headers=headers,
        max_retries=0,
        http_client=http_client,
    )
