"""scripts/bench knowledge: what it reads, how it makes questions harder, and that its figures are those of the real claim."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from scripts.local.bench import knowledge, question_set
from tests.builders import World

ITEMS = [
    {"id": 1, "title": "Opening hours", "content": "From nine to six."},
    {"id": 2, "title": "Parking", "content": "Behind the building."},
    {"title": "Invoices"},
]
QUESTIONS = [
    {"q": "When do you open?", "right": [1]},
    {"q": "where is the parking", "right": 2},
    {
        "q": "and on Sunday?",
        "right": [1],
        "kind": "follow",
        "before": [["user", "opening hours?"], ["assistant", "Nine to six."]],
    },
    {"q": "who won the world cup in 1954", "right": []},
    {"q": "parking or opening?", "right": ["nowhere"], "note": "fields that nobody knows are ignored"},
    {"q": "opening", "right": [1], "kind": "a kind of its own"},
    {"q": ""},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "set.json"
    file.write_text(
        json.dumps({"bases": [{"name": "shop", "language": "en", "items": ITEMS, "questions": QUESTIONS}]}), encoding="utf-8"
    )
    return file


def test_a_set_may_be_compressed_and_lack_fields(path: Path) -> None:
    [base] = question_set.read(path)
    twice = path.with_name("twice.json")
    twice.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8"))["bases"] * 2), encoding="utf-8")
    assert [one.name for one in question_set.read(twice)] == ["shop 1", "shop 2"]
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert question_set.read(path) == [base]
    assert base.language == "english"
    assert list(base.documents.values())[-1] == ("Invoices", "Invoices")
    assert [question.kind for question in base.questions] == [
        "plain",
        "plain",
        "follow-up",
        "no answer",
        "plain",
        "a kind of its own",
    ]


def test_harder_questions_are_the_same_at_each_run() -> None:
    for change in (question_set.with_one_typo, question_set.with_many_typos):
        once, again = (change("where is the parking building", random.Random(7)) for _ in range(2))
        assert once == again != "where is the parking building"


def test_the_figures_are_those_of_the_claim(world: World, path: Path) -> None:
    rows = {row.name: row for row in knowledge.measure(question_set.read(path), lambda _: None, everything=False)}
    plain = rows["plain questions"]
    assert plain.questions == 3
    assert [plain.recall_1, plain.recall_5] == pytest.approx([2 / 3, 2 / 3])
    assert rows["follow-up"].recall_1 == rows["a kind of its own"].recall_1 == 1
    assert rows["no answer in the base"].nothing == 1
    assert rows["BM25 of two fields, as Elasticsearch counts it"].recall_5 == pytest.approx(2 / 3)
    assert plain.characters
    assert plain.p99
