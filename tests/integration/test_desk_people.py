"""The desk's people at work: invitations, roles, mail, API keys, the audit."""

from __future__ import annotations

import html
import os
import re

import psycopg2
import pytest
from flask import Flask
from peewee import fn

from scripts.commands import users
from shared import db
from shared.models import ApiKey, AuditEntry
from shared.people import users as people
from tests.builders import World
from tests.integration.desk_pages import PASSWORD, Visitor, furnish, person
from tests.integration.test_front_door_commands import run
from tests.mail_server import mail_set_up
from web.api import keys
from web.app import create_app


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def test_an_owner_invites_changes_and_ends(app: Flask, world: World) -> None:
    owner = person("owner", world.customer)
    browser, team = Visitor(app, owner), f"/desk/c/{world.customer}/team"
    assert "not an e-mail address" in browser.post(team, email="nobody", name="Ines", role="agent").text
    answer = browser.post(team, email="ines@shop.example", name="Ines <b>", role="operator")
    path = link_on(answer.text)
    assert "Ines &lt;b&gt;" in answer.text
    member = people.find("ines@shop.example")
    assert member is not None
    assert member.role == "agent"
    invited = Visitor(app)
    assert invited.post(path, password=PASSWORD, again=PASSWORD).status_code == 303
    assert browser.post(f"{team}/{member.id}/role", role="operator").status_code == 409
    assert browser.post(f"{team}/{member.id}/role", role="owner").status_code == 303
    assert invited.get(team).status_code == 200
    assert browser.post(f"{team}/{member.id}/disable").status_code == 303
    assert invited.get(team).status_code == 303
    assert browser.post(f"{team}/{owner.id}/disable").status_code == 409
    stranger = person("agent", world.tenant()[0])
    assert browser.post(f"{team}/{stranger.id}/disable").status_code == 404
    recorded = [row["action"] for row in db.rows(AuditEntry.select().where(AuditEntry.user == owner.id).order_by(AuditEntry.id))]
    assert recorded == ["user.logged_in", "user.invited", "user.link_made", "user.role_changed", "user.disabled"]
    assert path.rpartition("/")[2] not in str(db.rows(AuditEntry.select()))


@pytest.mark.parametrize(
    ("role", "made", "how", "is_told"),
    [
        ("owner", True, "disable", True),
        ("owner", True, "role", True),
        ("owner", False, "disable", False),
        ("agent", True, "disable", False),
    ],
)
def test_who_ends_an_owner_is_told_that_keys_go_on(
    app: Flask, world: World, role: str, made: bool, how: str, is_told: bool
) -> None:
    if made:
        keys.create(world.customer, "shop")
    browser, leaver = Visitor(app, person("owner", world.customer)), person(role, world.customer, "Leo")
    team = f"/desk/c/{world.customer}/team"
    assert browser.post(f"{team}/{leaver.id}/{how}", role="agent").status_code == 303
    assert ("API keys that Leo knows still work" in browser.get(team).text) is is_told


def test_an_agents_link_makes_no_owner(app: Flask, world: World) -> None:
    """An API key may invite agents, and is shown their links; owners are the desk's to make."""
    browser, team = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/team"
    agents = link_on(browser.post(team, email="ines@shop.example", name="Ines", role="agent").text)
    member = people.find("ines@shop.example")
    assert member is not None
    owners = link_on(browser.post(f"{team}/{member.id}/role", role="owner").text)
    invited = Visitor(app)
    assert "/desk/login" in invited.get(team).headers["Location"]
    invited.post(agents, password=PASSWORD, again=PASSWORD)
    assert invited.get(team).status_code == 303, "still nobody"
    assert invited.post(owners, password=PASSWORD, again=PASSWORD).status_code == 303
    assert invited.get(team).status_code == 200
    assert browser.post(f"{team}/{member.id}/role", role="agent").status_code == 303


def link_on(page: str) -> str:
    return "/desk/link/" + page.split("/desk/link/")[1][:43]


def test_a_key_is_shown_once_and_works_until_it_is_revoked(app: Flask, world: World) -> None:
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/keys"
    key = re.search(r"sk_[\w-]{43}", browser.post(page, name="order system").text)
    assert key
    assert key[0] not in browser.get(page).text
    headers = {"Authorization": f"Bearer {key[0]}"}
    assert app.test_client().get("/api/v1/conversations", headers=headers).status_code == 200
    other = keys.create(world.tenant()[0], "another's")
    foreign = db.scalar(ApiKey.select(fn.max(ApiKey.id)))
    assert browser.post(f"{page}/{foreign}/revoke").status_code == 404
    assert keys.owner_of(other) is not None
    own = db.scalar(ApiKey.select(ApiKey.id).where(ApiKey.name == "order system"))
    assert browser.post(f"{page}/{own}/revoke").status_code == 303
    assert app.test_client().get("/api/v1/conversations", headers=headers).status_code == 401


def test_the_audit_pages_and_filters(app: Flask, world: World) -> None:
    furnish(world)
    browser, page = Visitor(app, person("owner", world.customer)), f"/desk/c/{world.customer}/audit"
    first = browser.get(page)
    more = re.search(r'href="([^"]+)"[^>]*rel="next"', first.text)
    assert more
    second = browser.get(html.unescape(more[1]))
    assert first.text.count("<li>\n") + second.text.count("<li>\n") >= 60
    assert 'rel="next"' not in second.text
    assert "&lt;b&gt;Emma" in first.text
    assert "No entry matches" in browser.get(f"{page}?kind=key&before=99999999999999999999&user=x").text


def test_nobody_grants_himself_the_right_to_read(app: Flask, world: World) -> None:
    olga, oleg = person("operator", None, "Olga"), person("operator", None, "Oleg")
    browser = Visitor(app, olga)
    assert browser.post(f"/desk/operate/people/{olga.id}/texts", allowed="1").status_code == 409
    assert browser.post(f"/desk/operate/people/{oleg.id}/texts", allowed="1").status_code == 303
    assert not people.require(olga.id).can_read_texts
    assert people.require(oleg.id).can_read_texts
    agent = person("agent", world.customer)
    assert browser.post(f"/desk/operate/people/{agent.id}/texts", allowed="1").status_code == 404


def test_a_forgotten_password_goes_by_mail_and_tells_nobody_who_exists(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = person("agent", world.customer)
    assert "Ask an owner" in Visitor(app).get("/desk/forgotten").text
    with mail_set_up(monkeypatch, sender="Switchboard <desk@host.example>") as server:
        browser = Visitor(app)
        with psycopg2.connect(os.environ["DATABASE_URL"]) as elsewhere:  # nor by waiting longer
            elsewhere.cursor().execute("lock table user_link")
            pages = [browser.post("/desk/forgotten", email=address) for address in (user.email, "nobody@shop.example")]
        assert (pages[0].status_code, pages[0].text) == (200, pages[1].text)
        letter = server.next()
        assert f"To: {user.email}" in letter
        path = re.search(r"https://chat\.example(/desk/link/[\w-]{43})", letter)
        assert path
        assert browser.post(path[1], password="another horse battery", again="another horse battery").status_code == 303
        owner = Visitor(app, person("owner", world.customer))
        answer = owner.post(f"/desk/c/{world.customer}/team", email="ines@shop.example", name="Ines", role="agent")
        assert "A link was sent to ines@shop.example" in answer.text
        assert "To: ines@shop.example" in server.next()
    answer = owner.post(f"/desk/c/{world.customer}/team", email="jan@shop.example", name="Jan", role="agent")
    assert "could not be sent" in answer.text
    assert "https://chat.example/desk/link/" in answer.text


def test_who_asks_for_links_of_somebody_else_ends_none_that_was_sent(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = person("agent", world.customer)
    with mail_set_up(monkeypatch) as server:
        stranger = Visitor(app)
        letters = []
        for _ in range(2):
            stranger.post("/desk/forgotten", email=user.email)
            letters.append(server.next())
        first, second = (re.findall(r"https://chat\.example(/desk/link/[\w-]{43})", letter)[0] for letter in letters)
        browser = Visitor(app)
        assert browser.post(first, password="another horse battery", again="another horse battery").status_code == 303
        assert stranger.get(second).status_code == 404, "with the password all of them end"


@pytest.mark.parametrize("name", ["Ines, your desk moved to evil.example/login", "ines@evil.example", "Call 0900 4711 now! " * 4])
def test_a_letter_takes_nobody_elsewhere_by_the_name_of_whom_it_invites(
    app: Flask, world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    owner = Visitor(app, person("owner", world.customer))
    with mail_set_up(monkeypatch) as server:
        owner.post(f"/desk/c/{world.customer}/team", email="ines@shop.example", name=name, role="agent")
        odd = server.next()
        owner.post(f"/desk/c/{world.customer}/team", email="jan@shop.example", name="Jan O'Neill Jr.", role="agent")
        usual = server.next()
    assert "Hello ines@shop.example,\n" in odd.replace("\r\n", "\n")
    assert "Hello Jan O'Neill Jr.,\n" in usual.replace("\r\n", "\n")


def test_the_command_makes_no_link_for_somebody_without_access(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    ina = person("agent", world.customer)
    assert run(users, "disable", ina.email) == 0
    assert run(users, "link", ina.email) == 1
    assert "Give it back first" in capsys.readouterr().err
    assert run(users, "enable", ina.email) == 0
    assert run(users, "link", ina.email) == 0


def test_the_command_makes_users_and_links(app: Flask, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(users, "create", "Olga@Host.example", "--role", "operator") == 0
    printed = capsys.readouterr()
    path = re.search(r"/desk/link/[\w-]{43}", printed.out)
    assert path
    assert "within 7 days" in printed.err
    assert Visitor(app).post(path[0], password=PASSWORD, again=PASSWORD).status_code == 303
    assert run(users, "create", "olga@host.example", "--customer", str(world.customer)) == 1
    assert run(users, "create", "nobody@host.example", "--role", "operator", "--name", "") == 1
    assert "is the address of a user already" in capsys.readouterr().err
    assert run(users, "link", "olga@host.example") == 0
    assert "within 60 minutes" in capsys.readouterr().err
    assert run(users, "grant-texts", "olga@host.example") == 0
    assert run(users, "list") == 0
    assert re.search(r"operator +olga@host\.example +Olga +True", capsys.readouterr().out)
    assert run(users, "disable", "olga@host.example") == 1
    assert "is the last operator" in capsys.readouterr().err
    assert run(users, "link", "nobody@host.example") == 1
