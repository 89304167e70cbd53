"""What pages say is said in words: of people and things, never the ids and codes by which we know them."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from peewee import SQL

from shared import db
from shared.channels.whatsapp_cloud import template_store
from shared.models import ChannelHealth, User, WhatsappTemplate
from shared.operations.dead_letters import Filter
from shared.operations.replays import begin
from shared.people import audit
from tests.builders import World
from tests.integration.desk_pages import PAGES, Visitor, furnish, person, webhook
from web.app import create_app
from web.desk.dates import duration

CLOUD, QR = "whatsapp_cloud", "whatsapp_qr"


def words_of(page: str) -> str:
    """What a page's main part shows, without its tags."""
    [main] = re.findall(r"<main.*</main>", page, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main))


def in_german(user: User) -> User:
    db.rows(User.update(language="de").where(User.id == user.id))
    return user


@pytest.mark.parametrize(
    ("channel", "user", "shown"),
    [
        (QR, "4915100000002@c.us", "+4915100000002"),
        (CLOUD, "4915100000003", "+4915100000003"),
        ("widget", "w_Zo-_e9abc", "Visitor Zo-_"),
    ],
)
def test_who_has_no_name_is_called_by_a_number_as_people_write_it(world: World, channel: str, user: str, shown: str) -> None:
    world.say(channel=channel, user=user)
    world.drain()
    agent = Visitor(create_app(), person("agent", world.customer))
    page = words_of(agent.get(f"/desk/c/{world.customer}/inbox?view=all").text)
    assert shown in page
    assert user not in page.replace(shown, "")


def test_a_search_says_in_words_what_it_found(world: World) -> None:
    world.say(channel=QR, user="4915100000002@c.us")
    world.drain()
    [question] = world.messages(role="user")
    operator = Visitor(create_app(), in_german(person("operator", None)))
    pages = [f"search?q={question['id']}", f"messages/{question['id']}"]
    found, journey = (words_of(operator.get(f"/desk/operate/{page}").text) for page in pages)
    assert "WhatsApp (QR)" in found
    assert "des Kunden" in found
    for raw in ("whatsapp_qr", "user", "completed", "SENT", "@c.us"):
        assert raw not in found, raw
        assert raw not in journey, raw


def test_each_message_of_a_conversation_leads_operators_alone_to_its_journey(world: World) -> None:
    world.say()
    world.drain()
    links = [f'"/desk/operate/messages/{message["id"]}"' for message in world.messages()]
    address = f"/desk/c/{world.customer}/conversations/{world.messages()[0]['conversation_id']}"
    for role, customer in (("operator", None), ("owner", world.customer)):
        page = Visitor(create_app(), person(role, customer, role)).get(address).text
        assert [link in page for link in links] == [role == "operator"] * 2


def test_a_journey_names_the_knowledge_of_an_answer(world: World) -> None:
    world.say()
    world.drain()
    item = db.row("select id, title, knowledge_base_id from knowledge_item order by id limit 1")
    assert item is not None
    known = f'{{"knowledge": [{{"id": {item["id"]}, "score": 7.25}}, {{"id": 999999, "score": 1}}]}}'
    db.rows("update message set metadata = metadata || %s where role = 'assistant'", [known])
    [reply] = world.messages(role="assistant")
    page = Visitor(create_app(), person("operator", None)).get(f"/desk/operate/messages/{reply['id']}").text
    assert f'/desk/c/{world.customer}/knowledge/{item["knowledge_base_id"]}/items/{item["id"]}">{item["title"]}</a>' in page
    assert "item 999999, deleted since" in page


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [(None, "–", "–"), (0.04, "40 ms", "40 ms"), (5.04, "5.0 s", "5,0 s"), (40, "40 s", "40 s"), (7_200, "2 h", "2 h")],
)
def test_a_duration_is_written_as_its_language_does(world: World, seconds: float | None, english: str, german: str) -> None:
    for language, written in (("en", english), ("de", german)):
        with create_app().test_request_context(headers={"Accept-Language": language}):
            assert duration(seconds) == written


def test_a_german_desk_says_in_german_why_a_reply_failed(world: World) -> None:
    ids = furnish(world)
    db.rows("update message set metadata = metadata || '{\"error_code\": \"window_closed\"}' where status = 'FAILED'")
    agent = Visitor(create_app(), in_german(person("agent", world.customer)))
    page = agent.get(f"/desk/c/{world.customer}/conversations/{ids['conversation']}").text
    assert "Der Kunde hat seit 24 Stunden nicht geschrieben." in page


def test_a_german_desk_says_when_something_began(world: World) -> None:
    """ "Seit vor drei Tagen" and "bis in drei Stunden" are no German: a time that is told by its distance stands alone."""
    ids, past, ahead = furnish(world), "now() - interval '3 days'", "now() + interval '3 hours'"
    db.rows(f"update budget set exhausted_at = {past}")
    down = {"chatbot": world.chatbot, "channel": CLOUD, "state": "held", "reason": "other"}
    db.rows(ChannelHealth.insert(**down, since=SQL(past)))
    rotates = f"old_secret = secret, old_secret_until = {ahead}"
    db.rows(f"update webhook_endpoint set failing_since = {past}, {rotates}")
    operator, odd = Visitor(create_app(), in_german(person("operator", None))), []
    for path in (*(page.path for page in PAGES), "/desk/c/{customer}/webhooks/{webhook}?hours=24&status=FAILED"):
        page = words_of(operator.get(path.format(**ids)).text)
        odd += [
            (path, found) for found in re.findall(r"\bseit:? (?:vor|in) [0-9].{20}|\bbis in .{20}|von alle .{20}", page, re.I)
        ]
    assert odd == []


def test_when_something_began_is_named_so_that_its_distance_reads_on(world: World) -> None:
    ids, operator = furnish(world), Visitor(create_app(), person("operator", None))
    for path, heading in (
        ("/desk/operate/customers", "Created"),
        ("/desk/operate/pauses", "Paused"),
        ("/desk/operate/replays", "Started"),
        ("/desk/c/{customer}/keys", "Created"),
    ):
        assert f'<td data-label="{heading}"><time' in operator.get(path.format(**ids)).text, path
    for path in ("/desk/operate/replays/{replay}", "/desk/c/{customer}/conversations/{conversation}"):
        assert "<dt>Started</dt><dd><time" in operator.get(path.format(**ids)).text, path


def test_a_german_agent_is_told_in_german_why_nothing_is_sent(world: World) -> None:
    world.say(channel=CLOUD, user="49171")
    world.drain()
    template_store.learn(db.scalar("select id from whatsapp_cloud_account where chatbot_id = %s", [world.chatbot]), "1022")
    parts = [
        {"type": "BODY", "text": "Hello {{1}}, your order {{2}} has left."},
        {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Track", "url": "https://shop.example/{{1}}"}]},
    ]
    row = {"waba_id": "1022", "name": "order_left", "language": "de", "status": "APPROVED", "components": parts}
    db.rows(WhatsappTemplate.insert(**row))
    agent = Visitor(create_app(), in_german(person("agent", world.customer)))
    page = f"/desk/c/{world.customer}/conversations/{world.messages()[0]['conversation_id']}/messages"
    assert "WhatsApp nimmt höchstens 4.096 Zeichen auf einmal" in agent.post(page, content="x" * 5_000).text
    db.rows("update conversation set window_ends_at = now() - interval '1 minute'")
    form = {"template": "order_left|de", "body.1": "Nora", "body.2": "A 7", "buttons.0": "A7"}
    for wrong, words in (
        ({"body.2": "A\t7"}, "{{2}} darf keine Zeilenumbrüche, keine Tabulatoren"),
        ({"body.2": " "}, "{{2}} ist leer."),
        ({"body.2": "x" * 1_020}, "Der Text wird 1.053 Zeichen lang; WhatsApp nimmt 1.024."),
        ({"buttons.0": "A 7"}, "Track darf kein Leerzeichen haben"),
        ({"body.3": "more"}, "Sie hat sich inzwischen geändert"),
        ({"template": "gone|de"}, "Diese Vorlage gibt es nicht mehr."),
    ):
        refused = agent.post(page, **{**form, **wrong})
        assert (refused.status_code, words in words_of(refused.text)) == (422, True), words_of(refused.text)
        assert 'name="body.1" value="Nora"' in refused.text or "gone" in str(wrong), "what was typed stays"
    db.rows("update whatsapp_template set status = 'PAUSED'")
    assert "ihr Stand dort ist PAUSED." in agent.post(page, **form).text


def test_a_page_of_another_role_says_whom_to_ask(world: World) -> None:
    owner, agent = (Visitor(create_app(), person(role, world.customer)) for role in ("owner", "agent"))
    for visitor, path, words in (
        (owner, "/desk/operate/prices", "It is for whoever runs this server."),
        (agent, "/desk/operate/prices", "It is for whoever runs this server."),
        (agent, f"/desk/c/{world.customer}/keys", "Ask one of them"),
    ):
        page = words_of(visitor.get(path).text)
        assert (page.count("not for your role"), words in page) == (1, True), page


def test_a_replay_calls_a_webhook_by_its_name(world: World) -> None:
    replay = begin(Filter(endpoint_id=webhook(world)), "ops@example.com")
    page = Visitor(create_app(), person("operator", None)).get(f"/desk/operate/replays/{replay}").text
    assert "webhook: order &lt;b&gt;system&lt;/b&gt;" in page


def test_a_reason_is_chosen_by_its_words(world: World) -> None:
    operator = Visitor(create_app(), person("operator", None))
    page = operator.get("/desk/operate/failures/list?error=http_418").text
    assert '<option value="http_418" selected>answered HTTP 418</option>' in page
    assert '<option value="token_invalid">the token has expired or is refused</option>' in page


def test_how_far_back_failures_go_is_chosen_by_its_words(world: World) -> None:
    operator = Visitor(create_app(), in_german(person("operator", None)))
    page = operator.get("/desk/operate/failures/list?since=1d").text
    assert '<option value="1d" selected>die letzten 24 Stunden</option>' in page
    moment = "2026-11-26T10:14:00+00:00"
    page = operator.get(f"/desk/operate/failures/list?since={quote(moment)}").text
    assert re.search(r'<option value="[^"]+" selected>seit 26\.11\.2026, 10:14:00 UTC</option>', page)
    page = operator.get("/desk/operate/failures/list?since=90m").text
    assert ">90m<" not in page
    assert re.search(r'<option value="[^"]+" selected>seit [0-9.]+, ', page)
    assert "seit: muss eine Zeit mit Zeitzone sein" in operator.get("/desk/operate/failures/list?since=x").text


def test_a_german_desk_says_in_german_why_a_job_failed(world: World) -> None:
    furnish(world)
    db.rows("update dead_letter set error = 'ProviderError: AI provider: not a completion, but an empty body'")
    operator = Visitor(create_app(), in_german(person("operator", None)))
    for path in ("failures", "failures/list", "replays/new?which=all"):
        assert "KI-Anbieter: die Antwort ist keine Completion, sondern leer" in operator.get(f"/desk/operate/{path}").text, path


def test_a_channel_has_one_name_on_all_pages(world: World) -> None:
    operator = Visitor(create_app(), person("operator", None))
    inbox = operator.get(f"/desk/c/{world.customer}/inbox").text
    failures, pauses = (operator.get(f"/desk/operate/{page}").text for page in ("failures/list", "pauses"))
    names = {name: re.findall(rf'<option value="{name}"[^>]*>([^<]+)', inbox)[0] for name in (CLOUD, QR, "telegram")}
    assert names == {CLOUD: "WhatsApp", QR: "WhatsApp (QR)", "telegram": "Telegram"}
    for name, title in names.items():
        assert f'<option value="{name}">{title}</option>' in failures
        assert f'<option value="{name}">{title}</option>' in pauses
        assert title in words_of(operator.get(f"/desk/c/{world.customer}/channels/connect/{name}").text)


def test_a_replay_is_not_begun_at_another_pace_than_was_asked_for(world: World) -> None:
    german = Visitor(create_app(), in_german(person("operator", None)))
    refused = german.post("/desk/operate/replays", which="all", pace="500")
    assert refused.status_code == 400
    assert "zwischen 1 und 200 pro Sekunde, nicht bei 500" in words_of(refused.text)
    assert db.scalar("select count(*) from bulk_action") == 0


def test_the_audit_isolates_each_name(world: World) -> None:
    with db.transaction():
        details = {"name": "شركة الشاي", "role": "owner"}
        audit.record("user.role_changed", "user", 7, details, user=None, customer_id=world.customer)
    page = Visitor(create_app(), person("owner", world.customer)).get(f"/desk/c/{world.customer}/audit").text
    assert "\u2068شركة الشاي\u2069, role: Owner" in page
