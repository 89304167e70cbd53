"""The demo's people at the front door: a page's visitor, and what Meta, WAHA and Evolution tell of who writes to a shop."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from typing import Any

import requests

from scripts.local.demo.script import Play, Talk
from shared import db

#: Seconds that a request to our own front door may take.
TIMEOUT = 30.0

_PUBLIC_KEY = "select public_key from chatbot where id = %s"
_MESSAGE = "select id from message where role = 'user' and channel = %s and external_id = %s"
_SENDER = """
    select c.phone_number_id, q.session_name, q.dialect from whatsapp_cloud_account c
    join whatsapp_qr_session q on q.chatbot_id = c.chatbot_id where c.chatbot_id = %s
"""


class Door:
    """Says things as the channels do; safe to share between threads."""

    def __init__(self, url: str, secrets: dict[str, str], play: Play) -> None:
        self.url, self._secrets = url, secrets
        self._bots = [tenant.chatbot_id for tenant in play.tenants]
        self._tokens: dict[str, str] = {}

    @classmethod
    def of_environment(cls, play: Play) -> Door:
        """The one that PORT and the secrets of this process's environment lead to."""
        names = ("WHATSAPP_APP_SECRET", "WHATSAPP_QR_WEBHOOK_SECRET")
        return cls(f"http://127.0.0.1:{os.environ['PORT']}", {name: os.environ[name] for name in names}, play)

    def is_open(self) -> bool:
        """Whether it answers yet."""
        try:
            return requests.get(f"{self.url}/healthz", timeout=TIMEOUT).ok
        except requests.ConnectionError:
            return False

    def say(self, talk: Talk, text: str, identity: str) -> None:
        """One message; the same identity again is the same message."""
        bot = self._bots[talk.tenant]
        if talk.channel == "widget":
            self._widget(talk, bot, text, identity)
            return
        sender = db.row(_SENDER, [bot]) or {}
        if talk.channel == "whatsapp_cloud":
            self._meta(sender["phone_number_id"], talk, text, identity)
        else:
            self._gateway(sender, talk, text, identity)

    def message_id(self, talk: Talk, identity: str) -> int | None:
        """The row it became, if it is saved yet."""
        if talk.channel == "widget":
            identity = f"{self._tokens[talk.user].split('.')[0]}:{identity}"
        return db.scalar(_MESSAGE, [talk.channel, identity])  # type: ignore[no-any-return]  # an id

    def _widget(self, talk: Talk, bot: int, text: str, identity: str) -> None:
        api = f"{self.url}/api/v1/chatbots/{db.scalar(_PUBLIC_KEY, [bot])}"
        if talk.user not in self._tokens:
            self._tokens[talk.user] = self._post(f"{api}/sessions", b"", {}).json()["token"]
        headers = {"Authorization": f"Bearer {self._tokens[talk.user]}", "Idempotency-Key": identity}
        self._post(f"{api}/messages", json.dumps({"content": text}).encode(), headers)

    def _meta(self, number: str, talk: Talk, text: str, identity: str) -> None:
        body = json.dumps(meta_webhook(number, talk.user, talk.who, text, identity)).encode()
        self._post(f"{self.url}/webhooks/whatsapp/cloud", body, signed(body, self._secrets["WHATSAPP_APP_SECRET"]))

    def _gateway(self, sender: dict[str, Any], talk: Talk, text: str, identity: str) -> None:
        secret, dialect = self._secrets["WHATSAPP_QR_WEBHOOK_SECRET"], sender["dialect"]
        told = _waha(talk, text, identity) if dialect == "waha" else _evolution(talk, text, identity)
        body = json.dumps(told).encode()
        headers = {"apikey": secret}
        if dialect == "waha":
            headers = {"X-Webhook-Hmac": hmac.new(secret.encode(), body, hashlib.sha512).hexdigest()}
        self._post(f"{self.url}/webhooks/whatsapp/qr/{sender['session_name']}", body, headers)

    def _post(self, url: str, body: bytes, headers: dict[str, str]) -> requests.Response:
        answer = requests.post(url, body, headers={"Content-Type": "application/json", **headers}, timeout=TIMEOUT)
        answer.raise_for_status()
        return answer


def meta_webhook(number: str, user: str, who: str, text: str, identity: str) -> dict[str, Any]:
    """A text as Meta reports it."""
    message = {"from": user, "id": identity, "timestamp": str(int(time.time())), "type": "text", "text": {"body": text}}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "551130001000", "phone_number_id": number},
        "contacts": [{"profile": {"name": who}, "wa_id": user}],
        "messages": [message],
    }
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": "messages", "value": value}]}]}


def signed(body: bytes, secret: str) -> dict[str, str]:
    """Meta's signature."""
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def _waha(talk: Talk, text: str, identity: str) -> dict[str, Any]:
    payload = {"id": identity, "from": f"{talk.user}@c.us", "fromMe": False, "body": text, "hasMedia": False}
    return {"id": f"evt_{identity}", "timestamp": int(time.time() * 1000), "event": "message", "payload": payload}


def _evolution(talk: Talk, text: str, identity: str) -> dict[str, Any]:
    key = {"remoteJid": f"{talk.user}@s.whatsapp.net", "fromMe": False, "id": identity}
    return {"event": "messages.upsert", "data": {"key": key, "pushName": talk.who, "message": {"conversation": text}}}
