"""The 24 hours of WhatsApp: who opens them, and what may leave after them."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import db
from shared.channels.whatsapp_cloud import template_store, template_sync
from tests.builders import World
from tests.integration.front_door import FrontDoor, change, webhook
from tests.integration.test_front_door_api import Business

HOUR, DAY = 3600.0, 24 * 3600.0
_numbers = itertools.count(1)


def receive(world: World, channel: str = "whatsapp_cloud", user: str = "5511912345678", **more: Any) -> None:
    """A message as a hook accepts it, saved."""
    external_id = f"in-{next(_numbers)}"
    payload = {"chatbot_id": world.chatbot, "channel": channel, "external_user_id": user, "external_id": external_id}
    payload |= {"content": "When do you ship?", "metadata": {}, **more}
    db.rows(
        "select message_accept_v1(%s, %s, %s, %s, %s::jsonb)", [world.chatbot, channel, user, external_id, json.dumps(payload)]
    )
    [job] = world.jobs(queue="incoming-messages", state="waiting")
    assert world.run(job["id"]) is None


def window(world: World) -> float | None:
    """Seconds from now until the only conversation's window ends; None: it has none."""
    [row] = db.rows("select extract(epoch from window_ends_at - now())::float8 as left from conversation")
    return row["left"]  # type: ignore[no-any-return]


#: What a conversation receives, as seconds from now by the provider's clock (None: it says none) with its author, and the seconds
#: for which the window is open then; None: none was ever opened.
RECEIVED = {
    "a message that says no time": ([(None, "customer")], DAY),
    "a message of two hours ago": ([(-2 * HOUR, "customer")], DAY - 2 * HOUR),
    "one of last month": ([(-30 * DAY, "customer")], -29 * DAY),
    "an old one behind a new one": ([(-HOUR, "customer"), (-20 * HOUR, "customer")], DAY - HOUR),
    "a new one behind an old one": ([(-20 * HOUR, "customer"), (-HOUR, "customer")], DAY - HOUR),
    "a clock that is ahead": ([(40 * HOUR, "customer")], DAY),
    "a colleague on the phone": ([(-HOUR, "colleague")], None),
    "a colleague behind the customer": ([(-5 * HOUR, "customer"), (-HOUR, "colleague")], DAY - 5 * HOUR),
}


@pytest.mark.parametrize("case", RECEIVED)
def test_the_window_is_open_for_a_day_after_the_customer_wrote(world: World, case: str) -> None:
    received, expected = RECEIVED[case]
    for seconds, author in received:
        said = {} if seconds is None else {"sent_at": time.time() + seconds}
        receive(world, **said, **({} if author == "customer" else {"author": author}))
    left = window(world)
    assert left is None if expected is None else left == pytest.approx(expected, abs=60)


@pytest.mark.parametrize("channel", ["whatsapp_qr", "widget"])
def test_other_channels_have_no_window(world: World, channel: str) -> None:
    receive(world, channel, sent_at=time.time())
    assert window(world) is None


#: A call, and whether it opens the window.
CALLS: dict[str, tuple[dict[str, Any], bool]] = {
    "the customer calls": ({"direction": "USER_INITIATED", "from": "5511912345678", "event": "connect"}, True),
    "and nobody answers": ({"direction": "USER_INITIATED", "from": "5511912345678", "status": "FAILED"}, True),
    "we call, and it is taken": ({"direction": "BUSINESS_INITIATED", "to": "5511912345678", "status": ["COMPLETED"]}, True),
    "we call in vain": ({"direction": "BUSINESS_INITIATED", "to": "5511912345678", "status": ["FAILED"]}, False),
    "somebody else calls": ({"direction": "USER_INITIATED", "from": "551199"}, False),
    "nobody says who": ({"direction": "USER_INITIATED"}, False),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_opens_the_window(door: FrontDoor, case: str) -> None:
    call, opens = CALLS[case]
    receive(door.world, sent_at=time.time() - 2 * DAY)
    told = change(door.number, calls=[{"id": "wacid.1", "timestamp": str(int(time.time() - HOUR)), **call}])
    assert door.meta(webhook({**told, "field": "calls"})).status_code == 200
    assert window(door.world) == pytest.approx(DAY - HOUR if opens else -DAY, abs=60)


# ---- what leaves


@pytest.fixture
def business(door: FrontDoor) -> Business:
    """The world's customer, whose number's templates are known, and who has a conversation on WhatsApp."""
    account = db.scalar("select id from whatsapp_cloud_account where phone_number_id = %s", [door.number])
    template_store.learn(account, "4711")
    template_sync.sync_due()
    receive(door.world)
    door.world.drain()
    return Business(door, door.world.customer)


def close(seconds: float = 1.0) -> None:
    """The window of the only conversation ended."""
    db.rows("update conversation set window_ends_at = now() - make_interval(secs => %s)", [seconds])


def messages_path() -> str:
    """Of the only conversation."""
    return f"/conversations/{db.scalar('select id from conversation')}/messages"


APPROVED = ["come_back (en_US)", "order_update (en_US)", "order_update (pt_BR)"]


def test_a_text_after_the_window_fails_here_and_names_templates(
    door: FrontDoor, business: Business, simulator: Simulator
) -> None:
    door.world.endpoint(door.world.customer)
    queued = business("POST", messages_path(), {"content": "Your parcel has left."}).json
    assert queued is not None
    simulator.reset()
    close()
    door.world.drain()
    assert not simulator.record("graph"), "nothing is asked of Meta"
    row = business("GET", messages_path()).json["data"][0]  # type: ignore[index]
    assert (row["id"], row["status"], row["error_code"]) == (queued["id"], "FAILED", "window_closed")
    assert row["error"].endswith(f"instead: {', '.join(APPROVED)}.")
    [sent] = door.world.messages(id=queued["id"])
    assert sent["attempts"] == 0
    assert {job["state"] for job in door.world.jobs(queue="whatsapp-cloud-send")} == {"completed"}
    [event] = db.rows("select payload from webhook_event where event = 'message.failed'")
    assert event["payload"]["error_code"] == "window_closed"


def test_the_bots_answer_that_comes_too_late_fails_the_same(door: FrontDoor, business: Business, simulator: Simulator) -> None:
    simulator.reset()
    receive(door.world)
    [job] = door.world.jobs(queue="ai-processing", state="waiting")
    door.world.run(job["id"])
    close()
    door.world.drain()
    assert not simulator.record("graph")
    assert door.world.messages(role="assistant")[-1]["metadata"]["error_code"] == "window_closed"


def test_a_person_who_writes_too_late_is_told_at_once_what_to_send(business: Business, door: FrontDoor) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = business("POST", messages_path(), {"content": "Hello"}, **key)
    close()
    answer = business("POST", messages_path(), {"content": "Still there?"})
    assert (answer.status_code, answer.mimetype) == (409, "application/problem+json")
    assert answer.json is not None
    assert answer.json["code"] == "window_closed"
    assert [f"{one['name']} ({one['language']})" for one in answer.json["templates"]] == APPROVED
    assert APPROVED[0] in answer.json["detail"]
    again = business("POST", messages_path(), {"content": "Hello"}, **key)
    assert (again.status_code, again.json["id"]) == (200, first.json["id"]), "it was sent in time"  # type: ignore[index]
    receive(door.world)
    assert business("POST", messages_path(), {"content": "Here you are"}).status_code == 202, "the customer wrote again"


def test_meta_is_the_last_judge(door: FrontDoor, business: Business, simulator: Simulator) -> None:
    error = {"error": {"message": "(#131047) Re-engagement message", "type": "OAuthException", "code": 131047}}
    simulator.faults([{"kind": "graph", "fault": "status", "status": 400, "body": error}])
    business("POST", messages_path(), {"content": "Hello"})
    door.world.drain()
    door.world.dead_letters()
    assert business("POST", messages_path(), {"content": "Hello"}).status_code == 409, "it is closed here as well"
    assert door.world.messages(role="assistant")[-1]["metadata"]["error_code"] == "window_closed"


@pytest.mark.parametrize("wrote_since", [False, True])
def test_a_status_that_says_so_closes_the_window_unless_the_customer_wrote_since(
    door: FrontDoor, business: Business, wrote_since: bool
) -> None:
    sent = business("POST", messages_path(), {"content": "Hello"}).json
    assert sent is not None
    door.world.drain()
    if wrote_since:
        receive(door.world)
    failed = {"id": "wamid.Z", "status": "failed", "errors": [{"code": 131047, "title": "Re-engagement message"}]}
    door.meta(webhook(change(door.number, statuses=[{**failed, "biz_opaque_callback_data": f"msg_{sent['id']}"}])))
    assert door.world.messages(id=sent["id"])[0]["status"] == "FAILED"
    left = window(door.world)
    assert left is not None
    assert (left > 0) is wrote_since


def test_a_conversation_without_a_known_window_is_left_to_meta(door: FrontDoor, business: Business, simulator: Simulator) -> None:
    simulator.reset()
    db.rows("update conversation set window_ends_at = null")
    assert business("POST", messages_path(), {"content": "Hello"}).status_code == 202
    door.world.drain()
    assert [sent["text"] for sent in simulator.record("graph")] == ["Hello"]


# ---- templates


def template(name: str = "order_update", language: str = "pt_BR", **parameters: Any) -> dict[str, Any]:
    """The body of a message that is a template."""
    return {"template": {"name": name, "language": language, "parameters": parameters}}


def test_a_template_is_sent_after_the_window_once_per_key(door: FrontDoor, business: Business, simulator: Simulator) -> None:
    close()
    simulator.reset()
    key = {"Idempotency-Key": "order-7"}
    sent = business("POST", messages_path(), template(body=["Ana", "7"]), **key)
    assert sent.status_code == 202, sent.text
    assert sent.json is not None
    assert sent.json["content"] == "Oi Ana, seu pedido 7 saiu."
    assert sent.json["data"]["template"]["name"] == "order_update"
    assert business("POST", messages_path(), template(body=["Ana", "7"]), **key).json["id"] == sent.json["id"]  # type: ignore[index]
    assert business("POST", messages_path(), template(body=["Ana", "8"]), **key).status_code == 422
    door.world.drain()
    [request] = simulator.record("graph")
    assert (request["accepted"], request["text"]) == (True, "order_update, Ana, 7")
    assert door.world.messages(id=sent.json["id"])[0]["status"] == "SENT"


#: What is wrong with a template that is to be sent, and a piece of the answer.
WRONG = {
    "unknown": (template("nothing"), "there is no template 'nothing'"),
    "in another language": (template(language="pt"), "there is no template 'order_update' in 'pt'"),
    "rejected": (template("summer", "en_US", body=["a", "b"]), "this is REJECTED (PROMOTIONAL)"),
    "a parameter too few": (template(body=["Ana"]), "must be a list of 2 texts"),
    "names for numbers": (template(body={"a": "Ana"}), "must be a list of 2 texts"),
    "beside a text": ({**template(body=["Ana", "7"]), "content": "Hi"}, "must not be given beside a template"),
    "another part": (template(footer=["x"]), "parameters"),
    "nothing at all": ({}, "must be given, or a template"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_template_that_is_wrong_is_refused_by_name(business: Business, case: str) -> None:
    body, words = WRONG[case]
    answer = business("POST", messages_path(), body)
    assert answer.status_code == 422
    assert words in answer.text


def test_templates_belong_to_whatsapp_cloud(door: FrontDoor, business: Business) -> None:
    door.world.say(channel="widget", user="v-9")
    door.world.drain()
    path = f"/conversations/{db.scalar('select max(id) from conversation')}/messages"
    assert "a template is for whatsapp_cloud" in business("POST", path, template(body=["Ana", "7"])).text


def test_a_template_that_meta_refuses_is_looked_up_again(door: FrontDoor, business: Business, simulator: Simulator) -> None:
    error = {"error": {"message": "(#132015) Template is paused", "type": "OAuthException", "code": 132015}}
    simulator.faults([{"kind": "graph", "fault": "status", "status": 400, "body": error}])
    business("POST", messages_path(), template(body=["Ana", "7"]))
    door.world.drain()
    assert db.scalar("select templates_synced_at is null from whatsapp_business")


def test_a_business_sees_the_templates_of_its_own_number(door: FrontDoor, business: Business) -> None:
    path = f"/chatbots/{door.world.chatbot}/templates"
    listed = business("GET", path).json
    assert listed is not None
    assert {(one["name"], one["language"], one["status"]) for one in listed["data"]} == {
        ("order_update", "en_US", "APPROVED"),
        ("order_update", "pt_BR", "APPROVED"),
        ("come_back", "en_US", "APPROVED"),
        ("summer", "en_US", "REJECTED"),
    }
    assert (listed["next"], listed["error"], bool(listed["synced_at"])) == (None, None, True)
    assert business("POST", f"{path}/sync").status_code == 202
    assert business("GET", path).json["synced_at"] is None  # type: ignore[index]
    customer, chatbot = door.world.tenant()
    other = Business(door, customer)
    assert other("GET", path).status_code == 404
    assert other("POST", f"{path}/sync").status_code == 404
    assert other("GET", f"/chatbots/{chatbot}/templates").json["data"] == [], "its number's business account is not known"  # type: ignore[index]
