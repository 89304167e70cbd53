"""The simulator is as strict about files as the services that it plays."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from scripts.local.simulator.client import Simulator
from tests.waiting import until

TOKEN = {"Authorization": "Bearer token"}
BOT = "/bot123456789:" + "a" * 35
DATA = base64.b64encode(b"%PDF-1.4").decode()
MEGABYTE = 1024 * 1024


@pytest.fixture(autouse=True)
def nothing_is_left(simulator: Simulator) -> Iterator[None]:
    """The simulator serves the other tests too."""
    simulator.reset()
    yield
    simulator.reset()


def post(simulator: Simulator, path: str, **request: Any) -> requests.Response:
    """One request."""
    return requests.post(f"{simulator.url}{path}", timeout=60, **request)


def upload(simulator: Simulator, declared: str = "image/png", content: bytes = b"x", **changes: Any) -> requests.Response:
    """A file for number 777."""
    fields = {"messaging_product": "whatsapp", "type": declared, **changes.pop("fields", {})}
    files = {"file": ("a.png", content, changes.pop("mime", declared))}
    return post(simulator, "/v25.0/777/media", headers=changes.pop("headers", TOKEN), data=fields, files=files, **changes)


def message(simulator: Simulator, kind: str, about: dict[str, Any], number: str = "777") -> dict[str, Any]:
    """What Meta says to a message."""
    body = {"messaging_product": "whatsapp", "to": "491", "type": kind, kind: about}
    return dict(post(simulator, f"/v25.0/{number}/messages", headers=TOKEN, json=body).json())


@pytest.mark.parametrize(
    ("changes", "status", "code", "words"),
    [
        ({"headers": {}}, 401, 190, "Invalid OAuth"),
        ({"fields": {"messaging_product": "x"}}, 400, 100, "messaging_product is required"),
        ({"declared": "image/gif"}, 400, 100, "Received file of type 'image/gif'"),
        ({"mime": "application/octet-stream"}, 400, 100, "Received file of type 'application/octet-stream'"),
        ({"content": bytes(5 * MEGABYTE + 1)}, 400, 100, "File Too Large"),
        ({"declared": "image/webp", "content": bytes(500 * 1024 + 1)}, 400, 100, "File Too Large"),
    ],
)
def test_what_meta_does_not_take(simulator: Simulator, changes: dict[str, Any], status: int, code: int, words: str) -> None:
    answer = upload(simulator, **changes)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert words in error["message"]
    assert not simulator.record("graph_upload")[0]["accepted"]


@pytest.mark.parametrize(
    "body",
    [
        {"json": {"messaging_product": "whatsapp"}},
        {"data": b"--x\r\nno part", "headers": {**TOKEN, "Content-Type": "multipart/form-data; boundary=x"}},
        {"data": b"", "headers": {**TOKEN, "Content-Type": "multipart/form-data"}},
    ],
)
def test_what_is_no_form_is_no_upload(simulator: Simulator, body: dict[str, Any]) -> None:
    answer = post(simulator, "/v25.0/777/media", **{"headers": TOKEN, **body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)


def test_a_message_names_a_file_of_its_own_number(simulator: Simulator) -> None:
    media = upload(simulator).json()["id"]
    assert message(simulator, "image", {"id": media, "caption": "c" * 1024})["messages"]
    for kind, about, number, words in (
        ("image", {"id": "999"}, "777", "Media ID 999 does not exist"),
        ("image", {"id": media}, "778", "does not exist"),
        ("video", {"id": media}, "777", "a file of the type image/png is no video"),
        ("image", {"id": media, "caption": "c" * 1025}, "777", "at most 1024 characters"),
        ("image", {"id": media, "filename": "a.png"}, "777", "no members but caption, id"),
        ("audio", {"id": media, "caption": "c"}, "777", "no members but id, voice"),
    ):
        error = message(simulator, kind, about, number)["error"]
        assert error["code"] == 131009
        assert words in error["error_data"]["details"]
    assert message(simulator, "document", {"id": media, "filename": "b.png"})["messages"]
    assert [row["file"]["name"] for row in simulator.record("graph") if row["accepted"]] == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("method", "files", "status", "words"),
    [
        ("sendPhoto", {}, 400, "there is no photo in the request"),
        ("sendPhoto", {"document": ("a.png", b"x", "image/png")}, 400, "there is no photo in the request"),
        ("sendPhoto", {"photo": ("a.png", bytes(10 * MEGABYTE + 1), "image/png")}, 400, "too big for a photo"),
        ("sendPhoto", {"photo": ("a.heic", b"x", "image/heic")}, 400, "IMAGE_PROCESS_FAILED"),
        ("sendDocument", {"document": ("a", b"", "text/plain")}, 400, "file must be non-empty"),
        ("sendDocument", {"document": ("a", bytes(50 * MEGABYTE + 1), "text/plain")}, 413, "Request Entity Too Large"),
        ("sendVoice", {"voice": ("a.webm", b"x", "audio/webm")}, 400, "wrong type of the file"),
    ],
)
def test_what_telegram_does_not_take(simulator: Simulator, method: str, files: Any, status: int, words: str) -> None:
    answer = post(simulator, f"{BOT}/{method}", data={"chat_id": "42"}, files=files)
    assert (answer.status_code, answer.json()["ok"]) == (status, False)
    assert words in answer.json()["description"]


@pytest.mark.parametrize(
    ("call", "changes", "words"),
    [
        ("sendFile", {"file": {"mimetype": "application/pdf", "data": f"data:application/pdf;base64,{DATA}"}}, "base64"),
        ("sendFile", {"file": {"mimetype": "application/pdf", "data": DATA[:-1]}}, "base64"),
        ("sendFile", {"file": {"data": DATA}}, "mimetype"),
        ("sendImage", {"file": {"mimetype": "application/pdf", "data": DATA}}, "mimetype"),
        ("sendVoice", {"file": {"mimetype": "audio/mpeg", "data": DATA, "filename": "a.mp3"}, "convert": False}, "OPUS"),
        ("sendVoice", {"file": {"mimetype": "audio/ogg; codecs=opus", "data": DATA, "filename": "a.ogg"}}, "convert"),
        ("sendVideo", {"file": {"mimetype": "video/mp4", "data": DATA}, "convert": False}, "filename"),
        ("sendFile", {"file": {"mimetype": "application/pdf", "data": DATA}, "caption": "c" * 1025}, "caption"),
        ("sendFile", {"file": {"mimetype": "application/pdf", "data": DATA}, "chatId": ""}, "chatId"),
    ],
)
def test_what_waha_does_not_take(simulator: Simulator, call: str, changes: dict[str, Any], words: str) -> None:
    answer = post(simulator, f"/api/{call}", json={"session": "s1", "chatId": "491@c.us", **changes})
    assert (answer.status_code, answer.json()["statusCode"]) == (400, 400)
    assert words in answer.json()["message"]


@pytest.mark.parametrize(
    ("call", "body", "words"),
    [
        ("sendMedia", {"mediatype": "image", "media": f"data:image/png;base64,{DATA}"}, "Owned media must be a url or base64"),
        ("sendMedia", {"mediatype": "picture", "media": DATA}, "mediatype must be one of"),
        ("sendMedia", {"mediatype": "document", "media": DATA}, "the file name must be informed"),
        ("sendMedia", {"mediatype": "image", "media": DATA, "caption": "c" * 1025}, "does not meet"),
        ("sendWhatsAppAudio", {"audio": ""}, "Owned media must be"),
    ],
)
def test_what_evolution_does_not_take(simulator: Simulator, call: str, body: dict[str, Any], words: str) -> None:
    answer = post(simulator, f"/message/{call}/s1", json={"number": "491", **body})
    assert answer.status_code == 400
    assert words in answer.json()["response"]["message"][0]


def test_gateways_report_what_became_of_a_file(simulator: Simulator) -> None:
    hook = {"url": f"{simulator.url}/customer/acks", "statuses": ["sent"], "delay_ms": 0}
    simulator.faults([{"kind": kind, "fault": "statuses", **hook} for kind in ("waha", "evolution")])
    file = {"mimetype": "application/pdf", "data": DATA, "filename": "a.pdf"}
    post(simulator, "/api/sendFile", json={"session": "s1", "chatId": "491@c.us", "file": file, "id": "3EB01"})
    body = {"number": "491", "mediatype": "document", "media": DATA, "fileName": "a.pdf", "messageId": "3EB02"}
    post(simulator, "/message/sendMedia/s1", json=body)
    reported = until(lambda: [row["body"] for row in rows] if len(rows := simulator.record("webhook")) == 2 else None)
    assert simulator.record("waha")[0]["answered_id"] in "".join(reported), "WAHA takes ids for texts only"
    assert "3EB02" in "".join(reported)
