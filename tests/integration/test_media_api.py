"""Files through the API: of one's own messages only, and never as something that a browser runs; and at the desk."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug.test import TestResponse

from scripts.local.simulator.files import content
from shared import db
from shared.people import audit, users
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_media_fetch import cloud, fetch
from web.api import keys


def key_of(customer: int) -> dict[str, str]:
    """A header with a key of this customer's."""
    return {"Authorization": f"Bearer {keys.create(customer, 'test')}"}


def get(door: FrontDoor, path: str, customer: int | None = None) -> TestResponse:
    """A request of a business's server."""
    return door.client.get(f"/api/v1{path}", headers=key_of(customer or door.world.customer))


def messages(door: FrontDoor) -> list[dict[str, Any]]:
    """Those of the one conversation."""
    [conversation] = get(door, "/conversations").get_json()["data"]
    data: list[dict[str, Any]] = get(door, f"/conversations/{conversation['id']}/messages").get_json()["data"]
    return data


def test_a_message_shows_its_files_and_the_api_gives_their_bytes(door: FrontDoor) -> None:
    fetch(door.world, cloud("photo.png", filename="Größe.png"), cloud("gone-1.png"))
    door.world.say("And a text", channel="whatsapp_cloud", user="5511912345678", external_id="wamid.2")
    door.world.drain()
    text, message = [one for one in messages(door) if one["role"] == "user"]
    assert text["media"] == []
    stored, failed = message["media"]
    assert (stored["state"], stored["mime"], stored["filename"]) == ("stored", "image/png", "Größe.png")
    assert (failed["state"], "404" in failed["error"]) == ("failed", True)
    assert not {"source", "storage_key"} & set(stored)
    answer = get(door, f"/media/{stored['id']}")
    assert (answer.status_code, answer.data, answer.content_type) == (200, content("photo.png")[1], "image/png")
    assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''Gr%C3%B6%C3%9Fe.png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert get(door, f"/media/{failed['id']}").status_code == 404


@pytest.mark.parametrize(("name", "kind"), [("page.txt", "text/html"), ("contract.pdf", "image/png")])
def test_what_is_no_picture_is_offered_for_saving_whatever_its_sender_calls_it(door: FrontDoor, name: str, kind: str) -> None:
    fetch(door.world, cloud(name, mime=kind, filename='a"\r\nSet-Cookie: x.html'))
    db.rows("update media set mime = %s", [kind])
    answer = get(door, f"/media/{db.scalar('select id from media')}")
    assert (answer.status_code, answer.content_type) == (200, "application/octet-stream")
    assert answer.headers["Content-Disposition"].startswith("attachment; filename*=UTF-8''a%22%0D%0A")
    assert "Set-Cookie" not in answer.headers


def test_another_business_sees_no_file(door: FrontDoor) -> None:
    fetch(door.world, cloud("photo.png"))
    other, _ = door.world.tenant()
    media = db.scalar("select id from media")
    assert get(door, f"/media/{media}", other).status_code == 404
    assert get(door, "/media/999999").status_code == 404
    assert door.client.get(f"/api/v1/media/{media}").status_code == 401


def test_a_file_that_was_deleted_is_gone(door: FrontDoor) -> None:
    fetch(door.world, cloud("photo.png"))
    db.rows("update media set state = 'deleted', storage_key = null")
    assert get(door, f"/media/{db.scalar('select id from media')}").status_code == 404


def test_an_operators_look_at_a_file_is_in_the_audit(door: FrontDoor) -> None:
    fetch(door.world, cloud("photo.png"))
    operator, file = person("operator", None), db.scalar("select id from media")
    users.allow_texts(operator.id, True)
    browser = Visitor(door.app, operator)
    for media, status in ((file, 200), (file, 200), (file + 1, 404)):
        assert browser.get(f"/desk/c/{door.world.customer}/media/{media}").status_code == status
    looks = audit.entries(door.world.customer, action=audit.LOOK)
    assert [(look["user_id"], look["subject"], look["subject_id"]) for look in looks] == [(operator.id, "media", file)]


def test_a_browser_keeps_pictures_within_a_page_and_none_for_an_operator(door: FrontDoor) -> None:
    fetch(door.world, cloud("photo.png"))
    agent, operator = person("agent", door.world.customer), person("operator", None)
    users.allow_texts(operator.id, True)
    path = f"/desk/c/{door.world.customer}/media/{db.scalar('select id from media')}"
    kept = {}
    for who, opened in ((agent, "image"), (agent, "document"), (operator, "image")):
        answer = Visitor(door.app, who).get(path, **{"Sec-Fetch-Dest": opened})
        assert answer.status_code == 200
        assert {"Cookie", "Sec-Fetch-Dest"} <= {*answer.headers["Vary"].split(", ")}
        kept[who.role, opened] = answer.headers["Cache-Control"]
    assert kept.pop(("agent", "image")).startswith("private, max-age")
    assert set(kept.values()) == {"no-store"}
