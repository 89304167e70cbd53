"""The read mark and the typing indicator of Meta's Cloud API: one call, which lasts 25 seconds or until the answer.

Source: Meta's Cloud API reference, typing indicators.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared.channels.whatsapp_cloud.errors import classify_error
from shared.config import settings
from shared.db.credentials import decrypt
from shared.http import post

#: Seconds: what comes later than that is of no use.
TIMEOUT = 5.0


def begin(target: Mapping[str, Any]) -> None:
    """Marks a message as read and shows that somebody types. Raises what a send raises."""
    _mark(target, {"typing_indicator": {"type": "text"}})


def read(target: Mapping[str, Any]) -> None:
    """Marks a message as read. Raises what a send raises."""
    _mark(target, {})


def _mark(target: Mapping[str, Any], shown: Mapping[str, Any]) -> None:
    conf, number = settings(), target["account"]
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": target["message_id"], **shown}
    headers = {"Authorization": f"Bearer {decrypt(target['secret'], f'WhatsApp number {number}')}"}
    url = f"{conf.graph_url}/{conf.graph_version}/{number}/messages"
    answer = post(url, json.dumps(body).encode(), headers, TIMEOUT, needs_body=False)
    if not answer.ok:
        raise classify_error(answer)
