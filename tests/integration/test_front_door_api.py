"""The API for businesses' servers: each sees and moves its own rows only, and the document says what it does."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from marshmallow import ValidationError
from werkzeug.test import TestResponse

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.channels.delivery_status import apply_delivery_status
from shared.inbox import work
from shared.people import audit
from shared.people import users as people
from shared.teaching.hours import opening_hours_field
from shared.webhooks.endpoints import headers_problem
from tests.integration.desk_pages import person
from tests.integration.front_door import FrontDoor
from web.api import keys

API = "/api/v1"


class Business:
    """A customer's server with its key."""

    def __init__(self, door: FrontDoor, customer: int) -> None:
        self.customer, self.key, self._client = customer, keys.create(customer, "test", manages=True), door.client

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        given = {"Authorization": f"Bearer {self.key}", **headers}
        return self._client.open(API + path, method=method, json=body, headers=given)


@pytest.fixture
def mine(door: FrontDoor) -> Business:
    """The world's customer, who had a conversation and hears of it."""
    door.world.endpoint(door.world.customer)
    door.world.say()
    door.world.drain()
    return Business(door, door.world.customer)


@pytest.fixture
def other(door: FrontDoor) -> Business:
    """Another one, with nothing yet."""
    return Business(door, door.world.tenant()[0])


def talk() -> int:
    """The only conversation."""
    return int(db.scalar("select id from conversation"))


def test_an_address_that_is_none(mine: Business) -> None:
    answer = mine("GET", "/conversation")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")
    assert "/api/v1/openapi.json lists all" in answer.json["detail"]  # type: ignore[index]  # it is an object


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer sk_", "Basic abc", "Bearer sk_" + "a" * 43, "Bearer sk_é"])
def test_without_a_key_nothing_opens(door: FrontDoor, header: str | None) -> None:
    answer = door.client.get(API + "/conversations", headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.mimetype) == (401, "application/problem+json")
    assert answer.headers["WWW-Authenticate"].lower().startswith("bearer")


def test_keys_are_kept_as_hashes_and_can_be_revoked(mine: Business) -> None:
    assert mine.key not in json.dumps(db.rows("select name, hash from api_key"))
    assert mine("GET", "/conversations").status_code == 200
    assert keys.revoke(db.scalar("select id from api_key")) == {"customer_id": mine.customer, "name": "test"}
    assert mine("GET", "/conversations").status_code == 401
    with pytest.raises(ValueError, match="no customer"):
        keys.create(4711, "x")


def test_a_reply_that_arrived_after_all_shows_no_error(mine: Business) -> None:
    def shown() -> list[Any]:
        page = mine("GET", f"/conversations/{talk()}/messages").json
        assert page is not None
        [reply] = [one for one in page["data"] if one["role"] == "assistant"]
        return [reply[name] for name in ("status", "error", "error_code")]

    reply_id = db.scalar("update message set status = 'SENT' where role = 'assistant' returning id")
    apply_delivery_status("FAILED", message_id=reply_id, error="code 131026", error_code="recipient_unreachable")
    assert shown() == ["FAILED", "code 131026", "recipient_unreachable"]
    apply_delivery_status("DELIVERED", message_id=reply_id)
    assert shown() == ["DELIVERED", None, None]


def test_conversations_and_messages_by_pages(door: FrontDoor, mine: Business) -> None:
    for number in range(5):
        door.world.say(user=f"p-{number}")
    door.world.drain()
    seen, before = [], ""
    while True:
        page = mine("GET", f"/conversations?limit=2{before}").json
        assert page is not None
        seen += [row["external_user_id"] for row in page["data"]]
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == ["p-4", "p-3", "p-2", "p-1", "p-0", "v-1"]
    messages = mine("GET", f"/conversations/{min(row['id'] for row in db.rows('select id from conversation'))}/messages").json
    assert messages is not None
    assert [(row["role"], row["status"]) for row in messages["data"]] == [("assistant", "SENT"), ("user", "DELIVERED")]


def test_a_business_speaks_into_a_conversation_once_per_key(door: FrontDoor, mine: Business, simulator: Simulator) -> None:
    door.world.say(channel="whatsapp_cloud", user="4912345")
    door.world.drain()
    path = f"/conversations/{db.scalar('select max(id) from conversation')}/messages"
    key = {"Idempotency-Key": "order-7"}
    first = mine("POST", path, {"content": "Your parcel has left."}, **key)
    assert (first.status_code, first.json["status"]) == (202, "PENDING")  # type: ignore[index]
    again = mine("POST", path, {"content": "Your parcel has left."}, **key)
    assert (again.status_code, again.json["id"]) == (200, first.json["id"])  # type: ignore[index]
    other = mine("POST", path, {"content": "Something else"}, **key)
    assert (other.status_code, other.mimetype) == (422, "application/problem+json")
    assert "used for another request" in other.text
    assert mine("POST", path, {"content": "x" * 4_097}).status_code == 422
    door.world.drain()
    assert [sent["text"] for sent in simulator.record("graph")][1:] == ["Your parcel has left."]


def test_a_key_of_a_message_is_refused_with_any_other_member(mine: Business) -> None:
    path, key = f"/conversations/{talk()}/messages", {"Idempotency-Key": "order-7"}
    choice = {"id": "a", "title": "Black", "description": "As it is"}
    body = {"content": "Which tea?", "choices": [choice], "take_over": False}
    sent = mine("POST", path, body, **key).json
    assert mine("POST", path, body, **key).json == sent
    template = {"name": "order", "language": "en", "parameters": {}}
    for other in (
        {**body, "take_over": True},
        {"content": "Which tea?", "choices": [choice]},
        {**body, "choices": [{**choice, "id": "b"}]},
        {**body, "choices": [{**choice, "description": "With milk"}]},
        {**body, "choices": [choice, choice]},
        {**body, "template": template},
    ):
        answer = mine("POST", path, other, **key)
        assert (answer.status_code, "used for another request" in answer.text) == (422, True), other
    assert mine("GET", f"/conversations/{talk()}").json["owner"] == "bot"  # type: ignore[index]
    # One that was sent before `take_over` was kept fits whatever is asked.
    db.rows("update message set metadata = metadata - 'take_over' where id = %s", [sent["id"]])  # type: ignore[index]
    assert mine("POST", path, {**body, "take_over": True}, **key).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"content": ""}, 422), ({"content": 7}, 422), ({"content": "x", "role": "user"}, 422), ([], 400), ("x", 400)],
)
def test_a_wrong_message_is_refused_by_name(mine: Business, body: Any, status: int) -> None:
    answer = mine("POST", f"/conversations/{talk()}/messages", body)
    assert answer.status_code == status
    assert db.scalar("select count(*) from message where role = 'assistant'") == 1


def test_endpoints_and_their_secret(mine: Business) -> None:
    made = mine("POST", "/webhook-endpoints", {"url": "https://shop.example/hook", "events": ["message.sent"]})
    assert made.status_code == 201
    assert made.json["secret"].startswith("whsec_")  # type: ignore[index]
    path = f"/webhook-endpoints/{made.json['id']}"  # type: ignore[index]
    for answer in (mine("GET", path), mine("GET", "/webhook-endpoints"), mine("PATCH", path, {"active": False})):
        assert answer.status_code == 200
        assert "secret" not in answer.text
    rotated = mine("PATCH", path, {"rotate_secret": True}).json
    assert rotated is not None
    assert rotated["secret"] != made.json["secret"]  # type: ignore[index]
    assert rotated["active"] is False
    assert mine("DELETE", path).status_code == 204
    assert mine("GET", path).status_code == 404


@pytest.mark.parametrize(
    "url", ["ftp://x.example", "https://", "https://u:p@x.example/", "x", "https://x.example/ a", "https://[::1"]
)
def test_a_wrong_address_is_refused(mine: Business, url: str) -> None:
    assert mine("POST", "/webhook-endpoints", {"url": url}).status_code == 422


def test_a_customer_has_twenty_endpoints_and_those_that_were_more_stay(mine: Business, other: Business) -> None:
    hook = {"url": "https://shop.example/hook"}
    for _ in range(19):  # one is there
        assert mine("POST", "/webhook-endpoints", hook).status_code == 201
    refused = mine("POST", "/webhook-endpoints", hook)
    assert (refused.status_code, refused.mimetype) == (409, "application/problem+json")
    assert "at most 20 webhooks" in refused.json["detail"]  # type: ignore[index]
    assert other("POST", "/webhook-endpoints", hook).status_code == 201
    db.rows("insert into webhook_endpoint (customer_id, url, secret) select customer_id, url, secret from webhook_endpoint")
    first, *others = [row["id"] for row in db.rows("select id from webhook_endpoint where customer_id = %s", [mine.customer])]
    assert len(others) == 39
    assert mine("PATCH", f"/webhook-endpoints/{first}", {"active": True}).status_code == 200
    for endpoint in others[:20]:
        assert mine("DELETE", f"/webhook-endpoints/{endpoint}").status_code == 204
        assert mine("POST", "/webhook-endpoints", hook).status_code == 409
    mine("DELETE", f"/webhook-endpoints/{first}")
    assert mine("POST", "/webhook-endpoints", hook).status_code == 201


def test_two_requests_at_once_make_no_endpoint_too_many(door: FrontDoor, mine: Business) -> None:
    for number in range(18):
        door.world.endpoint(mine.customer, f"hook-{number}")
    servers = [Business(door, mine.customer) for _ in range(6)]
    for server in servers:
        server._client = door.app.test_client()
    with ThreadPoolExecutor(6) as pool:
        hook = {"url": "https://shop.example/hook"}
        statuses = list(pool.map(lambda server: server("POST", "/webhook-endpoints", hook).status_code, servers))
    assert sorted(statuses) == [201, *[409] * 5]


def test_an_event_is_delivered_again_under_its_id(door: FrontDoor, mine: Business, simulator: Simulator) -> None:
    event = mine("GET", "/webhook-events").json["data"][0]  # type: ignore[index]
    before = simulator.counts()["webhook"]["accepted"]
    assert mine("POST", f"/webhook-events/{event['id']}/resend").status_code == 202
    assert mine("POST", f"/webhook-events/{event['id']}/resend").status_code == 409
    door.world.drain()
    assert simulator.counts()["webhook"]["accepted"] == before + 1
    assert simulator.record("webhook")[-1]["headers"]["x-webhook-id"] == f"evt_{event['id']}"
    db.rows("update webhook_endpoint set active = false")
    assert mine("POST", f"/webhook-events/{event['id']}/resend").status_code == 409


_DAY_OF_USE = "select (created_at at time zone 'utc')::date from usage_log where kind = %s"


def test_stats_and_usage_are_ones_own(mine: Business, other: Business) -> None:
    stats, empty = mine("GET", "/queues").json, other("GET", "/queues").json
    assert stats is not None
    assert stats["ai-processing"]["completed"] == 1
    assert empty is not None
    assert sum(count for states in empty.values() for count in states.values()) == 0
    days = {kind: str(db.scalar(_DAY_OF_USE, [kind])) for kind in ("ai", "message")}  # today's, unless midnight has passed
    used = mine("GET", "/usage").json["data"]  # type: ignore[index]
    assert sorted((row["kind"], row["day"], row["quantity"]) for row in used) == [(kind, day, 1) for kind, day in days.items()]
    assert other("GET", "/usage").json == {"data": [], "budgets": []}
    assert mine("GET", "/usage?from=yesterday").status_code == mine("GET", "/usage?days=367").status_code == 400
    for query in ("from=0001-01-01", "from=9999-12-31&days=366"):
        assert mine("GET", f"/usage?{query}").json["data"] == []  # type: ignore[index]


_ALL = (
    "customer",
    "chatbot",
    "knowledge_base",
    "conversation",
    "contact",
    "message",
    "conversation_note",
    "quick_reply",
    "webhook_endpoint",
    "webhook_event",
    "bulk_action",
    "job",
    "api_key",
    "usage_log",
    "budget",
)


#: A column of each table that lists show.
_SHOWN = {
    "conversation": "external_user_id",
    "contact": "name",
    "webhook_endpoint": "url",
    "chatbot": "name",
    "knowledge_base": "name",
    "knowledge_item": "title",
    "knowledge_source": "location",
    "knowledge_gap": "question",
}


def _everything_of(customer: int) -> str:
    own = {
        "customer": "id = %s",
        "conversation": "chatbot_id in (select id from chatbot where customer_id = %s)",
        "conversation_note": "conversation_id in (select id from conversation where chatbot_id in"
        " (select id from chatbot where customer_id = %s))",
        "contact": "chatbot_id in (select id from chatbot where customer_id = %s)",
        "message": "chatbot_id in (select id from chatbot where customer_id = %s)",
    }
    rows = {}
    for table in _ALL:
        rows[table] = db.rows(f"select * from {table} where {own.get(table, 'customer_id = %s')} order by id", [customer])
    return json.dumps(rows, default=str)


def _taught(business: Business) -> dict[str, int]:
    """Ids of the business's chatbot, which has been asked something, its knowledge base, and what is in that."""
    base = "select knowledge_base_id from chatbot where customer_id = %s"
    return {
        "chatbot_id": db.scalar("select id from chatbot where customer_id = %s", [business.customer]),
        "base_id": db.scalar(base, [business.customer]),
        "source_id": db.scalar(
            "insert into knowledge_source (knowledge_base_id, kind, location)"
            f" values (({base}), 'url', 'https://shop.example/x') returning id",
            [business.customer],
        ),
        "item_id": db.scalar(f"select min(id) from knowledge_item where knowledge_base_id = ({base})", [business.customer]),
        "media_id": db.scalar(
            "insert into media (customer_id, message_id, position, kind, state, error)"
            " select %s, min(message.id), 0, 'image', 'failed', 'https://mine-4711.example' from message"
            " join chatbot on chatbot.id = chatbot_id where customer_id = %s returning id",
            [business.customer, business.customer],
        ),
        "budget_id": db.scalar(
            "insert into budget (customer_id, tokens, at_limit, text, month)"
            " values (%s, 5, 'text', 'mine-4711', '2026-11-01') returning id",
            [business.customer],
        ),
        "gap_id": db.scalar(
            "insert into knowledge_gap (knowledge_base_id, chatbot_id, message_id, question, language, words, reason)"
            " select knowledge_base_id, chatbot.id, (select min(id) from message where chatbot_id = chatbot.id),"
            " 'Who?', 'english',"
            " '{}', 'no_knowledge' from chatbot where customer_id = %s returning id",
            [business.customer],
        ),
    }


def _recovery(business: Business) -> int:
    """A recovery of the business's endpoint, which is under way."""
    endpoint = db.scalar("select id from webhook_endpoint where customer_id = %s", [business.customer])
    begun = business("POST", f"/webhook-endpoints/{endpoint}/recover", {"since": "2026-01-01T00:00:00Z"})
    assert begun.status_code == 202, begun.text
    return int(begun.json["id"])  # type: ignore[index]


def ids_of(business: Business) -> dict[str, int]:
    """A row of each kind, by the names that addresses have for them."""
    return {
        "conversation_id": talk(),
        "endpoint_id": db.scalar("select id from webhook_endpoint"),
        "event_id": db.scalar("select max(id) from webhook_event"),
        "recovery_id": _recovery(business),
        "message_id": db.scalar(
            "insert into message (conversation_id, chatbot_id, channel, role, content, status, error)"
            " select id, chatbot_id, channel, 'assistant', 'mine-4711', 'FAILED', 'x' from conversation returning id"
        ),
        "key_id": db.scalar(
            "insert into api_key (customer_id, name, hash)"
            " values (%s, 'mine-4711', encode(sha256(random()::text::bytea), 'hex')) returning id",
            [business.customer],
        ),
        "user_id": people.create(f"agent-{business.customer}@mine.example", "mine-4711", "agent", business.customer).id,
        "reply_id": work.save_quick_reply(business.customer, "mine", "mine-4711")["id"],
        "contact_id": db.scalar("select id from contact"),
        **_taught(business),
    }


#: What each operation that reads a body is sent.
BODIES: dict[str, dict[str, Any]] = {
    "create_chatbot": {"name": "Theirs"},
    "update_chatbot": {"name": "Theirs"},
    "create_base": {"name": "Theirs"},
    "update_base": {"name": "Theirs"},
    "create_item": {"title": "Theirs", "content": "x"},
    "answer_gap": {"content": "x"},
    "import_source": {"url": "https://theirs.example"},
    "update_item": {"title": "Theirs"},
    "send_message": {"content": "x"},
    "update_conversation": {"owner": "person"},
    "create_note": {"content": "x"},
    "save_quick_reply": {"shortcut": "theirs", "content": "x"},
    "create_endpoint": {"url": "https://x.example"},
    "update_endpoint": {"active": False},
    "test_endpoint": {},
    "replace_credentials": {"secret": "theirs"},
    "invite_agent": {"email": "theirs@shop.example", "name": "Theirs"},
    "change_access": {"active": True},
    "create_key": {"name": "Theirs"},
    "connect_channel": {"phone_number_id": "4711", "secret": "theirs", "dialect": "waha"},
    "recover_endpoint": {"since": "2026-01-01T00:00:00Z"},
}


def path_of(address: str, ids: dict[str, int]) -> str:
    """The address of a route, with these ids in it."""
    path = re.sub(r"<any\((\w+).*?>", r"\1", address.removeprefix(API))
    for name, value in ids.items():
        path = path.replace(f"<int:{name}>", str(value))
    return path


def test_no_route_opens_with_a_foreign_key(door: FrontDoor, mine: Business, other: Business) -> None:
    """Walks every route of the API with another customer's key and this one's ids: 404, and nothing of it read or moved."""
    ids = ids_of(mine)
    bodies = {**BODIES, "set_budget": {"tokens": 1, "chatbot_id": ids["chatbot_id"]}}
    for table, column in _SHOWN.items():
        row = f"{table.removeprefix('knowledge_').removeprefix('webhook_')}_id"
        db.rows(f"update {table} set {column} = 'https://mine-4711.example' where id = %s", [ids[row]])
    user = person("owner", mine.customer, "mine-4711")
    audit.record("chatbot.changed", "chatbot", 1, {"name": "mine-4711"}, user=user, customer_id=mine.customer)
    before, walked = _everything_of(mine.customer), 0
    for rule in door.app.url_map.iter_rules():
        if not rule.endpoint.startswith("api."):
            continue
        path = path_of(rule.rule, ids)
        query = "?q=ship" if path.endswith("/search") else "?since=2026-01-01T00:00:00Z" if path.endswith("/recover") else ""
        assert "<" not in path, f"{rule.rule}: give the walk an id for it"
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            asked = path + query if method == "GET" else path
            answer = other(method, asked, bodies.get(rule.endpoint.removeprefix("api.")))
            walked += 1
            if rule.arguments:
                assert answer.status_code == 404, (method, path)
            assert "mine-4711" not in answer.text, (method, path)
            if path in ("/conversations", "/contacts", "/webhook-events"):  # it has none
                assert answer.json == {"data": [], "next": None}
    assert walked >= 28
    # A row of another business does not become one's own below one's own endpoint or knowledge base.
    own = {
        "endpoint_id": other("POST", "/webhook-endpoints", {"url": "https://x.example"}).json["id"],  # type: ignore[index]
        "base_id": other("POST", "/knowledge-bases", {"name": "Theirs"}).json["id"],  # type: ignore[index]
        "conversation_id": db.scalar(
            "insert into conversation (chatbot_id, channel, external_user_id)"
            " select min(id), 'widget', 'v-9' from chatbot where customer_id = %s returning id",
            [other.customer],
        ),
    }
    nested = 0
    for rule in door.app.url_map.iter_rules():
        if rule.endpoint.startswith("api.") and rule.rule.count("<int:") > 1:
            [method] = (rule.methods or set()) - {"HEAD", "OPTIONS"}
            path = path_of(rule.rule, {**ids, **own})
            assert other(method, path, bodies.get(rule.endpoint.removeprefix("api."))).status_code == 404, (method, path)
            nested += 1
    assert nested >= 5
    given = other("PATCH", f"/conversations/{own['conversation_id']}", {"owner": "person", "assigned_to": user.id})
    assert (given.status_code, "assigned_to" in given.json["errors"]) == (422, True), "a colleague of somebody else's"  # type: ignore[index]
    assert _everything_of(mine.customer) == before


def free_keys() -> None:
    """A key that was used for another request is a 422."""
    db.rows("update message set idempotency_key = null")
    db.rows("delete from kept_answer")


#: What exists, of what the document can only say that it is a text.
_RIGHT = {"time_zone": "Europe/Berlin", "allowed_origins": ["https://shop.example"], "url": "https://shop.example/help"}


def make_acceptable(case: schemathesis.Case, base_id: int | None, chatbot_id: int) -> None:
    """What the document cannot say of a body that fits it: else it is a 422."""
    if not (case.meta and case.meta.generation.mode.is_positive):
        return
    if case.operation.path.endswith("/recover"):  # a time that ends before it begins
        period = case.body if case.method == "POST" else case.query
        period["since"] = "2026-01-01T00:00:00Z"
        period.pop("until", None)
    if not isinstance(case.body, dict):
        return
    # An address and its key go together: either without the other.
    transcription = case.body.get("transcription")
    for about in (*(case.body.get("providers") or ()), *([transcription] if transcription else ())):
        if about.get("base_url"):
            about["base_url"] = "https://ai.example/v1"
        if (about.get("base_url") is None) != (about.get("api_key") is None):
            about.update(base_url=None)
            about.pop("api_key", None)
    if case.body.get("providers"):
        case.body.pop("model", None)  # it is the first provider's
    case.body.update({name: right for name, right in _RIGHT.items() if case.body.get(name) is not None})
    if "opening_hours" in case.body:  # which follow each other, and are of days
        try:
            opening_hours_field().deserialize(case.body["opening_hours"])
        except ValidationError:
            del case.body["opening_hours"]
    if case.operation.path.endswith("/messages"):
        case.body.pop("template", None)  # of no other business account
        case.body.pop("choices", None)  # no two that are alike
        case.body.setdefault("content", "x")
        if "file" in case.body:
            case.body["file"] = b"a text, by its bytes"
    if case.operation.path.endswith("/budgets"):  # which members go together
        limits = {name: case.body[name] for name in ("tokens", "money") if case.body.get(name) is not None}
        case.body = {"chatbot_id": chatbot_id, **(limits or {"tokens": 1})}
    if case.operation.path.endswith(("/keys", "/team")):  # a name that shows something, an address of mail
        case.body.update({"name": "Nora"} | ({"email": "nora@shop.example"} if "email" in case.body else {}))
    if case.operation.path.endswith("/channels/{channel}/{chatbot_id}"):  # what providers take
        case.body = {"phone_number_id": "4711", "secret": "987654321:AAE-simulated-token-of-a-bot", "dialect": "waha"}
    if isinstance(case.body.get("headers"), list):  # none that are ours to say, and each name once
        named = {one["name"].lower(): one for one in case.body["headers"]}
        case.body["headers"] = [one for one in named.values() if not headers_problem({one["name"]: ""})]
    case.body.pop("assigned_to", None)  # of no other business
    if case.operation.path.endswith("/conversations/{conversation_id}"):
        case.body.pop("return_after_minutes", None)  # only a person's has them
    if case.body.get("chatbots"):
        case.body["chatbots"] = [chatbot_id]
    if case.body.get("knowledge_base_id"):
        case.body["knowledge_base_id"] = base_id  # of no other base


def test_the_document_says_what_the_api_does(door: FrontDoor, mine: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_REQUESTS_PER_MINUTE", "100000")
    monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
    monkeypatch.setattr("web.request_limits.WRONG_KEYS", 100_000)
    config.reset()
    db.rows("update webhook_event set status = 'FAILED', error = 'x', delivered_at = null")
    schema = schemathesis.openapi.from_wsgi(API + "/openapi.json", door.app)
    known = ids_of(mine)
    described = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        described += 1

        @given(case=operation.as_strategy())
        @settings(max_examples=25, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def fits(case: schemathesis.Case) -> None:
            free_keys()
            for name, value in (case.path_parameters or {}).items():
                if isinstance(value, int) and value % 2:  # every second one meets a row
                    case.path_parameters[name] = known[name]
            make_acceptable(case, known["base_id"], known["chatbot_id"])
            case.call_and_validate(headers={**(case.headers or {}), "Authorization": f"Bearer {mine.key}"})

        fits()
    routes = [rule for rule in door.app.url_map.iter_rules() if rule.endpoint.startswith("api.")]
    assert described == len(routes)


def test_a_key_that_asks_too_often_is_told_when_to_go_on(
    mine: Business, other: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_REQUESTS_PER_MINUTE", "2")
    config.reset()
    answers = [mine("GET", "/queues") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[-1].mimetype == "application/problem+json"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert "This API key may make 2 requests a minute" in answers[-1].text
    assert other("GET", "/queues").status_code == 200, "another key"


def test_who_shows_wrong_keys_is_slowed_and_others_of_the_address_are_not(door: FrontDoor, mine: Business) -> None:
    wrong = {"Authorization": "Bearer sk_" + "a" * 43}
    codes = [door.client.get(API + "/queues", headers=wrong).status_code for _ in range(21)]
    assert codes == [401] * 20 + [429]
    assert mine("GET", "/queues").status_code == 200


def test_without_redis_the_api_answers(mine: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    config.reset()
    assert mine("GET", "/conversations").status_code == 200
