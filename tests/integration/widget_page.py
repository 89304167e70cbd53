"""A visitor's page, as far as the widget's API sees it."""

from __future__ import annotations

from itertools import islice
from typing import Any

import requests
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared import db
from tests.site import read_events


class Page:
    """A visitor's page of one chatbot."""

    def __init__(self, client: FlaskClient, key: str, **headers: str) -> None:
        self.client, self.url, self.headers = client, f"/api/v1/chatbots/{key}", headers
        self.token = self.call("post", "/sessions").get_json()["token"]

    def call(self, method: str, path: str, **more: Any) -> TestResponse:
        """A request with this page's headers and token."""
        token = {"Authorization": f"Bearer {self.token}"} if hasattr(self, "token") else {}
        headers = {**self.headers, **token, **more.pop("headers", {})}
        return getattr(self.client, method)(self.url + path, headers=headers, **more)  # type: ignore[no-any-return]

    def say(self, content: str = "When do you ship?", **headers: str) -> TestResponse:
        """Sends a message."""
        return self.call("post", "/messages", json={"content": content}, headers=headers)

    def history(self) -> list[dict[str, Any]]:
        """What the page shows after a reload."""
        return self.call("get", "/messages").get_json()["messages"]  # type: ignore[no-any-return]

    def stream(self, seen: int = 0, **headers: str) -> requests.Response:
        """Opens the stream behind that revision, over HTTP."""
        more = {"Authorization": f"Bearer {self.token}", "Last-Event-ID": str(seen), **self.headers, **headers}
        return requests.get(self.client.site.url + self.url + "/events", headers=more, stream=True, timeout=60)  # type: ignore[attr-defined]

    def events(self, seen: int, count: int) -> list[dict[str, Any]]:
        """The next `count` events behind that id, then the page leaves."""
        with self.stream(seen) as answer:
            assert answer.status_code == 200, answer.text
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            return list(islice(read_events(answer), count))


def key_of(chatbot: int) -> str:
    return str(db.scalar("select public_key from chatbot where id = %s", [chatbot]))
