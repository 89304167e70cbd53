"""What Telegram is told when a bot is connected (where its updates go, or that they are asked for), and what it says of a bot."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.channels.checks import ProviderRefused, Step, asked
from shared.channels.inbound import get_path, get_text
from shared.channels.telegram.accounts import TOKEN
from shared.channels.telegram.api import call, description_of, result_of
from shared.channels.telegram.updates import ALLOWED
from shared.db.credentials import CredentialsUnreadable, decrypt, encrypt
from shared.errors import OutsideFailure
from shared.http import Response

#: Answers that mean a wrong token.
_UNAUTHORIZED = (401, 404)


@dataclass(frozen=True)
class Bot:
    """Who a token is of. `username` is how people find it: https://t.me/<username>."""

    bot_id: str
    username: str


def bot_of(token: str) -> Bot:
    """Asks who a token is of. Raises ProviderRefused, and what shared.http raises."""
    match = TOKEN.fullmatch(token)
    if match is None:
        raise ProviderRefused("token_malformed", "a token must be like 123456789:AAE…, as @BotFather gives it")
    me = result_of(_must(call(token, "getMe", {}), "Telegram does not know this token; ask @BotFather for the present one"))
    return Bot(match[1], get_text(me, "username"))


def be_called(token: str, url: str, secret: str) -> None:
    """Updates are sent to this address, with the secret. Raises as bot_of."""
    body = {"url": url, "secret_token": secret, "allowed_updates": ALLOWED, "max_connections": 40}
    _must(call(token, "setWebhook", body), f"Telegram does not take the address {url}")


def ask_for_updates(token: str) -> None:
    """Updates wait until they are asked for. Raises as bot_of."""
    _must(call(token, "deleteWebhook", {}), "Telegram does not take the token")


def check_secret(row: Mapping[str, Any], token: str, site: str) -> dict[str, str]:
    """Takes a new token of the same bot, and tells Telegram again where updates go, with a new secret where the stored one cannot
    be decrypted. Raises as bot_of."""
    if bot_of(token).bot_id != row["bot_id"]:
        raise ProviderRefused("other_bot", f"this token is of another bot than {row['bot_id']}")
    if not row["polling"] and site:
        secret, is_new = _hook_secret(row)
        be_called(token, hook_of(site, row["bot_id"]), secret)
        return {"webhook_secret": encrypt(secret)} if is_new else {}
    return {}


def _hook_secret(row: Mapping[str, Any]) -> tuple[str, bool]:
    try:
        return decrypt(row["webhook_secret"], f"the hook of bot {row['bot_id']}"), False
    except CredentialsUnreadable:
        return secrets.token_urlsafe(24), True


def leave(row: Mapping[str, Any]) -> None:
    """Telegram sends no more updates. Raises as bot_of."""
    ask_for_updates(_token_of(row))


def steps(row: Mapping[str, Any], site: str) -> list[Step]:
    """The token, and where updates go; as they are now."""
    first = asked("token", lambda: f"@{bot_of(_token_of(row)).username}")
    return [first] if first.problem else [first, asked("updates", lambda: _updates(row, _token_of(row), site))]


def _token_of(row: Mapping[str, Any]) -> str:
    return decrypt(row["token"], f"bot {row['bot_id']}")


def hook_of(site: str, bot_id: str) -> str:
    """The address of a bot's webhook."""
    return f"{site}/webhooks/telegram/{bot_id}"


def _updates(row: Mapping[str, Any], token: str, site: str) -> dict[str, str]:
    about = result_of(_must(call(token, "getWebhookInfo", {}), "Telegram does not take the token"))
    address, error = get_text(about, "url"), get_text(about, "last_error_message")
    if row["polling"]:
        return {"problem": "updates_elsewhere", "found": address} if address else {}
    if address != hook_of(site, row["bot_id"]):
        return {"problem": "updates_elsewhere", "found": address}
    return {"problem": "webhook_fails", "found": address, "words": error} if error else {"found": address}


def _must(answer: Response, otherwise: str) -> Response:
    if not answer.ok:
        words = description_of(answer)
        if answer.status >= 500 or answer.status == 429:
            raise OutsideFailure(f"Telegram answers HTTP {answer.status}", words)
        problem = "token_refused" if answer.status in _UNAUTHORIZED else "address_refused"
        raise ProviderRefused(problem, f"{otherwise} (HTTP {answer.status}: {words})", words)
    if get_path(answer.json(), "ok") is not True:  # a proxy's page
        raise OutsideFailure("Telegram sent an answer that cannot be read")
    return answer
