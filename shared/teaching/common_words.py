"""The words that are common in a language, for the search of knowledge: that a base lacks them says nothing about a question.

The package wordfreq has them (https://github.com/rspeer/wordfreq: code Apache-2.0, data CC BY-SA 4.0 with the sources that its
README names). Only what writes them into the database imports it, once for each new version: it takes 40 MB
that no worker has.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from shared.db import sql
from shared.teaching.languages import STEMMED

queries = sql.load(__file__)

#: Of how the table is made: a higher one makes it again.
_REVISION = 2
#: Words that are rarer are left out: 18,000 of a language suffice for the stems that ten of a million words have.
_RARE = 2e-6
#: wordfreq's code of a language, where it is not ours.
_CODES = {"no": "nb"}

_LOCK = "lock table knowledge_common_word_list in share row exclusive mode"


def load(cursor: Any) -> list[str]:
    """Brings the table to the installed package's version; returns the languages that were not. Of an open transaction.

    Raises psycopg2.Error.
    """
    current = f"wordfreq {version('wordfreq')}, {_REVISION}"
    if not _missing(cursor, current):
        return []
    cursor.execute(_LOCK)  # two releases at once: the second finds nothing to do
    missing = _missing(cursor, current)
    for code in missing:
        language, frequencies = STEMMED[code], _frequencies(_CODES.get(code, code))
        cursor.execute(queries["forget"].sql, {"language": language})
        given = {"words": list(frequencies), "frequencies": list(frequencies.values())}
        cursor.execute(queries["fill"].sql, {"language": language, **given})
        cursor.execute(queries["list"].sql, {"language": language, "version": current})
    if missing:
        cursor.execute("analyze knowledge_common_word")
    return [STEMMED[code] for code in missing]


def _missing(cursor: Any, current: str) -> list[str]:
    """Codes of the languages whose words are not there, or are those of another version."""
    cursor.execute(queries["listed"].sql, {"version": current})
    listed = {language for (language,) in cursor.fetchall()}
    return [code for code, language in STEMMED.items() if language not in listed]


def _frequencies(code: str) -> dict[str, float]:
    """A language's words, and how often each is written."""
    from wordfreq import cB_to_freq, get_frequency_list  # what it needs takes memory

    groups = enumerate(get_frequency_list(code, "small"))
    found = {word: cB_to_freq(-centibels) for centibels, words in groups for word in words}
    get_frequency_list.cache_clear()  # who migrates may stay
    return {word: frequency for word, frequency in found.items() if frequency >= _RARE}
