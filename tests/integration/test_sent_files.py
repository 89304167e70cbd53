"""Pictures and files that people of a business send: by the API and at the desk, into an open widget."""

from __future__ import annotations

import os
from io import BytesIO
from typing import Any

import pytest
from werkzeug.test import TestResponse

from scripts.local.simulator.files import content
from shared import config, db
from shared.ai.prompt import Turn
from shared.channels import outbound_file
from shared.channels.telegram import files as telegram_files
from shared.media import files
from shared.media.folder import key_of as storage_key
from shared.media.storage import storage
from shared.models import Media
from shared.privacy import erasure
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import API, Business, talk
from tests.integration.test_who_may_answer import conversation, events
from tests.integration.widget_page import Page, key_of

pytestmark = pytest.mark.usefixtures("own_folder")

PNG = content("visitor.png")[1]
PDF = content("a.pdf")[1]


@pytest.fixture
def page(door: FrontDoor) -> Page:
    """The page of a visitor who has asked, and was answered."""
    page = Page(door.client, key_of(door.world.chatbot))
    page.say()
    door.world.drain()
    return page


@pytest.fixture
def mine(door: FrontDoor, page: Page) -> Business:
    """The business's server, which hears of everything."""
    door.world.endpoint(door.world.customer)
    return Business(door, door.world.customer)


def send(door: FrontDoor, mine: Business, body: bytes = PNG, name: str = "price.png", key: str = "", **form: Any) -> TestResponse:
    """A file by the API."""
    headers = {"Authorization": f"Bearer {mine.key}", **({"Idempotency-Key": key} if key else {})}
    given = {"file": (BytesIO(body), name), **form}
    return door.client.post(f"{API}/conversations/{talk()}/messages", data=given, headers=headers)


def agent(door: FrontDoor) -> Visitor:
    return Visitor(door.app, person("agent", door.world.customer, "Emma"))


def at_desk(door: FrontDoor, what: str = "") -> str:
    return f"/desk/c/{door.world.customer}/conversations/{talk()}{what}"


def kept() -> list[dict[str, Any]]:
    return db.rows(Media.select(Media.state, Media.kind, Media.mime, Media.filename).order_by(Media.id))


def test_a_picture_by_the_api_is_in_the_visitors_page_and_with_nobody_else(door: FrontDoor, page: Page, mine: Business) -> None:
    seen = page.call("get", "/messages").json["cursor"]
    sent = send(door, mine, name="../price.png", content="As you asked")
    assert sent.status_code == 202, sent.text
    message = sent.json
    [file] = message["media"]
    assert (message["kind"], message["content"], message["status"]) == ("media", "As you asked", "PENDING")
    about = (file["kind"], file["mime"], file["filename"], file["size"], file["state"])
    assert about == ("image", "image/png", "price.png", len(PNG), "stored")
    assert mine("GET", f"/media/{file['id']}").data == PNG
    door.world.drain()
    question, changed = page.call("get", f"/messages?after={seen}").json["messages"]
    assert (question["role"], question["bot_is_silent"]) == ("user", True), "somebody has taken over"
    assert (changed["role"], changed["content"], changed["status"]) == ("assistant", "As you asked", "SENT")
    [shown] = changed["files"]
    assert page.history()[-1]["files"] == [shown], "as after a reload"
    answer = page.call("get", f"/files/{shown['id']}")
    assert (answer.status_code, answer.data, answer.content_type) == (200, PNG, "image/png")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    stranger = Page(door.client, key_of(door.world.chatbot))
    assert stranger.call("get", f"/files/{shown['id']}").status_code == 404
    listed = mine("GET", f"/conversations/{talk()}/messages").json["data"][0]  # type: ignore[index]
    assert listed["media"] == [file]
    assert conversation()["owner"] == "person"
    assert [event["kind"] for event in events("message.sent") if event["message_id"] == message["id"]] == ["media"]
    mine("POST", f"/conversations/{talk()}/messages", {"content": "Is that all?"})
    door.world.drain()
    assert "kind" not in events("message.sent")[-1], "of a text nothing is said"


def test_a_file_without_words_is_a_message(door: FrontDoor, page: Page, mine: Business) -> None:
    sent = send(door, mine, PDF, "Preise 2026.pdf", content="  ", take_over="false")
    assert (sent.status_code, sent.json["content"]) == (202, "[document]"), sent.text
    door.world.drain()
    last = page.history()[-1]
    assert (last["content"], "html" in last, last["files"][0]["name"]) == ("", False, "Preise 2026.pdf")
    assert conversation()["owner"] == "bot", "a system's own message takes nothing over"


def test_the_same_key_is_the_same_file(door: FrontDoor, mine: Business) -> None:
    first, again = (send(door, mine, key="k1", content="See") for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 200), again.text
    assert (first.json["id"], first.json["media"]) == (again.json["id"], again.json["media"])
    assert send(door, mine, PDF, key="k1", content="See").status_code == 422
    assert send(door, mine, key="k1", content="Another").status_code == 422
    assert send(door, mine, name="other.png", key="k1", content="See").status_code == 422
    assert send(door, mine, key="k1", content="See", take_over="false").status_code == 422
    assert mine("POST", f"/conversations/{talk()}/messages", {"content": "See"}, **{"Idempotency-Key": "k1"}).status_code == 422
    assert len(kept()) == 1


@pytest.mark.parametrize(
    ("body", "form", "words"),
    [
        (b"", {}, "is empty"),
        (b"PK\x03\x04" + bytes(100), {}, "must be a picture"),
        (PNG + bytes(10 * 1024 * 1024), {}, "at most 10 MB"),
        (PNG, {"content": "x" * 16_001}, "at most 16000 characters"),
        (PNG, {"template": "x"}, "template"),
    ],
)
def test_what_is_refused_says_why_and_leaves_nothing(
    door: FrontDoor, mine: Business, body: bytes, form: dict[str, str], words: str
) -> None:
    answer = send(door, mine, body, **form)
    assert (answer.status_code, words in answer.text) == (422, True), answer.text
    assert not list(storage().arrivals.glob("*"))
    assert (kept(), db.rows("select from media_file")) == ([], [])


def test_a_body_that_no_file_explains_is_too_large(door: FrontDoor, mine: Business) -> None:
    assert send(door, mine, PNG + bytes(11 * 1024 * 1024)).status_code == 413
    text = mine("POST", f"/conversations/{talk()}/messages", {"content": "x" * 70_000})
    assert (text.status_code, "At most 65536 bytes" in text.text) == (413, True)


def test_files_of_a_business_count_for_its_quota(door: FrontDoor, mine: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDIA_QUOTA_MB", "1")
    config.reset()
    answer = send(door, mine, b"%PDF-1.4\n" + os.urandom(2 * 1024 * 1024))
    assert (answer.status_code, "fill their quota" in answer.text) == (422, True)


def test_at_the_desk_a_form_sends_it_and_the_bubble_shows_it(door: FrontDoor, page: Page) -> None:
    emma = agent(door)
    form = {"kind": "message", "key": "k1", "content": "Our prices"}
    for _ in range(2):  # pressed twice
        answer = emma.post(at_desk(door, "/messages"), file=(BytesIO(PNG), "price.png"), **form)
        assert answer.status_code == 303, answer.text
    door.world.drain()
    assert kept() == [{"state": "stored", "kind": "image", "mime": "image/png", "filename": "price.png"}]
    [message] = [one for one in door.world.messages(role="assistant") if one["kind"] == "media"]
    assert (message["status"], message["metadata"]["author"]) == ("SENT", "Emma")
    assert (conversation()["owner"], conversation()["assigned_to"]) == ("person", message["metadata"]["user_id"])
    shown = emma.get(at_desk(door)).text
    media = db.scalar("select id from media")
    assert f'<img class="picture" src="/desk/c/{door.world.customer}/media/{media}" alt="price.png"' in shown
    assert "Our prices" in shown
    assert page.history()[-1]["files"][0]["name"] == "price.png"


def test_a_label_is_not_shown_beside_the_picture_of_the_business(door: FrontDoor, page: Page) -> None:
    emma = agent(door)
    assert emma.post(at_desk(door, "/messages"), kind="message", file=(BytesIO(PNG), "price.png")).status_code == 303
    door.world.drain()
    assert "[image]" not in emma.get(at_desk(door, "/thread")).text
    db.rows("update media set state = 'deleted', storage_key = null")
    assert "The file is no longer kept." in emma.get(at_desk(door, "/thread")).text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"kind": "message", "content": "Look", "file": (b"", "a.png")}, "The file is empty."),
        ({"kind": "message", "content": "Look", "file": (b"MZ\x90" + bytes(99), "a.png")}, "This kind of file cannot be sent."),
        ({"kind": "note", "content": "Look", "file": (PNG, "a.png")}, "A note takes no file."),
        ({"kind": "message", "content": ""}, "Write something, or choose a file."),
    ],
)
def test_the_desk_says_in_words_what_it_does_not_send(door: FrontDoor, page: Page, form: dict[str, Any], words: str) -> None:
    emma = agent(door)
    given = {**form, **({"file": (BytesIO(form["file"][0]), form["file"][1])} if "file" in form else {})}
    answer = emma.post(at_desk(door, "/messages"), **given)
    assert (answer.status_code, words in answer.text) == (422, True), answer.text
    assert form["content"] in answer.text, "what was written is still there"
    assert (kept(), len(door.world.messages(role="assistant"))) == ([], 1)


def test_a_file_that_failed_is_sent_again_whole(door: FrontDoor, page: Page, mine: Business) -> None:
    failed = send(door, mine, content="See").json["id"]  # type: ignore[index]
    db.rows("update message set status = 'FAILED', error = 'x' where id = %s", [failed])
    again = mine("POST", f"/conversations/{talk()}/messages/{failed}/retry")
    assert (again.status_code, again.json["content"]) == (202, "See"), again.text  # type: ignore[index]
    assert [file["filename"] for file in again.json["media"]] == ["price.png"]  # type: ignore[index]
    twice = mine("POST", f"/conversations/{talk()}/messages/{failed}/retry")
    assert (twice.status_code, twice.json["id"]) == (200, again.json["id"])  # type: ignore[index]
    assert len(kept()) == 2
    db.rows("delete from message where id = %s", [again.json["id"]])  # type: ignore[index]
    db.rows("update media set state = 'deleted', storage_key = null")
    gone = mine("POST", f"/conversations/{talk()}/messages/{failed}/retry")
    assert (gone.status_code, "no longer kept" in gone.text) == (422, True)
    answer = agent(door).post(at_desk(door, f"/messages/{failed}/retry"))
    assert (answer.status_code, "The file is no longer kept." in answer.text) == (422, True)


def test_the_model_knows_of_the_colleagues_file(door: FrontDoor, page: Page, mine: Business) -> None:
    send(door, mine, content="See", take_over="false")
    door.world.drain()
    page.say("And in blue?")
    [accepted] = door.world.jobs(queue="incoming-messages", state="waiting")
    door.world.run(accepted["id"])
    [asked] = [job for job in door.world.jobs(queue="ai-processing") if job["state"] in ("waiting", "delayed")]
    db.rows("update job set state = 'waiting', run_at = null where id = %s", [asked["id"]])
    loaded = door.world.claim(asked["id"]).loaded
    assert loaded is not None
    [told] = [turn for turn in (Turn(*turn) for turn in loaded["history"]) if turn.files]
    assert (told.role, told.author, told.text) == ("assistant", "a colleague", "See")
    assert [file["filename"] for file in told.files or ()] == ["price.png"]


def test_it_goes_with_the_person_and_with_its_age(door: FrontDoor, page: Page, mine: Business) -> None:
    send(door, mine)
    door.world.drain()
    [message] = [one for one in door.world.messages(role="assistant") if one["kind"] == "media"]
    [stored] = db.rows("select customer_id, sha256 from media")
    key = storage_key(stored["customer_id"], stored["sha256"])
    contact = int(db.scalar("select contact_id from conversation"))
    parts = mine("GET", f"/contacts/{contact}/export").text
    assert "price.png" in parts
    db.rows("update media set created_at = now() - interval '91 days'")
    db.rows("update media_file set wanted_at = now() - interval '2 days'")
    files.prune()
    assert kept()[0]["state"] == "deleted"
    assert page.history()[-1]["files"][0]["state"] == "deleted"
    with pytest.raises(Exception, match=key):
        storage().read(key)
    send(door, mine)
    door.world.drain()
    assert storage().read(key) == PNG
    erasure.erase(door.world.customer, contact, by="desk")
    assert db.rows("select from message where id = %s", [message["id"]]) == []
    assert (kept(), db.rows("select from media_file")) == ([], [])
    with pytest.raises(Exception, match=key):
        storage().read(key)


def test_a_channel_that_carries_no_files_says_so_before(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telegram_files, "CARRIES", ())
    outbound_file.ways_of.cache_clear()
    door.world.say(channel="telegram", user="4912345")
    door.world.drain()
    answer = send(door, Business(door, door.world.customer))
    assert (answer.status_code, "cannot be sent on telegram" in answer.text) == (422, True), answer.text
    emma = agent(door)
    shown = emma.get(at_desk(door)).text
    assert "Files cannot be sent on Telegram." in shown
    assert 'type="file"' not in shown
    answer = emma.post(at_desk(door, "/messages"), kind="message", file=(BytesIO(PNG), "price.png"))
    assert (answer.status_code, "This file cannot be sent on Telegram" in answer.text) == (422, True), answer.text
    assert kept() == []
    outbound_file.ways_of.cache_clear()


def test_a_file_is_no_way_around_the_closed_window(door: FrontDoor) -> None:
    door.world.say(channel="whatsapp_cloud", user="4912345")
    door.world.drain()
    db.rows("update conversation set window_ends_at = now()")
    answer = send(door, Business(door, door.world.customer))
    assert (answer.status_code, answer.json["code"]) == (409, "window_closed"), answer.text
    answer = agent(door).post(at_desk(door, "/messages"), kind="message", file=(BytesIO(PNG), "price.png"))
    assert (answer.status_code, "WhatsApp takes no free text" in answer.text) == (409, True), answer.text
    assert (kept(), db.rows("select from media_file")) == ([], [])


def test_a_text_that_has_no_room_beside_its_file_is_refused_where_it_cannot_follow(door: FrontDoor) -> None:
    door.world.say(channel="whatsapp_qr", user="4912345")
    door.world.drain()
    for caption in ("x" * 1_025, "🙂" * 513):  # counted as the channel counts them
        answer = send(door, Business(door, door.world.customer), content=caption)
        assert (answer.status_code, "at most 1024 characters of text beside it" in answer.text) == (422, True), answer.text
    form = {"kind": "message", "content": "x" * 1_025, "file": (BytesIO(PNG), "price.png")}
    answer = agent(door).post(at_desk(door, "/messages"), **form)
    assert (answer.status_code, "WhatsApp (QR) takes at most 1024 characters" in answer.text) == (422, True), answer.text
    assert kept() == []


def test_a_file_is_whole_though_the_only_other_person_who_had_it_is_erased_meanwhile(
    door: FrontDoor, page: Page, mine: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(door, mine)
    contact = int(db.scalar("select contact_id from conversation"))
    door.world.say(channel="telegram", user="4912345")
    door.world.drain()
    other = int(db.scalar("select max(id) from conversation"))
    store = files.store

    def then_erased(*file: Any) -> files.Stored:
        stored = store(*file)
        monkeypatch.setattr(files, "store", store)
        erasure.erase(door.world.customer, contact, by="desk")
        return stored

    monkeypatch.setattr(files, "store", then_erased)

    def again() -> TestResponse:
        headers = {"Authorization": f"Bearer {mine.key}", "Idempotency-Key": "prices"}
        given = {"file": (BytesIO(PNG), "price.png")}
        return door.client.post(f"{API}/conversations/{other}/messages", data=given, headers=headers)

    assert (again().status_code, kept()) == (503, [])
    sent = again()
    assert sent.status_code == 202, sent.text
    assert mine("GET", f"/media/{sent.json['media'][0]['id']}").data == PNG
