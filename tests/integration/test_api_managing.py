"""Keys that manage: they invite agents, make keys and connect channels, and make nobody who may more than they."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scripts.local.simulator.graph_accounts import WABA
from shared import config, db
from shared.models import Chatbot
from shared.people import users
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.integration.test_api_rules import post
from tests.integration.test_front_door_api import Business, ids_of, mine, other, path_of
from tests.integration.test_ledger_races import until_waiting
from tests.mail_server import mail_set_up
from web.api import keys, team

__all__ = ["mine", "other"]  # fixtures

BOT_TOKEN = "987654321:AAE-simulated-token-of-a-bot"


@pytest.fixture
def plain(door: FrontDoor, mine: Business) -> Business:
    """The same business with a key that does not manage."""
    business = Business(door, mine.customer)
    business.key = keys.create(mine.customer, "plain")
    return business


def answered(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json
    return found


def new_bot(business: Business) -> int:
    bot = Chatbot.insert(customer=business.customer, name="Nora", fallback_message="We are busy.")
    return int(db.scalar(bot.returning(Chatbot.id)))


def test_only_a_key_that_manages_may_and_no_answer_of_its_leaks(door: FrontDoor, mine: Business, plain: Business) -> None:
    ids, walked = ids_of(mine), 0
    for rule in door.app.url_map.iter_rules():
        if getattr(door.app.view_functions[rule.endpoint], "manages", False):
            for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
                refused = plain(method, path_of(rule.rule, ids), {})
                assert (refused.status_code, refused.mimetype) == (403, "application/problem+json"), rule.rule
                assert "--manages" in refused.text
                walked += 1
    assert walked == 9
    made = post(mine, "/keys", {"name": "till"}, "k-1")
    secret = answered(made, 201)["key"]
    assert secret == post(mine, "/keys", {"name": "till"}, "k-1").json["key"]  # type: ignore[index]
    replayed = post(plain, "/keys", {"name": "till"}, "k-1")
    assert (replayed.status_code, "sk_" in replayed.text.replace("Bearer sk_", "")) == (403, False)


def test_a_key_makes_others_that_do_not_manage_and_end_with_it(door: FrontDoor, mine: Business, other: Business) -> None:
    made = answered(mine("POST", "/keys", {"name": " order  system "}), 201)
    assert (made["name"], made["manages"]) == ("order system", False)
    assert answered(mine("POST", "/keys", {"name": "x", "manages": True}), 422)["errors"].keys() == {"manages"}
    assert mine("POST", "/keys", {"name": "\u200b"}).status_code == 422
    child = Business(door, mine.customer)
    child.key = made["key"]
    listed = answered(child("GET", "/keys"), 200)["data"]
    [shown] = [key for key in listed if key["id"] == made["id"]]
    assert {**shown, "key": made["key"]} == made
    assert "sk_" not in str(listed)
    assert child("POST", "/keys", {"name": "x"}).status_code == 403
    assert child("DELETE", f"/keys/{made['made_by']}").status_code == 403
    assert other("DELETE", f"/keys/{made['id']}").status_code == 404
    managing = answered(mine("DELETE", f"/keys/{made['made_by']}"), 409)
    assert "desk" in managing["detail"]
    desk = Visitor(door.app, person("owner", mine.customer))
    page = f"/desk/c/{mine.customer}/keys"
    assert "made by another key" in desk.get(page).text
    assert desk.post(f"{page}/{made['made_by']}/revoke").status_code == 303
    assert (mine("GET", "/keys").status_code, child("GET", "/keys").status_code) == (401, 401)


def test_a_key_that_is_revoked_at_that_moment_leaves_none_behind(mine: Business) -> None:
    owner = keys.owner_of(mine.key)
    assert owner is not None
    managing = owner.key_id
    with ThreadPoolExecutor(1) as pool:
        with db.transaction():
            made = keys.create(mine.customer, "till", made_by=managing)
            revoked = pool.submit(keys.revoke, managing, mine.customer)
            until_waiting(1)
        assert revoked.result(30) is not None
    assert keys.owner_of(made) is None
    with db.transaction(), pytest.raises(keys.KeyRevoked):
        keys.create(mine.customer, "till", made_by=managing)


def test_a_key_is_revoked(mine: Business) -> None:
    made = answered(mine("POST", "/keys", {"name": "till"}), 201)
    assert mine("DELETE", f"/keys/{made['id']}").status_code == 204
    assert mine("DELETE", f"/keys/{made['id']}").status_code == 404
    assert keys.owner_of(made["key"]) is None


def test_an_owner_makes_a_key_that_manages_at_the_desk(door: FrontDoor, mine: Business) -> None:
    desk, page = Visitor(door.app, person("owner", mine.customer)), f"/desk/c/{mine.customer}/keys"
    for manages in ("", "1"):
        shown = desk.post(page, name=f"sets up {manages}", **({"manages": manages} if manages else {})).text
        owner = keys.owner_of(re.findall(r"sk_[\w-]{43}", shown)[0])
        assert owner is not None
        assert owner.manages is bool(manages)


def test_an_agent_is_invited_by_link_where_there_is_no_mail(door: FrontDoor, mine: Business, other: Business) -> None:
    emma = answered(mine("POST", "/team", {"email": "Emma@Shop.example", "name": "Emma"}), 201)
    assert (emma["role"], emma["active"]) == ("agent", True)
    assert "/desk/link/" in emma["link"]
    assert answered(mine("POST", "/team", {"email": "emma@shop.example", "name": "E"}), 409)["detail"].startswith("emma@")
    for wrong, member in (({"email": "emma"}, "email"), ({"name": " "}, "name"), ({"role": "owner"}, "role")):
        refused = mine("POST", "/team", {"email": "tom@shop.example", "name": "Tom", **wrong})
        assert answered(refused, 422)["errors"].keys() == {member}
    again = answered(mine("POST", f"/team/{emma['id']}/link"), 200)["link"]
    assert again != emma["link"]
    client = door.app.test_client()
    path = re.sub(r"^https?://[^/]+", "", emma["link"])
    assert client.get(path).status_code in (404, 410), "the link before has ended"
    assert (
        other("POST", f"/team/{emma['id']}/link").status_code
        == other("PATCH", f"/team/{emma['id']}", {"active": False}).status_code
        == 404
    )
    off = answered(mine("PATCH", f"/team/{emma['id']}", {"active": False}), 200)
    assert off["active"] is False
    assert mine("POST", f"/team/{emma['id']}/link").status_code == 409
    assert answered(mine("PATCH", f"/team/{emma['id']}", {"active": True}), 200)["active"] is True


def test_owners_and_passwords_are_not_a_keys_to_change(mine: Business) -> None:
    owner, agent = person("owner", mine.customer), person("agent", mine.customer)
    for path, method, body in ((f"/team/{owner.id}", "PATCH", {"active": False}), (f"/team/{owner.id}/link", "POST", None)):
        assert "owner" in answered(mine(method, path, body), 409)["detail"]
    assert "has a password" in answered(mine("POST", f"/team/{agent.id}/link"), 409)["detail"]
    operator = person("operator", None)
    assert mine("PATCH", f"/team/{operator.id}", {"active": False}).status_code == 404


def test_an_agent_who_becomes_an_owner_at_that_moment_is_not_a_keys_to_invite(
    mine: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    emma = answered(mine("POST", "/team", {"email": "emma@shop.example", "name": "Emma"}), 201)
    monkeypatch.setattr(team, "check_invitations", lambda _customer: users.set_role(emma["id"], "owner"))
    assert "owner" in answered(mine("POST", f"/team/{emma['id']}/link"), 409)["detail"]


def test_an_invitation_goes_by_mail_and_its_link_to_nobody_else(mine: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_set_up(monkeypatch) as server:
        made = mine("POST", "/team", {"email": "emma@shop.example", "name": "Emma"})
        assert answered(made, 201)["link"] is None
        assert "/desk/link/" not in made.text
        assert "https://chat.example/desk/link/" in server.next()


def test_a_channel_is_connected_by_proof_checked_and_disconnected(
    mine: Business, other: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
    config.reset()
    bot = new_bot(mine)
    path, number = f"/channels/whatsapp_cloud/{bot}", {"phone_number_id": "5551000", "secret": "EAA-own"}
    for wrong, words in (({"phone_number_id": "5550404"}, "nobody with this token"), ({"secret": "EAA-REVOKED"}, "invalidated")):
        assert words in answered(mine("POST", path, {**number, **wrong}), 422)["detail"]
    assert "phone_number_id" in answered(mine("POST", path, {"secret": "x"}), 422)["errors"]
    assert "secret" in answered(mine("POST", path, {**number, "secret": "EAA…"}), 422)["errors"], "HTTP cannot carry it"
    assert other("POST", path, number).status_code == 404
    assert mine("GET", f"{path}/checks").status_code == 404, "it has none yet"
    made = answered(mine("POST", path, number), 201)
    assert (made["name"], made["chatbot_id"], made["state"]) == ("5551000", bot, "ok")
    assert "Disconnect it first" in answered(mine("POST", path, number), 409)["detail"]
    foreign = db.scalar("insert into chatbot (customer_id, name) values (%s, 'Theirs') returning id", [other.customer])
    assert "another chatbot" in answered(other("POST", f"/channels/whatsapp_cloud/{foreign}", number), 409)["detail"]
    checks = answered(mine("GET", f"{path}/checks"), 200)
    states = {check["name"]: (check["state"], check["problem"]) for check in checks["data"]}
    assert states["token"] == ("ok", None)
    assert states["webhook"] == ("problem", "webhook_missing")
    assert db.scalar("select waba_id from whatsapp_cloud_account where chatbot_id = %s", [bot]) == WABA
    assert mine("POST", f"{path}/subscribe").status_code == 204
    for method, address in (("DELETE", path), ("GET", f"{path}/checks"), ("POST", f"{path}/subscribe")):
        assert other(method, address).status_code == 404, address
    assert "EAA" not in str(db.rows("select * from audit_entry"))
    assert mine("DELETE", path).status_code == 204
    assert mine("DELETE", path).status_code == 404
    actions = db.rows("select action from audit_entry where action like 'channel.%%' order by id")
    assert [row["action"] for row in actions] == ["channel.connected", "channel.subscribed", "channel.disconnected"]


def test_a_session_is_made_and_its_code_is_shown_to_a_key_that_manages(
    mine: Business, plain: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/channels/whatsapp_qr/{new_bot(mine)}"
    assert "PUBLIC_URL" in answered(mine("POST", path, {"dialect": "waha"}), 422)["detail"]
    monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
    config.reset()
    assert answered(mine("POST", path, {"dialect": "other"}), 422)["errors"].keys() == {"dialect"}
    answered(mine("POST", path, {"dialect": "waha"}), 201)
    checked = answered(mine("GET", f"{path}/checks"), 200)
    assert checked["qr_code"].startswith("data:image/")
    assert plain("GET", f"{path}/checks").status_code == 403


def test_a_bot_is_connected_and_a_provider_that_is_away_is_said(door: FrontDoor, mine: Business) -> None:
    path = f"/channels/telegram/{new_bot(mine)}"
    assert "BotFather" in answered(mine("POST", path, {"secret": "no token"}), 422)["detail"]
    assert answered(mine("POST", path, {"secret": BOT_TOKEN}), 201)["name"] == BOT_TOKEN.partition(":")[0]
    door.world.simulator.faults([{"kind": "graph_account", "fault": "status", "status": 503}])
    away = mine("POST", f"/channels/whatsapp_cloud/{new_bot(mine)}", {"phone_number_id": "5551000", "secret": "EAA-own"})
    assert (away.status_code, away.headers["Retry-After"]) == (503, "60")


def test_a_gateway_that_fails_is_to_be_asked_again(door: FrontDoor, mine: Business, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
    config.reset()
    path = f"/channels/whatsapp_qr/{new_bot(mine)}"
    for status in (502, 429):
        door.world.simulator.faults([{"kind": "waha", "fault": "status", "status": status}])
        away = mine("POST", path, {"dialect": "waha"})
        assert (away.status_code, away.headers.get("Retry-After")) == (503, "60")
        assert f"the gateway answers HTTP {status}" in away.get_json()["detail"]
    assert mine("DELETE", path).status_code == 404  # nothing is left of it
    door.world.simulator.faults([{"kind": "waha", "fault": "status", "status": 403}])
    assert mine("POST", path, {"dialect": "waha"}).status_code == 422


def test_a_subscription_that_meta_cannot_make_now_is_to_be_asked_for_again(door: FrontDoor, mine: Business) -> None:
    path = f"/channels/whatsapp_cloud/{new_bot(mine)}"
    answered(mine("POST", path, {"phone_number_id": "5551000", "secret": "EAA-own", "waba_id": WABA}), 201)
    door.world.simulator.faults([{"kind": "graph_account", "fault": "status", "status": 503}])
    away = mine("POST", f"{path}/subscribe")
    assert (away.status_code, away.headers.get("Retry-After")) == (503, "60")
