"""Makes sessions: at the gateway, with the address and the secret of their hook, until a phone has scanned the QR code."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from shared.channels.checks import ProviderRefused, Step, asked
from shared.channels.inbound import InboundAccount, SessionState
from shared.channels.whatsapp_qr.dialects import dialect
from shared.channels.whatsapp_qr.gateway import UNREADABLE, key_of
from shared.channels.whatsapp_qr.session import report
from shared.config import settings
from shared.errors import OutsideFailure

#: What the names of sessions begin with that were made here, and may be deleted at the gateway again.
_OURS = "switchboard-"
#: Answers that mean a wrong key.
_KEY_REFUSED = ("HTTP 401", "HTTP 403")
#: Answers that say nothing of the key or the session.
_FAILS = ("HTTP 429", "HTTP 5")


def new_name(chatbot_id: int) -> str:
    """A name that no session has."""
    return f"{_OURS}{chatbot_id}-{secrets.token_hex(4)}"


def create(speaks: str, name: str, site: str, secret: str) -> None:
    """Makes a session at the gateway of the settings, and starts it. Raises ProviderRefused, and what shared.http raises."""
    dialect(speaks).create_session(name, settings().qr_api_key, f"{site}/webhooks/whatsapp/qr/{name}", secret)


def leave(row: Mapping[str, Any]) -> None:
    """Ends a session that was made here, with its phone's login. Raises as `create`."""
    if row["session_name"].startswith(_OURS):
        dialect(row["dialect"]).delete_session(row["session_name"], key_of(row["session_name"], row["api_key"]))


def steps(row: Mapping[str, Any], _site: str) -> list[Step]:
    """The gateway, and the phone; as they are now. That a phone is there is kept: replies that were held leave."""
    said: dict[str, Any] = {}
    gateway = asked("gateway", lambda: _state(row, said))
    if gateway.problem:
        return [gateway]
    state = said["state"]
    if not state.connected:
        return [gateway, Step("phone", "phone_missing", found=state.detail)]
    report(InboundAccount(row["id"], row["session_name"], row["chatbot_id"]), state)
    return [gateway, Step("phone", found=state.detail)]


def qr_code(row: Mapping[str, Any]) -> str:
    """The picture that the phone has to read, as a data: address; "" while there is none."""
    with suppress(OutsideFailure, ProviderRefused):
        return dialect(row["dialect"]).qr_code(row["session_name"], key_of(row["session_name"], row["api_key"]))
    return ""


def check_secret(row: Mapping[str, Any], key: str, _site: str) -> dict[str, str]:
    """Raises ProviderRefused for a key that the gateway does not take, and what shared.http raises."""
    _ask(row, key)
    return {}


def _state(row: Mapping[str, Any], said: dict[str, Any]) -> str:
    said["state"] = state = _ask(row, key_of(row["session_name"], row["api_key"]))
    if state.detail.startswith("HTTP "):
        raise ProviderRefused("session_unknown", "the gateway does not know the session", state.detail)
    return ""


def _ask(row: Mapping[str, Any], key: str) -> SessionState:
    """What the gateway says of a session. Raises ProviderRefused for a key that it does not take, and what shared.http raises."""
    state = dialect(row["dialect"]).session_state(row["session_name"], key)
    if state.detail in _KEY_REFUSED:
        raise ProviderRefused("key_refused", "the gateway does not take this key", state.detail)
    if state.detail.startswith("HTTP 2"):  # without a state: a proxy's page
        raise OutsideFailure(UNREADABLE)
    if state.detail.startswith(_FAILS):
        raise OutsideFailure(f"the gateway answers {state.detail}")
    return state
