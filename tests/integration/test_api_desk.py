"""What people do at the desk, by the API: notes, quick replies, a colleague's conversation, a second try, team and audit."""

from __future__ import annotations

from typing import Any

from scripts.local.simulator.client import Simulator
from shared import db
from shared.people import audit
from shared.privacy import erasure
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_api_rules import post
from tests.integration.test_front_door_api import Business, mine, other, talk

__all__ = ["mine", "other"]  # fixtures


def data(business: Business, path: str) -> list[dict[str, Any]]:
    answer = business("GET", path)
    assert answer.status_code == 200, answer.text
    rows: list[dict[str, Any]] = answer.json["data"]  # type: ignore[index]
    return rows


def test_a_note_is_for_colleagues_and_goes_with_the_person(mine: Business) -> None:
    path = f"/conversations/{talk()}/notes"
    sent = db.scalar("select count(*) from message")
    assert post(mine, path, {"content": "Call back", "author": "CRM"}, "n-1").status_code == 201
    assert post(mine, path, {"content": "Paid"}, "n-2").json["author"] == "API"  # type: ignore[index]
    assert [(note["author"], note["content"]) for note in data(mine, path)] == [("API", "Paid"), ("CRM", "Call back")]
    first = mine("GET", f"{path}?limit=1").json
    assert first is not None
    assert [note["content"] for note in data(mine, f"{path}?before={first['next']}")] == ["Call back"]
    for wrong in ({"content": " "}, {"content": "x" * 10_001}, {"content": "x", "author": "x" * 201}):
        assert mine("POST", path, wrong).status_code == 422
    assert db.scalar("select count(*) from message") == sent
    # Also what was answered under the number of a conversation that has become a part of this one.
    db.rows("insert into merged_conversation (id, conversation_id) values (4711, %s)", [talk()])
    assert post(mine, "/conversations/4711/notes", {"content": "Late"}, "n-3").status_code == 201
    erasure.erase(mine.customer, db.scalar("select id from contact"))
    for table in ("conversation_note", "kept_answer"):
        assert db.scalar(f"select count(*) from {table}") == 0, table


def test_quick_replies_are_saved_replaced_and_deleted(mine: Business) -> None:
    saved = mine("POST", "/quick-replies", {"shortcut": "hours", "content": "Nine to five."}).json
    again = mine("POST", "/quick-replies", {"shortcut": "hours", "content": "Ten to six."}).json
    assert saved is not None
    assert data(mine, "/quick-replies") == [again] == [{**saved, "content": "Ten to six."}]
    assert mine("POST", "/quick-replies", {"shortcut": "Hours!", "content": "x"}).status_code == 422
    assert mine("DELETE", f"/quick-replies/{saved['id']}").status_code == 204
    assert mine("DELETE", f"/quick-replies/{saved['id']}").status_code == 404
    assert data(mine, "/quick-replies") == []


def test_the_501st_quick_reply_is_refused_and_none_is_hidden(mine: Business, other: Business) -> None:
    db.rows(
        "insert into quick_reply (customer_id, shortcut, content) select %s, 'r-' || n, 'x' from generate_series(1, 500) n",
        [mine.customer],
    )
    refused = mine("POST", "/quick-replies", {"shortcut": "hours", "content": "x"})
    assert (refused.status_code, refused.mimetype) == (409, "application/problem+json")
    assert "at most 500 quick replies" in refused.json["detail"]  # type: ignore[index]
    assert mine("POST", "/quick-replies", {"shortcut": "r-7", "content": "y"}).json["content"] == "y"  # type: ignore[index]
    assert other("POST", "/quick-replies", {"shortcut": "hours", "content": "x"}).status_code == 200
    db.rows("insert into quick_reply (customer_id, shortcut, content) values (%s, 'zulu', 'from before')", [mine.customer])
    assert data(mine, "/quick-replies")[-1]["shortcut"] == "zulu"
    desk = Visitor(mine._client.application, person("agent", mine.customer))
    shown = desk.post(f"/desk/c/{mine.customer}/quick-replies", shortcut="hours", content="Nine to five.")
    assert (shown.status_code, "at most 500 quick replies" in shown.text, "Nine to five." in shown.text) == (409, True, True)


def test_a_conversation_is_given_to_a_colleague_and_the_business_hears_of_each(door: FrontDoor, mine: Business) -> None:
    emma, tom = person("agent", mine.customer, "Emma"), person("agent", mine.customer, "Tom")
    gone = person("agent", mine.customer, "Gone")
    db.rows("update app_user set disabled_at = now() where id = %s", [gone.id])
    path, give = f"/conversations/{talk()}", {"owner": "person", "return_after_minutes": 30}
    for user in (emma, tom):
        given = mine("PATCH", path, {**give, "assigned_to": user.id})
        assert (given.status_code, given.json["assigned_to"]) == (200, user.id)  # type: ignore[index]
        assert given.json["returns_at"] is not None  # type: ignore[index]
    told = db.rows("select payload from webhook_event where event = 'conversation.assigned' order by id")
    assert [(row["payload"]["owner"], row["payload"]["by"]) for row in told] == [("person", "api")] * 2
    for user in (gone.id, 999_999):
        unknown = mine("PATCH", path, {**give, "assigned_to": user})
        assert (unknown.status_code, (unknown.json or {}).get("errors")) == (
            422,
            {"assigned_to": "there is no such colleague who may log in; GET /team lists them"},
        )
    assert mine("PATCH", "/conversations/999999", {**give, "assigned_to": gone.id}).status_code == 404
    refused = mine("PATCH", path, {"owner": "bot", "assigned_to": emma.id})
    assert (refused.status_code, refused.json["errors"]) == (  # type: ignore[index]
        422,
        {"assigned_to": f"must come with the owner person (got {emma.id})"},
    )
    for owner in ("bot", "closed"):
        ignored = mine("PATCH", path, {"owner": owner, "return_after_minutes": 30})
        wrong = {"return_after_minutes": "must come with the owner person (got 30)"}
        assert (ignored.status_code, (ignored.json or {}).get("errors")) == (422, wrong)
    assert mine("PATCH", path, {"owner": "bot"}).json["assigned_to"] is None  # type: ignore[index]


def test_what_failed_is_sent_once_more_and_once_only(door: FrontDoor, mine: Business, simulator: Simulator) -> None:
    door.world.say(channel="whatsapp_cloud", user="4912345")
    door.world.drain()
    failed = db.row("select id, conversation_id, content from message where role = 'assistant' and channel = 'whatsapp_cloud'")
    assert failed is not None
    path = f"/conversations/{failed['conversation_id']}/messages/{failed['id']}/retry"
    assert mine("POST", path).status_code == 404, "it did not fail"
    db.rows("update message set status = 'FAILED', error = 'no' where id = %s", [failed["id"]])
    first, again = mine("POST", path), mine("POST", path)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json["id"] == again.json["id"] != failed["id"]  # type: ignore[index]
    door.world.drain()
    assert [sent["text"] for sent in simulator.record("graph")] == [failed["content"]] * 2
    assert mine("GET", f"/conversations/{failed['conversation_id']}").json["owner"] == "bot"  # type: ignore[index]


def test_team_and_audit_are_read(mine: Business, other: Business) -> None:
    emma = person("owner", mine.customer, "Emma")
    for number in range(3):
        audit.record("chatbot.changed", "chatbot", 1, {"name": f"Otto {number}"}, user=emma, customer_id=mine.customer)
    audit.record("contact.erased", "contact", 7, {"by": "API"}, user=None, customer_id=mine.customer)
    assert data(mine, "/team") == [{"id": emma.id, "name": "Emma", "role": "owner", "active": True}]
    newest = data(mine, "/audit")[0]
    assert (newest["action"], newest["user_id"], newest["details"]) == ("contact.erased", None, {"by": "API"})
    page = mine("GET", "/audit?action=chatbot&limit=2").json
    assert page is not None
    assert [entry["details"]["name"] for entry in page["data"]] == ["Otto 2", "Otto 1"]
    assert {entry["user_name"] for entry in page["data"]} == {"Emma"}
    rest = mine("GET", f"/audit?action=chatbot.changed&limit=2&before={page['next']}").json
    assert rest is not None
    assert ([entry["details"]["name"] for entry in rest["data"]], rest["next"]) == (["Otto 0"], None)
    assert mine("GET", "/audit?action=x%00").status_code == 400
    assert data(other, "/team") == data(other, "/audit") == []
