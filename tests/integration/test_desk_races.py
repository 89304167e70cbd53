"""Two colleagues do the same at the same moment: it is done, and recorded, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from shared import db
from shared.errors import Refused
from shared.models import AuditEntry
from shared.people import links, passwords, users
from shared.privacy import erasure
from tests.builders import World
from tests.integration.desk_pages import PASSWORD, Visitor, knowledge_of, person, webhook
from tests.integration.test_ledger_races import until_waiting
from web.api import keys
from web.app import create_app

#: What is deleted: its table, its address, and the audit's word.
DELETED = (
    ("knowledge_item", "knowledge/{base}/items/{id}/delete", "knowledge.item_deleted"),
    ("knowledge_source", "knowledge/{base}/sources/{id}/delete", "knowledge.source_delete"),
    ("knowledge_base", "knowledge/{id}/delete", "knowledge.base_deleted"),
    ("webhook_endpoint", "webhooks/{id}/delete", "webhook.deleted"),
    ("chatbot", "chatbots/{id}/delete", "chatbot.deleted"),
)


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


@pytest.mark.parametrize(("table", "address", "action"), DELETED, ids=[one[0] for one in DELETED])
def test_of_two_who_delete_at_once_one_has_done_it(app: Flask, world: World, table: str, address: str, action: str) -> None:
    base, owner = knowledge_of(world)["base"], person("owner", world.customer)
    webhook(world)
    browsers = [Visitor(app, owner), Visitor(app, owner)]
    browsers[0].post(f"/desk/c/{world.customer}/chatbots", name="Nobody has spoken to it")
    row = db.scalar(f"select max(id) from {table}")
    if table == "knowledge_base":
        db.rows("update chatbot set knowledge_base_id = null where knowledge_base_id = %s", [row])
    forms = [({"csrf_token": one.token()}, one.client) for one in browsers]
    path = f"/desk/c/{world.customer}/{address.format(base=base, id=row)}"
    with ThreadPoolExecutor(2) as pool, db.transaction():
        db.rows(f"select from {table} where id = %s for update", [row])
        answers = [pool.submit(client.post, path, data=form) for form, client in forms]
        until_waiting(2)
    assert {answer.result(30).status_code for answer in answers} <= {303, 404}
    assert len(db.rows(AuditEntry.select().where(AuditEntry.action == action))) == 1
    assert db.scalar(f"select count(*) from {table} where id = %s", [row]) == 0


def test_of_two_who_save_a_quick_reply_at_once_one_is_told(app: Flask, world: World) -> None:
    browsers = [Visitor(app, person("agent", world.customer, name)) for name in ("Emma", "Emil")]
    path = f"/desk/c/{world.customer}/quick-replies"
    tokens = [(one.client, {"csrf_token": one.token(), "shortcut": "hours"}) for one in browsers]

    def save_both(text: str, **more: Any) -> list[int]:
        with ThreadPoolExecutor(2) as pool, db.transaction():
            db.rows("lock table quick_reply in share row exclusive mode")  # both have read by then, and neither has written
            contents = [(client, {**form, **more, "content": f"{text} of {at}"}) for at, (client, form) in enumerate(tokens)]
            answers = [pool.submit(client.post, path, data=form) for client, form in contents]
            until_waiting(2)
        return sorted(answer.result(30).status_code for answer in answers)

    assert save_both("New") == [303, 409]
    assert save_both("Changed", reply=db.scalar("select id from quick_reply")) == [303, 409]
    assert len(db.rows(AuditEntry.select().where(AuditEntry.action == "quick_reply.saved"))) == 2


def test_who_was_only_invited_is_no_other_owner(world: World) -> None:
    olga = person("owner", world.customer, "Olga")
    omar = users.create("omar@example.com", "Omar", "owner", world.customer)
    for change in (lambda: users.disable(olga.id), lambda: users.set_role(olga.id, "agent")):
        with pytest.raises(Refused, match="last owner"):
            change()
    users.set_password(omar.id, "correct horse battery")
    users.disable(olga.id)


def test_an_invitation_is_withdrawn_before_anybody_has_come(world: World) -> None:
    stranger = users.create("olag@example.com", "Olga", "owner", world.customer)  # her address, mistyped
    token = links.for_user(stranger).rpartition("/")[2]
    users.disable(stranger.id)
    assert users.require(stranger.id).disabled_at is not None
    assert links.find(token) is None


def test_who_knew_the_old_password_does_not_undo_the_new_one(app: Flask, world: World) -> None:
    emma = person("agent", world.customer)
    thief = Visitor(app, emma)
    form = {"csrf_token": thief.token(), "current": PASSWORD, "password": "of the thief alone", "again": "of the thief alone"}
    new = passwords.hashed("of Emma and nobody else")
    with ThreadPoolExecutor(1) as pool, db.transaction():
        users.set_password_hash(emma.id, new)
        answer = pool.submit(thief.client.post, "/desk/profile/password", data=form)
        until_waiting(1)
    assert answer.result(30).location.startswith("/desk/login")
    assert users.require(emma.id).password_hash == new
    assert "/desk/login" in thief.get("/desk/profile").location


def test_a_key_gets_no_link_to_who_chose_a_password_at_that_moment(app: Flask, world: World) -> None:
    emma = users.create("emma@example.com", "Emma", "agent", world.customer)
    headers = {"Authorization": f"Bearer {keys.create(world.customer, 'people', manages=True)}"}
    new = passwords.hashed("of Emma and nobody else")
    with ThreadPoolExecutor(1) as pool, db.transaction():
        users.set_password_hash(emma.id, new)
        answer = pool.submit(app.test_client().post, f"/api/v1/team/{emma.id}/link", headers=headers)
        until_waiting(1)
    refused = answer.result(30)
    assert (refused.status_code, "has a password" in refused.text) == (409, True)


@pytest.mark.parametrize("what", ["notes", "take", "bot", "closed"])
def test_what_is_done_follows_a_conversation_into_another(app: Flask, world: World, what: str) -> None:
    names = ["4917012345", "77123@lid"]
    for name in names:
        world.say(channel="whatsapp_qr", user=name)
    world.drain()
    newer = db.scalar("select max(id) from conversation")
    emma = Visitor(app, person("agent", world.customer))
    form = {"csrf_token": emma.token(), "content": "Call back", "key": "k-1"}
    path = f"/desk/c/{world.customer}/conversations/{newer}/{what}"
    with ThreadPoolExecutor(1) as pool, db.transaction():
        db.rows("select contact_learn_v1(%s, 'whatsapp_qr', %s)", [world.chatbot, names])
        answer = pool.submit(emma.client.post, path, data=form)
        until_waiting(1)
    assert answer.result(30).status_code == 303
    owner, notes = db.row("select owner, (select count(*) from conversation_note) as notes from conversation").values()
    assert (owner, notes) == {"notes": ("bot", 1), "take": ("person", 0), "bot": ("bot", 0), "closed": ("closed", 0)}[what]


@pytest.mark.parametrize("what", ["notes", "take", "bot", "closed", "messages"])
def test_nothing_is_done_to_a_conversation_that_is_erased_meanwhile(app: Flask, world: World, what: str) -> None:
    world.say()
    world.drain()
    found, contact = db.row("select id, contact_id from conversation").values()
    emma = Visitor(app, person("agent", world.customer))
    form = {"csrf_token": emma.token(), "content": "Call back", "key": "k-1"}
    with ThreadPoolExecutor(1) as pool, db.transaction():
        erasure.erase(world.customer, contact)
        answer = pool.submit(emma.client.post, f"/desk/c/{world.customer}/conversations/{found}/{what}", data=form)
        until_waiting(1)
    assert answer.result(30).status_code == 404
    assert not db.rows("select from audit_entry where action like 'conversation.%%'")


@pytest.mark.parametrize(
    ("method", "what", "body"),
    [
        ("post", "/notes", {"content": "Call back"}),
        ("patch", "", {"owner": "closed"}),
        ("patch", "", {"owner": "person", "assigned_to": 0}),
    ],
)
def test_nor_does_the_api(app: Flask, world: World, method: str, what: str, body: dict[str, Any]) -> None:
    world.say()
    world.drain()
    found, contact = db.row("select id, contact_id from conversation").values()
    emma, headers = person("agent", world.customer), {"Authorization": f"Bearer {keys.create(world.customer, 'test')}"}
    given = {**body, **({"assigned_to": emma.id} if "assigned_to" in body else {})}
    with ThreadPoolExecutor(1) as pool, db.transaction():
        erasure.erase(world.customer, contact)
        call = getattr(app.test_client(), method)
        answer = pool.submit(call, f"/api/v1/conversations/{found}{what}", json=given, headers=headers)
        until_waiting(1)
    assert answer.result(30).status_code == 404
    assert not db.rows("select from audit_entry where action like 'conversation.%%'")
