"""What events say: each fits its schema, in order, to those who want it; and how they are read instead of pushed."""

from __future__ import annotations

import copy
import re
from contextlib import closing
from typing import Any

import jsonschema_rs
import psycopg2
import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.channels import ownership
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.inbound import TemplateUpdate
from shared.channels.whatsapp_cloud import template_store
from shared.webhooks import failing, polling, schemas
from shared.webhooks.events import EVENTS
from tests.builders import World
from tests.integration.front_door import FrontDoor
from tests.integration.test_brakes import AWAY, talk
from tests.integration.test_budgets import budget, spend
from tests.integration.test_channel_health import CLOUD
from tests.integration.test_front_door_api import Business
from tests.integration.test_honesty import UNKNOWN

READ = "/events"


@pytest.fixture
def business(door: FrontDoor) -> Business:
    """The world's customer."""
    return Business(door, door.world.customer)


def create(business: Business, **more: Any) -> int:
    """An endpoint without a URL, if nothing else is said."""
    answer = business("POST", "/webhook-endpoints", {"url": None, "events": list(EVENTS), **more})
    assert answer.status_code == 201, answer.json
    return int(answer.json["id"])


def read(business: Business, query: str = "") -> dict[str, Any]:
    answer = business("GET", READ + query)
    assert answer.status_code == 200, answer.json
    page: dict[str, Any] = answer.json
    return page


def strict(event: str) -> Any:
    """Its schema, to which nothing may be added: a member that it does not name is not documented."""
    schema = copy.deepcopy(schemas.schema(event))
    schema["additionalProperties"] = schema["properties"]["data"]["additionalProperties"] = False
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


@pytest.mark.parametrize("event", EVENTS)
def test_each_event_has_a_schema_that_is_served_and_an_example_that_fits(door: FrontDoor, event: str) -> None:
    answer = door.client.get(f"/api/v1/events/schemas/{event}")
    assert (answer.status_code, answer.mimetype) == (200, "application/schema+json")
    assert answer.json == schemas.schema(event)
    jsonschema_rs.meta.validate(answer.json)
    strict(event).validate(schemas.example(event))
    assert not strict(event).is_valid({**schemas.example(event), "data": {}})


def test_a_page_lists_all_events_with_examples(door: FrontDoor) -> None:
    page = door.client.get("/webhooks/events")
    assert page.status_code == 200
    assert "script" not in page.text
    for event in EVENTS:
        assert f'id="{event}"' in page.text
        assert f"/api/v1/events/schemas/{event}" in page.text
    german = door.client.get("/webhooks/events", headers={"Accept-Language": "de"})
    for shown in ('<html lang="de">', "Nicht immer dabei.", "<code>data</code>"):
        assert shown in german.text
    assert "Accept-Language" in german.headers["Vary"]
    assert not {"Not always there.", "The conversation."} & set(re.findall(r">\s*([^<>]+?)\s*<", german.text))
    assert door.client.get("/api/v1/events/schemas/order.shipped").status_code == 404


def test_every_event_that_happens_fits_its_schema(world: World, business: Business, simulator: Simulator) -> None:
    create(business)
    # A reply by WhatsApp, how far it got, one that failed, and one that the AI could not give.
    world.say(channel=CLOUD, user="4912345")
    world.drain()
    [first] = world.messages(role="assistant")
    for status in ("DELIVERED", "READ", "READ"):
        apply_delivery_status(status, message_id=first["id"])
    world.say("And to Austria?", channel=CLOUD, user="4912345")
    world.drain()
    apply_delivery_status(
        "FAILED", message_id=world.messages(role="assistant")[1]["id"], error="no WhatsApp", error_code="unreachable"
    )
    simulator.faults([{"kind": "ai", "fault": "status", "status": 400, "times": 20}])
    world.say("Hello?", user="v-2")
    world.drain()
    for job in world.jobs(state="failed"):
        world.dead_letter(job["id"])
    simulator.clear_faults()
    # Whose a conversation is, a loop, and a question without an answer.
    conversation = first["conversation_id"]
    for owner in ("person", "closed"):
        with db.transaction():
            ownership.assign(conversation, owner, "api")
    world.say("Are you there?", channel=CLOUD, user="4912345")
    world.drain()
    db.scalar("select hand_over_v1(%s, 'asked')", [conversation])
    with db.transaction():
        ownership.assign(conversation, "bot", "api")
    talk(world, [AWAY] * 7)
    world.say(UNKNOWN, user="v-3")
    world.drain()
    # What is about no conversation.
    for state, reason in (("needs_login", "token_invalid"), ("ok", None)):
        db.scalar(
            "select channel_set_state_v1(%s, %s, %s, %s, null, clock_timestamp(), 0, '{}', 1, %s)",
            [CLOUD, world.chatbot, state, reason, db.json({"account": "4930", "explanation": "It is so."})],
        )
    db.rows("update whatsapp_cloud_account set waba_id = null")
    db.rows("insert into whatsapp_business (waba_id) values ('WABA')")
    db.rows("update whatsapp_cloud_account set waba_id = 'WABA' where chatbot_id = %s", [world.chatbot])
    approved = TemplateUpdate(waba_id="WABA", provider_id="1", name="shipped", language="de", status="APPROVED")
    assert not template_store.apply_update(approved), "nobody knew it, and it is told all the same"
    spend(budget(world, tokens=1_000), 1_000)
    world.say(user="v-4")
    world.drain()
    sick = world.endpoint(world.customer)
    db.rows("update webhook_endpoint set failing_since = now() - interval '4 days' where id = %s", [sick])
    db.rows(
        "insert into webhook_event (customer_id, endpoint_id, event, payload) values (%s, %s, 'x', '{}')",
        [world.customer, sick],
    )
    db.rows(
        "insert into webhook_attempt (event_id, endpoint_id, customer_id, number, trigger, started_at, error_code, error)"
        " select max(id), %s, %s, 1, 'first', now(), 'timeout', 'timeout' from webhook_event",
        [sick, world.customer],
    )
    failing.watch()
    told = read(business, "?limit=100")["data"]
    for event in told:
        strict(event["type"]).validate(event)
    assert {event["type"] for event in told} == set(EVENTS)
    assert sum(event["type"] == "message.read" for event in told) == 1, "a status is told once"
    by_conversation = [event["data"]["sequence"] for event in told if event["data"].get("conversation_id") == conversation]
    assert by_conversation == sorted(set(by_conversation))


def test_an_endpoint_hears_what_it_wants(world: World, business: Business) -> None:
    plain = create(business, events=["message.received"])
    whatsapp = create(business, events=["message.received"], channels=[CLOUD])
    elsewhere = create(business, events=["message.received"], channels=["telegram"])
    own = create(business, events=["message.received", "budget.warning"], chatbots=[world.chatbot], channels=["widget"])
    world.say()
    world.say(channel=CLOUD, user="4912345")
    world.drain()
    db.rows("select events_add_v1(jsonb_build_array(customer_event_v1('budget.warning', %s)))", [world.customer])
    heard_by = "array_agg(coalesce(payload ->> 'channel', event) order by id) as heard"
    by_endpoint = f"select endpoint_id, {heard_by} from webhook_event group by 1"
    heard = {row["endpoint_id"]: row["heard"] for row in db.rows(by_endpoint)}
    assert heard == {plain: ["widget", CLOUD], whatsapp: [CLOUD], own: ["widget", "budget.warning"]}
    assert elsewhere not in heard
    assert not world.jobs(queue="webhook-delivery"), "what is read is not pushed"
    numbers = db.rows("select payload ->> 'sequence' as number, count(distinct event) from webhook_event group by 1")
    assert len(numbers) == 3, "one event has one number, at whichever endpoint"


def test_events_are_read_in_pages_and_by_filters(world: World, business: Business) -> None:
    endpoint = create(business, events=["message.received", "message.sent"])
    assert read(business) == {"data": [], "next": 0, "has_more": False}
    for number in range(3):
        world.say(user=f"v-{number}")
    world.drain()
    first = read(business, "?limit=4")
    second = read(business, f"?limit=4&after={first['next']}")
    assert (len(first["data"]), first["has_more"], len(second["data"]), second["has_more"]) == (4, True, 2, False)
    ids = [event["id"] for event in first["data"] + second["data"]]
    assert len(set(ids)) == 6
    assert read(business, f"?after={second['next']}") == {"data": [], "next": second["next"], "has_more": False}
    assert read(business, "?limit=4") == first, "reading changes nothing"
    sent = read(business, f"?event=message.sent&endpoint_id={endpoint}&limit=2")
    assert {event["type"] for event in sent["data"]} == {"message.sent"}
    conversation = sent["data"][0]["data"]["conversation_id"]
    only = read(business, f"?conversation_id={conversation}&channel=widget&chatbot_id={world.chatbot}")
    assert {event["data"]["conversation_id"] for event in only["data"]} == {conversation}
    assert (len(only["data"]), only["next"]) == (2, second["next"]), "the next call goes on behind what was left out"
    assert {row["status"] for row in db.rows("select status from webhook_event")} == {"DELIVERED"}


def test_a_filter_that_matches_little_reads_no_more_than_a_bound(
    world: World, business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "SCAN", 3)
    create(business, events=["budget.warning", "budget.exhausted"])
    for event in ["budget.warning"] * 7 + ["budget.exhausted", "budget.warning"]:
        db.rows("select events_add_v1(jsonb_build_array(customer_event_v1(%s, %s)))", [event, world.customer])
    answers = [read(business, "?event=budget.exhausted")]
    while answers[-1]["has_more"]:
        answers.append(read(business, f"?event=budget.exhausted&after={answers[-1]['next']}"))
    assert [len(answer["data"]) for answer in answers] == [0, 0, 1, 0], "three events a call, until there are none"
    assert [answer["has_more"] for answer in answers] == [True, True, True, False]
    assert answers[-1]["next"] == answers[-2]["next"] == read(business)["next"] + 6


def test_what_commits_late_is_not_missed(world: World, business: Business, database_url: str) -> None:
    create(business, events=["budget.warning"])
    add = f"select events_add_v1(jsonb_build_array(customer_event_v1('budget.warning', {world.customer})))"
    with closing(psycopg2.connect(database_url)) as late, late.cursor() as cursor:
        cursor.execute(add)  # has the lower id, and commits after the other one was read
        db.rows(add)
        first = read(business)
        assert len(first["data"]) == 1
        late.commit()
    second = read(business, f"?after={first['next']}")
    assert len(second["data"]) == 1
    assert int(second["data"][0]["id"][4:]) < int(first["data"][0]["id"][4:])


def test_who_keeps_no_events_is_told_how(door: FrontDoor, business: Business) -> None:
    nothing = business("GET", READ)
    assert (nothing.status_code, "webhook-endpoints" in nothing.json["detail"]) == (409, True)  # type: ignore[index]
    mine = [create(business), create(business)]
    assert business("GET", READ).status_code == 409, "which one?"
    other = Business(door, door.world.tenant()[0])
    assert other("GET", f"{READ}?endpoint_id={mine[0]}").status_code == 404
    pushed = door.world.endpoint(door.world.customer)
    assert business("GET", f"{READ}?endpoint_id={pushed}").status_code == 404
    assert business("GET", f"{READ}?endpoint_id={mine[1]}&after=-1").status_code == 400
