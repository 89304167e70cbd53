"""How many of each kind a business may have: a program in a loop fills no table."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from shared import config, db
from shared.models import limits
from shared.people import links, sessions, users
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business, mine, other
from web.api import keys

__all__ = ["mine", "other"]  # fixtures

_NUMBERS = count(1)


def _base_of(business: Business) -> int:
    return int(db.scalar("select knowledge_base_id from chatbot where customer_id = %s", [business.customer]))


def _body(**body: str) -> dict[str, str]:
    """The body of a request, of which no two are about the same."""
    return {name: value.format(next(_NUMBERS)) for name, value in body.items()}


#: What makes one of each kind: where it is sent, what, and the table.
MAKES: dict[str, tuple[Callable[[Business], str], Callable[[], dict[str, str]], str]] = {
    "CHATBOTS": (lambda _: "/chatbots", lambda: _body(name="Bot {}"), "chatbot"),
    "BASES": (lambda _: "/knowledge-bases", lambda: _body(name="Base {}"), "knowledge_base"),
    "ITEMS": (
        lambda business: f"/knowledge-bases/{_base_of(business)}/items",
        lambda: _body(title="Item {}", content="x"),
        "knowledge_item",
    ),
    "SOURCES": (
        lambda business: f"/knowledge-bases/{_base_of(business)}/sources",
        lambda: _body(url="https://shop.example/{}"),
        "knowledge_source",
    ),
    "ENDPOINTS": (lambda _: "/webhook-endpoints", lambda: _body(url="https://shop.example/{}"), "webhook_endpoint"),
    "QUICK_REPLIES": (lambda _: "/quick-replies", lambda: _body(shortcut="reply-{}", content="x"), "quick_reply"),
    "PEOPLE": (lambda _: "/team", lambda: _body(email="emma{}@shop.example", name="Emma"), "app_user"),
    "KEYS": (lambda _: "/keys", lambda: _body(name="Key {}"), "api_key"),
}


def _count(kind: str, business: Business) -> int:
    table = MAKES[kind][2]
    whose = (
        "knowledge_base_id in (select id from knowledge_base where customer_id = %s)"
        if kind in ("ITEMS", "SOURCES")
        else "customer_id = %s"
    )
    return int(db.scalar(f"select count(*) from {table} where {whose}", [business.customer]))


@pytest.fixture(autouse=True)
def _many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_REQUESTS_PER_MINUTE", "100000")
    monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
    config.reset()


def _leave_room(monkeypatch: pytest.MonkeyPatch, kind: str, business: Business, room: int) -> None:
    limit: limits.Limit = getattr(limits, kind)
    monkeypatch.setattr(limits, kind, limit._replace(most=_count(kind, business) + room))


@pytest.mark.parametrize("kind", MAKES)
def test_one_too_many_is_refused_in_words(monkeypatch: pytest.MonkeyPatch, mine: Business, other: Business, kind: str) -> None:
    _leave_room(monkeypatch, kind, mine, 1)
    where, body, _ = MAKES[kind]
    assert mine("POST", where(mine), body()).status_code in (200, 201, 202)
    before = _count(kind, mine)
    refused = mine("POST", where(mine), body())
    assert (refused.status_code, refused.mimetype) == (409, "application/problem+json"), refused.text
    limit: limits.Limit = getattr(limits, kind)
    assert refused.json["detail"] == limit.text % {"most": limit.most}  # type: ignore[index]
    assert _count(kind, mine) == before
    monkeypatch.setattr(limits, kind, limit._replace(most=_count(kind, other) + 1))
    assert other("POST", where(other), body()).status_code in (200, 201, 202), "another business has its own"


@pytest.mark.parametrize("kind", MAKES)
def test_of_many_at_once_one_finds_room(monkeypatch: pytest.MonkeyPatch, door: FrontDoor, mine: Business, kind: str) -> None:
    servers = [Business(door, mine.customer) for _ in range(5)]
    for server in servers:
        server._client = door.app.test_client()
    _leave_room(monkeypatch, kind, mine, 1)
    where, body, _ = MAKES[kind]
    before, address, bodies = _count(kind, mine), where(mine), [body() for _ in servers]
    with ThreadPoolExecutor(5) as pool:
        made = [*pool.map(lambda server, text: server("POST", address, text).status_code, servers, bodies)]
    assert sorted(status == 409 for status in made) == [False, *[True] * 4], made
    assert _count(kind, mine) == before + 1


def test_what_is_there_takes_no_room(monkeypatch: pytest.MonkeyPatch, mine: Business) -> None:
    reply, source = {"shortcut": "hi", "content": "x"}, {"url": "https://shop.example/help"}
    sources = f"/knowledge-bases/{_base_of(mine)}/sources"
    assert (mine("POST", "/quick-replies", reply).status_code, mine("POST", sources, source).status_code) == (200, 202)
    for kind in ("QUICK_REPLIES", "SOURCES"):
        _leave_room(monkeypatch, kind, mine, 0)
    assert mine("POST", "/quick-replies", {**reply, "content": "y"}).status_code == 200
    assert mine("POST", sources, source).status_code == 202


def test_of_keys_that_were_revoked_the_last_ones_stay(monkeypatch: pytest.MonkeyPatch, mine: Business) -> None:
    monkeypatch.setattr(keys, "REVOKED", 3)
    made = []
    for _ in range(8):
        made.append(mine("POST", "/keys", {"name": "loop"}).json["id"])  # type: ignore[index]
        assert mine("DELETE", f"/keys/{made[-1]}").status_code == 204
    assert mine("POST", "/keys", {"name": "last"}).status_code == 201
    listed: Any = mine("GET", "/keys").json
    assert [key["id"] for key in listed["data"] if key["revoked_at"]] == made[:-4:-1]
    assert sum(key["revoked_at"] is None for key in listed["data"]) == 2


def test_somebody_has_so_many_sessions_and_the_longest_unused_end(monkeypatch: pytest.MonkeyPatch, door: FrontDoor) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    owner = person("owner", door.world.customer)
    user = users.require(owner.id)
    tokens = [sessions.begin(user, "192.0.2.1", f"browser {number}") or "" for number in range(3)]
    db.rows("update user_session set seen_at = now() - interval '1 day' where agent <> 'browser 0'")
    tokens += [sessions.begin(user, "192.0.2.1", f"browser {number}") or "" for number in (3, 4)]
    assert [sessions.find(token) is not None for token in tokens] == [True, False, False, True, True]


def test_logins_at_once_do_not_pass_the_limit(monkeypatch: pytest.MonkeyPatch, door: FrontDoor) -> None:
    monkeypatch.setattr(sessions, "MOST", 3)
    user = users.require(person("owner", door.world.customer).id)
    with ThreadPoolExecutor(8) as pool:
        tokens = [*pool.map(lambda number: sessions.begin(user, "192.0.2.1", f"browser {number}"), range(8))]
    assert None not in tokens
    assert db.scalar("select count(*) from user_session where user_id = %s", [user.id]) == 3


def test_a_person_has_one_link(door: FrontDoor) -> None:
    user = users.create("ines@shop.example", "Ines", "agent", door.world.customer)
    made = [links.for_user(user).rpartition("/")[2] for _ in range(3)]
    assert [links.find(token) is not None for token in made] == [False, False, True]
    assert db.scalar("select count(*) from user_link where user_id = %s", [user.id]) == 1


def test_only_so_many_links_work_that_anybody_may_ask_for(monkeypatch: pytest.MonkeyPatch, door: FrontDoor) -> None:
    monkeypatch.setattr(links, "MOST_ASKED", 3)
    user = users.create("ines@shop.example", "Ines", "agent", door.world.customer)
    tokens = [links.for_user(user), *(links.asked_for(user) for _ in range(3))]
    assert tokens.pop() is None
    assert all(token and links.find(token.rpartition("/")[2]) for token in tokens)
    db.rows("update user_link set expires_at = now() where id = (select max(id) from user_link)")
    assert links.asked_for(user) is not None
    assert db.scalar("select count(*) from user_link where user_id = %s", [user.id]) == 3


def test_the_desk_says_it_in_its_language(monkeypatch: pytest.MonkeyPatch, door: FrontDoor) -> None:
    customer = door.world.customer
    owner = person("owner", customer)
    users.set_profile(owner.id, owner.name, "de")
    desk, base = Visitor(door.app, users.require(owner.id)), _base_of(Business(door, customer))
    said = {
        "CHATBOTS": ("chatbots", {"name": "Otto"}, "höchstens 1 Chatbots"),
        "BASES": ("knowledge", {"name": "Otto", "language": "german"}, "höchstens 1 Wissensbasen"),
        "ITEMS": (f"knowledge/{base}/items/new", {"title": "Otto", "content": "Kept"}, "höchstens 1 von Hand"),
        "SOURCES": (f"knowledge/{base}/sources/address", {"url": "https://shop.example"}, "höchstens 1 Importe"),
        "PEOPLE": ("team", {"email": "o@shop.example", "name": "Otto", "role": "agent"}, "höchstens 1 Personen"),
        "KEYS": ("keys", {"name": "Otto"}, "höchstens 1 gültige API-Schlüssel"),
    }
    db.rows("insert into knowledge_source (knowledge_base_id, kind, location) values (%s, 'url', 'https://x.example')", [base])
    for kind, (where, form, words) in said.items():
        monkeypatch.setattr(limits, kind, getattr(limits, kind)._replace(most=1))
        refused = desk.post(f"/desk/c/{customer}/{where}", **form)
        assert refused.status_code in (409, 422), kind
        assert words in refused.text, kind
        assert form.get("content", "") in refused.text, "what was written is kept"
