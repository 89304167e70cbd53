"""Imports by the API: files as multipart, pages and sites by their address, how they stand, and what is refused."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from werkzeug.datastructures import MultiDict

from scripts.local.simulator.client import Simulator
from shared import db
from shared.knowledge import sources
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import API, Business
from tests.integration.test_knowledge_import import run


@pytest.fixture
def owner(door: FrontDoor) -> Business:
    """The world's customer."""
    return Business(door, door.world.customer)


@pytest.fixture
def base(owner: Business) -> int:
    return int(db.scalar("select id from knowledge_base where customer_id = %s", [owner.customer]))


def upload(owner: Business, base: int, name: str, body: bytes, **fields: str) -> Any:
    """What a browser's form or curl --form sends."""
    headers = {"Authorization": f"Bearer {owner.key}"}
    data = {"file": (io.BytesIO(body), name), **fields}
    return owner._client.post(f"{API}/knowledge-bases/{base}/sources", data=data, headers=headers)


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "odd"}])
@pytest.mark.parametrize(
    ("names", "status", "told"),
    [
        (("file", "file"), 400, "the part 'file' more than once"),
        (("file", "language", "language"), 400, "the part 'language' more than once"),
        (("file", "other"), 422, "other"),
        (("file", "language"), 422, "language"),
    ],
)
def test_a_form_has_each_part_once_and_no_other_file(
    owner: Business, base: int, names: tuple[str, ...], status: int, told: str, key: dict[str, str]
) -> None:
    data = MultiDict((name, (io.BytesIO(b"We ship on Mondays."), f"{number}.txt")) for number, name in enumerate(names))
    headers = {"Authorization": f"Bearer {owner.key}", **key}
    answer = owner._client.post(f"{API}/knowledge-bases/{base}/sources", data=data, headers=headers)
    assert answer.status_code == status, answer.text
    assert told in answer.text
    assert db.scalar("select count(*) from knowledge_source") == 0


def test_a_file_a_site_and_their_documents(door: FrontDoor, owner: Business, base: int, simulator: Simulator) -> None:
    answer = upload(
        owner, base, "faq.csv", "Frage;Antwort\nDo you sell kayaks?;Yes, schöne!\n".encode("cp1252"), language="english"
    )
    assert answer.status_code == 202, answer.text
    file = answer.json
    assert (file["kind"], file["location"], file["state"], file["waiting"]) == ("file", "faq.csv", "importing", 1)
    simulator.site(pages=4, broken={"2": 404})
    answer = owner("POST", f"/knowledge-bases/{base}/sources", {"url": simulator.url, "sitemap": True, "sync_hours": 24})
    assert answer.status_code == 202, answer.text
    site = dict(answer.json)  # type: ignore[arg-type]
    assert site["state"] == "listing"
    run(door.world)

    listed = owner("GET", f"/knowledge-bases/{base}/sources").json
    assert listed is not None
    assert [(row["id"], row["state"], row["stored"], row["failed"]) for row in listed["data"]] == [
        (site["id"], "done", 3, 1),
        (file["id"], "done", 1, 0),
    ]
    [failed] = owner("GET", f"/knowledge-sources/{site['id']}/documents?state=failed").json["data"]  # type: ignore[index]
    assert (failed["location"], failed["error"]) == (f"{simulator.url}/site/page-2", "the page is gone (HTTP 404)")
    assert owner("POST", f"/knowledge-sources/{site['id']}/retry").json["waiting"] == 1  # type: ignore[index]
    assert owner("POST", f"/knowledge-sources/{site['id']}/stop").json["state"] == "stopped"  # type: ignore[index]
    run(door.world)
    assert owner("POST", f"/knowledge-sources/{site['id']}/sync").status_code == 202
    run(door.world)
    assert owner("GET", f"/knowledge-sources/{site['id']}").json["unchanged"] == 3  # type: ignore[index]
    assert owner("POST", f"/knowledge-sources/{file['id']}/sync").status_code == 409
    found = owner("GET", f"/knowledge-bases/{base}/search?q=kayaks").json["data"]  # type: ignore[index]
    assert found[0]["content"] == "Yes, schöne!"
    assert owner("DELETE", f"/knowledge-sources/{file['id']}").status_code == 204
    assert not owner("GET", f"/knowledge-bases/{base}/search?q=kayaks").json["data"]  # type: ignore[index]
    assert owner("GET", f"/knowledge-sources/{file['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 422, "url: must be given"),
        ({"url": "shop.example"}, 422, "url: must begin with https://"),
        ({"url": "https://shop.example/", "sitemap": "yes"}, 422, "sitemap: must be true or false"),
        ({"url": "https://shop.example/", "sync_hours": 0}, 422, "sync_hours: must be a whole number from 1 to 8,760"),
        ({"url": "https://shop.example/", "language": "klingon"}, 422, "language: must be one of"),
    ],
)
def test_a_wrong_address_is_named(owner: Business, base: int, body: dict[str, Any], status: int, said: str) -> None:
    answer = owner("POST", f"/knowledge-bases/{base}/sources", body)
    assert answer.status_code == status
    assert said in answer.text


def test_a_wrong_upload_is_named(owner: Business, base: int, door: FrontDoor) -> None:
    headers = {"Authorization": f"Bearer {owner.key}"}
    route = f"{API}/knowledge-bases/{base}/sources"
    for answer, status, said in (
        (upload(owner, base, "faq.exe", b"MZ"), 409, "faq.exe is of a kind that cannot be read (.exe)"),
        (upload(owner, base, "faq.csv", b""), 409, "faq.csv is empty"),
        (upload(owner, base, "faq.csv", b"a;b", language="klingon"), 422, "language: must be one of"),
        (upload(owner, base, "faq.csv", b"a;b", color="red"), 422, "color: is unknown here; known: file"),
        (upload(owner, base, "faq.csv", b"x" * 10_500_000), 413, "At most 10485760 bytes"),
        (owner._client.post(route, data={"file": "no file"}, headers=headers), 415, "multipart/form-data for a file"),
        (door.client.post(route, data=b"a;b", headers={**headers, "Content-Type": "text/csv"}), 415, "multipart/form-data"),
        (upload(owner, base + 999, "faq.csv", b"a;b"), 404, "no such knowledge base"),
    ):
        assert answer.status_code == status, answer.text
        assert said in answer.text
    assert not db.rows("select id from knowledge_source")


def test_a_page_of_sources_counts_no_others(owner: Business, base: int) -> None:
    ids = [
        db.scalar(
            "insert into knowledge_source (knowledge_base_id, kind, location) values (%s, 'url', %s) returning id",
            [base, f"https://shop.example/{number}"],
        )
        for number in range(5)
    ]
    db.rows("insert into knowledge_document (source_id, location) select id, location from knowledge_source")
    pages, before = [], ""
    while before is not None:
        page = owner("GET", f"/knowledge-bases/{base}/sources?limit=2{before and f'&before={before}'}").json
        assert page is not None
        pages.append([(row["id"], row["found"]) for row in page["data"]])
        before = page["next"]
    assert pages == [[(ids[4], 1), (ids[3], 1)], [(ids[2], 1), (ids[1], 1)], [(ids[0], 1)]]
    query, page = sources.queries["progress"], {"customer_id": owner.customer, "base_id": base, "source_id": None}
    [plan] = db.rows(f"explain (analyze, format json) {query.sql}", {**page, "before": None, "most": 3})
    assert re.findall(r"'Relation Name': 'knowledge_document'.*?'Actual Loops': (\d+)", str(plan)) == ["3"]
