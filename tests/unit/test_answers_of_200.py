"""Refusals with the status 200, which what stands between a provider and us may make of all statuses: nothing has left."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.channels.outcomes import AccountDown, Reason, Slowed
from shared.channels.telegram import api
from shared.channels.telegram import errors as telegram_errors
from shared.channels.whatsapp_cloud import errors as cloud_errors
from shared.channels.whatsapp_cloud import send
from shared.channels.whatsapp_qr import evolution, gateway, waha
from shared.errors import PermanentRefusal
from shared.http import Response


def answer(body: Any) -> Response:
    return Response(200, body if isinstance(body, bytes) else json.dumps(body).encode(), {})


META = {"message": "(#131047) Re-engagement message", "code": 131047}


@pytest.mark.parametrize(
    ("said", "classify", "expected", "reason"),
    [
        (send.as_it_says(answer({"error": META})), cloud_errors.classify_error, PermanentRefusal, Reason.WINDOW_CLOSED),
        (
            send.as_it_says(answer({"error": {"code": 190}, "messages": []})),
            cloud_errors.classify_error,
            AccountDown,
            Reason.TOKEN_INVALID,
        ),
        (
            api.as_it_says(answer({"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked by the user"})),
            telegram_errors.classify_error,
            PermanentRefusal,
            Reason.RECIPIENT_REFUSES,
        ),
        (
            api.as_it_says(answer({"ok": False, "error_code": 429, "parameters": {"retry_after": 7}})),
            telegram_errors.classify_error,
            Slowed,
            Reason.RATE_LIMITED,
        ),
        (
            api.as_it_says(answer({"ok": False, "description": "Bad Request: chat not found"})),
            telegram_errors.classify_error,
            PermanentRefusal,
            Reason.RECIPIENT_UNREACHABLE,
        ),
        (
            gateway.as_it_says(answer({"statusCode": 401, "error": "Unauthorized", "message": "Unauthorized"})),
            waha.classify_error,
            AccountDown,
            Reason.TOKEN_INVALID,
        ),
        (
            gateway.as_it_says(answer({"status": 404, "error": "Not Found", "response": {"message": ["no such instance"]}})),
            evolution.classify_error,
            AccountDown,
            Reason.SESSION_OFFLINE,
        ),
        (
            gateway.as_it_says(answer({"status": "error", "error": "Connection Closed"})),
            evolution.classify_error,
            AccountDown,
            Reason.SESSION_OFFLINE,
        ),
        (
            gateway.as_it_says(answer({"error": True, "message": "Protocol error: Target closed."})),
            waha.classify_error,
            AccountDown,
            Reason.SESSION_OFFLINE,
        ),
    ],
)
def test_what_a_200_refuses_is_refused(said: Response, classify: Any, expected: type[Exception], reason: Reason) -> None:
    assert not said.ok
    problem = classify(said)
    assert (type(problem), problem.error_code) == (expected, reason)


@pytest.mark.parametrize("as_it_says", [send.as_it_says, api.as_it_says, gateway.as_it_says])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"error": ',
        b'{"ok": false',
        [],
        {"messages": [{"id": "wamid.1"}], "error": {"code": 1}},
        {"ok": True, "result": {"message_id": 7, "text": '"ok":false'}},
        {"id": "true_1@c.us_3EB0", "error": None, "status": "PENDING"},
        {"key": {"id": "3EB0"}, "status": 500, "error": "webhook"},
        {"id": "3EB0", "body": 'he wrote "error"', "statusCode": 500},
        {"error": "who knows"},
        {"key": {"id": "3EB0"}, "error": "Connection Closed"},
        {"error": "who knows", "text": "connection closed"},
    ],
)
def test_whatever_else_a_200_says_it_was_taken(as_it_says: Any, body: Any) -> None:
    assert as_it_says(answer(body)).ok
