"""The words that are common in a language, for the search of knowledge: that a base lacks them says nothing about a question.

The package wordfreq has them (https://github.com/rspeer/wordfreq: code Apache-2.0, data CC BY-SA 4.0 with the sources that its
README names). Only what writes them into the database imports it, once for each new version: it takes 40 MB
that no worker has.
"""

from __future__ import annotations

from importlib.metadata import version
from io import StringIO
from typing import Any

from shared.teaching.languages import STEMMED

#: Of how the table is made: a higher one makes it again.
_REVISION = 1
#: Words that are rarer are left out: 18,000 of a language suffice for the stems that ten of a million words have.
_RARE = 2e-6
#: wordfreq's code of a language, where it is not ours.
_CODES = {"no": "nb"}

_LISTED = "select language from knowledge_common_word_list where version = %s"
_LOCK = "lock table knowledge_common_word_list in share row exclusive mode"
_GIVEN = "create temporary table given_word (word text not null, frequency float8 not null) on commit drop"
_COPY = "copy given_word from stdin"
_REPLACE = """
    delete from knowledge_common_word where language = %(language)s;
    insert into knowledge_common_word (language, stem, per_million)
    select %(language)s, stem, (sum(frequency) * 1000000)::real
    from (select knowledge_stemmer(%(language)s) as dictionary offset 0) stemmer, given_word,
        lateral string_to_table(knowledge_fold(given_word.word), ' ') folded (word),
        lateral (select (ts_lexize(stemmer.dictionary, folded.word))[1] as stem offset 0) stemmed
    where folded.word <> '' and stem is not null group by stem having sum(frequency) >= 0.00001;
    insert into knowledge_common_word_list (language, version) values (%(language)s, %(version)s)
    on conflict (language) do update set version = excluded.version
"""


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
        cursor.execute(_GIVEN)
        cursor.copy_expert(_COPY, _words(_CODES.get(code, code)))
        cursor.execute(_REPLACE, {"language": STEMMED[code], "version": current})
        cursor.execute("drop table given_word")
    if missing:
        cursor.execute("analyze knowledge_common_word")
    return [STEMMED[code] for code in missing]


def _missing(cursor: Any, current: str) -> list[str]:
    """Codes of the languages whose words are not there, or are those of another version."""
    cursor.execute(_LISTED, [current])
    listed = {language for (language,) in cursor.fetchall()}
    return [code for code, language in STEMMED.items() if language not in listed]


def _words(code: str) -> StringIO:
    """A language's words and their frequencies, as COPY reads them."""
    from wordfreq import cB_to_freq, get_frequency_list  # what it needs takes memory

    lines = StringIO()
    for centibels, words in enumerate(get_frequency_list(code, "small")):
        frequency = cB_to_freq(-centibels)
        if frequency >= _RARE:
            lines.writelines(f"{word}\t{frequency!r}\n" for word in words if "\t" not in word and "\\" not in word)
    get_frequency_list.cache_clear()  # who migrates may stay
    lines.seek(0)
    return lines
