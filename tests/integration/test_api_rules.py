"""What holds for every route of the API: known parameters only, keys that make a request one, and how many requests are left."""

from __future__ import annotations

import io
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from typing import Any
from unittest.mock import Mock

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from scripts.local.simulator.graph_accounts import WABA
from shared import config, db
from shared.errors import ServiceDown
from shared.privacy import erasure, retention
from tests.integration.front_door import FrontDoor
from tests.integration.test_erasure import PHONE, contact_of, write
from tests.integration.test_front_door_api import API, BODIES, Business, ids_of, mine, other, path_of
from web.api.api import _parameters

__all__ = ["mine", "other"]  # fixtures


def api_routes(app: Flask) -> list[tuple[str, str, Any]]:
    """Method, address and view of each route."""
    return [
        (method, rule.rule, app.view_functions[rule.endpoint])
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def post(business: Business, path: str, body: Any, key: str) -> TestResponse:
    """A POST with a key."""
    return business("POST", path, body, **{"Idempotency-Key": key})


def test_a_parameter_that_no_route_knows_is_refused_by_name(door: FrontDoor, mine: Business) -> None:
    refused = mine("GET", "/conversations?status=FAILED&owner=bot")
    assert (refused.status_code, refused.mimetype) == (400, "application/problem+json")
    text = "There is no query parameter status here. This request takes before, chatbot_id, limit, owner."
    assert refused.json["detail"] == text  # type: ignore[index]
    for method, address, view in api_routes(door.app):
        path = re.sub(r"<int:\w+>", "1", path_of(address, {}))
        answer = mine(method, f"{path}?nonsense=1")
        assert answer.status_code == 400, (method, path)
        assert "nonsense" in answer.json["detail"]  # type: ignore[index]
        for known in _parameters(view, "query"):
            assert known in answer.json["detail"]  # type: ignore[index]


def test_a_parameter_that_is_there_twice_is_refused_by_name(mine: Business) -> None:
    refused = mine("GET", "/conversations?owner=person&owner=bot")
    assert (refused.status_code, refused.json["detail"]) == (  # type: ignore[index]
        400,
        "The query parameter owner is given 2 times. Give it once.",
    )


def test_the_same_key_is_the_same_request(mine: Business, other: Business) -> None:
    hook = {"url": "https://shop.example/hook"}
    first = post(mine, "/webhook-endpoints", hook, "k-1")
    again = post(mine, "/webhook-endpoints", hook, "k-1")
    assert (first.status_code, again.status_code, again.json) == (201, 201, first.json)
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert db.scalar("select count(*) from webhook_endpoint where customer_id = %s", [mine.customer]) == 2, "one was there"
    assert first.json["secret"] not in str(db.rows("select * from kept_answer"))  # type: ignore[index]
    assert post(mine, "/webhook-endpoints", {"url": "https://shop.example/b"}, "k-1").status_code == 422
    assert post(mine, "/chatbots", {"name": "Otto"}, "k-1").status_code == 422
    assert post(other, "/webhook-endpoints", hook, "k-1").status_code == 201, "another customer's key"
    assert post(mine, "/webhook-endpoints", hook, "k 1").status_code == 400
    db.rows("update kept_answer set created_at = created_at - interval '25 hours'")
    assert post(mine, "/webhook-endpoints", hook, "k-1").json != first.json, "a day later it is a new key"
    assert retention.prune_answers() == {"kept_answers": 1}


def test_each_post_is_done_once_by_its_key(door: FrontDoor, mine: Business) -> None:
    """Walks every POST: what was done is answered a second time, and not done again."""
    ids, walked = ids_of(mine), 0
    ids["free_id"] = db.scalar("insert into chatbot (customer_id, name) values (%s, 'Nora') returning id", [mine.customer])
    db.rows("insert into whatsapp_business (waba_id) values (%s)", [WABA])
    db.rows("update whatsapp_cloud_account set waba_id = %s where chatbot_id = %s", [WABA, ids["chatbot_id"]])
    posts = [(address, view) for method, address, view in api_routes(door.app) if method == "POST"]
    for address, view in sorted(posts, key=lambda post: post[0].endswith("/recover")):  # after `stop`: it is one at a time
        db.rows("update webhook_event set status = 'DELIVERED', delivered_at = now() where status = 'PENDING'")
        db.rows("update knowledge_gap set closed_at = null, knowledge_item_id = null")
        if view.__name__ == "connect_channel":  # of a chatbot that has none
            address = address.replace("chatbot_id", "free_id")
        path, key, body = path_of(address, ids), f"walk-{walked}", BODIES.get(view.__name__)
        first, again = post(mine, path, body, key), post(mine, path, body, key)
        assert first.status_code in (200, 201, 202, 204), (path, first.text)
        if _parameters(view, "headers"):  # it knows its keys itself
            assert (first.status_code, again.status_code) == (202, 200)
            assert again.json["id"] == first.json["id"]  # type: ignore[index]
        else:
            assert (again.status_code, again.data) == (first.status_code, first.data), path
            assert again.headers["Idempotent-Replayed"] == "true"
        other_body = {**(body or {}), "nonsense": 1}
        assert post(mine, path, other_body, key).status_code == 422, path
        walked += 1
    assert walked == len(posts) >= 20


def test_what_was_refused_may_be_tried_again_with_its_key(mine: Business) -> None:
    assert post(mine, "/chatbots", {"name": ""}, "k-2").status_code == 422
    assert post(mine, "/chatbots", {"name": "Otto"}, "k-2").status_code == 201
    nothing = post(mine, "/webhook-events/1/resend", None, "k-3")
    event = db.scalar("select max(id) from webhook_event where status = 'DELIVERED'")
    assert nothing.status_code in (202, 404)
    assert post(mine, f"/webhook-events/{event}/resend", None, "k-4").status_code == 202
    assert post(mine, f"/webhook-events/{event}/resend", None, "k-4").status_code == 202, "else 409: it is under way"


def test_a_file_is_the_same_whatever_lies_between_its_parts(mine: Business) -> None:
    base = db.scalar("select knowledge_base_id from chatbot where customer_id = %s", [mine.customer])
    headers = {"Authorization": f"Bearer {mine.key}", "Idempotency-Key": "k-5"}

    def upload(text: bytes) -> TestResponse:
        form = {"file": (io.BytesIO(text), "faq.csv")}
        return mine._client.post(f"{API}/knowledge-bases/{base}/sources", data=form, headers=headers)

    first, again = upload(b"question,answer\nA?,B"), upload(b"question,answer\nA?,B")
    assert (first.status_code, again.status_code, again.json) == (202, 202, first.json)
    assert upload(b"question,answer\nA?,C").status_code == 422
    assert bytes(db.scalar("select body from knowledge_upload")) == b"question,answer\nA?,B"


def test_of_two_requests_at_once_one_waits_for_the_other(door: FrontDoor, mine: Business) -> None:
    body, together = {"name": "Otto"}, threading.Barrier(6)
    clients = [Business(door, mine.customer) for _ in range(6)]
    for client in clients:
        client._client = door.app.test_client()

    def ask(client: Business) -> TestResponse:
        together.wait(30)
        return post(client, "/chatbots", body, "k-6")

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, clients))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert all(answer.headers["Retry-After"] == "1" for answer in answers if answer.status_code == 409)
    assert db.scalar("select count(*) from chatbot where name = 'Otto'") == 1
    assert post(mine, "/chatbots", body, "k-6").status_code == 201


def test_where_nobody_knows_the_outcome_nothing_is_done_again(mine: Business) -> None:
    db.rows("alter table webhook_endpoint rename to webhook_endpoint_away")
    assert post(mine, "/webhook-endpoints", {"url": "https://shop.example/x"}, "k-7").status_code == 500
    db.rows("alter table webhook_endpoint_away rename to webhook_endpoint")
    unknown = post(mine, "/webhook-endpoints", {"url": "https://shop.example/x"}, "k-7")
    assert (unknown.status_code, "outcome is unknown" in unknown.text) == (409, True)


def test_an_answer_that_cannot_be_kept_is_given(mine: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.api.idempotency.encrypt", Mock(side_effect=ServiceDown("no connection was free")))
    assert post(mine, "/chatbots", {"name": "Otto"}, "k-8").status_code == 201
    again = post(mine, "/chatbots", {"name": "Otto"}, "k-8")
    assert (again.status_code, "outcome is unknown" in again.text) == (409, True)


def test_a_sent_message_keeps_its_own_key(mine: Business) -> None:
    path = f"/conversations/{db.scalar('select id from conversation')}/messages"
    first = post(mine, path, {"content": "Your parcel has left."}, "order-7")
    again = post(mine, path, {"content": "Your parcel has left."}, "order-7")
    assert (first.status_code, again.status_code, again.json["id"]) == (202, 200, first.json["id"])  # type: ignore[index]
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert db.scalar("select count(*) from kept_answer") == 0


def test_kept_answers_about_an_erased_person_are_erased(door: FrontDoor, mine: Business) -> None:
    write(door.world, "Hello", external_id="wamid.1")
    door.world.drain()
    conversation = db.scalar("select id from conversation where external_user_id = %s", [PHONE])
    columns = "customer_id, key, fingerprint, path, status, answer"
    kept = f"insert into kept_answer ({columns}) values (%s, %s, repeat('0', 64), %s, 200, 'x')"
    paths = (f"conversations/{conversation}/notes", f"contacts/{contact_of()}", f"conversations/{conversation}1")
    for number, path in enumerate(paths):
        db.rows(kept, [mine.customer, f"k-{number}", f"{API}/{path}"])
    erasure.erase(mine.customer, contact_of())
    assert [row["key"] for row in db.rows("select key from kept_answer")] == ["k-2"]


def test_answers_say_how_many_requests_are_left(mine: Business, other: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_REQUESTS_PER_MINUTE", "3")
    config.reset()
    answers = [mine("GET", path) for path in ("/queues", "/contacts/4711", "/queues", "/queues")]
    assert [answer.status_code for answer in answers] == [200, 404, 200, 429]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"requests";q=3;w=60'}
    lefts = [answer.headers["RateLimit"].partition(";t=") for answer in answers]
    assert [left for left, _, _ in lefts] == [f'"requests";r={left}' for left in (2, 1, 0, 0)]
    assert all(0 <= int(seconds) <= 60 for _, _, seconds in lefts)
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60


def test_each_reference_of_the_document_leads_somewhere(door: FrontDoor) -> None:
    """Python calls some statuses otherwise than it did before 3.13."""
    document = door.client.get(f"{API}/openapi.json").json
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        assert reduce(lambda part, name: part.get(name, {}), reference.split("/"), document), reference


def test_the_document_has_the_rules_and_the_changes(door: FrontDoor) -> None:
    document = door.client.get(f"{API}/openapi.json").json
    assert document is not None
    assert "## Changes" in document["info"]["description"]
    hours = document["components"]["schemas"]["Chatbot"]["properties"]["opening_hours"]
    assert hours["minProperties"] == 1, "{} is refused"
    posts = [path["post"] for path in document["paths"].values() if "post" in path]
    assert len(posts) >= 12
    for operation in posts:
        [key] = [one for one in operation["parameters"] if one["in"] == "header"]
        assert key["name"] == "Idempotency-Key"
        assert {"409", "422"} <= operation["responses"].keys()
    gets = {address: path["get"].get("parameters", []) for address, path in document["paths"].items() if "get" in path}
    lists = [
        address
        for address, takes in gets.items()
        if not address.endswith("}") and not {"before", "after"} & {one["name"] for one in takes}
    ]
    # Whole, or grouped: /api/v1/openapi.json says so.
    endings = (
        "/channels",
        "/budgets",
        "/quick-replies",
        "/team",
        "/queues",
        "/usage",
        "/gaps",
        "/search",
        "/export",
        "/recover",
        "/keys",
        "/checks",
    )
    assert [address for address in lists if not address.endswith(endings)] == []
