"""Items of knowledge, as the database keeps them: their language, their switch, their link, their times."""

from __future__ import annotations

import peewee
import pytest

from shared import db
from shared.models import Chatbot, KnowledgeBase, KnowledgeItem
from tests.builders import World


@pytest.fixture
def base(world: World) -> int:
    return int(db.scalar(Chatbot.select(Chatbot.knowledge_base).where(Chatbot.id == world.chatbot)))


def language_of(item: int) -> str:
    return str(db.scalar(KnowledgeItem.select(KnowledgeItem.language).where(KnowledgeItem.id == item)))


def test_an_item_has_its_bases_language_unless_it_says_its_own(world: World, base: int) -> None:
    ours, own = world.know(base, "Returns", "Thirty days."), world.know(base, "Rückgabe", "Dreißig Tage.", language="german")
    assert (language_of(ours), language_of(own)) == ("english", "german")
    db.rows(KnowledgeBase.update(language="dutch").where(KnowledgeBase.id == base))
    assert (language_of(ours), language_of(own)) == ("dutch", "german")


@pytest.mark.parametrize(
    "wrong", [{"language": "klingon"}, {"url": "javascript:alert(1)"}, {"url": "https://Shop.example/#part"}, {"title": ""}]
)
def test_what_an_item_may_not_be(world: World, base: int, wrong: dict[str, str]) -> None:
    with pytest.raises(peewee.IntegrityError, match="knowledge_item_"):
        db.rows(KnowledgeItem.insert(**{"knowledge_base": base, "title": "Returns", "content": "Thirty days.", **wrong}))


def test_an_item_knows_when_it_was_changed(world: World, base: int) -> None:
    item = world.know(base, "Returns", "Thirty days.", url="https://shop.example/returns")
    stored = KnowledgeItem.select().where(KnowledgeItem.id == item)
    [new] = db.rows(stored)
    assert (new["is_active"], new["show_link"], new["updated_at"]) == (True, True, new["created_at"])
    db.rows(KnowledgeItem.update(content="Sixty days.").where(KnowledgeItem.id == item))
    [changed] = db.rows(stored)
    assert changed["updated_at"] > new["updated_at"]
    assert changed["created_at"] == new["created_at"]


def test_a_base_takes_its_items_with_it(world: World, base: int) -> None:
    db.rows(Chatbot.update(knowledge_base=None).where(Chatbot.id == world.chatbot))
    db.rows(KnowledgeBase.delete().where(KnowledgeBase.id == base))
    assert db.scalar("select count(*) from knowledge_item where knowledge_base_id = %s", [base]) == 0
