"""One call of Telegram's Bot API.

The bot's token is a part of every address, so addresses must not get into a log, an error or a traceback: what is raised here
has no cause, for urllib3's exceptions name the address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.channels.inbound import get_path, integer
from shared.config import settings
from shared.errors import OutsideFailure
from shared.http import MAX_RESPONSE_BYTES, Response, post

_NOT_OK = re.compile(rb'"ok"\s*:\s*false')


def call(
    token: str, method: str, body: dict[str, Any], timeout: float | None = None, max_bytes: int = MAX_RESPONSE_BYTES
) -> Response:
    """POST /bot<token>/<method>; waits for `timeout` seconds, or HTTP_TIMEOUT_SECONDS. Raises what shared.http raises."""
    return call_with(token, method, json.dumps(body).encode(), {}, timeout or settings().http_timeout, max_bytes)


def call_with(
    token: str, method: str, body: bytes, headers: Mapping[str, str], timeout: float, max_bytes: int = MAX_RESPONSE_BYTES
) -> Response:
    """The same with a body that is encoded already: JSON, or what the headers say."""
    url = f"{settings().telegram_url}/bot{token}/{method}"
    try:
        answer = post(url, body, headers, timeout, max_bytes=max_bytes, needs_body=False)
    except OutsideFailure as problem:
        raise problem from None
    return as_it_says(answer)


def as_it_says(answer: Response) -> Response:
    """The answer with the status that it names itself: what stands before a Bot API server may answer 200 to everything."""
    if not answer.ok or not _NOT_OK.search(answer.body):
        return answer
    said = answer.json()
    code = integer(get_path(said, "error_code")) or 400
    return replace(answer, status=code if 400 <= code < 600 else 400) if get_path(said, "ok") is False else answer


def result_of(answer: Response) -> Any:
    """What a call that went well gave: {"ok": true, "result": …}."""
    return get_path(answer.json(), "result")


def description_of(answer: Response) -> str:
    """Telegram's words for what went wrong."""
    words = get_path(answer.json(), "description")
    return words if isinstance(words, str) else answer.excerpt()
