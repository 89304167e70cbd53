"""Asks Telegram for the updates of bots that nobody can call, and hands each to the front door as Telegram would.

For a machine without an address of its own: scripts/server runs it. The next updates are asked for once the door has taken the
last ones, so none is lost; what comes twice is recognised.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import requests

from shared import db
from shared.channels.inbound import get_objects, get_text
from shared.channels.telegram.accounts import SECRET
from shared.channels.telegram.api import call, result_of
from shared.channels.telegram.updates import ALLOWED
from shared.db.credentials import decrypt
from shared.errors import OutsideFailure
from shared.models import TelegramBot

log = logging.getLogger(__name__)

#: Seconds for which Telegram holds a question that it has no answer to; and after which our patience ends.
HOLD, PATIENCE = 25, 40.0
#: Seconds between two looks at which bots there are, and until the next try after a failure.
LOOK, PAUSE = 2.0, 5.0
#: Seconds until the next question after one that brought nothing.
QUIET = 0.5
#: Updates and bytes of one answer.
MAX_UPDATES, MAX_BYTES = 50, 4 * 1024 * 1024


class Relay:
    """A thread for each bot whose updates are asked for, until `stop`."""

    def __init__(self, door: str) -> None:
        self._door, self._session = door, requests.Session()
        self._session.trust_env = False
        self._stopping = threading.Event()
        self._bots: dict[str, threading.Thread] = {}
        self._keeper = threading.Thread(target=self._keep, name="telegram-relay", daemon=True)

    def start(self) -> None:
        """Begins, and does not wait."""
        self._keeper.start()

    def stop(self) -> None:
        """Asks for nothing more. A question that is under way ends with the process."""
        self._stopping.set()

    def _keep(self) -> None:
        while not self._stopping.wait(LOOK):
            try:
                bots = db.rows(_polled())
            except Exception:
                log.warning("telegram_relay_waits")  # for the database
                continue
            for bot_id in (row["bot_id"] for row in bots):
                if bot_id not in self._bots or not self._bots[bot_id].is_alive():
                    self._bots[bot_id] = threading.Thread(target=self._serve, args=(bot_id,), daemon=True)
                    self._bots[bot_id].start()

    def _serve(self, bot_id: str) -> None:
        """One bot, as long as its updates are to be asked for."""
        offset = 0
        while not self._stopping.is_set():
            try:
                row = db.row(_polled().where(TelegramBot.bot_id == bot_id))
                if row is None:
                    return
                before, offset = offset, self.relay(row, offset)
                if offset == before:  # it held the question, or something before it does not: no reason to ask at once
                    self._stopping.wait(QUIET)
            except (OutsideFailure, requests.RequestException, _NotTaken) as problem:
                log.warning("telegram_relay_failed", extra={"subject": bot_id, "error": str(problem)})
                self._stopping.wait(PAUSE)

    def relay(self, bot: dict[str, Any], offset: int) -> int:
        """Asks once, and hands on what came; returns the number of the next update."""
        token = decrypt(bot["token"], f"Telegram bot {bot['bot_id']}")
        question = {"offset": offset, "timeout": HOLD, "limit": MAX_UPDATES, "allowed_updates": ALLOWED}
        answer = call(token, "getUpdates", question, PATIENCE, MAX_BYTES)
        if not answer.ok:
            raise _NotTaken(f"Telegram: HTTP {answer.status}")
        secret = decrypt(bot["webhook_secret"], f"the hook of bot {bot['bot_id']}")
        for update in get_objects(result_of(answer)):
            self._hand_on(bot["bot_id"], token, secret, update)
            offset = update["update_id"] + 1
        return offset

    def _hand_on(self, bot_id: str, token: str, secret: str, update: dict[str, Any]) -> None:
        url = f"{self._door}/webhooks/telegram/{bot_id}"
        taken = self._session.post(url, json=update, headers={SECRET: secret}, timeout=PATIENCE)
        if not taken.ok:
            raise _NotTaken(f"the front door: HTTP {taken.status_code}")
        wish = taken.json()
        if get_text(wish, "method"):
            call(token, wish.pop("method"), wish)


class _NotTaken(Exception):
    """Telegram or the front door refuses; the text has its status."""


def _polled() -> Any:
    return TelegramBot.select(TelegramBot.bot_id, TelegramBot.token, TelegramBot.webhook_secret).where(
        TelegramBot.active, TelegramBot.polling
    )
