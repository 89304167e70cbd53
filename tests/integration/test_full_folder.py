"""A folder for files that is full, or refuses: who reads or sends a file comes again, and for a job it is no error of ours."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections import namedtuple
from contextlib import nullcontext
from pathlib import Path

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.media.download import Download
from shared.media.folder import Folder, StorageDown
from shared.media.storage import storage
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import API, Business
from tests.integration.test_media_fetch import PICTURE, media_of, send
from tests.integration.widget_page import Page, key_of


@pytest.fixture
def refusing(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place where no folder can be any more: since this process began a file stands there."""
    place = tmp_path / "media"
    monkeypatch.setenv("MEDIA_FOLDER", str(place))
    config.reset()
    config.settings()
    place.write_bytes(b"")
    return place


def test_each_call_says_that_the_storage_is_down(refusing: Path) -> None:
    folder = Folder(refusing)
    for call in (
        lambda: folder.put("1/ab/abc", refusing),
        lambda: folder.read("1/ab/abc"),
        lambda: folder.at_path("1/ab/abc").__enter__(),
        lambda: folder.delete("1/ab/abc"),
        lambda: Download(folder.arrivals),
    ):
        with pytest.raises(StorageDown, match="the folder of the files refuses"):
            call()


def test_a_full_disk_is_no_answer_of_a_provider(environment: dict[str, str], tmp_path: Path) -> None:
    with Download(tmp_path) as download, open("/dev/full", "wb", buffering=0) as full:
        download._file = full
        with pytest.raises(StorageDown, match="No space left"):
            download.write(b"GIF89a")


def test_a_visitor_who_sends_a_file_comes_again(door: FrontDoor, refusing: Path) -> None:
    page = Page(door.client, key_of(door.world.chatbot))
    answer = page.call("post", "/files", query_string={"name": "a.png"}, data=b"\x89PNG\r\n\x1a\n", content_type="image/png")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    ("total_mib", "free_mib", "status"), [(20_000, 500, 503), (20_000, 520, 201), (1_000, 49, 503), (1_000, 51, 201)]
)
def test_files_leave_room_on_a_disk_that_postgresql_may_share(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch, total_mib: int, free_mib: int, status: int
) -> None:
    usage = namedtuple("usage", "total used free")
    disk = usage(total_mib * 1024**2, 0, free_mib * 1024**2)
    page = Page(door.client, key_of(door.world.chatbot))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    answer = page.call("post", "/files", query_string={"name": "a.png"}, data=b"\x89PNG\r\n\x1a\n", content_type="image/png")
    assert answer.status_code == status
    with nullcontext() if status == 201 else pytest.raises(StorageDown, match=f"{free_mib} MiB left"):
        storage().check()


def test_a_job_tries_again(door: FrontDoor, refusing: Path, caplog: pytest.LogCaptureFixture) -> None:
    message = send(door.world, PICTURE)
    [job] = door.world.jobs(queue="media-fetch")
    door.world.run(job["id"])
    [job] = door.world.jobs(queue="media-fetch")
    assert (job["state"], job["attempts"]) == ("delayed", 1)
    assert [row["state"] for row in media_of(message)] == ["waiting"]
    assert not any(getattr(record, "traceback", None) or record.exc_info for record in caplog.records)


def test_a_file_is_not_given_up_before_our_own_disk_has_room(
    door: FrontDoor, refusing: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = send(door.world, PICTURE)
    [job] = door.world.jobs(queue="media-fetch")
    for _ in range(9):
        door.world.run(job["id"])
        db.rows("update job set run_at = now() where id = %s", [job["id"]])
    [job] = door.world.jobs(queue="media-fetch")
    assert (job["state"], job["attempts"]) == ("delayed", 1), "its message's answer knows that it fails, and nothing is spent"
    assert "the folder of the files refuses" in job["last_error"]
    refusing.unlink()
    door.world.run(job["id"])
    assert [row["state"] for row in media_of(message)] == ["stored"]


def test_who_imports_a_large_file_comes_again(door: FrontDoor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Business(door, door.world.customer)
    base = db.scalar("select id from knowledge_base where customer_id = %s", [owner.customer])
    rows = b"question,answer\n" + b"Who are you?,A shop\n" * 30_000
    boundary, form = encode_multipart({"file": FileStorage(io.BytesIO(rows), "faq.csv")})
    headers = {"Authorization": f"Bearer {owner.key}", "Content-Type": f"multipart/form-data; boundary={boundary}"}
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    answer = door.client.post(f"{API}/knowledge-bases/{base}/sources", data=form, headers=headers)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


def test_the_desk_says_so_too(door: FrontDoor, refusing: Path) -> None:
    message = send(door.world, PICTURE)
    db.rows("update media set state = 'stored', storage_key = '1/ab/abc' where message_id = %s", [message])
    [file] = media_of(message)
    owner = Visitor(door.app, person("owner", door.world.customer))
    answer = owner.get(f"/desk/c/{door.world.customer}/media/{file['id']}")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
