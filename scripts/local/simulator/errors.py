"""How the services put their refusals into words, each in its own form."""

from __future__ import annotations

from typing import Any

from scripts.local.simulator.exchange import Reply

_INVALID = "invalid_request_error"


def openai_error(
    status: int, message: str, code: str | None = None, kind: str = _INVALID, param: str | None = None, key: str = ""
) -> Reply:
    """OpenAI, and who speaks its API."""
    return Reply(status, {"error": {"message": message, "type": kind, "param": param, "code": code}}, key=key)


def graph_error(status: int, code: int, message: str, details: str = "", key: str = "") -> Reply:
    """Meta. `details` are what it adds where a message is refused."""
    error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "AbC123"}
    if details:
        error |= {"message": f"(#{code}) {message}", "error_data": {"messaging_product": "whatsapp", "details": details}}
    return Reply(status, {"error": error}, key=key)


def evolution_error(status: int, error: str, message: Any, key: str = "") -> Reply:
    """Evolution, which answers 400 for Baileys' exceptions as well."""
    return Reply(status, {"status": status, "error": error, "response": {"message": message}}, key=key)
