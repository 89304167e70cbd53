"""The openai client for an address: one for each base URL and key, over the HTTP room's transport."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import openai

from shared.http.httpx_transport import CarriedClient

#: Bytes of a completion: 32,000 tokens (schema.sql, max_tokens) of any alphabet, escaped.
MAX_RESPONSE_BYTES = 1024 * 1024
#: Azure's API where the base URL does not name a version: the newest that is generally available for deployments.
AZURE_API_VERSION = "2024-10-21"
_AZURE_HOSTS = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".openai.azure.us")
_COMPLETIONS = "/chat/completions"

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
