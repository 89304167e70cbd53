"""The words that are common in a language: how they get into the database, and what they say about a question."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scripts.commands.migrate import migrate_and_fill
from shared import db
from shared.models import Chatbot, KnowledgeDocument, KnowledgeItem, KnowledgeSource
from shared.teaching.languages import STEMMED
from tests.builders import World

#: A shop for plants. None of the items has "please", "tell" or "help".
ITEMS = [
    ("Parking", "There is a car park behind the building."),
    ("Payment by invoice", "Companies may pay within fourteen days."),
    ("Watering a monstera", "Once a week, a little less in winter."),
    ("Our people", "The first of us came in a quiet time."),
    ("Opening hours", "We are open from nine to six. The time before noon is quiet."),
]


@pytest.fixture(autouse=True)
def no_words_yet(environment: dict[str, str]) -> None:
    db.rows("truncate knowledge_common_word, knowledge_common_word_list")


@pytest.fixture
def shop(world: World) -> int:
    base = int(db.scalar(Chatbot.select(Chatbot.knowledge_base).where(Chatbot.id == world.chatbot)))
    for title, content in ITEMS:
        world.know(base, title, content)
    return base


@pytest.fixture
def common(database_url: str, environment: dict[str, str]) -> list[str]:
    """What a first start says, with the words in the database."""
    return migrate_and_fill(database_url)


def found(base: int, question: str) -> list[str]:
    return [item["title"] for item in db.scalar("select knowledge_search_v8(%s, %s, null, 100)", [base, question]) or []]


def relevance(base: int, question: str) -> float:
    return float(db.scalar("select max(relevance) from knowledge_candidates_v6(%s, %s, null, 5)", [base, question]))


def test_each_language_gets_its_words_once_for_each_version(database_url: str, common: list[str]) -> None:
    assert common == [f"common words: {len(STEMMED)} languages"]
    rows = db.rows("select language, count(*), min(per_million), max(per_million) from knowledge_common_word group by 1")
    assert {row["language"] for row in rows} == set(STEMMED.values())
    for row in rows:  # words, and not letters or halves of them; what is rare is left out
        assert 3_000 < row["count"] < 10_000, row
        assert 10 <= row["min"] < 11 < 5_000 < row["max"] < 100_000, row
    assert migrate_and_fill(database_url) == []
    db.rows("update knowledge_common_word_list set version = 'an older one' where language = 'german'")
    db.rows("delete from knowledge_common_word where language = 'german' and stem < 'm'")
    db.rows("insert into knowledge_common_word values ('german', 'xylophon', 900)")
    assert migrate_and_fill(database_url) == ["common words: 1 languages"]
    again = db.rows("select language, count(*), min(per_million), max(per_million) from knowledge_common_word group by 1")
    assert sorted(again, key=str) == sorted(rows, key=str)


def test_who_has_the_words_reads_no_package(common: list[str], database_url: str) -> None:
    """A list of words takes 40 MB: what serves and works never has it, and a second start reads none."""
    code = (
        "import sys, web.app, workers.ai, workers.incoming\n"
        "from scripts.commands.migrate import migrate_and_fill\n"
        f"assert migrate_and_fill({database_url!r}) == []\n"
        "print(sorted({'wordfreq', 'ftfy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


def test_common_words_say_little_about_a_question(shop: int, database_url: str) -> None:
    polite, strange = "Could you please help me and tell me about parking?", "Who was the first man on the moon at the time?"
    before = relevance(shop, polite), relevance(shop, strange)
    assert found(shop, strange) == ["Our people", "Opening hours"]  # they have its common words
    migrate_and_fill(database_url)
    assert relevance(shop, polite) > before[0]
    assert relevance(shop, strange) < before[1]
    assert (found(shop, polite), found(shop, strange)) == (["Parking"], [])


def test_where_no_words_are_known_each_tells_as_much(shop: int) -> None:
    """A language for which wordfreq or PostgreSQL has nothing."""
    db.rows("insert into knowledge_common_word_list values ('english', 'one without any of these')")
    known = relevance(shop, "xylophone invoice")
    db.rows("delete from knowledge_common_word_list")
    assert relevance(shop, "xylophone invoice") == pytest.approx(known * 0.6**0.5)


def test_parts_of_a_long_text_leave_room_for_others(world: World, shop: int) -> None:
    source = db.scalar(KnowledgeSource.insert(knowledge_base=shop, kind="file", location="a").returning(KnowledgeSource.id))
    document = db.scalar(KnowledgeDocument.insert(source=source, location="a").returning(KnowledgeDocument.id))
    for part in range(6):
        text = f"Refunds cost nothing. Part {part}."
        db.rows(KnowledgeItem.insert(knowledge_base=shop, title="Refunds", content=text, document=document))
    for other in ("Refunds by post", "Refunds in our shop", "Gifts", "Vouchers", "Sets"):
        world.know(shop, other, "How refunds of it go, and what they cost: see there. Ask whoever packed it, or the shop.")
    titles = found(shop, "refunds cost")
    assert titles[:5].count("Refunds") == 5  # nothing is taken from whoever has one long text
    assert (titles.count("Refunds"), len(set(titles)), len(titles)) == (5, 5, 9)
