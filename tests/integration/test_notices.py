"""E-mails to a business's people: of handoffs and of budgets, once, in their language, without a customer's words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared import config, db
from shared.budgets import budgets
from shared.budgets.budgets import BudgetSchema
from shared.models import Chatbot, Conversation, User
from shared.payloads import check
from shared.people import notices
from shared.teaching import chatbots, knowledge
from tests.builders import World
from tests.integration.desk_pages import person
from tests.integration.test_budgets import ask, spend
from tests.mail_server import MailServer, mail_server, mail_set_up


@pytest.fixture
def mails(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    with mail_set_up(monkeypatch) as server:
        yield server


def hand_over(world: World, user: str = "v-1", reason: str = "asked") -> int:
    talk = Conversation.insert(chatbot=world.chatbot, channel="widget", external_user_id=user).returning(Conversation.id)
    found = int(db.scalar(talk))
    db.scalar("select hand_over_v1(%s, %s, null, false)", [found, reason])
    return found


def test_a_handoff_is_told_once_to_those_of_the_business(world: World, mails: MailServer) -> None:
    owner, agent = person("owner", world.customer), person("agent", world.customer, "Ines")
    person("owner", world.tenant()[0], "Zoe")
    db.rows(User.update(language="de").where(User.id == agent.id))
    first = hand_over(world)
    hand_over(world, "w_test-1")
    assert notices.tell() == 2
    letters = {owner.email: mails.next(), agent.email: mails.next()}
    link = f"https://chat.example/desk/c/{world.customer}/conversations/{first}"
    assert f"To: {owner.email}" in letters[owner.email]
    assert "A conversation waits for a person" in letters[owner.email]
    assert "Eine Unterhaltung wartet auf einen Menschen" in letters[agent.email]
    assert all(link in letter for letter in letters.values())
    assert notices.tell() == 0

    db.rows("select conversation_give_back_v1(%s, 'desk', 86400)", [first])
    second, taken = hand_over(world, "v-2", "budget"), hand_over(world, "v-3")
    db.scalar("select hand_over_v1(%s, 'asked', null, false)", [first])
    db.scalar("select conversation_take_v2(%s, %s, null, 'desk', null)", [taken, agent.id])
    assert notices.tell() == 2
    letter = mails.next()
    assert "2 conversations wait for a person" in letter
    assert link in letter
    assert f"conversations/{second}" in letter
    assert f"conversations/{taken}\n" not in letter


def test_a_reason_that_only_newer_workers_know_is_told_in_general_words(world: World) -> None:
    handoff = {"id": 1, "chatbot": "Emma", "reason": "of_next_year"}
    assert "Emma, the chatbot handed it over:" in notices._of_handoffs(world.customer, [handoff], "en")[1]
    assert "Emma, der Chatbot hat sie übergeben:" in notices._of_handoffs(world.customer, [handoff], "de")[1]


def test_nobody_is_forgotten_while_the_mail_server_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    person("owner", world.customer)
    hand_over(world)
    assert notices.tell() == 0, "no e-mail is set up"
    with mail_server() as server:
        monkeypatch.setenv("MAIL_FROM", "desk@host.example")
        monkeypatch.setenv("PUBLIC_URL", "https://chat.example")
        monkeypatch.setenv("SMTP_URL", "smtp://127.0.0.1:1")
        config.reset()
        assert notices.tell() == 0
        monkeypatch.setenv("SMTP_URL", f"smtp://127.0.0.1:{server.port}")
        config.reset()
        assert notices.tell() == 1


def test_owners_hear_of_a_budget_at_four_fifths_and_at_its_end(world: World, mails: MailServer) -> None:
    owner = person("owner", world.customer)
    person("agent", world.customer, "Ines")
    made = budgets.set_budget(world.customer, check(BudgetSchema, "budget", {"tokens": 1_000_000}))
    ask(world, user="v-1")
    assert notices.tell() == 0
    for spent, subject in ((800_000, "Most of the budget of Shop is used"), (1_000_000, "The budget of Shop is used up")):
        spend(made["id"], spent)
        ask(world, user=f"v-{spent}")
        assert notices.tell() >= 1
        letter = mails.next()
        while subject not in letter:  # a person is asked to come as well
            letter = mails.next()
        assert f"To: {owner.email}" in letter
        assert f"https://chat.example/desk/c/{world.customer}/usage" in letter
        assert notices.tell() == 0


def test_a_new_chatbot_speaks_the_language_of_its_knowledge(world: World) -> None:
    texts = {}
    for language in ("german", "english"):
        base = knowledge.create_base(world.customer, {"name": language, "language": language})
        given = {"name": language, "knowledge_base_id": base["id"], "no_answer_message": "?"}
        texts[language] = chatbots.create_chatbot(world.customer, given)
    assert texts["german"]["fallback_message"].startswith("Entschuldigung")
    assert "Kollegen" in texts["german"]["handover_message"]
    assert texts["english"]["fallback_message"].startswith("Sorry")
    assert {text["no_answer_message"] for text in texts.values()} == {"?"}
    assert db.scalar(Chatbot.select(Chatbot.unsupported_message).where(Chatbot.name == "german")).startswith("Entschuldigung")
