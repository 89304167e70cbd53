"""Chatbots and knowledge by the API: what an owner sets is what the bot does, and what is wrong is named."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared import db
from shared.db.credentials import decrypt
from shared.models import KnowledgeDocument, KnowledgeItem, KnowledgeSource
from shared.teaching.hours import time_zones
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business
from web import trying_out


@pytest.fixture
def owner(door: FrontDoor) -> Business:
    """The world's customer."""
    return Business(door, door.world.customer)


def made(answer: Any) -> dict[str, Any]:
    """What was created."""
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


#: Of a base that has none.
VECTORS = ("embedding_model", "embedded_model", "embedding_error")


def test_the_model_of_a_bases_vectors_is_chosen_and_its_errors_are_shown(owner: Business) -> None:
    base = made(owner("POST", "/knowledge-bases", {"name": "Wissen", "embedding_model": "bag-of-words"}))
    path = f"/knowledge-bases/{base['id']}"
    assert base["embedding_model"] == "bag-of-words"
    db.rows("update knowledge_base set embedding_error = 'HTTP 401: Bad key.' where id = %s", [base["id"]])
    assert owner("GET", path).json["embedding_error"] == "HTTP 401: Bad key."  # type: ignore[index]
    assert owner("PATCH", path, {"embedding_model": None}).json["embedding_model"] is None  # type: ignore[index]
    assert owner("PATCH", path, {"name": "B", "embedding_model": ""}).status_code == 422


def test_one_business_searches_twice_at_the_same_moment_and_others_besides(door: FrontDoor, owner: Business) -> None:
    path = f"/knowledge-bases/{made(owner('POST', '/knowledge-bases', {'name': 'Wissen'}))['id']}/search?q=Returns?"
    with ExitStack() as searches:
        for _ in range(trying_out.OF_ONE):
            searches.enter_context(trying_out.turns.turn({door.world.customer: trying_out.OF_ONE}, 0))
        refused = owner("GET", path)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert trying_out.found(door.world.tenant()[0], 1, "Returns?"), "another business"
    assert owner("GET", path).status_code == 200


def test_a_bot_is_made_taught_asked_changed_and_deleted(door: FrontDoor, owner: Business) -> None:
    base = made(owner("POST", "/knowledge-bases", {"name": "Wissen", "language": "german"}))
    assert base == {"id": base["id"], "name": "Wissen", "language": "german", "items": 0, **dict.fromkeys(VECTORS)}
    settings = {"name": "Emma", "knowledge_base_id": base["id"], "system_prompt": "Du bist Emma.", "temperature": 0.5}
    bot = made(owner("POST", "/chatbots", {**settings, "allowed_origins": ["Shop.Example/cart", "https://shop.example"]}))
    assert bot["allowed_origins"] == ["https://shop.example"], "as browsers name it, and once"
    assert (bot["model"], bot["max_tokens"], bot["debounce_seconds"]) == ("gpt-4o-mini", 500, 0), "the defaults of schema.sql"
    item = made(owner("POST", f"/knowledge-bases/{base['id']}/items", {"title": "Rückgabe", "content": "Binnen dreißig Tagen."}))
    assert (item["language"], item["is_active"], item["show_link"], item["url"]) == ("german", True, True, None)
    found = owner("GET", f"/knowledge-bases/{base['id']}/search?q=Rückgabe?").json["data"]  # type: ignore[index]
    assert [row["id"] for row in found] == [item["id"]]
    door.world.say("Wie ist die Rückgabe?", chatbot_id=bot["id"])
    door.world.drain()
    assert "Binnen dreißig Tagen." in door.world.messages(chatbot=bot["id"], role="assistant")[0]["content"]
    assert owner("PATCH", f"/chatbots/{bot['id']}", {"knowledge_base_id": None}).json["knowledge_base_id"] is None  # type: ignore[index]
    assert owner("DELETE", f"/knowledge-bases/{base['id']}").status_code == 204
    assert owner("GET", f"/knowledge-items/{item['id']}").status_code == 404


def test_changes_name_what_changes_and_all_else_stays(owner: Business, door: FrontDoor) -> None:
    path = f"/chatbots/{door.world.chatbot}"
    before = dict(owner("GET", path).json or {})
    changes = {"name": "Otto", "debounce_seconds": 3, "fallback_message": "Gleich."}
    assert owner("PATCH", path, changes).json == {**before, **changes}
    assert owner("PATCH", path, {}).json == {**before, **changes}
    item = owner("GET", f"/knowledge-bases/{before['knowledge_base_id']}/items").json["data"][0]  # type: ignore[index]
    english = {"title": "Opening hours", "content": "We are open from nine to five on every working day.", "language": None}
    assert owner("PATCH", f"/knowledge-items/{item['id']}", english).json["language"] == "english"  # type: ignore[index]
    german = {"content": "Wir haben an jedem Werktag von neun bis fünf geöffnet.", "title": "Öffnungszeiten"}
    assert owner("PATCH", f"/knowledge-items/{item['id']}", german).json["language"] == "english", "it stays"  # type: ignore[index]
    again = owner("PATCH", f"/knowledge-items/{item['id']}", {"language": None}).json or {}
    assert (again["language"], again["title"]) == ("german", "Öffnungszeiten")
    assert again["updated_at"] > item["updated_at"]


def test_items_by_pages_and_by_their_switch(owner: Business, door: FrontDoor) -> None:
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [door.world.chatbot])
    path = f"/knowledge-bases/{base}/items"
    same = [made(owner("POST", path, {"title": "Same", "content": "Twice.", "is_active": False}))["id"] for _ in range(2)]
    off = owner("GET", f"{path}?is_active=false&limit=1").json or {}
    assert ([row["id"] for row in off["data"]], off["next"]) == ([same[1]], same[1])
    on = owner("GET", f"{path}?is_active=true").json or {}
    assert [row["title"] for row in on["data"]] == ["Returns", "Shipping"]
    assert owner("GET", f"{path}?is_active=maybe").status_code == 400
    given, url = "https://shop.example/returns", "https://shop.example/r"
    with db.transaction():
        source = KnowledgeSource.create(knowledge_base=base, kind="url", location=given).id
        document = KnowledgeDocument.create(source=source, location=given, url=url, state="stored")
        db.rows(KnowledgeItem.update(document=document).where(KnowledgeItem.id == same[0]))
    [found] = (owner("GET", f"{path}?source_id={source}").json or {})["data"]
    assert found["source"].pop("fetched_at").startswith("20")
    assert (found["id"], found["source"]) == (same[0], {"id": source, "kind": "url", "name": given, "location": url})
    assert owner("GET", f"/knowledge-items/{same[1]}").json["source"] is None  # type: ignore[index]


@pytest.mark.parametrize(
    ("path", "body", "wrong"),
    [
        ("/chatbots", {}, {"name": "must be given"}),
        ("/chatbots", {"name": "  ", "max_tokens": 0}, {"name": "must not be empty", "max_tokens": "from 1 to 32,000"}),
        ("/chatbots", {"name": "B", "temperature": "0.5"}, {"temperature": "must be a number from 0 to 2"}),
        ("/chatbots", {"name": "B", "temperature": True}, {"temperature": "must be a number from 0 to 2"}),
        ("/chatbots", {"name": "B", "system_prompt": "x" * 20_001}, {"system_prompt": "must have at most 20,000 characters"}),
        ("/chatbots", {"name": "B", "allowed_origins": ["nonsense"]}, {"allowed_origins": "must be the address of a site"}),
        (
            "/chatbots",
            {"name": "B", "allowed_origins": [f"a{n}.example" for n in range(51)]},
            {"allowed_origins": "at most 50 sites"},
        ),
        ("/chatbots", {"name": "B", "knowledge_base_id": 999}, {"knowledge_base_id": "there is no such knowledge base"}),
        (
            "/chatbots",
            {"name": "B", "provider_api_key": "sk"},
            {"provider_api_key": "is unknown here; known: name, "},
        ),
        ("/knowledge-bases", {"name": "B", "language": "klingon"}, {"language": "must be one of"}),
        ("/knowledge-bases/BASE/items", {"title": "x" * 501}, {"title": "at most 500", "content": "must be given"}),
        ("/knowledge-bases/BASE/items", {"title": "T", "content": "C", "url": "ftp://x"}, {"url": "must begin with https://"}),
        (
            "/knowledge-bases/BASE/items",
            {"title": "T", "content": "C", "is_active": "no"},
            {"is_active": "must be true or false"},
        ),
    ],
)
def test_each_wrong_field_is_named(
    owner: Business, door: FrontDoor, path: str, body: dict[str, Any], wrong: dict[str, str]
) -> None:
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [door.world.chatbot])
    answer = owner("POST", path.replace("BASE", str(base)), body)
    assert answer.status_code == 422, answer.text
    errors = answer.json["errors"]  # type: ignore[index]
    assert set(errors) == set(wrong)
    assert all(text in errors[field] for field, text in wrong.items()), errors


def test_what_is_in_use_is_not_deleted(owner: Business, door: FrontDoor) -> None:
    chatbot, world = door.world.chatbot, door.world
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [chatbot])
    refused = owner("DELETE", f"/knowledge-bases/{base}")
    assert refused.status_code == 409
    assert f"Chatbot {chatbot} (Bot) answers from this knowledge base" in refused.json["detail"]  # type: ignore[index]
    empty = made(owner("POST", "/chatbots", {"name": "Empty"}))
    world.say()
    refused = owner("DELETE", f"/chatbots/{chatbot}")
    assert (refused.status_code, "are on their way" in refused.text) == (409, True)
    assert owner("DELETE", f"/chatbots/{empty['id']}").status_code == 204, "nobody writes to this one"
    world.drain()
    assert [row["status"] for row in world.messages(role="assistant")] == ["SENT"]
    refused = owner("DELETE", f"/chatbots/{chatbot}")
    assert refused.status_code == 409
    assert f"Chatbot {chatbot} has conversations (1)" in refused.json["detail"]  # type: ignore[index]
    assert db.scalar("select count(*) from usage_log") == 2


def test_a_long_text_in_any_script_fits(owner: Business, door: FrontDoor) -> None:
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [door.world.chatbot])
    content = ("Доставка занимает от двух до пяти дней. Мы отправляем заказы каждый рабочий день. " * 700)[:50_000].strip()
    item = made(owner("POST", f"/knowledge-bases/{base}/items", {"title": "Доставка", "content": content}))
    assert (len(item["content"]), item["language"]) == (len(content), "russian")
    assert len(content) > 49_990


def test_providers_are_asked_in_their_order_and_keys_are_never_shown(owner: Business, door: FrontDoor) -> None:
    path, mistral = f"/chatbots/{door.world.chatbot}", "https://api.mistral.example/v1"
    assert owner("GET", path).json["providers"] == [  # type: ignore[index]
        {"base_url": None, "model": "gpt-4o-mini", "timeout": None, "has_key": False}
    ]
    listed = [
        {"base_url": "HTTPS://API.Mistral.Example/v1", "model": "small", "api_key": "mk-secret-1", "timeout": 8},
        {"base_url": None, "model": "gpt-5"},
        {"base_url": "https://api.other.example/v1", "model": "big", "api_key": "ok-secret-2"},
    ]
    changed = owner("PATCH", path, {"providers": listed})
    assert changed.status_code == 200, changed.text
    assert "secret" not in changed.text + owner("GET", "/chatbots").text
    first, *others = changed.json["providers"]  # type: ignore[index]
    assert first == {"base_url": mistral, "model": "small", "timeout": 8, "has_key": True}
    assert [(one["model"], one["has_key"]) for one in others] == [("gpt-5", False), ("big", True)]
    assert changed.json["model"] == "small"  # type: ignore[index]
    stored = "select provider_base_url, provider_api_key, provider_timeout from chatbot where id = %s"
    row = db.row(stored, [door.world.chatbot]) or {}
    assert (row["provider_base_url"], row["provider_timeout"]) == (mistral, 8)
    assert decrypt(row["provider_api_key"], "x") == "mk-secret-1"
    # The key stays with its address, wherever that stands in the list, and goes to no other address.
    moved = [{"base_url": None, "model": "gpt-5"}, {"base_url": mistral, "model": "large"}]
    assert owner("PATCH", path, {"providers": moved}).status_code == 200
    row = db.row("select position, api_key from chatbot_provider where chatbot_id = %s", [door.world.chatbot]) or {}
    assert (row["position"], decrypt(row["api_key"], "x")) == (2, "mk-secret-1")
    for wrong, said in (
        ([{"base_url": "https://evil.example/v1", "model": "m"}], "https://evil.example/v1 needs an api_key"),
        ([{"model": "m", "api_key": "k"}], "an api_key needs a base_url"),
        ([{"base_url": mistral, "model": "m", "api_key": "sk-…"}], "must be printable ASCII"),
        ([{"base_url": mistral}], "must be given"),
        ([{"base_url": "nonsense", "model": "m"}], "must begin with https://"),
        ([], "must name 1 to 5 providers"),
        ([{"model": "m"}] * 6, "must name 1 to 5 providers"),
    ):
        refused = owner("PATCH", path, {"providers": wrong})
        assert refused.status_code == 422, wrong
        assert said in refused.json["errors"]["providers"]  # type: ignore[index]
    both = owner("PATCH", path, {"providers": moved, "model": "x"})
    assert "with providers give it there" in both.json["errors"]["model"]  # type: ignore[index]
    assert len(owner("GET", path).json["providers"]) == 2, "nothing of what was refused is stored"  # type: ignore[index]


def test_voice_notes_have_a_transcriber_whose_key_is_never_shown(owner: Business, door: FrontDoor) -> None:
    path, groq = f"/chatbots/{door.world.chatbot}", "https://api.groq.example/openai/v1"
    before = owner("GET", path).json
    assert (before["transcription"], before["can_see"], before["unsupported_hands_over"]) == (None, False, False)  # type: ignore[index]
    given = {"model": "whisper-large-v3", "base_url": groq, "language": "pt", "api_key": "gsk-secret"}
    changed = owner("PATCH", path, {"transcription": given, "can_see": True, "unsupported_hands_over": True})
    assert changed.status_code == 200, changed.text
    assert "secret" not in changed.text
    shown = {"model": "whisper-large-v3", "base_url": groq, "language": "pt", "has_key": True}
    assert changed.json["transcription"] == shown  # type: ignore[index]
    assert owner("PATCH", path, {"transcription": {"model": "other", "base_url": groq}}).status_code == 200
    stored = "select transcription_api_key as key, transcription_language as language from chatbot where id = %s"
    row = db.row(stored, [door.world.chatbot]) or {}
    assert (decrypt(row["key"], "x"), row["language"]) == ("gsk-secret", None), "the key stays with its address"
    for wrong, said in (
        ({"model": "m", "base_url": "https://evil.example/v1"}, "https://evil.example/v1 needs an api_key"),
        ({"model": "m", "api_key": "k"}, "an api_key needs a base_url"),
        ({"model": "m", "base_url": groq, "api_key": "sk-…"}, "must be printable ASCII"),
        ({"base_url": groq}, "must be given"),
        ({"model": "m", "language": "Portuguese"}, "two or three letters"),
    ):
        refused = owner("PATCH", path, {"transcription": wrong})
        assert refused.status_code == 422, wrong
        assert said in refused.text
    assert owner("PATCH", path, {"transcription": {"model": "whisper-1"}}).json["transcription"]["has_key"] is False  # type: ignore[index]
    assert owner("PATCH", path, {"transcription": None}).json["transcription"] is None  # type: ignore[index]


def test_a_business_says_when_its_people_are_there(owner: Business, door: FrontDoor) -> None:
    path = f"/chatbots/{door.world.chatbot}"
    hours = {"mon": [["09:00", "12:00"], ["13:00", "24:00"]], "sat": [["10:00", "14:00"]]}
    changed = owner("PATCH", path, {"opening_hours": hours, "time_zone": "America/Sao_Paulo", "closed_message": "Amanhã!"})
    assert changed.status_code == 200, changed.text
    assert (changed.json["opening_hours"], changed.json["time_zone"]) == (hours, "America/Sao_Paulo")  # type: ignore[index]
    for wrong, said in (
        ({"opening_hours": {}}, "at least one day"),
        ({"opening_hours": {"monday": [["09:00", "12:00"]]}}, "days are mon"),
        ({"opening_hours": {"mon": []}}, "1 to 8 openings"),
        ({"opening_hours": {"mon": [["9", "12:00"]]}}, "such as 09:00"),
        ({"opening_hours": {"mon": [["22:00", "02:00"]]}}, "must follow each other"),
        ({"opening_hours": {"mon": [["09:00", "13:00"], ["12:00", "14:00"]]}}, "must follow each other"),
        ({"opening_hours": {"mon": [["24:00", "24:00"]]}}, "must follow each other"),
        ({"opening_hours": {"mon": "always"}}, "must be a list"),
        ({"time_zone": "Mars/Olympus"}, "such as Europe/Berlin"),
        ({"time_zone": "localtime"}, "such as Europe/Berlin"),  # whatever the machine has
        ({"time_zone": "CET"}, "such as Europe/Berlin"),
        ({"no_answer_hands_over_after": 0}, "from 1 to 10"),
    ):
        refused = owner("PATCH", path, wrong)
        assert refused.status_code == 422, wrong
        assert said in refused.text, refused.text
    assert owner("PATCH", path, {"opening_hours": None}).json["opening_hours"] is None  # type: ignore[index]
    assert db.scalar("select opening_hours is null from chatbot where id = %s", [door.world.chatbot])


@pytest.mark.usefixtures("door")
def test_a_zone_without_a_place_is_the_same_to_postgresql_in_winter_and_in_summer() -> None:
    zones = sorted(zone for zone in time_zones() if "/" not in zone)
    assert {"UTC", "Japan"} <= set(zones)
    for at in (datetime(2026, 1, 15, 12, tzinfo=UTC), datetime(2026, 7, 15, 12, tzinfo=UTC)):
        rows = db.rows("select zone, %s::timestamptz at time zone zone as at from unnest(%s) zone", [at, zones])
        here = {zone: at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for zone in zones}
        assert {row["zone"]: row["at"] for row in rows} == here


def test_questions_without_an_answer_are_listed_answered_and_dismissed(owner: Business, door: FrontDoor) -> None:
    world = door.world
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot])
    path = f"/knowledge-bases/{base}/gaps"
    asked = ["Do you sell bicycles?", "Are bicycles what you sell?", "Can I rent a boat?"]
    for number, question in enumerate(asked):
        world.say(question, user=f"v-{number}")
        world.drain()
    listed = owner("GET", path).json or {}
    bicycles, boats = listed["data"]
    assert bicycles.pop("last_asked_at").startswith("20")
    common = {"reason": "no_knowledge", "language": "english"}
    assert bicycles == {"id": bicycles["id"], "question": asked[1], "count": 2, "examples": [asked[0]], **common}
    assert (listed["total"], boats["question"], boats["count"]) == (2, asked[2], 1)
    assert [row["id"] for row in owner("GET", f"{path}?limit=1").json["data"]] == [bicycles["id"]]  # type: ignore[index]

    customer, _ = world.tenant()
    stranger, answer = Business(door, customer), {"content": "Yes, bicycles for children."}
    own = made(stranger("POST", "/knowledge-bases", {"name": "Mine"}))["id"]
    for other in (path, f"/knowledge-bases/{own}/gaps"):
        assert stranger("POST", f"{other}/{bicycles['id']}/answer", answer).status_code == 404
        assert stranger("POST", f"{other}/{bicycles['id']}/dismiss").status_code == 404
    assert stranger("GET", path).status_code == 404
    assert (stranger("GET", f"/knowledge-bases/{own}/gaps").json or {}) == {"data": [], "total": 0}
    for wrong, said in (({}, "must be given"), ({"content": " "}, "must not be empty")):
        refused = owner("POST", f"{path}/{bicycles['id']}/answer", wrong)
        assert (refused.status_code, said in refused.json["errors"]["content"]) == (422, True)  # type: ignore[index]
    assert owner("GET", path).json["total"] == 2, "all of that changed nothing"  # type: ignore[index]

    item = made(owner("POST", f"{path}/{bicycles['id']}/answer", answer))
    assert (item["title"], item["content"], item["knowledge_base_id"]) == (asked[1], answer["content"], base)
    gone = owner("POST", f"{path}/{bicycles['id']}/answer", answer)
    assert (gone.status_code, gone.json["detail"]) == (  # type: ignore[index]
        404,
        "There is no such open question. Use the id of one of yours.",
    )
    world.say(asked[0])
    world.drain()
    assert "bicycles for children" in world.messages(role="assistant")[-1]["content"]
    assert owner("POST", f"{path}/{boats['id']}/dismiss").status_code == 204
    assert owner("GET", path).json == {"data": [], "total": 0}
