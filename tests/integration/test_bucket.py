"""Files in a bucket: a server that speaks as much S3 as a bucket's client needs plays it, also one that fails."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from flask import Flask

from shared import config
from shared.media import s3
from shared.media.folder import FileMissing, StorageDown
from shared.media.storage import storage
from web import files, problems
from web.server.wsgi import PIECE

KEY = "7/ab/abcdef"


@dataclass
class Played:
    """The objects by path, how long each part was that was read, and how the bucket fails: a status and S3's code."""

    url: str
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: list[int] = field(default_factory=list)
    fault: tuple[int, str] | None = None


class _Server(ThreadingHTTPServer):
    played: Played


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def _objects(self) -> dict[str, bytes]:
        return self.server.played.objects

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self._is_fine():
            self._objects[self.path] = body
            self._answer(200, headers={"ETag": '"1"'})

    def do_GET(self) -> None:
        if not self._is_fine():
            return
        if self.path in self._objects:
            begins, ends = (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")
            part = self._objects[self.path][int(begins) :][: int(ends) - int(begins) + 1 if ends else None]
            self.server.played.parts.append(len(part))
            self._answer(206 if ends else 200, part)
        else:
            self._refuse(404, "NoSuchKey")

    def do_DELETE(self) -> None:
        if self._is_fine():
            self._objects.pop(self.path, None)
            self._answer(204)

    def _is_fine(self) -> bool:
        fault = self.server.played.fault
        if not self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=key-id/"):
            fault = (403, "AccessDenied")
        if fault:
            self._refuse(*fault)
        return fault is None

    def _refuse(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code><Message>m</Message><Resource>r</Resource></Error>"
        self._answer(status, body.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _served() -> Iterator[Played]:
    server = _Server(("127.0.0.1", 0), _Handler)
    played = server.played = Played(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield played
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def played(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    for name, value in {"AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3, "TRIES", 0)
    with _served() as played:
        yield played


@pytest.fixture
def bucket(played: Played) -> s3.Bucket:
    return s3.bucket.__wrapped__("shop-files", played.url)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture"
    path.write_bytes(b"GIF89a")
    return path


def test_a_file_of_the_bucket_is_never_in_memory_as_a_whole(played: Played, bucket: s3.Bucket) -> None:
    """It was, of as many threads as wanted one, before anybody asked whether there was room."""
    played.objects[f"/shop-files/{KEY}"] = bytes(9 * 1024 * 1024)
    with bucket.at_path(KEY):
        pass  # what is imported at the first call
    tracemalloc.start()
    try:
        with bucket.at_path(KEY) as path:
            assert path.stat().st_size == 9 * 1024 * 1024
        assert tracemalloc.get_traced_memory()[1] < 3 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_what_is_put_is_read_and_deleted(played: Played, bucket: s3.Bucket, picture: Path) -> None:
    bucket.put(KEY, picture)
    assert played.objects == {f"/shop-files/{KEY}": b"GIF89a"}
    assert bucket.read(KEY) == b"GIF89a"
    with bucket.at_path(KEY) as path:
        assert path.read_bytes() == b"GIF89a"
    assert not path.exists()
    for _ in range(2):
        bucket.delete(KEY)
    assert not played.objects
    with pytest.raises(FileMissing):
        bucket.read(KEY)


@pytest.mark.parametrize("is_in_bucket", [True, False])
@pytest.mark.parametrize("size", [6, PIECE, PIECE + 1, 3 * PIECE])
def test_a_file_is_read_as_its_reader_takes_it(
    played: Played, picture: Path, monkeypatch: pytest.MonkeyPatch, size: int, is_in_bucket: bool
) -> None:
    monkeypatch.setenv("MEDIA_FOLDER", str(picture.parent / "kept"))
    if is_in_bucket:
        monkeypatch.setenv("MEDIA_BUCKET", "shop-files")
        monkeypatch.setenv("MEDIA_BUCKET_URL", played.url)
    config.reset()
    content = b"GIF89a" * (size // 6) + b"." * (size % 6)
    picture.write_bytes(content)
    storage().put(KEY, picture)
    row = {"state": "stored", "storage_key": KEY, "mime": "image/gif", "filename": "a.gif", "size": size}
    answer = files.answer_with(row)
    assert (answer.content_length, answer.mimetype) == (size, "image/gif")
    assert len(played.parts) == is_in_bucket  # nobody has read what comes behind it
    assert answer.data == content
    assert max(played.parts, default=0) <= PIECE


def test_a_copy_that_finds_no_room_on_this_machine_is_no_fault_of_the_file(bucket: s3.Bucket, picture: Path) -> None:
    bucket.put(KEY, picture)
    bucket.arrivals = picture
    with pytest.raises(StorageDown, match="the folder of the files refuses"), bucket.at_path(KEY):
        pass


@pytest.mark.parametrize("fault", [(403, "AccessDenied"), (404, "NoSuchBucket"), (503, "SlowDown")])
def test_a_bucket_that_refuses_is_down_and_named(
    played: Played, bucket: s3.Bucket, picture: Path, fault: tuple[int, str]
) -> None:
    bucket.put(KEY, picture)
    played.fault = fault
    for call in (lambda: bucket.put(KEY, picture), lambda: bucket.read(KEY), lambda: bucket.delete(KEY)):
        with pytest.raises(StorageDown, match="shop-files") as raised:
            call()
        assert "secret" not in str(raised.value)
    played.fault = None
    assert bucket.read(KEY) == b"GIF89a"


def test_a_bucket_that_is_not_there_is_down(played: Played, picture: Path) -> None:
    gone = s3.bucket.__wrapped__("shop-files", "http://127.0.0.1:1")
    with pytest.raises(StorageDown, match="does not answer"):
        gone.put(KEY, picture)


def test_a_check_writes_once_and_then_reads(played: Played, bucket: s3.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "CHECK_EVERY", 0.0)
    bucket.check()
    assert played.objects == {f"/shop-files/{s3.CHECKED}": b"ok"}
    played.objects[f"/shop-files/{s3.CHECKED}"] = b"kept"
    bucket.check()
    assert played.objects == {f"/shop-files/{s3.CHECKED}": b"kept"}


def test_a_check_is_not_repeated_for_each_who_asks(played: Played, bucket: s3.Bucket) -> None:
    bucket.check()
    played.objects.clear()
    bucket.check()
    assert not played.objects


@pytest.mark.parametrize("fault", [(403, "AccessDenied"), (404, "NoSuchBucket")])
def test_a_check_finds_a_bucket_that_refuses(played: Played, bucket: s3.Bucket, fault: tuple[int, str]) -> None:
    played.fault = fault
    for _ in range(2):
        with pytest.raises(StorageDown, match=f"the bucket shop-files refuses: {fault[1]}"):
            bucket.check()


def test_a_reader_of_a_file_is_asked_to_come_again(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_BUCKET", "shop-files")
    monkeypatch.setenv("MEDIA_BUCKET_URL", played.url)
    config.reset()
    played.fault = (503, "SlowDown")
    app = Flask(__name__)
    problems.install(app)
    row = {"state": "stored", "storage_key": KEY, "mime": "image/gif", "filename": "a.gif", "size": 6}
    app.add_url_rule("/file", view_func=lambda: files.answer_with(row))
    answer = app.test_client().get("/file")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "storage of files" in answer.text
