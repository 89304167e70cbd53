"""A file of knowledge bases and questions with their right items, and what may be done to its questions to make them harder.

{"bases": [{name, language, items: [{id, title, content}], questions: [{q, right: [item ids], kind?, before?}]}]}, gzipped or not.
`right` empty: the base has no answer. `kind`: follow and switch have `before`, the turns [role, text] before the question.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

PLAIN, FOLLOW_UP, NEW_TOPIC, OFF_TOPIC = "plain", "follow-up", "change of topic", "no answer"
#: Questions of others that each base is asked.
OFF_TOPIC_QUESTIONS = 40
_KINDS = {"follow": FOLLOW_UP, "followup": FOLLOW_UP, "switch": NEW_TOPIC, "new topic": NEW_TOPIC, "off-topic": OFF_TOPIC}
_CODES = {"en": "english", "de": "german", "es": "spanish", "pt": "portuguese", "fr": "french", "it": "italian", "nl": "dutch"}
#: Characters of the long text that stands beside a base's items.
LONG = 200_000
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Question:
    """What a visitor writes, and the items (by their ids in the file) that answer it."""

    text: str
    right: frozenset[str]
    kind: str = PLAIN
    before: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Base:
    """A knowledge base: documents {id: (title, content)}."""

    name: str
    language: str
    documents: dict[str, tuple[str, str]]
    questions: list[Question] = field(default_factory=list)


def read(path: Path) -> list[Base]:
    """The bases of a file. Raises OSError, ValueError."""
    raw = path.read_bytes()
    written = json.loads(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    bases = written["bases"] if isinstance(written, dict) else written
    read_bases = [_base(number, base) for number, base in enumerate(bases, 1)]
    names = [base.name for base in read_bases]
    return [
        replace(base, name=f"{base.name} {number}") if names.count(base.name) > 1 else base
        for number, base in enumerate(read_bases, 1)
    ]


def _base(number: int, written: dict[str, Any]) -> Base:
    language = str(written.get("language") or "simple").lower()
    documents = {}
    for place, item in enumerate(written["items"]):
        title, content = (str(item.get(part) or "").strip() for part in ("title", "content"))
        if title or content:
            documents[str(item.get("id", f"item {place}"))] = ((title or content)[:500], content or title)
    questions = [_question(question) for question in written.get("questions", []) if str(question.get("q") or "").strip()]
    return Base(str(written.get("name") or f"base {number}"), _CODES.get(language, language), documents, questions)


def _question(written: dict[str, Any]) -> Question:
    right = written.get("right")
    ids = frozenset(map(str, right if isinstance(right, list) else [] if right is None else [right]))
    before = written.get("before") or []
    turns = [
        turn if isinstance(turn, (list, tuple)) else ("user", turn) for turn in ([before] if isinstance(before, str) else before)
    ]
    kind = str(written.get("kind") or (FOLLOW_UP if turns else PLAIN)).lower()
    return Question(
        str(written["q"]),
        ids,
        OFF_TOPIC if not ids else _KINDS.get(kind, kind),
        tuple((str(role), str(text)) for role, text in turns),
    )


def with_one_typo(question: str, chance: random.Random) -> str:
    """One of its long words has a typo: a letter left out, doubled by another, wrong, or two of them swapped."""
    words = question.split(" ")
    long = [place for place, word in enumerate(words) if len(word) >= 5]
    if long:
        place = chance.choice(long)
        words[place] = _typo(words[place], chance)
    return " ".join(words)


def with_many_typos(question: str, chance: random.Random) -> str:
    """Four of five long words have a typo."""
    return " ".join(_typo(word, chance) if len(word) >= 5 and chance.random() < 0.8 else word for word in question.split(" "))


def _typo(word: str, chance: random.Random) -> str:
    place, letter = chance.randrange(len(word) - 1), chance.choice(LETTERS)
    left, here, after, rest = word[:place], word[place], word[place + 1], word[place + 2 :]
    return left + chance.choice([after, after + here, letter + after, letter + here + after]) + rest


_CHATTER: dict[str, str] = json.loads(Path(__file__).with_name("chatter.json").read_text(encoding="utf-8"))


def with_chatter(base: Base, question: str) -> str:
    """Some 70 words of greeting and thanks around it, in the base's language if it is one of five."""
    return _CHATTER.get(base.language, _CHATTER["english"]).format(question)


def long_text(base: Base, bases: list[Base]) -> str:
    """A text of LONG characters about something else: the sentences of other bases, in its language if there are such."""
    others = [other for other in bases if other.name != base.name]
    others = [other for other in others if other.language == base.language] or others or [base]
    texts = [f"{title}. {content}" for other in others for title, content in other.documents.values()]
    sentences = [sentence for text in texts for sentence in re.split(r"(?<=[.!?])\s+", text)] or ["Nothing."]
    chance, chosen, length = random.Random(base.name), [], 0
    while length < LONG:
        chosen.append(chance.choice(sentences) + chance.choice([" ", " ", " ", "\n\n"]))
        length += len(chosen[-1])
    return "".join(chosen)


def off_topic(bases: list[Base]) -> list[Base]:
    """Each base with questions that belong to the others, in whatever language. Bases of one theme share a name up to "_"."""

    def asked_elsewhere(base: Base) -> list[Question]:
        theme = base.name.split("_")[0]
        others = [
            replace(question, right=frozenset(), kind=OFF_TOPIC, before=())
            for other in bases
            if other.name.split("_")[0] != theme
            for question in other.questions
            if question.right and not question.before
        ]
        return random.Random(base.name).sample(others, min(OFF_TOPIC_QUESTIONS, len(others)))

    return [replace(base, questions=asked_elsewhere(base)) for base in bases]


def changed(bases: list[Base], change: Callable[[Base, str, random.Random], str]) -> list[Base]:
    """The same plain questions, changed; the same at each run."""
    return [
        replace(
            base,
            questions=[
                replace(question, text=change(base, question.text, random.Random(f"{base.name} {place}")))
                for place, question in enumerate(base.questions)
                if question.kind == PLAIN
            ],
        )
        for base in bases
    ]
