"""The overview says in the operator's language what is not well, since when that is known, and what to do."""

from __future__ import annotations

import re

import pytest
from flask import Flask

from shared.broker import connection
from shared.db import schema_age
from shared.db.outage import KINDS, Consequence
from shared.jobs import write_check
from tests.integration.conftest import RedisRefusing
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.waiting import until
from web.app import create_app
from web.desk import language
from web.desk.operate import words
from web.desk.operate.check_words import check_words, remedy
from web.ops import health
from web.ops import write_check as of_postgres

#: What lasts; the page of an outage says it where PostgreSQL is away entirely, and the overview of writes while it is read.
_LASTING = {kind.word for kind in KINDS.values() if kind.consequence is not Consequence.NONE}
_REDIS = {*connection._TEXTS.values(), *(word for _kind, word in connection._WORDS)}
#: The texts that have a name there: none is forgotten here.
_SENTENCES = {text for name, text in vars(health).items() if name.isupper() and isinstance(text, str) and " " in text}
_TEXTS = {
    *(f"failed: {word}" for word in (*_REDIS, *_LASTING, write_check.LOCKED)),
    of_postgres.CROWDED,
    "the database's schema is newer than this code, it has 0650_a.post.sql; run the release that migrated it",
    "failed: takes no files; this process's log says why",
    "failed: CREDENTIALS_KEY does not open stored secrets; this process's log says which",
    "never ran; start the process type maintenance",
    "last ended 83 s ago, at most 60 s are expected; is maintenance running?",
    "its jobs last ran 480 s ago, some are due each minute; start the process type scheduler",
    "nobody takes jobs of ai-processing (ai): for 48 s; telegram-send (telegram): never",
    *_SENTENCES,
}


@pytest.mark.parametrize("text", sorted(_TEXTS))
def test_each_text_of_a_check_has_its_german(text: str) -> None:
    app = Flask("desk")
    language.install(app)
    with app.test_request_context(headers={"Accept-Language": "de"}):
        said = check_words(text)
    with app.test_request_context():
        assert check_words(text) == text
    assert said != text
    assert not re.search(r"\b(failed|the|for|never|its)\b", said), said


def test_texts_of_functions_are_as_they_say() -> None:
    """The test above writes some by hand."""
    assert schema_age._enumerate(["a", "b", "c"]) == "a and 2 more"
    assert health._since(48.2) == "for 48 s"
    assert health._since(float("inf")) == "never"


def test_each_check_has_a_remedy_unless_it_says_one() -> None:
    app = Flask("desk")
    language.install(app)
    with app.test_request_context():
        without = {check for check in words.CHECKS if not remedy(check, "failed: something")}
        assert without == {"scheduler"}
        assert remedy("redis", "failed: full") != remedy("redis", "failed: cannot be reached")
        assert len(_SENTENCES) == 2
        assert {remedy("workers", text) for text in _SENTENCES} == {""}, "they say what to do, and name no process types"


def test_a_german_operator_reads_what_is_wrong_since_when_and_what_to_do(door: FrontDoor, redis_refusing: RedisRefusing) -> None:
    operator = Visitor(create_app(), person("operator", None))
    with redis_refusing("config", "set", "maxmemory", "1"):
        health.problems()
        until(lambda: health.problems().get("redis"))
        page = operator.get("/desk/operate/", **{"Accept-Language": "de"}).text
    assert "<code>gescheitert: voll</code>" in page
    assert "Geben Sie Redis mehr Speicher (maxmemory)" in page
    assert "Bemerkt" in page
    assert health.noticed_ago("redis") > 0
