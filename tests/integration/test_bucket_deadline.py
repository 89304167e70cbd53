"""A bucket whose answers have no end: a call is over when its time is, all of its attempts together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import socket

import pytest

from shared import config
from shared.media import s3
from shared.media.folder import StorageDown
from tests.unit.servers import Handle, Servers, drip, dripping, read_request, serving

#: Seconds that a call has which they end, and that one has which ends before them, however slow this machine is.
TIMEOUT, ENOUGH = 0.5, 60.0
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def keys(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-central-1"}
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    give(monkeypatch, TIMEOUT)


def give(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From now on a call has so many seconds."""
    monkeypatch.setenv("MEDIA_TIMEOUT_SECONDS", str(seconds))
    config.reset()


@pytest.fixture
def serve() -> Iterator[Servers]:
    with serving() as start:
        yield start
    assert start.stayed == [], "the bucket hung up, and not the call"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between the attempts of this thread's calls, which are not made."""
    seconds, here, sleep = list[float](), threading.current_thread(), time.sleep

    def pause(length: float) -> None:
        seconds.append(length) if threading.current_thread() is here else sleep(length)

    monkeypatch.setattr(time, "sleep", pause)
    return seconds


def says_that_it_is_down(bucket: s3.Bucket, call: Callable[[s3.Bucket], object]) -> str:
    with pytest.raises(StorageDown) as down:
        call(bucket)
    assert "secret" not in str(down.value)
    return str(down.value)


def always(answer: bytes) -> Handle:
    """A server that gives each request this answer."""

    def handle(connection: socket) -> None:
        while read_request(connection):
            connection.sendall(answer)

    return handle


DRIPS = {
    "head": (HEAD + b"X-A: ", b"b"),
    "body": (HEAD + b"Content-Length: 1000000\r\n\r\n", b"x"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "refusal": (b"HTTP/1.1 403 No\r\nContent-Type: application/xml\r\nContent-Length: 90000\r\n\r\n", b"x"),
    "informational": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "silence": (b"", b""),
}


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("where", DRIPS)
def test_an_answer_that_drips_is_cut(serve: Servers, tmp_path: Path, where: str) -> None:
    bucket = s3.bucket.__wrapped__("shop-files", f"http://{serve(dripping(*DRIPS[where]))}")
    path = tmp_path / "picture"
    path.write_bytes(b"GIF89a")
    calls = [lambda of: of.read("7/ab"), lambda of: of.put("7/ab", path), lambda of: of.delete("7/ab")]
    for call in calls[: 1 if where in ("body", "chunks") else 3]:  # of a body that is nobody's, nothing is read
        says_that_it_is_down(bucket, call)


@pytest.mark.usefixtures("keys")
def test_a_file_of_several_parts_has_one_deadline(serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(connection: socket) -> None:
        head = read_request(connection)
        if b"?uploads" in head:
            body = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            read_request(connection)
        drip(connection, HEAD + b"X-A: ", b"b")

    give(monkeypatch, 2.0)
    path = tmp_path / "video"
    path.write_bytes(bytes(11 * 1024 * 1024))
    says_that_it_is_down(s3.bucket.__wrapped__("shop-files", f"http://{serve(handle)}"), lambda of: of.put("7/ab", path))


@pytest.mark.usefixtures("keys")
def test_a_bucket_that_asks_for_an_hour_holds_no_thread(
    serve: Servers, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, ENOUGH)
    busy = always(b"HTTP/1.1 503 SlowDown\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n")
    says_that_it_is_down(s3.bucket.__wrapped__("shop-files", f"http://{serve(busy)}"), lambda of: of.delete("7/ab"))
    assert len(pauses) == s3.TRIES
    assert max(pauses) <= ENOUGH


@pytest.mark.usefixtures("keys")
def test_the_pauses_between_attempts_are_part_of_the_time(
    serve: Servers, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, ENOUGH)
    monkeypatch.setattr(s3, "BACKOFF", 2 * ENOUGH)
    busy = always(b"HTTP/1.1 503 SlowDown\r\nContent-Length: 0\r\n\r\n")
    says_that_it_is_down(s3.bucket.__wrapped__("shop-files", f"http://{serve(busy)}"), lambda of: of.delete("7/ab"))
    assert len(pauses) == s3.TRIES
    assert max(pauses) <= ENOUGH


@pytest.mark.usefixtures("keys")
def test_a_role_that_has_no_credentials_in_time_is_the_bucket_down(serve: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for metadata, seconds, says in (
        (serve(dripping(HEAD + b"X-A: ", b"b")), TIMEOUT, "does not answer"),
        (serve(always(b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n")), ENOUGH, "are there credentials"),
        (serve(always(HEAD + b"Content-Length: 2\r\n\r\n{}")), ENOUGH, "are there credentials"),
    ):
        give(monkeypatch, seconds)
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://{metadata}/role")
        bucket = s3.bucket.__wrapped__("shop-files", "http://127.0.0.1:1")
        assert says in says_that_it_is_down(bucket, lambda of: of.read("7/ab"))
