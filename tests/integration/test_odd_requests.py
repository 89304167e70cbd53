"""Requests that are right in an unusual way, and requests that would be understood in two."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from http.client import HTTPConnection

import pytest

from shared import db
from shared.privacy import erasure
from tests.integration.front_door import FrontDoor
from tests.integration.test_erasure import PHONE, contact_of, write
from tests.integration.test_front_door_api import API, Business, mine
from tests.integration.widget_page import key_of
from tests.site import serving

__all__ = ["mine"]  # a fixture


@pytest.fixture
def connection(door: FrontDoor) -> Iterator[HTTPConnection]:
    """To the front door, where it decides whether a body is read."""
    with serving(door.app) as site:
        connection = HTTPConnection("127.0.0.1", site.port, timeout=60)
        yield connection
        connection.close()


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer  "])
def test_the_scheme_of_a_key_may_be_written_in_any_case(connection: HTTPConnection, mine: Business, scheme: str) -> None:
    headers = {"Authorization": scheme + mine.key, "Content-Type": "application/json"}
    connection.request("POST", f"{API}/quick-replies", json.dumps({"shortcut": "hi", "content": "x"}), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()


def test_the_scheme_of_a_visitors_token_too(door: FrontDoor, connection: HTTPConnection) -> None:
    bot = f"/api/v1/chatbots/{key_of(door.world.chatbot)}"
    connection.request("POST", f"{bot}/sessions")
    token = json.load(connection.getresponse())["token"]
    headers = {"Authorization": f"bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", f"{bot}/messages", json.dumps({"content": "Hello"}), headers)
    answer = connection.getresponse()
    assert answer.status == 202, answer.read()


@pytest.mark.parametrize("written", ["0{}", "+{}", "{}.0", "{}%20", "\u0660{}"])
def test_a_row_has_one_address(mine: Business, written: str) -> None:
    conversation = db.scalar("select id from conversation")
    assert mine("GET", f"/conversations/{conversation}").status_code == 200
    assert mine("GET", f"/conversations/{written.format(conversation)}").status_code == 404


def test_other_digits_are_another_address(mine: Business) -> None:
    digits = str(db.scalar("select id from conversation")).translate({48 + digit: 0x660 + digit for digit in range(10)})
    assert mine("GET", f"/conversations/{digits}").status_code == 404


def test_no_kept_answer_about_an_erased_person_is_left_by_another_address(door: FrontDoor, mine: Business) -> None:
    write(door.world, "Hello", external_id="wamid.1")
    door.world.drain()
    conversation = db.scalar("select id from conversation where external_user_id = %s", [PHONE])
    for number, address in enumerate((f"{conversation}", f"0{conversation}")):
        mine("POST", f"/conversations/{address}/notes", {"content": "Ask Rui"}, **{"Idempotency-Key": f"k-{number}"})
    erasure.erase(mine.customer, contact_of())
    assert db.scalar("select count(*) from kept_answer") == 0


@pytest.mark.parametrize("body", ['{"name": "A", "name": "B"}', '{"name": "A", "\\u006eame": "B"}'])
def test_a_member_that_is_there_twice_is_refused_by_name(mine: Business, body: str) -> None:
    headers = {"Authorization": f"Bearer {mine.key}", "Content-Type": "application/json"}
    answer = mine._client.post(f"{API}/chatbots", data=body, headers=headers)
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert "names 'name' twice in one object. Name it once." in answer.json["detail"]  # type: ignore[index]


def test_what_others_send_is_read_where_they_repeat_themselves(door: FrontDoor) -> None:
    assert door.meta(b'{"object": "x", "object": "whatsapp_business_account", "entry": []}').status_code == 200


def test_a_mark_of_utf_8_before_a_body_is_no_part_of_it(door: FrontDoor, mine: Business) -> None:
    """.NET writes one."""
    headers = {"Authorization": f"Bearer {mine.key}", "Content-Type": "application/json"}
    assert mine._client.post(f"{API}/chatbots", data=b'\xef\xbb\xbf{"name": "Otto"}', headers=headers).status_code == 201
    assert door.meta(b'\xef\xbb\xbf{"object": "whatsapp_business_account", "entry": []}').status_code == 200


def test_a_compressed_body_is_named(mine: Business) -> None:
    body = gzip.compress(json.dumps({"name": "Otto"}).encode())
    headers = {"Authorization": f"Bearer {mine.key}", "Content-Type": "application/json"}
    refused = mine._client.post(f"{API}/chatbots", data=body, headers={**headers, "Content-Encoding": "gzip"})
    assert (refused.status_code, "Content-Encoding" in refused.text) == (415, True)
    plain = mine._client.post(f"{API}/chatbots", json={"name": "Otto"}, headers={**headers, "Content-Encoding": "identity"})
    assert plain.status_code == 201
