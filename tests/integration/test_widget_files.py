"""Files in the widget: what a visitor may send, and who may see it."""

from __future__ import annotations

import os
from typing import Any

import pytest
from werkzeug.test import TestResponse

from scripts.local.simulator.files import content
from shared import config, db
from shared.media.storage import storage
from tests.integration.front_door import FrontDoor
from tests.integration.test_media_api import get, messages
from tests.integration.widget_page import Page, key_of

PNG = content("visitor.png")[1]


@pytest.fixture
def page(door: FrontDoor) -> Page:
    """A visitor's page."""
    return Page(door.client, key_of(door.world.chatbot))


def send(page: Page, body: bytes = PNG, name: str = "photo.png", kind: str = "image/png") -> TestResponse:
    """Sends a file."""
    return page.call("post", "/files", query_string={"name": name}, data=body, content_type=kind)


def say(page: Page, files: Any, text: str = "", **headers: str) -> TestResponse:
    """Sends a message with files."""
    return page.call("post", "/messages", json={"content": text, "files": files}, headers=headers)


def test_a_picture_is_sent_shown_and_given_to_its_visitor_only(door: FrontDoor, page: Page) -> None:
    sent = send(page, name="../holi\x00days/photo.png")
    assert (sent.status_code, sent.json["kind"], sent.json["name"]) == (201, "image", "photo.png"), sent.text
    assert say(page, [sent.json["file"]], "How much?").status_code == 202
    door.world.drain()
    question = page.history()[0]
    [file] = question["files"]
    assert (question["content"], file["mime"], file["state"]) == ("How much?", "image/png", "stored")
    answer = page.call("get", f"/files/{file['id']}")
    assert (answer.status_code, answer.data, answer.content_type) == (200, PNG, "image/png")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert page.call("get", "/messages?after=0").json["messages"][0]["files"] == question["files"]
    stranger = Page(door.client, key_of(door.world.chatbot))
    assert stranger.call("get", f"/files/{file['id']}").status_code == 404
    assert page.call("get", f"/files/{file['id']}", headers={"Authorization": ""}).status_code == 401
    assert page.call("get", "/files/m_AAAAAAAAAAAAAAAAAAAAAA").status_code == 404


def test_a_picture_without_words_is_a_message(door: FrontDoor, page: Page) -> None:
    assert say(page, [send(page).json["file"]]).status_code == 202
    door.world.drain()
    db.rows("update job set state = 'waiting', run_at = null where state = 'delayed'")  # for more pictures of the same album
    door.world.drain()
    assert [(one["content"], len(one.get("files", []))) for one in page.history()[:1]] == [("", 1)]
    assert db.scalar("select content from message where role = 'user'") == "[image]"
    assert page.history()[1]["content"] == db.scalar("select unsupported_message from chatbot")


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>\x00", "image/svg+xml", 415),
        (b"MZ\x90\x00" + bytes(100), "image/png", 415),
        (b"PK\x03\x04" + bytes(100), "application/zip", 415),
        (b"", "image/png", 400),
        (PNG + bytes(10 * 1024 * 1024), "image/png", 413),
        (b"<script>alert(1)</script>", "text/html", 201),
        (content("a.pdf")[1], "application/pdf", 201),
    ],
)
def test_what_may_be_sent_is_told_by_its_bytes(page: Page, body: bytes, kind: str, status: int) -> None:
    answer = send(page, body, "x", kind)
    assert answer.status_code == status, answer.text
    if status == 201:
        assert answer.json["kind"] == "document"
    assert not list(storage().arrivals.iterdir())


def test_a_file_is_its_visitors_until_the_message_comes(door: FrontDoor, page: Page) -> None:
    name = send(page).json["file"]
    stranger = Page(door.client, key_of(door.world.chatbot))
    assert say(stranger, [name]).status_code == 422
    assert say(page, [name[:-2] + "xx"]).status_code == 422
    assert say(page, [name] * 6).status_code == 400
    assert say(page, name).status_code == 400
    assert say(page, [], "").status_code == 422
    assert not door.world.jobs()


def test_the_same_key_is_the_same_message_with_its_files(door: FrontDoor, page: Page) -> None:
    name = send(page).json["file"]
    key = {"Idempotency-Key": "k1"}
    first, second = say(page, [name], "See", **key), say(page, [name], "See", **key)
    assert first.json["id"] == second.json["id"]
    door.world.drain()
    assert db.scalar("select count(*) from media") == 1


def test_a_key_that_comes_again_with_other_files_is_refused(door: FrontDoor, page: Page) -> None:
    files = [send(page).json["file"], send(page, b"%PDF-1.4 prices", "prices.pdf").json["file"]]
    key = {"Idempotency-Key": "k1"}
    first = say(page, files, "See", **key).json["id"]
    for _ in ("it waits", "it is saved", "its job is pruned"):
        again = send(page, name="again.png").json["file"]
        assert say(page, [again, files[1]], "See", **key).json["id"] == first, "the same bytes, sent once more"
        for others in ([], files[:1], files[::-1]):
            assert say(page, others, "See", **key).status_code == 422
        if door.world.messages():
            db.rows("delete from job")
        door.world.drain()
    assert [len(one["files"]) for one in page.history() if one["role"] == "user"] == [2]


def test_a_business_whose_files_fill_its_quota_says_so_politely(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_QUOTA_MB", "1")
    config.reset()
    answer = send(page, b"%PDF-1.4\n" + os.urandom(2 * 1024 * 1024))
    assert (answer.status_code, "no more files" in answer.json["detail"]) == (422, True)


def test_files_count_against_a_visitors_limit(door: FrontDoor, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIDGET_MESSAGES_PER_MINUTE", "3")
    config.reset()
    assert [send(page).status_code for _ in range(4)] == [201, 201, 201, 429]


def test_visitors_of_one_address_do_not_fill_a_business_quota(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_QUOTA_MB", "200")
    config.reset()
    answers = [send(page, PNG + os.urandom(9_900_000)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert "20 MiB of files a day" in answers[-1].json["detail"]
    assert say(page, [], "Hello?").status_code == 202, "words are taken all the same"


def test_files_that_find_no_room_do_not_use_up_what_an_address_may_send(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_QUOTA_MB", "1")
    config.reset()
    answers = [send(page, PNG + os.urandom(9_900_000)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422, 422, 422]
    monkeypatch.setenv("MEDIA_QUOTA_MB", "200")
    config.reset()
    answers = [send(page, PNG + os.urandom(9_900_000)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]


def test_a_business_sees_what_its_visitors_sent(door: FrontDoor, page: Page) -> None:
    say(page, [send(page).json["file"]], "See")
    door.world.drain()
    [file] = messages(door)[-1]["media"]
    assert get(door, f"/media/{file['id']}").data == PNG
