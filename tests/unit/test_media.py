"""Files: what their bytes are, base64 within JSON, and a bucket that speaks S3."""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from scripts.local.simulator.files import content
from shared import config
from shared.media import s3
from shared.media.download import Download
from shared.media.folder import FileMissing
from shared.media.inline import LONG, Lifter, RestTooLarge, decode_into
from shared.media.kinds import is_shown, mime_of

pytestmark = pytest.mark.usefixtures("environment_of_one")


@pytest.fixture
def environment_of_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The least that settings need."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@nowhere/none")
    monkeypatch.setenv("REDIS_URL", "redis://nowhere")
    monkeypatch.setenv("CREDENTIALS_KEY", f"{'A' * 43}=")
    config.reset()
    yield
    config.reset()


@pytest.mark.parametrize(
    ("head", "said", "mime", "shown"),
    [
        (content("a.png")[1], "text/html", "image/png", True),
        (content("a.ogg")[1], "audio/ogg; codecs=opus", "audio/ogg", True),
        (content("a.pdf")[1], None, "application/pdf", False),
        (b"\xff\xd8\xff\xe0", "image/png", "image/jpeg", True),
        (b"\x1a\x45\xdf\xa3", "audio/webm;codecs=opus", "audio/webm", True),
        (b"\x1a\x45\xdf\xa3", "video/webm", "video/webm", False),
        (b"\x00\x00\x00\x18ftypisom", "AUDIO/MP4; codecs=mp4a.40.2", "audio/mp4", True),
        (b"\x00\x00\x00\x18ftypisom", "video/mp4", "video/mp4", False),
        (b"\x00\x00\x00\x18ftypisom", None, "video/mp4", False),
        (b"\x00\x00\x00\x18ftypheic", "image/jpeg", "image/heic", False),
        (b"\x00\x00\x00\x18ftypmif1", None, "image/heic", False),
        (b"\x00\x00\x00\x18ftypavif", None, "image/avif", False),
        (b"\x00\x00\x00\x18ftyp3gp4", "audio/3gpp", "audio/3gpp", True),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>", "image/svg+xml", "text/plain", False),
        (b"<!doctype html><script>", "image/png", "text/plain", False),
        (b"a,b\n1,2\n", "text/csv; charset=utf-8", "text/csv", False),
        ("Grüße ".encode() * 600, "text/plain", "text/plain", False),
        (b"MZ\x90\x00", "image/png", "application/octet-stream", False),
        (b"\x00\x01", "audio/ogg", "application/octet-stream", False),
    ],
)
def test_a_file_is_what_its_bytes_say(head: bytes, said: str | None, mime: str, shown: bool) -> None:
    assert mime_of(head[:4096], said) == mime
    assert is_shown(mime) is shown


def lift(folder: Path, body: bytes, sizes: list[int]) -> tuple[Any, Lifter]:
    """The body after lifting, fed in parts of these sizes."""
    lifter, start = Lifter(lambda: Download(folder)), 0
    while start < len(body):
        size = random.choice(sizes)
        lifter.feed(body[start : start + size])
        start += size
    return json.loads(lifter.rest), lifter


def bytes_of(lifter: Lifter, name: str) -> bytes:
    """What was lifted."""
    lifted = lifter.files[name]
    assert lifted.problem is None
    lifted.download.check()
    return lifted.download.path.read_bytes()


WRITERS = {
    "plain": lambda data: base64.b64encode(data).decode(),
    "without padding": lambda data: base64.b64encode(data).decode().rstrip("="),
    "data URL": lambda data: "data:image/png;base64," + base64.b64encode(data).decode(),
    "in lines": lambda data: base64.encodebytes(data).decode(),
    "URL-safe": lambda data: base64.urlsafe_b64encode(data).decode(),
}


@pytest.mark.parametrize("is_escaped", [False, True])
@pytest.mark.parametrize("writer", WRITERS)
def test_long_base64_is_lifted_however_it_is_written_and_cut(tmp_path: Path, writer: str, is_escaped: bool) -> None:
    data = os.urandom(200_001)
    text = WRITERS[writer](data)
    sent = {"words": 'a "quote", a \\ and ' + "é" * 3000, "media": {"data": text}, "again": [text], "short": "QUJD"}
    body = json.dumps(sent).encode()
    if is_escaped:
        body = body.replace(b"/", b"\\/")
    rest, lifter = lift(tmp_path, body, [1, 7, 4095, 65536])
    assert bytes_of(lifter, rest["media"]["data"]) == bytes_of(lifter, rest["again"][0]) == data
    assert (rest["words"], rest["short"]) == (sent["words"], "QUJD")
    assert len(lifter.rest) < 30_000


@pytest.mark.parametrize(
    "text",
    [
        "a" * 65_536,
        "a" * (LONG + 10) + " and a word",
        "wort " * 50_000,
        "http://x/" + "a" * 2000 + '"',
        "\\" * 1001,
        "\\/" * 999,
        "",
    ],
    ids=lambda text: text[:5],
)
def test_what_people_write_is_never_lifted(tmp_path: Path, text: str) -> None:
    rest, lifter = lift(tmp_path, json.dumps({"body": text, "more": [text, 1]}).encode(), [1000, 65536])
    if not text.endswith("a word"):
        assert rest == {"body": text, "more": [text, 1]}
        assert not lifter.files
    else:  # longer than any app lets people write, and base64 so far: a file, which is spoilt
        assert all(lifted.problem for lifted in lifter.files.values())


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_file_is_found_wherever_the_parts_end(tmp_path: Path, cut: int) -> None:
    content = os.urandom(150_000)
    body = json.dumps({"path": "C:\\photos\\", "said": 'a "b\\\\"', "data": base64.b64encode(content).decode()}).encode()
    lifter = Lifter(lambda: Download(tmp_path))
    lifter.feed(body[:cut])
    lifter.feed(body[cut:])
    rest = json.loads(lifter.rest)
    assert (rest["path"], rest["said"]) == ("C:\\photos\\", 'a "b\\\\"')
    assert bytes_of(lifter, rest["data"]) == content


@pytest.mark.parametrize("spoil", [lambda text: text[:-3] + "=AA", lambda text: text[:199_001] + "ä" + text[199_001:]])
def test_base64_that_is_malformed_spoils_its_file_only(tmp_path: Path, spoil: Any) -> None:
    text = spoil(base64.b64encode(os.urandom(150_000)).decode())
    rest, lifter = lift(tmp_path, json.dumps({"a": text, "b": "words"}, ensure_ascii=False).encode(), [65536])
    [lifted] = lifter.files.values()
    assert lifted.problem is not None
    assert rest["b"] == "words"


def test_a_file_that_is_too_large_costs_its_message_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_MAX_MB", "1")
    config.reset()
    rest, lifter = lift(tmp_path, json.dumps({"a": "A" * 3_000_000, "caption": "see"}).encode(), [65536])
    assert "more than 1 MiB" in str(lifter.files[rest["a"]].problem)
    assert rest["caption"] == "see"


def test_json_without_files_has_its_limit(tmp_path: Path) -> None:
    with pytest.raises(RestTooLarge):
        lift(tmp_path, json.dumps(["a word, "] * 200_000).encode(), [65536])


def test_short_base64_is_decoded_where_it_is(tmp_path: Path) -> None:
    with Download(tmp_path) as download:
        decode_into("data:text/plain;base64,SGVs\nbG8", download)
        download.check()
        assert (download.path.read_bytes(), download.mime) == (b"Hello", "text/plain")


class FakeS3(BaseHTTPRequestHandler):
    """PUT, GET and DELETE of objects."""

    objects: dict[str, bytes]

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml")
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200)

    def do_GET(self) -> None:
        if self.path in self.objects:
            self._answer(200, self.objects[self.path])
        else:
            self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>no</Message></Error>")

    def do_DELETE(self) -> None:
        self.objects.pop(self.path, None)
        self._answer(204)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_bucket_keeps_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    FakeS3.objects = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeS3) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        bucket = s3.bucket("files", f"http://127.0.0.1:{server.server_port}")
        path = tmp_path / "arrived"
        path.write_bytes(b"bytes")
        bucket.put("7/ab/abc", path)
        assert bucket.read("7/ab/abc") == b"bytes"
        with bucket.at_path("7/ab/abc") as copy:
            assert copy.read_bytes() == b"bytes"
        assert not copy.exists()
        bucket.delete("7/ab/abc")
        with pytest.raises(FileMissing):
            bucket.read("7/ab/abc")
        server.shutdown()
