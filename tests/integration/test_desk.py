"""The desk's skeleton: who may open what, logging in, links, tokens of forms, and what is recorded."""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask, g
from werkzeug.routing import Rule

from shared import config, db
from shared.errors import Refused
from shared.models import AuditEntry, Media, Message, UserLink, UserSession
from shared.people import links, users
from tests.builders import World
from tests.integration.desk_pages import PAGES, PASSWORD, Visitor, furnish, person
from tests.integration.test_ledger_races import until_waiting
from tests.integration.widget_page import key_of
from web.app import create_app
from web.desk.access import masked, record_look

#: Pages of those who are not logged in.
OPEN = {"desk.login", "desk.log_in", "desk.forgotten", "desk.ask_for_link", "desk.link", "desk.use_link"}


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


def rules(app: Flask) -> Iterator[tuple[Rule, str, str]]:
    """Each route of the desk but the open ones: with a method, and an address whose ids are 1."""
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("desk.") and rule.endpoint not in OPEN:
            for method in sorted({"GET", "POST"} & (rule.methods or set())):
                yield rule, method, rule.rule


def filled(rule: Rule, customer: int) -> str:
    """An address of a route: of this customer, with ids that nothing has."""
    values = {name: min(getattr(converter, "items", ["1"])) for name, converter in rule._converters.items()}
    values["customer_id"] = str(customer)
    return "".join(values[part] if is_dynamic else part.lstrip("|") for is_dynamic, part in rule._trace)


def test_an_application_that_is_used_no_longer_takes_no_memory(world: World) -> None:
    """Each would stay in memory, with 2.7 MB, for every test that made one."""
    browser = Visitor(app := create_app(), person("owner", world.customer))
    assert browser.get(f"/desk/c/{world.customer}/inbox").status_code == 200
    made = weakref.ref(app)
    del app, browser
    gc.collect()
    assert made() is None


def test_each_view_says_who_may_open_it_and_each_page_is_on_the_list(app: Flask) -> None:
    listed = {page.path.split("?")[0] for page in PAGES}
    for rule, method, path in rules(app):
        assert hasattr(app.view_functions[rule.endpoint], "allowed"), f"{rule.endpoint} has no @allowed"
        if method == "GET" and not (rule.arguments - {"customer_id"}) and path != "/desk/" and not path.endswith("/events"):
            assert path.replace("<int:customer_id>", "{customer}") in listed, f"{path} is not in desk_pages.PAGES"


def test_strangers_log_in_and_roles_see_their_own(app: Flask, world: World) -> None:
    ids = furnish(world)
    people = {role: person(role, None if role == "operator" else world.customer) for role in users.ROLES}
    browsers = {role: Visitor(app, user) for role, user in people.items()}
    for page in PAGES:
        path = page.path.format(**ids)
        answer = Visitor(app).get(path)
        assert (answer.status_code, answer.location.split("?")[0]) == (303, "/desk/login"), path
        for role, browser in browsers.items():
            expected = 200 if users.may(people[role], page.role) else 403
            answer = browser.get(path)
            assert answer.status_code == expected, f"{path} for an {role}: {answer.text}"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert "<style" not in answer.text
            assert " style=" not in answer.text
            assert " onclick=" not in answer.text


def test_nobody_reaches_another_customers_pages_or_another_roles_forms(app: Flask, world: World) -> None:
    other, _ = world.tenant()
    owner, agent = Visitor(app, person("owner", other)), Visitor(app, person("agent", world.customer))
    for browser, customer in ((owner, world.customer), (agent, world.customer)):
        token = browser.token()
        for rule, method, _path in rules(app):
            least = app.view_functions[rule.endpoint].allowed  # type: ignore[attr-defined]
            if "customer_id" not in rule.arguments and least == "agent":
                continue  # everybody's own
            if browser is agent and least == "agent":
                continue
            data = {"csrf_token": token} if method == "POST" else None
            answer = browser.client.open(filled(rule, customer), method=method, data=data)
            assert answer.status_code in (403, 404), f"{method} {rule} answered {answer.status_code}"
            if browser is owner and "customer_id" in rule.arguments:
                assert answer.status_code == 404, f"{method} {rule} tells that the customer exists"
    assert owner.get(f"/desk/c/{2**63}/team").status_code == 404
    assert owner.post(f"/desk/c/{other}/team/{2**63}/disable").status_code == 404
    assert owner.post("/desk/profile", name="a\0b").status_code == 400


def test_an_operator_without_the_grant_sees_no_text_and_no_name_on_any_page(app: Flask, world: World) -> None:
    ids = furnish(world)
    question = world.say("My secret is 4711", channel="whatsapp_cloud", user="4917099", metadata={"profile_name": "Yusuf"})
    world.drain()
    file = {"kind": "document", "state": "stored", "storage_key": "none", "filename": "diagnosis.pdf"}
    db.rows(Media.insert(customer=world.customer, message=question, position=0, **file))
    db.rows(Message.update(status="FAILED", error="Yusuf is unknown").where(Message.reply_to == question))
    own = f"/desk/c/{world.customer}"
    talk = f"{own}/conversations/{db.scalar('select conversation_id from message where id = %s', [question])}"
    more = (talk, f"{talk}/thread", f"{own}/inbox?view=all", f"/desk/operate/messages/{question}")
    paths = [*more, *(page.path.format(**ids) for page in PAGES)]
    words = ("my secret", "4917099", "yusuf", "diagnosis", "zoe", "when do you ship", "b&gt;now", "tomorrow!", "calls back")
    improve = "data-improve"  # it would write the bullets into the knowledge
    operator = person("operator", None)
    browser = Visitor(app, operator)
    for path in paths:
        page = browser.get(path).text.lower()
        assert [word for word in (*words, improve) if word in page] == [], path
    users.allow_texts(operator.id, True)
    with_texts = (f"{own}/knowledge/{{base}}/gaps", f"{own}/conversations/{{conversation}}", "/desk/operate/messages/{message}")
    shown = "".join(browser.get(path.format(**ids)).text.lower() for path in (*more, *with_texts))
    assert [word for word in (*words, improve) if word not in shown] == []


def test_a_form_without_its_token_is_refused(app: Flask, world: World) -> None:
    browser = Visitor(app, person("agent", world.customer))
    for _rule, method, _path in rules(app):
        if method == "POST":
            assert browser.client.post(filled(_rule, world.customer), data={"name": "x"}).status_code == 400, _rule
    assert browser.get("/desk/profile").status_code == 200


def test_a_login_begins_a_session_and_its_cookie_is_out_of_reach(app: Flask, world: World) -> None:
    user = person("agent", world.customer)
    browser = Visitor(app)
    assert browser.post("/desk/login", email=user.email, password="wrong horse battery").status_code == 401
    token = browser.token()
    https = {"base_url": "https://localhost", "headers": {"Referer": "https://localhost/desk/login"}}
    form = {"csrf_token": token, "email": f" {user.email.upper()} ", "password": PASSWORD, "next": "https://evil.example/"}
    answer = browser.client.post("/desk/login", data=form, **https)  # type: ignore[arg-type]
    assert (answer.status_code, answer.location) == (303, f"/desk/c/{world.customer}/inbox")
    cookie = answer.headers["Set-Cookie"]
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/desk"} <= set(cookie.split("; "))
    assert db.scalar(UserSession.select(UserSession.hash)) not in cookie
    other = Visitor(app, user)
    other.post("/desk/profile/sessions/end")
    assert browser.client.get("/desk/profile", base_url="https://localhost").status_code == 303
    assert other.get("/desk/profile").status_code == 200
    other.post("/desk/logout")
    assert other.get("/desk/profile").status_code == 303
    assert db.rows(UserSession.select()) == []
    assert "user.logged_in" in {row["action"] for row in db.rows(AuditEntry.select())}


def test_an_old_password_begins_no_session_beside_its_change(app: Flask, world: World) -> None:
    user, browser = person("agent", world.customer), Visitor(app)
    form = {"csrf_token": browser.token(), "email": user.email, "password": PASSWORD}
    with ThreadPoolExecutor(1) as pool, db.transaction():
        db.rows("lock table user_session in exclusive mode")
        answer = pool.submit(browser.client.post, "/desk/login", data=form)
        until_waiting(1)  # the password was right
        users.set_password(user.id, f"another {PASSWORD}")
    assert answer.result(30).status_code == 401
    assert db.rows(UserSession.select(UserSession.id)) == []


def test_who_is_disabled_is_out_at_once_and_the_last_owner_cannot_be(app: Flask, world: World) -> None:
    agent, owner = person("agent", world.customer), person("owner", world.customer)
    browser = Visitor(app, agent)
    users.disable(agent.id)
    assert browser.get("/desk/profile").status_code == 303
    assert Visitor(app).post("/desk/login", email=agent.email, password=PASSWORD).status_code == 401
    for change in (lambda: users.disable(owner.id), lambda: users.set_role(owner.id, "agent")):
        with pytest.raises(Refused, match="last owner"):
            change()


def test_a_link_works_once_and_the_newest_alone(app: Flask, world: World) -> None:
    user = users.create("new@shop.example", "New", "owner", world.customer)
    old, new = links.for_user(user), links.for_user(user)
    browser = Visitor(app)
    assert browser.get(old).status_code == 404
    assert "Choose a password for new@shop.example" in browser.get(new).text
    for password, again, problem in (
        ("short", "short", "10 to 200"),
        ("new@shop.example", "new@shop.example", "guess"),
        (PASSWORD, "another", "differ"),
    ):
        answer = browser.post(new, password=password, again=again)
        assert answer.status_code == 422
        assert problem in answer.text
    assert browser.post(new, password=PASSWORD, again=PASSWORD).status_code == 303
    assert browser.get("/desk/profile").status_code == 200
    assert Visitor(app).post(new, password="another password", again="another password").status_code == 404
    reset = links.for_user(users.require(user.id))
    db.rows(UserLink.update(expires_at=UserLink.created_at))
    assert Visitor(app).get(reset).status_code == 404


def test_the_first_operator_makes_himself_by_a_link(app: Flask, world: World) -> None:
    path = links.for_first_operator()
    assert path
    browser = Visitor(app)
    form = {"name": "Olga", "email": "olga@host.example", "password": PASSWORD, "again": PASSWORD}
    assert browser.post(path, **{**form, "email": "olga"}).status_code == 422
    assert browser.post(path, **form).status_code == 303
    assert users.has_operator()
    assert links.for_first_operator() is None
    user = users.find("olga@host.example")
    assert user is not None
    assert (user.role, user.can_read_texts) == ("operator", False)


def test_guessing_ends_after_ten_wrong_passwords(app: Flask, world: World) -> None:
    user = person("agent", world.customer)
    browser = Visitor(app)
    answers = [browser.post("/desk/login", email=user.email, password="wrong horse battery").status_code for _ in range(12)]
    assert answers[0] == 401
    assert answers[-1] == 429
    assert browser.post("/desk/login", email=user.email, password=PASSWORD).status_code == 429


def guess(browser: Visitor, email: str, password: str, number: int) -> int:
    """A login from an address that no other number has; its status."""
    form = {"csrf_token": browser.token(), "email": email, "password": password}
    return browser.client.post("/desk/login", data=form, environ_base={"REMOTE_ADDR": f"192.0.2.{number}"}).status_code


def test_strangers_who_guess_keep_nobody_out_who_was_in_before(app: Flask, world: World) -> None:
    user, wrong, right = person("agent", world.customer), "wrong horse battery", "another horse battery"
    browser, stranger = Visitor(app, user), Visitor(app)
    assert [guess(stranger, user.email, wrong, number) for number in range(12)][-1] == 429
    assert browser.post("/desk/profile/password", current=PASSWORD, password=right).status_code == 303
    browser.post("/desk/logout")
    assert user.email not in str(browser.client.get_cookie("switchboard_desk", path="/desk"))
    assert guess(stranger, user.email, right, 13) == 429
    assert guess(browser, user.email.upper(), right, 14) == 303
    browser.post("/desk/logout")
    assert [guess(browser, user.email, wrong, number) for number in range(20, 32)][-1] == 429, "it may not guess, either"


def test_an_operator_reads_texts_only_with_the_grant_and_each_look_is_recorded(app: Flask, world: World) -> None:
    operator = person("operator", None)

    def looked() -> str:
        with app.test_request_context("/desk/c/1/inbox"):
            g.user = users.require(operator.id)
            text = masked("My number is 4711")
            record_look(app.make_response(""))
            record_look(app.make_response(""))  # the open page looks again
            return text

    def recorded() -> list[str]:
        return [row["action"] for row in db.rows(AuditEntry.select().where(AuditEntry.action == "texts.read"))]

    assert "4711" not in looked()
    assert recorded() == []
    users.allow_texts(operator.id, True)
    assert looked() == "My number is 4711"
    assert recorded() == ["texts.read"]
    assert "4711" not in str(db.rows(AuditEntry.select()))


@pytest.mark.parametrize(("status", "looks"), [(409, 1), (422, 1), (503, 0)])
def test_a_form_that_comes_back_with_texts_is_a_look_and_an_outage_is_none(app: Flask, status: int, looks: int) -> None:
    operator = person("operator", None)
    users.allow_texts(operator.id, True)
    with app.test_request_context("/desk/c/1/knowledge/1/gaps/1/answer", method="POST"):
        g.user = users.require(operator.id)
        masked("My number is 4711")
        app.process_response(app.make_response(("", status)))
    assert len(db.rows(AuditEntry.select().where(AuditEntry.action == "texts.read"))) == looks


def test_without_postgresql_a_page_says_so_and_comes_back(app: Flask, world: World) -> None:
    browser = Visitor(app, person("agent", world.customer))
    token = browser.token()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        config.reset()
        db.reset()
        answer = browser.get("/desk/profile")
        assert answer.status_code == 503
        assert 'http-equiv="refresh"' in answer.text
        assert "<code>cannot be reached</code>" in answer.text
        assert "Look at PostgreSQL" in answer.text
        assert "Noticed <time" in answer.text
        german = browser.get("/desk/profile", **{"Accept-Language": "de"}).text
        assert ("<code>nicht erreichbar</code>" in german, "Für den Betreiber" in german) == (True, True), german
        assert Visitor(app).get("/").status_code == 200
        posted = browser.client.post("/desk/profile", data={"csrf_token": token, "name": "Emma"})
        assert posted.status_code == 503
        assert "refresh" not in posted.text
    config.reset()
    db.reset()
    assert browser.get("/desk/profile").status_code == 200


def test_the_start_page_leads_everywhere(app: Flask, world: World) -> None:
    def ways() -> list[str]:
        return re.findall(r'<li><a href="([^"]+)"', Visitor(app).get("/").text)

    assert ways() == ["/desk/", f"/widget/{key_of(world.chatbot)}", "/api/v1/openapi.json", "/readyz", "/dashboard/"]
    world.tenant()
    assert ways() == ["/desk/", "/api/v1/openapi.json", "/readyz", "/dashboard/"]


def test_a_wrong_address_is_a_page_for_people_and_a_problem_document_for_programs(app: Flask) -> None:
    browser = Visitor(app)
    opened = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"}
    page = browser.get("/nothing/<b>here", **opened)
    assert (page.status_code, page.mimetype) == (404, "text/html")
    assert "There is no such page" in page.text
    assert "<b>here" not in page.text
    assert "There is no such chatbot." in browser.get("/widget/pk_unknown", **opened).text
    for path, headers in (("/nothing", {}), ("/api/v1/nothing", opened), ("/widget/pk_unknown", {"Accept": "*/*"})):
        assert (found := browser.get(path, **headers)).status_code == 404
        assert found.mimetype == "application/problem+json", path
