"""Files that gateways send along with a webhook, as base64: taken, stored, and never in memory as a whole."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest
import requests

from shared import db
from shared.db.pool import is_connected
from shared.jobs import operator
from shared.media import files
from shared.media.download import Download
from shared.media.folder import Folder
from shared.media.storage import storage
from shared.models import Media
from shared.privacy import erasure
from tests.builders import World
from tests.integration.front_door import QR_SECRET, FrontDoor, evolution_message, waha_message
from tests.site import Site, serving
from web.server import front

MIB = 1024 * 1024
BYTES = b"\xff\xd8\xff of a picture"
DIALECTS = ("waha", "evolution")


@pytest.fixture
def site(door: FrontDoor) -> Iterator[Site]:
    """The application behind its own server."""
    with serving(door.app) as running:
        yield running


def webhook(door: FrontDoor, dialect: str, text: str, caption: str = "how much?") -> dict[str, Any]:
    """A picture with a caption, and the gateway's own base64 of it."""
    db.rows("update whatsapp_qr_session set dialect = %s", [dialect])
    if dialect == "waha":
        body = waha_message("3EB0", caption, hasMedia=True, media={"mimetype": "image/jpeg", "data": text})
        return {**body, "session": door.session}
    picture = {"imageMessage": {"mimetype": "image/jpeg", "caption": caption}, "base64": text}
    return {**evolution_message("3EB0", picture), "instance": door.session}


def post(site: Site, door: FrontDoor, body: Any, secret: str = QR_SECRET) -> requests.Response:
    """As the gateway makes it: WAHA signs, Evolution shows its secret."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"X-Webhook-Hmac": hmac.new(secret.encode(), raw, hashlib.sha512).hexdigest(), "apikey": secret}
    return requests.post(f"{site.url}/webhooks/whatsapp/qr/{door.session}", raw, headers=headers, timeout=60)


def rows(door: FrontDoor) -> list[dict[str, Any]]:
    """The media of what was accepted, once it is saved."""
    for job in door.world.jobs(queue="incoming-messages", state="waiting"):
        assert door.world.run(job["id"]) is None
    return db.rows(Media.select().order_by(Media.id))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("size", [1_000, 300_000, 16 * MIB])
def test_a_file_in_a_webhook_is_stored(site: Site, door: FrontDoor, dialect: str, size: int) -> None:
    data = b"\xff\xd8\xff" + os.urandom(size - 3)
    answer = post(site, door, webhook(door, dialect, base64.b64encode(data).decode()))
    assert answer.status_code == 200, answer.text
    [job] = door.world.jobs(queue="incoming-messages")
    assert len(json.dumps(job["payload"])) < 3_000
    [row] = rows(door)
    assert (row["state"], row["mime"], row["size"], row["error"]) == ("stored", "image/jpeg", size, None)
    assert storage().read(row["storage_key"]) == data
    assert [message["content"] for message in door.world.messages()] == ["how much?"]
    assert [job["queue"] for job in door.world.jobs(state="waiting")] == ["media-fetch"]
    assert not list(storage().arrivals.iterdir())
    assert not site.front._disk._bytes


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_webhook_again_is_the_same_message_and_file(site: Site, door: FrontDoor, dialect: str) -> None:
    body = webhook(door, dialect, base64.b64encode(os.urandom(2 * MIB)).decode())
    assert [post(site, door, body).status_code for _ in range(2)] == [200, 200]
    assert len(rows(door)) == 1
    assert db.scalar("select count(*) from media_file") == 1


def test_an_erased_persons_file_that_cannot_be_deleted_costs_nothing(
    site: Site, door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = webhook(door, "waha", base64.b64encode(b"\xff\xd8\xff" + os.urandom(1_000)).decode())
    assert post(site, door, body).status_code == 200
    rows(door)
    assert erasure.erase(door.world.customer, db.scalar("select id from contact"))
    with monkeypatch.context() as away:
        away.setattr("shared.media.folder.Folder.delete", Mock(side_effect=ConnectionError))
        assert post(site, door, body).status_code == 200
    assert db.rows("select * from inbound_reject") == []
    assert db.scalar("select count(*) from media_file") == files.delete_unwanted() == 1


def test_no_connection_waits_for_the_storage_and_the_same_bytes_are_stored_behind_their_deletion(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage is slow to delete; the same file comes again meanwhile."""
    stored = files.store(world.customer, arrived(tmp_path / "first"))
    db.rows("update media_file set wanted_at = '-infinity'")
    deletes, begun, connections = Folder.delete, Event(), []

    def slow_delete(folder: Folder, key: str) -> None:
        connections.append(is_connected())
        begun.set()
        time.sleep(0.5)
        deletes(folder, key)

    monkeypatch.setattr(Folder, "delete", slow_delete)
    with ThreadPoolExecutor(2) as threads:
        deleting = threads.submit(files.delete_unwanted)
        assert begun.wait(30)
        again = threads.submit(files.store, world.customer, arrived(tmp_path / "second"))
        assert (deleting.result(30), again.result(30)) == (1, stored)
    assert connections == [False]
    assert storage().read(stored.key) == BYTES
    assert db.rows("select deleting_at from media_file") == [{"deleting_at": None}]


def test_a_deletion_that_ends_just_when_its_file_is_refused_fills_no_quota(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = files.store(world.customer, arrived(tmp_path / "first"))
    db.rows("update media_file set deleting_at = now()")
    wants, answers = files._want, list[datetime | None]()

    def want(file: dict[str, Any]) -> datetime | None:
        answers.append(wants(file))
        if answers[-1] is None:
            db.rows("delete from media_file")
        return answers[-1]

    monkeypatch.setattr(files, "_want", want)
    assert files.store(world.customer, arrived(tmp_path / "second")) == stored
    assert [answer is None for answer in answers] == [True, False]


def test_a_file_that_was_stored_again_is_not_released_by_whoever_stored_it_first(world: World, tmp_path: Path) -> None:
    """Their messages are not saved yet; the first one is deleted while it comes."""
    first, second = (files.store(world.customer, arrived(tmp_path / name)) for name in ("first", "second"))
    files.release(world.customer, first.sha256, first.wanted_at)
    assert storage().read(second.key) == BYTES
    files.release(world.customer, second.sha256, second.wanted_at)
    assert db.rows("select * from media_file") == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_is_kept_while_its_message_waits_to_be_saved_or_replayed(world: World, tmp_path: Path, fails: bool) -> None:
    stored = files.store(world.customer, arrived(tmp_path))
    picture = {"kind": "image", "mime": stored.mime, "size": stored.size, "sha256": stored.sha256, "is_stored": True}
    message = {"chatbot_id": world.chatbot, "channel": "widget", "external_user_id": "v-1", "content": "This one"}
    world.service.accept_message({**message, "kind": "media", "media": [picture]})
    [job] = world.jobs(queue="incoming-messages")
    if fails:
        operator.discard(job["id"])
        world.dead_letters()
    db.rows("update media_file set wanted_at = now() - interval '3 days'")  # for so long incoming-messages is paused
    assert files.delete_unwanted() == 0
    if fails:
        operator.requeue(job["id"])
    world.run(job["id"])
    assert db.scalar("select state from media") == "stored"
    assert storage().read(stored.key) == BYTES
    db.rows("delete from message")
    assert files.delete_unwanted() == 1


def arrived(folder: Path, content: bytes = b"") -> Download:
    """A file that was fetched."""
    download = Download(folder, "image/jpeg")
    download.write(BYTES + content)
    download.check()
    return download


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda text: text + "*" * 9, "base64 is malformed"),
        (lambda text: text + "A" * (19 * MIB), "more than 16 MiB"),
    ],
    ids=["malformed", "too large"],
)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_spoilt_file_costs_its_message_nothing(site: Site, door: FrontDoor, dialect: str, spoil: Any, error: str) -> None:
    text = spoil(base64.b64encode(os.urandom(3 * MIB)).decode())
    assert post(site, door, webhook(door, dialect, text)).status_code == 200
    [row] = rows(door)
    if dialect == "waha":
        assert (row["state"], error in row["error"]) == ("failed", True)
    else:  # Evolution can be asked for it
        assert (row["state"], row["source"]["message"]["key"]["id"]) == ("waiting", "3EB0")
    assert [message["content"] for message in door.world.messages()] == ["how much?"]
    assert not list(storage().arrivals.iterdir())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_large_body_without_a_right_secret_leaves_nothing(site: Site, door: FrontDoor, dialect: str) -> None:
    body = webhook(door, dialect, base64.b64encode(os.urandom(5 * MIB)).decode())
    assert post(site, door, body, secret="wrong").status_code == 401
    other = {**body, "session" if dialect == "waha" else "instance": "another"}
    assert post(site, door, other).status_code == 401
    assert not list(storage().arrivals.iterdir())
    assert not door.world.jobs()
    assert db.scalar("select count(*) from media_file") == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_is_no_file_has_the_limits_of_before(site: Site, door: FrontDoor, dialect: str) -> None:
    assert post(site, door, webhook(door, dialect, "", "a word, " * 200_000)).status_code == 413
    assert post(site, door, b'{"a": "' + b"A" * (25 * MIB) + b'"}').status_code == 413
    assert post(site, door, b'{"a": "' + b"A" * (2 * MIB)).status_code == 400
    assert not list(storage().arrivals.iterdir())


def test_many_large_bodies_at_once_take_disk_and_no_memory(site: Site, door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps(webhook(door, "waha", base64.b64encode(os.urandom(12 * MIB)).decode())).encode()
    most: list[int] = []
    new_file = front._new_file

    def noted(parts: list[bytes]) -> Any:
        most.append(sum(map(len, parts)))
        return new_file(parts)

    monkeypatch.setattr(front, "_new_file", noted)
    with ThreadPoolExecutor(12) as threads:
        statuses = list(threads.map(lambda _: post(site, door, body, secret="wrong").status_code, range(12)))
    assert set(statuses) <= {401, 429, 503}, statuses
    assert max(most) < 2 * MIB  # of each, before it goes to the disk
    assert post(site, door, body).status_code == 200
    assert not site.front._admission._bytes
    assert not site.front._disk._bytes
    assert not list(storage().arrivals.iterdir())
