"""What a business sets at an endpoint: own headers, a rate, a pause, a new secret, a test; and the end of one that only fails."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.errors import Refused
from shared.http.bulkhead import MAX_SLOTS, NoRoom, Room
from shared.operations import webhook_recovery as recovery
from shared.people import mail
from shared.webhooks import endpoints, failing, notices, redelivery
from tests.builders import World
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business
from tests.integration.test_front_door_ops import SCRAPER
from tests.integration.test_ledger_races import another_session
from tests.integration.test_redelivery import run_until_closed
from tests.mail_server import MailServer, mail_set_up

DAY = 86_400


@pytest.fixture
def business(door: FrontDoor) -> Business:
    """The world's customer."""
    return Business(door, door.world.customer)


def create(business: Business, world: World, **more: Any) -> dict[str, Any]:
    """A new endpoint at the simulator."""
    answer = business(
        "POST", "/webhook-endpoints", {"url": f"{world.simulator.url}/customer/own", "events": ["message.sent"], **more}
    )
    assert answer.status_code == 201, answer.json
    endpoint: dict[str, Any] = answer.json
    return endpoint


def listed(headers: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in headers.items()]


def change(business: Business, endpoint: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = business("PATCH", f"/webhook-endpoints/{endpoint['id']}", more)
    assert answer.status_code == 200, answer.json
    changed: dict[str, Any] = answer.json
    return changed


def send(world: World, endpoint: dict[str, Any]) -> int:
    """An event, delivered once if it is; returns its id."""
    event = world.service.enqueue_webhook_delivery(endpoint_id=endpoint["id"], event="message.sent", data={"message_id": 1})
    world.drain()
    return event


def deliveries(simulator: Simulator) -> list[dict[str, Any]]:
    return simulator.record("webhook")


def status_of(event: int) -> tuple[str, bool]:
    [row] = db.rows("select status, held from webhook_event where id = %s", [event])
    return row["status"], row["held"]


@pytest.fixture
def _private(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "true")
    config.reset()


pytestmark = pytest.mark.usefixtures("_private")


def test_own_headers_are_sent_and_never_shown(world: World, business: Business, simulator: Simulator) -> None:
    headers = {"Authorization": "Bearer their-own-secret", "X-Shop": "tea"}
    endpoint = create(business, world, headers=listed(headers), description="The till")
    assert (endpoint["header_names"], endpoint["description"]) == (["Authorization", "X-Shop"], "The till")
    assert "their-own-secret" not in json.dumps(business("GET", "/webhook-endpoints").json)
    assert "their-own-secret" not in json.dumps(db.rows("select to_jsonb(e) as e from webhook_endpoint e"))
    send(world, endpoint)
    [delivery] = deliveries(simulator)
    sent = {name.lower(): value for name, value in delivery["headers"].items()}
    assert (sent["authorization"], sent["x-shop"], sent["content-type"]) == (*headers.values(), "application/json")
    assert change(business, endpoint, headers=None)["header_names"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "else.example"},
        {"content-length": "1"},
        {"Content-Type": "text/plain"},
        {"Webhook-Signature": "v1,x"},
        {"X-Webhook-Event": "x"},
        {"Transfer-Encoding": "chunked"},
        {"X-Shop": "a\r\nEvil: yes"},
        {"X Shop": "tea"},
        {"X-Shop": ""},
        {f"X-{number}": "x" for number in range(11)},
    ],
    ids=lambda headers: next(iter(headers)),
)
def test_headers_that_are_ours_or_none_are_refused(world: World, business: Business, headers: dict[str, str]) -> None:
    answer = business("POST", "/webhook-endpoints", {"url": "https://shop.example/hook", "headers": listed(headers)})
    assert (answer.status_code, "headers" in answer.json["errors"]) == (422, True)  # type: ignore[index]


def test_a_header_is_named_once(world: World, business: Business) -> None:
    twice = [*listed({"X-Shop": "tea"}), *listed({"x-shop": "coffee"})]
    answer = business("POST", "/webhook-endpoints", {"url": "https://shop.example/hook", "headers": twice})
    assert answer.status_code == 422, answer.text
    assert "must name each header once" in answer.json["errors"]["headers"]  # type: ignore[index]


def test_for_a_day_two_secrets_sign(world: World, business: Business, simulator: Simulator) -> None:
    endpoint = create(business, world)
    new = change(business, endpoint, rotate_secret=True)
    assert new["secret"] != endpoint["secret"]
    send(world, endpoint)
    [first] = deliveries(simulator)
    for secret in (endpoint["secret"], new["secret"]):
        Webhook(secret).verify(first["body"], first["headers"])
    db.rows("update webhook_endpoint set old_secret_until = now() - interval '1 s'")
    send(world, endpoint)
    second = deliveries(simulator)[1]
    Webhook(new["secret"]).verify(second["body"], second["headers"])
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint["secret"]).verify(second["body"], second["headers"])


def test_each_secret_that_was_replaced_signs_for_its_day(world: World, business: Business, simulator: Simulator) -> None:
    endpoint = create(business, world)
    secrets = [endpoint["secret"], *(change(business, endpoint, rotate_secret=True)["secret"] for _ in range(3))]
    send(world, endpoint)
    [told] = deliveries(simulator)
    for secret in secrets:
        Webhook(secret).verify(told["body"], told["headers"])
    assert len(told["headers"]["webhook-signature"].split()) == 4
    db.rows(
        "update webhook_earlier_secret set until = now() - interval '1 s' where id = (select min(id) from webhook_earlier_secret)"
    )
    send(world, endpoint)
    later = deliveries(simulator)[1]
    for secret in secrets[1:]:
        Webhook(secret).verify(later["body"], later["headers"])
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify(later["body"], later["headers"])
    change(business, endpoint, rotate_secret=True)
    assert db.scalar("select count(*) from webhook_earlier_secret") == 2, "the one whose day is over has gone"


def test_the_eleventh_rotation_within_a_day_is_refused(world: World, business: Business) -> None:
    endpoint, path = create(business, world), "/webhook-endpoints"
    for _ in range(10):
        change(business, endpoint, rotate_secret=True)
    refused = business("PATCH", f"{path}/{endpoint['id']}", {"rotate_secret": True, "description": "other"})
    assert (refused.status_code, "10 times within 24 hours" in refused.text) == (409, True)
    assert business("GET", f"{path}/{endpoint['id']}").json["description"] != "other"  # type: ignore[index]
    desk = Visitor(business._client.application, person("owner", world.customer))
    page = f"/desk/c/{world.customer}/webhooks/{endpoint['id']}"
    assert desk.post(f"{page}/secret").status_code == 303
    assert "replaced 10 times within 24 hours" in desk.get(page).text
    db.rows("update webhook_endpoint set old_secret_until = now() - interval '1 s'")
    db.rows("update webhook_earlier_secret set until = now() - interval '1 s'")
    change(business, endpoint, rotate_secret=True)


def test_what_happens_while_it_is_paused_arrives_afterwards(world: World, business: Business, simulator: Simulator) -> None:
    endpoint = create(business, world)
    waiting = world.service.enqueue_webhook_delivery(endpoint_id=endpoint["id"], event="message.sent", data={"message_id": 1})
    assert change(business, endpoint, paused=True)["paused"] is True
    world.say()
    world.drain()
    events = [row["id"] for row in db.rows("select id from webhook_event order by id")]
    assert [status_of(event) for event in events] == [("PENDING", True)] * 2
    assert waiting in events
    assert redelivery.release_held() == 0
    assert not deliveries(simulator)
    assert not world.jobs(queue="webhook-delivery", closed_at=None), "none of its jobs waits"
    business("POST", f"/webhook-endpoints/{endpoint['id']}/test", {})
    world.drain()
    assert len(deliveries(simulator)) == 1, "a test is for now"
    change(business, endpoint, paused=False)
    assert redelivery.release_held() == 2
    world.drain()
    assert [status_of(event) for event in events] == [("DELIVERED", False)] * 2
    assert redelivery.release_held() == 0


def test_a_rate_lets_as_many_through_and_the_rest_in_turn(world: World, business: Business, simulator: Simulator) -> None:
    endpoint = create(business, world, rate_limit="2/1h")
    for _ in range(4):
        world.service.enqueue_webhook_delivery(endpoint_id=endpoint["id"], event="message.sent", data={"message_id": 1})
    for job in world.jobs(queue="webhook-delivery"):
        world.run(job["id"])
    assert len(deliveries(simulator)) == 2
    late = world.jobs(queue="webhook-delivery", state="delayed")
    assert [(job["attempts"], "rate limit" in job["last_error"]) for job in late] == [(0, True)] * 2
    assert business("PATCH", f"/webhook-endpoints/{endpoint['id']}", {"rate_limit": "a lot"}).status_code == 422


def test_a_delivery_without_room_spends_no_turn_of_the_rate(world: World, business: Business, simulator: Simulator) -> None:
    from workers import webhooks  # which needs settings

    endpoint = create(business, world, rate_limit="2/1h")
    for _ in range(3):
        world.service.enqueue_webhook_delivery(endpoint_id=endpoint["id"], event="message.sent", data={"message_id": 1})
    jobs = [job["id"] for job in world.jobs(queue="webhook-delivery")]
    room = Room("the endpoint", endpoint["id"])
    with ExitStack() as calls:
        with suppress(NoRoom):  # another test's endpoint of this id may have left fewer slots
            for _ in range(MAX_SLOTS):
                calls.enter_context(webhooks._bulkhead.slot(room, age=0))
        world.run(jobs[0])
    [crowded] = world.jobs(queue="webhook-delivery", state="delayed")
    assert "calls without a response" in crowded["last_error"]
    for job in jobs[1:]:
        world.run(job)
    assert len(deliveries(simulator)) == 2, "both turns of the hour are left"


def test_a_test_event_is_an_example_that_says_so(world: World, business: Business, simulator: Simulator, door: FrontDoor) -> None:
    endpoint = create(business, world)
    answer = business("POST", f"/webhook-endpoints/{endpoint['id']}/test", {"event": "conversation.handoff"})
    assert answer.status_code == 202
    world.drain()
    [delivery] = deliveries(simulator)
    event = Webhook(endpoint["secret"]).verify(delivery["body"], delivery["headers"])
    assert (event["type"], event["data"]["test"], event["data"]["reason"]) == ("conversation.handoff", True, "asked")
    [attempt] = db.rows("select trigger from webhook_attempt")
    assert attempt["trigger"] == "test"
    other = Business(door, door.world.tenant()[0])
    assert other("POST", f"/webhook-endpoints/{endpoint['id']}/test", {}).status_code == 404
    change(business, endpoint, active=False)
    assert business("POST", f"/webhook-endpoints/{endpoint['id']}/test", {}).status_code == 409


def test_chatbots_of_others_are_no_filter(door: FrontDoor, world: World, business: Business) -> None:
    endpoint, (_, foreign) = create(business, world), door.world.tenant()
    for method, path, given in (
        ("PATCH", f"/webhook-endpoints/{endpoint['id']}", {"chatbots": [world.chatbot, foreign]}),
        ("POST", "/webhook-endpoints", {"url": None, "chatbots": [foreign]}),
    ):
        answer = business(method, path, given)
        wrong = {"chatbots": f"there is no chatbot {foreign}; use the ids of yours"}
        assert (answer.status_code, (answer.json or {}).get("errors")) == (422, wrong)
    assert business("PATCH", "/webhook-endpoints/999999", {"chatbots": [foreign]}).status_code == 404
    assert change(business, endpoint, chatbots=[world.chatbot])["chatbots"] == [world.chatbot]
    assert change(business, endpoint, chatbots=None)["chatbots"] is None


def test_an_endpoint_that_only_fails_is_disabled_after_a_notice(
    world: World,
    business: Business,
    simulator: Simulator,
    letters: MailServer,
    door: FrontDoor,
) -> None:
    add_owner(world, "Ada")
    endpoint, other = create(business, world), create(business, world, url=None, events=["endpoint.disabled"])
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 500, "times": 100}])
    send(world, endpoint)
    run_until_closed(world)
    assert business("GET", f"/webhook-endpoints/{endpoint['id']}").json["failing_since"] is not None  # type: ignore[index]
    assert (failing.watch(), told(business, other)) == (0, [])
    age(endpoint, 3.5 * DAY)
    assert (failing.watch(), failing.watch()) == (0, 0)
    assert told(business, other) == [("failing", endpoint["id"])], "once"
    assert (notices.send_due(), notices.send_due()) == (1, 0)
    age(endpoint, 6 * DAY)
    assert failing.watch() == 0, "the notice is younger than a day"
    db.rows("update webhook_endpoint set warned_at = now() - interval '25 hours' where warned_at is not null")
    assert (failing.watch(), failing.watch()) == (1, 0)
    assert told(business, other) == [("failing", endpoint["id"]), ("disabled", endpoint["id"])]
    notices.send_due()
    shown = business("GET", f"/webhook-endpoints/{endpoint['id']}").json
    assert (shown["active"], shown["disabled_reason"]) == (False, "failing")  # type: ignore[index]
    warned, disabled = letters.next(), letters.next()
    assert warned.startswith("To: ada@shop.example\nSubject: A webhook endpoint fails")
    assert disabled.startswith("To: ada@shop.example\nSubject: A webhook endpoint was disabled")
    assert letters.letters.empty()
    counted = door.client.get("/metrics", headers=SCRAPER).text
    for state in ("failing", "disabled"):
        assert f'switchboard_webhook_endpoints_total{{state="{state}"}} 1.0' in counted
    simulator.clear_faults()
    assert change(business, endpoint, active=True)["failing_since"] is None
    assert status_of(send(world, endpoint)) == ("DELIVERED", False)


def test_an_endpoint_that_is_gone_is_disabled_at_once_and_everybody_hears_of_it(
    world: World,
    business: Business,
    simulator: Simulator,
    letters: MailServer,
    door: FrontDoor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    add_owner(world, "Ada")
    endpoint, other = create(business, world), create(business, world, url=None, events=["endpoint.disabled"])
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 410, "times": 100}])
    for _ in range(2):  # under way at the same time
        send(world, endpoint)
    run_until_closed(world)
    shown = business("GET", f"/webhook-endpoints/{endpoint['id']}").json
    assert (shown["active"], shown["disabled_reason"]) == (False, "gone")  # type: ignore[index]
    assert told(business, other) == [("disabled", endpoint["id"])]
    assert (notices.send_due(), notices.send_due()) == (1, 0)
    letter = letters.next()
    assert letter.startswith("To: ada@shop.example\nSubject: A webhook endpoint was disabled")
    assert "gone for good (HTTP 410)" in letter
    assert "for days" not in letter
    assert letters.letters.empty(), "once"
    assert 'switchboard_webhook_endpoints_total{state="disabled"} 1.0' in door.client.get("/metrics", headers=SCRAPER).text
    [logged] = [record for record in caplog.records if record.getMessage() == "endpoint_disabled"]
    assert (vars(logged)["endpoint"], vars(logged)["reason"]) == (endpoint["id"], "gone")
    desk = Visitor(door.app, person("owner", world.customer))
    for page in ("", f"/{endpoint['id']}"):
        assert "gone for good (410)" in desk.get(f"/desk/c/{world.customer}/webhooks{page}").text
    simulator.clear_faults()
    assert change(business, endpoint, active=True)["disabled_reason"] is None
    assert status_of(send(world, endpoint)) == ("DELIVERED", False)


def test_nobody_is_written_to_of_an_endpoint_that_was_repaired(
    world: World, business: Business, simulator: Simulator, letters: MailServer
) -> None:
    add_owner(world, "Ada")
    endpoint = create(business, world)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 410, "times": 1}])
    send(world, endpoint)
    run_until_closed(world)
    change(business, endpoint, active=True)
    assert notices.send_due() == 0
    assert letters.letters.empty()


@pytest.fixture
def letters(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A mail server that takes what is sent."""
    with mail_set_up(monkeypatch) as server:
        yield server


def add_owner(world: World, name: str) -> None:
    values = [world.customer, f"{name.lower()}@shop.example", name]
    db.rows("insert into app_user (customer_id, role, email, name) values (%s, 'owner', %s, %s)", values)


def test_a_notice_is_repeated_until_the_mail_server_takes_it(
    world: World, business: Business, simulator: Simulator, letters: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "_PATIENCE", 120.0)
    monkeypatch.setattr(mail, "_DEADLINE", 120.0)
    for name in ("Ada", "Bob", "Eve"):
        add_owner(world, name)
    all_three, tried = threading.Barrier(3), list[str]()

    def takes(address: str) -> bool:
        tried.append(address)
        if len(tried) > 3:
            return True
        all_three.wait(60)  # a server that answers slowly holds up nobody else
        return address != "eve@shop.example"

    letters.takes = takes
    endpoint = create(business, world)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 500, "times": 100}])
    send(world, endpoint)
    run_until_closed(world)
    age(endpoint, 3.5 * DAY)
    failing.watch()
    assert notices.send_due() == 2
    assert notices.send_due() == 0, "not at once"
    db.rows("update endpoint_notice set due_at = now()")
    notices.send_due()
    taken = sorted(letters.next().split("\n")[0] for _ in range(3))
    assert taken == [f"To: {name}@shop.example" for name in ("ada", "bob", "eve")]
    assert letters.letters.empty(), "each once"
    assert db.scalar("select count(*) from endpoint_notice") == 0
    failing.watch()
    assert db.scalar("select count(*) from endpoint_notice") == 0, "told once"


@pytest.mark.parametrize(
    "odd",
    [
        "bób@shop.example",  # this mail server takes ASCII only
        pytest.param(
            "a@[.example", marks=pytest.mark.skipif(sys.version_info >= (3, 14), reason="the parser of Python 3.14 takes it")
        ),
    ],
)
def test_a_notice_that_cannot_be_sent_stops_no_other_one(
    world: World, business: Business, simulator: Simulator, letters: MailServer, odd: str
) -> None:
    for name in ("Ada", "Bob", "Eve"):
        add_owner(world, name)
    endpoint = create(business, world)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 500, "times": 100}])
    send(world, endpoint)
    run_until_closed(world)
    age(endpoint, 3.5 * DAY)
    failing.watch()
    db.rows("update app_user set email = %s where email = 'bob@shop.example'", [odd])
    assert notices.send_due() == 2
    assert sorted(letters.next().split("\n")[0] for _ in range(2)) == ["To: ada@shop.example", "To: eve@shop.example"]
    left = db.rows("select email, attempts from endpoint_notice join app_user on app_user.id = user_id")
    assert left == [{"email": odd, "attempts": 1}], "it is tried again, and given up in the end"


def test_a_notice_of_an_endpoint_that_was_repaired_is_not_sent(
    world: World, business: Business, simulator: Simulator, letters: MailServer
) -> None:
    add_owner(world, "Ada")
    endpoint = create(business, world)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 500, "times": 1}])
    send(world, endpoint)
    age(endpoint, 3.5 * DAY)
    failing.watch()
    assert db.scalar("select count(*) from endpoint_notice") == 1
    run_until_closed(world)
    assert notices.send_due() == 0
    assert letters.letters.empty()
    assert db.scalar("select count(*) from endpoint_notice") == 0


def test_notices_wait_while_e_mail_is_switched_off(
    world: World, business: Business, letters: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_owner(world, "Ada")
    notices.add(create(business, world)["id"], "failing", datetime.now(UTC))
    monkeypatch.setenv("SMTP_URL", "")
    config.reset()
    assert notices.send_due() == 0
    assert db.rows("select attempts from endpoint_notice") == [{"attempts": 0}]


def test_events_go_one_way_for_as_long_as_their_endpoint_lasts(world: World, business: Business) -> None:
    read = create(business, world, url=None)
    answer = business("PATCH", f"/webhook-endpoints/{read['id']}", {"url": f"{world.simulator.url}/customer/own"})
    assert answer.status_code == 409
    assert "Make a new endpoint" in answer.json["detail"]  # type: ignore[index]
    pushed = create(business, world)
    with pytest.raises(Refused, match="keeps one"):
        endpoints.change(world.customer, pushed["id"], {"url": None})
    assert business("PATCH", f"/webhook-endpoints/{pushed['id']}", {"url": None}).status_code == 409, "not as if it were done"
    assert change(business, read, url=None, description="read")["url"] is None


def test_one_success_is_a_clean_record(world: World, business: Business, simulator: Simulator) -> None:
    endpoint = create(business, world)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 500, "times": 1}])
    send(world, endpoint)
    age(endpoint, 6 * DAY)
    run_until_closed(world)
    assert business("GET", f"/webhook-endpoints/{endpoint['id']}").json["failing_since"] is None  # type: ignore[index]
    assert failing.watch() == 0


def test_a_success_counts_that_was_recorded_while_somebody_had_the_endpoint(
    world: World, business: Business, simulator: Simulator
) -> None:
    endpoint = create(business, world)
    simulator.faults([{"kind": "webhook", "fault": "status", "status": 500, "times": 1}])
    send(world, endpoint)
    with another_session() as session:
        session.execute("select from webhook_endpoint where id = %s for no key update", [endpoint["id"]])
        run_until_closed(world)
    assert db.scalar("select failing_since from webhook_endpoint where id = %s", [endpoint["id"]]) is not None
    assert db.scalar("select status from webhook_event where endpoint_id = %s", [endpoint["id"]]) == "DELIVERED"
    # As time goes by: the failure, four days ago, and the success behind it.
    db.rows("update webhook_endpoint set failing_since = now() - interval '4 days' where id = %s", [endpoint["id"]])
    assert failing.watch() == 0
    state = db.row("select failing_since, warned_at from webhook_endpoint where id = %s", [endpoint["id"]])
    assert state == {"failing_since": None, "warned_at": None}


def told(business: Business, endpoint: dict[str, Any]) -> list[tuple[str, int]]:
    answer = business("GET", f"/events?endpoint_id={endpoint['id']}").json
    return [(event["data"]["state"], event["data"]["endpoint_id"]) for event in answer["data"]]  # type: ignore[index]


def age(endpoint: dict[str, Any], seconds: float) -> None:
    """It has failed for so long."""
    since = "now() - make_interval(secs => %s)"
    db.rows(
        f"update webhook_endpoint set failing_since = {since} where id = %s and failing_since is not null",
        [seconds, endpoint["id"]],
    )


def test_events_are_written_while_an_endpoint_is_made_or_recovered(world: World, database_url: str) -> None:
    endpoint = world.endpoint(world.customer)
    add = f"select events_add_v1(jsonb_build_array(customer_event_v1('message.sent', {world.customer})))"
    with closing(psycopg2.connect(database_url)) as stage, stage.cursor() as cursor:
        cursor.execute("set lock_timeout = '2s'")
        with db.transaction():
            endpoints.create(world.customer, {"url": None})
            recovery.begin(recovery.Filter(endpoint, datetime(2000, 1, 1, tzinfo=UTC)), 0, "the test")
            cursor.execute(add)
            stage.commit()
    assert db.scalar("select count(*) from webhook_event") == 1
