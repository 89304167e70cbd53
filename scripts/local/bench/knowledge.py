"""How often the right item of knowledge is found, how fast, and what it costs in prompt characters.

A question set is stored as a shop's items and messages are, and each question is asked by the statement with which a worker
claims the job that answers it. What is measured is what goes into the prompt.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from scripts.local.bench.bm25 import TwoFields
from scripts.local.bench.question_set import (
    OFF_TOPIC,
    PLAIN,
    Base,
    changed,
    long_text,
    off_topic,
    with_chatter,
    with_many_typos,
    with_one_typo,
)
from scripts.local.bench.shop import Found, Shop
from shared import db

#: The long text's document, among those of a base.
LONG_TEXT = "a long text"
#: Items of one base, and of 1,000 other bases beside one of 100, whose search is timed.
LARGE, OTHERS, SMALL = 1_000, 1_000, 100

Say = Callable[[str], None]


@dataclass
class Row:
    """Figures of some questions; recall and MRR are means over bases."""

    name: str
    questions: int = 0
    recall_1: float | None = None
    recall_5: float | None = None
    mrr: float | None = None
    nothing: float | None = None
    characters: float | None = None
    p50: float | None = None
    p99: float | None = None
    note: str = ""
    bases: list[Row] = field(default_factory=list)


def measure(bases: list[Base], say: Say, everything: bool, model: str | None = None) -> list[Row]:
    """The plain questions and each kind; `everything`: harder ones, a long text, large bases. `model`: of vectors."""
    say(f"storing {sum(len(base.documents) for base in bases)} documents of {len(bases)} bases")
    shop = Shop(bases, model)
    found = _ask(shop, bases)
    rows = [_row("plain questions", [one for one in found if one.question.kind == PLAIN])]
    kinds = [kind for kind in dict.fromkeys(one.question.kind for one in found) if kind not in (PLAIN, OFF_TOPIC)]
    rows += [_row(kind, [one for one in found if one.question.kind == kind]) for kind in kinds]
    rows.append(_row("the ranking alone, nothing cut or sent away", _ranking(shop, bases)))
    say("questions of other bases")
    rows += _off_topic(found, _ask(shop, off_topic(bases)))
    rows.append(_elasticsearch(bases))
    if everything:
        rows += [*_harder(shop, bases, say), _beside_long_text(bases, say, model), *_sizes(bases, say, model)]
    return rows


def _ask(shop: Shop, bases: Iterable[Base]) -> list[Found]:
    return [found for base in bases for found in shop.ask(base)]


def _ranking(shop: Shop, bases: Iterable[Base]) -> list[Found]:
    return [
        shop.rank(base, question) for base in bases for question in base.questions if question.kind == PLAIN and question.right
    ]


def _row(name: str, found: Sequence[Found], note: str = "") -> Row:
    bases = [_figures(base, [one for one in found if one.base == base]) for base in dict.fromkeys(one.base for one in found)]
    if not found:
        return Row(name, note=note)
    total = _figures(name, found)
    for figure in ("recall_1", "recall_5", "mrr"):
        setattr(total, figure, statistics.mean(getattr(base, figure) for base in bases))
    total.note, total.bases = note, bases
    return total


def _figures(name: str, found: Sequence[Found]) -> Row:
    places, times = [one.place for one in found], sorted(one.ms for one in found)
    return Row(
        name,
        len(found),
        statistics.mean(place == 0 for place in places),
        statistics.mean(place is not None for place in places),
        statistics.mean(0 if place is None else 1 / (place + 1) for place in places),
        statistics.mean(not one.documents for one in found),
        statistics.mean(one.characters for one in found),
        *_percentiles(times),
    )


def _percentiles(values: list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def _off_topic(found: list[Found], elsewhere: list[Found]) -> list[Row]:
    rows = []
    answerable = [one for one in found if one.question.right]
    lost = statistics.mean(not one.documents for one in answerable) if answerable else 0
    for name, some in (
        ("no answer in the base", [one for one in found if one.question.kind == OFF_TOPIC]),
        ("questions of other bases", elsewhere),
    ):
        if some:
            row = _figures(name, some)
            row.recall_1 = row.recall_5 = row.mrr = None
            row.note = f"of the answerable {lost:.1%} get nothing"
            rows.append(row)
    return rows


def _elasticsearch(bases: list[Base]) -> Row:
    found = []
    for base in bases:
        questions = [question for question in base.questions if question.kind == PLAIN]
        index = TwoFields(base) if questions else None
        for question in questions if index else ():
            documents = index.best(question.text) if index else []
            characters = sum(len(text) for document in documents for text in base.documents[document])
            found.append(Found(base.name, question, documents, characters, 0.0))
    row = _row("BM25 of two fields, as Elasticsearch counts it", found)
    for one in (row, *row.bases):
        one.p50 = one.p99 = None
    return row


def _harder(shop: Shop, bases: list[Base], say: Say) -> list[Row]:
    changes: dict[str, Callable[[Base, str, random.Random], str]] = {
        "one typo": lambda _, text, chance: with_one_typo(text, chance),
        "many typos": lambda _, text, chance: with_many_typos(text, chance),
        "70 words of chatter around it": lambda base, text, _: with_chatter(base, text),
    }
    rows = []
    for name, change in changes.items():
        say(name)
        rows.append(_row(name, _ask(shop, changed(bases, change))))
    return rows


def _beside_long_text(bases: list[Base], say: Say, model: str | None) -> Row:
    say("a text of 200,000 characters beside the others")
    beside = [
        Base(
            f"{base.name} and a long text",
            base.language,
            {**base.documents, LONG_TEXT: ("Handbook", long_text(base, bases))},
            [question for question in base.questions if question.kind == PLAIN],
        )
        for base in bases
    ]
    found = _ask(Shop(beside, model), [base for base in beside if base.questions])
    among = statistics.mean(LONG_TEXT in one.documents for one in found) if found else 0.0
    return _row("a text of 200,000 characters beside them", found, f"it is among the five for {among:.1%}")


def _sizes(bases: list[Base], say: Say, model: str | None) -> list[Row]:
    """Times of a base of 1,000 items, and of one of 100 beside 100,000 items of others."""
    chance = random.Random(1)
    texts = [text for base in bases for text in base.documents.values()]
    questions = [question for base in bases for question in base.questions]
    chosen = chance.sample(questions, min(300, len(questions)))
    if not chosen or not texts:
        return []
    language = bases[0].language
    large = Base("1,000 items", language, {str(n): texts[n % len(texts)] for n in range(LARGE)}, chosen)
    small = Base("100 items", language, {str(n): chance.choice(texts) for n in range(SMALL)}, chosen)
    say("a base of 1,000 items")
    shop = Shop([large, small], model)
    rows = [_times("a base of 1,000 items", shop, large)]
    say(f"{OTHERS * SMALL:,} items of others")
    [base] = db.rows("select max(id) as id from knowledge_base")
    _copy(base["id"])
    return [*rows, _times(f"a base of 100 items beside {OTHERS * SMALL:,} of others", shop, small)]


def _times(name: str, shop: Shop, base: Base) -> Row:
    """Of the claim; the note has PostgreSQL's CPU, also of the search alone."""
    claims, searches = shop.ask(base), [shop.rank(base, question) for question in base.questions]
    cpu = [[one.cpu_ms for one in found if one.cpu_ms is not None] for found in (claims, searches)]
    figures = [*_percentiles(cpu[0]), *_percentiles(cpu[1])] if all(cpu) else []
    note = "CPU p50 {:.1f}, p99 {:.1f} ms; of the search alone {:.1f}, {:.1f}".format(*figures) if figures else ""
    p50, p99 = _percentiles([one.ms for one in claims])
    return Row(name, len(claims), p50=p50, p99=p99, note=note)


def _copy(base: int) -> None:
    """The words of a base once more for each of OTHERS other bases: what the search of one must not read."""
    for copy in range(OTHERS):
        db.rows(
            "insert into knowledge_word select -%(copy)s - 1, word, -%(copy)s * 1000 - knowledge_item_id %% 1000, weight"
            " from knowledge_word where knowledge_base_id = %(base)s on conflict do nothing",
            {"copy": copy, "base": base},
        )
    db.rows("vacuum analyze knowledge_word")
