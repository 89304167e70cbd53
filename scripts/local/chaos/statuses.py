"""A minimal stand-in for the front door: receives status webhooks of Meta and WAHA and applies them."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from scripts.local.chaos.producer import retry_until_up
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.whatsapp_qr import acks, session
from shared.channels.whatsapp_qr.waha_content import bare_id

_WAHA = {1: "SENT", 2: "DELIVERED", 3: "READ", 4: "READ", -1: "FAILED"}


class _Server(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.silent: set[str] = set()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        try:
            if body.get("session") not in self.server.silent:
                _apply(body)
        finally:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        """No access log."""


def _apply(body: dict[str, Any]) -> None:
    updates = _updates(body)
    for update in updates:
        retry_until_up(lambda update=update: apply_delivery_status(**update))  # type: ignore[misc]  # the default binds
    account = retry_until_up(lambda: session.account_of(session.find(body.get("session", ""))))
    if account is not None:
        retry_until_up(lambda: acks.note(account, None, [update["provider_id"] for update in updates]))


def _updates(body: dict[str, Any]) -> list[dict[str, Any]]:
    if body.get("event") == "message.ack":
        payload = body["payload"]
        return [{"status": _WAHA[payload["ack"]], "provider_id": bare_id(payload["id"])}] if payload["ack"] in _WAHA else []
    changes = [change["value"] for entry in body.get("entry", []) for change in entry["changes"]]
    return [
        {
            "status": status["status"].upper(),
            "provider_id": status["id"],
            "message_id": int(status["biz_opaque_callback_data"].removeprefix("msg_")),
        }
        for change in changes
        for status in change.get("statuses", [])
    ]


class StatusReceiver:
    """Listens on a free port of loopback until stopped."""

    def __init__(self) -> None:
        self._server = _Server()
        self.url = f"http://127.0.0.1:{self._server.server_port}/statuses"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def silent(self) -> set[str]:
        """Sessions whose gateway is dead: what they report is lost."""
        return self._server.silent

    def stop(self) -> None:
        """Closes the port."""
        self._server.shutdown()
        self._server.server_close()
