"""The demo's people at the front door: a page's visitor, and the hooks that Meta, WAHA and Evolution call."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from threading import Thread
from typing import Any

import requests

from scripts.local.demo.script import Dialogue, Scenario
from scripts.local.simulator import hooks
from shared import db
from shared.models import Chatbot, Message, WhatsappCloudAccount, WhatsappQrSession

#: Seconds that a request to our own front door may take.
TIMEOUT = 30.0


class HttpClient:
    """Says things as the channels do; safe to share between threads."""

    def __init__(self, url: str, secrets: dict[str, str], scenario: Scenario) -> None:
        self.url, self._secrets = url, secrets
        self._bots = [tenant.chatbot_id for tenant in scenario.tenants]
        self._tokens: dict[str, str] = {}
        #: By visitor: pieces of answers that the open page was shown while they were written.
        self.drafts = Counter[str]()

    @classmethod
    def of_environment(cls, scenario: Scenario) -> HttpClient:
        """Of the front door that PORT and the secrets of this process's environment lead to."""
        names = ("WHATSAPP_APP_SECRET", "WHATSAPP_QR_WEBHOOK_SECRET")
        return cls(f"http://127.0.0.1:{os.environ['PORT']}", {name: os.environ[name] for name in names}, scenario)

    def is_open(self) -> bool:
        """Whether it answers yet."""
        try:
            return requests.get(f"{self.url}/healthz", timeout=TIMEOUT).ok
        except requests.ConnectionError:
            return False

    def say(
        self, dialogue: Dialogue, text: str, external_id: str, sends: Mapping[str, Any] | None = None, seconds_ago: int = 0
    ) -> None:
        """One message; the same external_id again is the same message. `sends`: what Meta reports instead of a text."""
        bot = self._bots[dialogue.tenant]
        if dialogue.channel == "widget":
            self._widget(dialogue, bot, text, external_id)
            return
        if dialogue.channel == "whatsapp_cloud":
            content = {**(sends or {"type": "text", "text": {"body": text}}), "timestamp": str(int(time.time()) - seconds_ago)}
            self._meta(bot, dialogue, text, external_id, content)
        else:
            self._gateway(bot, dialogue, text, external_id)

    def call_api(self, key: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> None:
        """A call of a shop's own server. Raises requests.HTTPError."""
        headers = {"Authorization": f"Bearer {key}"}
        requests.request(method, f"{self.url}/api/v1/{path}", json=body, headers=headers, timeout=TIMEOUT).raise_for_status()

    def message_id(self, dialogue: Dialogue, external_id: str) -> int | None:
        """The row it became, if it is saved yet."""
        if dialogue.channel == "widget":
            external_id = f"{self._tokens[dialogue.user].split('.')[0]}:{external_id}"
        is_it = (Message.role == "user") & (Message.channel == dialogue.channel) & (Message.external_id == external_id)
        message_id: int | None = db.scalar(Message.select(Message.id).where(is_it))
        return message_id

    def _widget(self, dialogue: Dialogue, bot: int, text: str, external_id: str) -> None:
        public_key = db.scalar(Chatbot.select(Chatbot.public_key).where(Chatbot.id == bot))
        api = f"{self.url}/api/v1/chatbots/{public_key}"
        if dialogue.user not in self._tokens:
            self._tokens[dialogue.user] = self._post(f"{api}/sessions", b"", {}).json()["token"]
            self._open_page(dialogue.user, api)
        headers = {"Authorization": f"Bearer {self._tokens[dialogue.user]}", "Idempotency-Key": external_id}
        self._post(f"{api}/messages", json.dumps({"content": text}).encode(), headers)

    def _open_page(self, user: str, api: str) -> None:
        headers = {"Authorization": f"Bearer {self._tokens[user]}"}
        events = requests.get(f"{api}/events", headers=headers, stream=True, timeout=TIMEOUT)
        events.raise_for_status()
        Thread(target=self._watch, args=(user, events), daemon=True).start()

    def _watch(self, user: str, events: requests.Response) -> None:
        with suppress(requests.RequestException, OSError):  # the system stops, or nothing happens for long
            for line in events.iter_lines(chunk_size=1):
                self.drafts[user] += line == b"event: draft"

    def _meta(self, bot: int, dialogue: Dialogue, text: str, external_id: str, sends: Mapping[str, Any]) -> None:
        account = WhatsappCloudAccount
        number = db.scalar(account.select(account.phone_number_id).where(account.chatbot == bot))
        body = json.dumps(hooks.meta_message(number, dialogue.user, dialogue.who, text, external_id, sends)).encode()
        signature = hooks.signed_by_meta(body, self._secrets["WHATSAPP_APP_SECRET"])
        self._post(f"{self.url}/webhooks/whatsapp/cloud", body, signature)

    def _gateway(self, bot: int, dialogue: Dialogue, text: str, external_id: str) -> None:
        sessions = WhatsappQrSession.select(WhatsappQrSession.session_name, WhatsappQrSession.dialect)
        [session] = db.rows(sessions.where(WhatsappQrSession.chatbot == bot))
        secret, dialect = self._secrets["WHATSAPP_QR_WEBHOOK_SECRET"], session["dialect"]
        event = _waha(dialogue, text, external_id) if dialect == "waha" else _evolution(dialogue, text, external_id)
        body = json.dumps(event).encode()
        signature = hooks.signed_by_gateway(dialect, body, secret)
        self._post(f"{self.url}/webhooks/whatsapp/qr/{session['session_name']}", body, signature)

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        answer = requests.post(url, body, headers={"Content-Type": "application/json", **headers}, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer


def _waha(dialogue: Dialogue, text: str, external_id: str) -> dict[str, Any]:
    payload = {"id": external_id, "from": f"{dialogue.user}@c.us", "fromMe": False, "body": text, "hasMedia": False}
    return {"id": f"evt_{external_id}", "timestamp": int(time.time() * 1000), "event": "message", "payload": payload}


def _evolution(dialogue: Dialogue, text: str, external_id: str) -> dict[str, Any]:
    key = {"remoteJid": f"{dialogue.user}@s.whatsapp.net", "fromMe": False, "id": external_id}
    return {"event": "messages.upsert", "data": {"key": key, "pushName": dialogue.who, "message": {"conversation": text}}}
