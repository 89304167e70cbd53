"""Each change that the API makes is a row of the audit, in the transaction of the change, and says by which key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scripts.local.simulator.graph_accounts import WABA
from shared import db
from tests.integration.desk_pages import person
from tests.integration.front_door import FrontDoor
from tests.integration.test_api_rules import api_routes
from tests.integration.test_front_door_api import BODIES, Business, ids_of, mine, path_of
from web.desk.audit_log import ACTIONS

__all__ = ["mine"]  # a fixture


#: What leaves no row, and why.
NO_ROW = {
    "send_message": "a message is its own record: metadata.source says that the API sent it",
    "resend_message": "as send_message: it is a new message",
    "create_note": "a note is its own record: it has an author and a time",
}
#: Routes whose bodies may leave out everything.
UPDATES = ("update_chatbot", "update_base", "update_item", "update_endpoint")
#: In bodies, where no audit may have it.
SECRET = "secret-4711"
#: What a route needs, before it has something to do.
PREPARED = {
    "retry_channel": "insert into channel_health (channel, chatbot_id, state, reason, since)"
    " values ('whatsapp_cloud', {chatbot_id}, 'held', 'payment_missing', now())"
    " on conflict (channel, chatbot_id) do update set state = 'held', reason = 'payment_missing'",
    "sync_templates": "insert into whatsapp_business (waba_id) values ('waba-1') on conflict do nothing;"
    " update whatsapp_cloud_account set waba_id = 'waba-1' where chatbot_id = {chatbot_id}",
    "subscribe_channel": f"insert into whatsapp_business (waba_id) values ('{WABA}') on conflict do nothing;"
    f" update whatsapp_cloud_account set waba_id = '{WABA}' where chatbot_id = {{chatbot_id}}",
    "stop_source": "update knowledge_source set state = 'listing' where id = {source_id}",
    "retry_source": "update knowledge_source set state = 'failed', error = 'x' where id = {source_id}",
    "sync_source": "update knowledge_source set state = 'listed' where id = {source_id}",
    "redeliver_event": "update webhook_event set status = 'DELIVERED', delivered_at = now() where id = {event_id}",
    "answer_gap": "update knowledge_gap set closed_at = null, knowledge_item_id = null where id = {gap_id}",
    "dismiss_gap": "update knowledge_gap set closed_at = null, knowledge_item_id = null where id = {gap_id}",
    "recover_endpoint": "update bulk_action set state = 'stopped', stopped_by = 'x', finished_at = now() where kind = 'recover'",
    "stop_recovery": "update bulk_action set state = 'running', stopped_by = null, finished_at = null where kind = 'recover'",
}
#: Rows of a route's own: that may be deleted, or has no account yet.
OWN_ROW = {
    "connect_channel": ("chatbot_id", "insert into chatbot (customer_id, name) values ({customer}, 'Nora') returning id"),
    "delete_chatbot": ("chatbot_id", "insert into chatbot (customer_id, name) values ({customer}, 'Otto') returning id"),
    "delete_base": ("base_id", "insert into knowledge_base (customer_id, name) values ({customer}, 'Empty') returning id"),
}
_SECRETS = {
    "create_endpoint": {"url": f"https://x.example/{SECRET}?key={SECRET}", "headers": [{"name": "X-Key", "value": SECRET}]},
    "update_endpoint": {"headers": [{"name": "X-Key", "value": SECRET}], "rotate_secret": True, "paused": True, "active": True},
    "replace_credentials": {"secret": SECRET},
    "connect_channel": {"phone_number_id": "4711", "secret": SECRET},
    "save_quick_reply": {"shortcut": "theirs", "content": SECRET},
    "import_source": {"url": f"https://theirs.example/?key={SECRET}"},
    "create_chatbot": {"name": "Theirs", "system_prompt": SECRET},
    "update_chatbot": {"system_prompt": SECRET},
    "create_item": {"title": "Theirs", "content": SECRET},
    "update_item": {"content": SECRET},
    "answer_gap": {"content": SECRET},
}


def changing(door: FrontDoor) -> list[tuple[str, str, str]]:
    """Method, address and name of each route that changes something, deletions last."""
    found = [(method, path, view.__name__) for method, path, view in api_routes(door.app) if method != "GET"]
    return sorted(found, key=lambda route: (route[0] == "DELETE", route[2] == "erase_contact"))


def requests(door: FrontDoor, business: Business) -> Iterator[tuple[str, str, str, Any]]:
    """Each with what it needs: method, path, name and body."""
    ids = ids_of(business)
    for method, address, name in changing(door):
        own = dict(ids)
        if name in OWN_ROW:
            which, sql = OWN_ROW[name]
            own[which] = db.scalar(sql.format(customer=business.customer))
        if name in PREPARED:
            db.rows(PREPARED[name].format(**ids))
        body = _SECRETS.get(name, BODIES.get(name))
        yield method, path_of(address, own), name, {"tokens": 5_000} if name == "set_budget" else body


def rows_of(business: Business) -> list[dict[str, Any]]:
    return db.rows("select * from audit_entry where customer_id = %s order by id", [business.customer])


def test_each_change_leaves_a_row_that_says_by_which_key(door: FrontDoor, mine: Business) -> None:
    walked = []
    for method, path, name, body in requests(door, mine):
        before, key = len(rows_of(mine)), {"Idempotency-Key": f"walk-{name}"}
        answer = mine(method, path, body, **key)
        assert answer.status_code in (200, 201, 202, 204), (method, path, answer.text)
        new = rows_of(mine)[before:]
        assert bool(new) is (name not in NO_ROW), (method, path)
        for row in new:
            assert row["user_id"] is None, name
            assert (row["details"]["by"], row["details"]["key"]) == ("API", "test"), name
            assert row["action"] in ACTIONS, row["action"]
        if method == "POST":
            mine(method, path, body, **key)
            assert len(rows_of(mine)) == before + len(new), f"{name}: the same request once more is no change"
        walked.append(name)
    assert set(walked) >= NO_ROW.keys()
    assert len(walked) >= 35
    assert SECRET not in str(rows_of(mine))
    assert "When" not in str(rows_of(mine)), "what a customer wrote"


@pytest.mark.usefixtures("few_words")
def test_what_names_nothing_changes_nothing_and_is_not_recorded(door: FrontDoor, mine: Business) -> None:
    ids = ids_of(mine)
    paths = [path_of(address, ids) for _, address, name in changing(door) if name in UPDATES]
    assert len(paths) == len(UPDATES)
    before, recorded = everything(), rows_of(mine)
    for path in paths:
        assert mine("PATCH", path, {}).status_code == 200, path
        assert (everything(), rows_of(mine)) == (before, recorded), path


@pytest.fixture
def few_words(mine: Business) -> None:
    """Without the hundred thousand common words of each database, of which a fingerprint takes a second."""
    db.rows("truncate knowledge_common_word")


def everything() -> dict[str, Any]:
    """A fingerprint of each table, but of the audit."""
    tables = db.rows("select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace")
    names = sorted(row["relname"] for row in tables if row["relname"] != "audit_entry")
    prints = {name: f"select md5(string_agg(t::text, '' order by t::text)) from {name} t" for name in names}
    return {name: db.scalar(sql) for name, sql in prints.items()}


@pytest.mark.usefixtures("few_words")
def test_what_cannot_be_recorded_does_not_happen(door: FrontDoor, mine: Business) -> None:
    walked = 0
    for method, path, name, body in requests(door, mine):
        if name in NO_ROW:
            continue
        db.rows("alter table audit_entry add constraint no_record check (false) not valid")
        before = everything()
        answer = mine(method, path, body)
        assert answer.status_code == 500, (method, path, answer.text)
        assert {table for table, content in everything().items() if content != before[table]} == set(), (method, path)
        db.rows("alter table audit_entry drop constraint no_record")
        walked += 1
    assert walked >= 32


def test_who_answers_is_recorded_with_the_colleague(mine: Business) -> None:
    emma = person("agent", mine.customer, "Emma")
    talk = db.scalar("select id from conversation")
    for change in ({"owner": "person", "assigned_to": emma.id}, {"owner": "bot"}, {"owner": "closed"}):
        assert mine("PATCH", f"/conversations/{talk}", change).status_code == 200
    given, returned, closed = rows_of(mine)
    assert (given["action"], given["subject_id"], given["details"]["user"]) == ("conversation.assigned", talk, emma.id)
    assert (returned["action"], closed["action"]) == ("conversation.returned", "conversation.closed")


@pytest.mark.parametrize(
    ("change", "actions"),
    [
        ({"paused": True}, {"webhook.paused"}),
        ({"paused": False, "active": False}, {"webhook.resumed", "webhook.disabled"}),
        ({"rotate_secret": True}, {"webhook.secret_rotated"}),
        ({"description": "Orders", "events": ["message.sent"]}, {"webhook.changed"}),
        ({}, set()),
    ],
)
def test_a_change_of_an_endpoint_is_called_as_at_the_desk(mine: Business, change: dict[str, Any], actions: set[str]) -> None:
    endpoint = db.scalar("select id from webhook_endpoint")
    assert mine("PATCH", f"/webhook-endpoints/{endpoint}", change).status_code == 200
    assert {row["action"] for row in rows_of(mine)} == actions
