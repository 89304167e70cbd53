"""What Telegram is told when a bot is connected: where its updates go, or that they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from shared.channels.inbound import get_text
from shared.channels.telegram.accounts import TOKEN
from shared.channels.telegram.api import call, description_of, result_of
from shared.channels.telegram.updates import ALLOWED
from shared.http import Response


class TelegramRefused(Exception):
    """Telegram does not take the token or the address; the text says why."""


@dataclass(frozen=True)
class Bot:
    """Who a token is of. `username` is how people find it: https://t.me/<username>."""

    bot_id: str
    username: str


def bot_of(token: str) -> Bot:
    """Asks who a token is of. Raises TelegramRefused, and what shared.http raises."""
    match = TOKEN.fullmatch(token)
    if match is None:
        raise TelegramRefused("a token must be like 123456789:AAE…, as @BotFather gives it")
    me = result_of(_must(call(token, "getMe", {}), "Telegram does not know this token; ask @BotFather for the present one"))
    return Bot(match[1], get_text(me, "username"))


def be_called(token: str, url: str, secret: str) -> None:
    """Updates are sent to this address, with the secret. Raises as bot_of."""
    body = {"url": url, "secret_token": secret, "allowed_updates": ALLOWED, "max_connections": 40}
    _must(call(token, "setWebhook", body), f"Telegram does not take the address {url}")


def ask_for_updates(token: str) -> None:
    """Updates wait until they are asked for. Raises as bot_of."""
    _must(call(token, "deleteWebhook", {}), "Telegram does not take the token")


def _must(answer: Response, otherwise: str) -> Response:
    if not answer.ok:
        raise TelegramRefused(f"{otherwise} (HTTP {answer.status}: {description_of(answer)})")
    return answer
