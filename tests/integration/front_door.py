"""Requests as Meta, WAHA and Evolution make them; payloads as the vendors' documents of 2026 have them."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.builders import World

APP_SECRET, VERIFY_TOKEN, QR_SECRET = "app-secret-1", "verify-1", "qr-secret-1"
DASHBOARD = ("operator", "dashboard-password-1")
METRICS = "metrics-token-1"
CLOUD = "/webhooks/whatsapp/cloud"


@dataclass
class FrontDoor:
    """The application, a client of it, and the tenant behind it."""

    app: Flask
    client: FlaskClient
    world: World

    @property
    def number(self) -> str:
        """The phone number id of the world's chatbot."""
        return str(777000 + self.world.chatbot)

    @property
    def session(self) -> str:
        """The name of its QR session."""
        return f"s{self.world.chatbot}"

    def meta(self, body: Any, secret: str = APP_SECRET) -> TestResponse:
        """A signed POST as Meta makes it."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": signature, "Content-Type": "application/json"}
        return self.client.post(CLOUD, data=raw, headers=headers)

    def waha(self, body: Any, secret: str = QR_SECRET, session: str = "") -> TestResponse:
        """A signed POST as WAHA makes it."""
        name = session or self.session
        raw = body if isinstance(body, bytes) else json.dumps(_of(name, "session", body)).encode()
        headers = {"X-Webhook-Hmac": hmac.new(secret.encode(), raw, hashlib.sha512).hexdigest()}
        return self.client.post(f"/webhooks/whatsapp/qr/{name}", data=raw, headers=headers)

    def evolution(self, body: Any, **headers: str) -> TestResponse:
        """A POST as Evolution makes it."""
        sent_headers = headers or {"apikey": QR_SECRET}
        return self.client.post(
            f"/webhooks/whatsapp/qr/{self.session}", data=json.dumps(_of(self.session, "instance", body)), headers=sent_headers
        )


def _of(session: str, member: str, body: Any) -> Any:
    """The body as the gateway of this session sends it."""
    return {**body, member: session} if isinstance(body, dict) and member in body else body


def change(number: str, **value: Any) -> dict[str, Any]:
    """One change of Meta's webhook."""
    metadata = {"display_phone_number": "551130001000", "phone_number_id": number}
    return {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}


def webhook(*changes: dict[str, Any]) -> dict[str, Any]:
    """Meta's webhook: each change in an entry of its own."""
    entries = [{"id": f"WABA_{number}", "changes": [one]} for number, one in enumerate(changes)]
    return {"object": "whatsapp_business_account", "entry": entries}


def written(wamid: str, body: str = "When do you ship?", **more: Any) -> dict[str, Any]:
    """A text message as Meta reports it."""
    plain = {"from": "5511912345678", "id": wamid, "timestamp": str(int(time.time())), "type": "text", "text": {"body": body}}
    return {**plain, **more}


def waha_message(identity: str, body: str = "When do you ship?", **more: Any) -> dict[str, Any]:
    """WAHA's `message`."""
    payload = {
        "id": f"false_5511912345678@c.us_{identity}",
        "timestamp": 1784232500,
        "from": "5511912345678@c.us",
        "fromMe": False,
        "to": "551130001000@c.us",
        "body": body,
        "hasMedia": False,
        "ack": 1,
        "ackName": "SERVER",
        "_data": {"notifyName": "Rui"},
        **more,
    }
    return waha_event("message", payload)


def waha_event(event: str, payload: dict[str, Any], at: int = 1784232500000) -> dict[str, Any]:
    """WAHA's envelope; `at` in milliseconds."""
    return {"id": f"evt_{at}", "timestamp": at, "event": event, "session": "any", "payload": payload, "engine": "NOWEB"}


def evolution_message(identity: str, message: dict[str, Any] | None = None, **key: Any) -> dict[str, Any]:
    """Evolution's `messages.upsert`."""
    data = {
        "key": {"remoteJid": "5511912345678@s.whatsapp.net", "fromMe": False, "id": identity, **key},
        "pushName": "Rui",
        "message": {"conversation": "When do you ship?"} if message is None else message,
        "messageType": "conversation",
        "messageTimestamp": int(time.time()),
    }
    return evolution_event("messages.upsert", data)


def evolution_event(event: str, data: Any) -> dict[str, Any]:
    """Evolution's envelope, which carries the instance's key."""
    at = "2026-07-16T20:08:20.000Z"
    body = {"event": event, "instance": "t42", "data": data, "date_time": at, "server_url": "http://localhost:8080"}
    return {**body, "apikey": "evo-key-1"}
