"""The pages of errors: in the reader's language, with what to do, and with what names the cause."""

from __future__ import annotations

import pytest
import redis
from flask import Flask

from shared.db.credentials import CredentialsUnreadable
from tests.builders import World
from tests.integration.desk_pages import Visitor, no_database, person
from web.app import create_app

GERMAN = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": "de"}
ENGLISH = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": "en"}


@pytest.fixture
def app(world: World) -> Flask:
    return create_app()


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nothing", 404, "Prüfen Sie die Adresse auf Tippfehler."),
        ("/widget/pk_unknown", 404, "Diesen Chatbot gibt es nicht."),
        ("/dashboard/", 401, "Melden Sie sich mit DASHBOARD_USER und DASHBOARD_PASSWORD an."),
        ("/metrics", 401, "Authorization: Bearer mit METRICS_TOKEN"),
    ],
)
def test_outside_the_desk_an_error_is_in_the_browsers_language(app: Flask, path: str, status: int, said: str) -> None:
    page = Visitor(app).get(path, **GERMAN)
    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert '<html lang="de">' in page.text
    assert said in page.text
    assert "Zur Startseite" in page.text
    assert "Accept-Language" in page.headers["Vary"]
    assert said not in Visitor(app).get(path, **{**GERMAN, "Accept": "application/json"}).text, "programs are told in English"


def test_outside_the_desk_a_page_comes_back_by_itself_once_postgresql_does(app: Flask) -> None:
    with no_database():
        page = Visitor(app).get("/widget/pk_1", **GERMAN)
    assert page.status_code == 503
    assert "Das lässt sich gerade nicht beantworten" in page.text
    assert '<meta http-equiv="refresh" content="5">' in page.text


@pytest.mark.parametrize(("method", "comes_back"), [("GET", True), ("POST", False)])
def test_what_a_form_sent_is_not_asked_for_by_its_error_page(app: Flask, method: str, comes_back: bool) -> None:
    with app.test_request_context("/dashboard/requeue", method=method, headers=GERMAN):
        page = app.make_response(app.handle_user_exception(redis.ConnectionError("gone")))
    assert (page.status_code, 'http-equiv="refresh"' in page.get_data(as_text=True)) == (503, comes_back)


def test_the_start_page_is_in_the_browsers_language(app: Flask) -> None:
    assert "Nachrichten von Kunden, beantwortet" in Visitor(app).get("/", **GERMAN).text
    assert "Customers’ chat messages, answered" in Visitor(app).get("/", **ENGLISH).text


def test_the_desks_errors_are_in_the_language_of_who_is_logged_in(app: Flask, world: World) -> None:
    agent = Visitor(app, person("agent", world.customer))
    agent.post("/desk/profile", name="Emma", language="de")
    agent.get("/desk/profile")
    before_login_is_known = {
        f"/desk/c/{world.customer}/conversations/99999999999999999999": "Diese Seite gibt es nicht",
        "/desk/login?next=%00": "NUL-Zeichen",
    }
    for path, said in before_login_is_known.items():
        assert said in agent.get(path, **ENGLISH).text, path
    assert "Diese Seite ist nicht für Ihre Rolle" in agent.get(f"/desk/c/{world.customer}/keys", **ENGLISH).text
    with no_database():
        assert "Die Datenbank antwortet nicht" in agent.get("/desk/profile", **ENGLISH).text


def test_what_is_too_large_or_no_page_is_told_in_words_for_people(app: Flask, world: World) -> None:
    agent = Visitor(app, person("agent", world.customer))
    large = agent.client.post("/desk/profile", data={"name": "x" * 100_000}, headers=GERMAN)
    assert (large.status_code, "weniger auf einmal" in large.text) == (413, True), large.text
    assert "exceeds" not in large.text
    form = agent.client.post("/desk/forgotten/nowhere", headers=GERMAN)
    assert (form.status_code, "Diese Adresse ist für Formulare" in form.text) == (405, True)
    assert "not allowed" not in form.text


def test_too_many_guesses_are_told_when_to_go_on(app: Flask) -> None:
    browser = Visitor(app)
    for _ in range(11):
        last = browser.client.post(
            "/desk/login", data={"csrf_token": browser.token(), "email": "x@y.example", "password": "wrong"}, headers=GERMAN
        )
    assert (last.status_code, "Zu viele Versuche" in last.text, "Sekunden wieder" in last.text) == (429, True, True)


@pytest.mark.parametrize("path", ["/desk/profile", "/"])
def test_a_page_names_the_key_that_a_secret_needs(app: Flask, path: str) -> None:
    """Such an error is the setting's, not one of ours."""
    with app.test_request_context(path, headers=GERMAN):
        page = app.make_response(app.handle_user_exception(CredentialsUnreadable("bot 7")))
    assert (page.status_code, "setzt CREDENTIALS_KEY auf den Schlüssel" in page.get_data(as_text=True)) == (503, True)
