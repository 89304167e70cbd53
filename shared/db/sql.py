"""SQL files: `workers/incoming.sql` holds the statements that `workers/incoming.py` runs.

    -- name: close_job(job_id, error)
    -- Why it is done so.
    update job set last_error = :error where id = :job_id

A query's head names its parameters, `:error` is one. A statement of the fast path takes rows instead: `$1`, a jsonb array of
{n, …}, whose columns `jsonb_to_recordset($1) as input(…)` names (shared/db/prepared.py). All of it is checked when the file
is loaded, at the start of a process, and each call against it: an error names the file and the query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from shared.db.query import row, rows, scalar

_HEAD = re.compile(r"^-- name: (\w+)(?:\(([\w, ]*)\))?[ ]*$", re.M)
#: What may be meant for a head.
_LIKE_HEAD = re.compile(r"^\s*--\s*name\s*:", re.M | re.I)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)\b")
_TEXT_OR_COMMENT = re.compile(r"'(?:[^']|'')*'|--[^\n]*")


class SqlFileError(Exception):
    """A .sql file, or a call of one of its queries, is wrong; the text names file, query and parameter."""


class Query:
    """One named query of a .sql file."""

    def __init__(self, file: Path, name: str, parameters: frozenset[str], text: str) -> None:
        self.name, self.where = name, f"{file.parent.name}/{file.name}, query {name}"
        self.parameters, self.text = parameters, text
        code = _TEXT_OR_COMMENT.sub(" ", text)
        self.takes_rows = "$1" in code
        if not code.strip():
            raise SqlFileError(f"{self.where}: has no statement")
        self._check(set(_PARAMETER.findall(code)))
        self.sql = _as_psycopg(text)

    def _check(self, used: set[str]) -> None:
        if self.takes_rows and self.parameters:
            raise SqlFileError(f"{self.where}: takes rows ($1), so its head must name no parameters")
        if used != self.parameters:
            odd = ", ".join(sorted(used ^ self.parameters))
            raise SqlFileError(f"{self.where}: its head and its text must name the same parameters; they differ in: {odd}")

    def _bound(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        missing, unknown = self.parameters - parameters.keys(), parameters.keys() - self.parameters
        if missing or unknown:
            raise SqlFileError(f"{self.where}: missing parameters {sorted(missing)}, unknown parameters {sorted(unknown)}")
        return parameters

    def rows(self, **parameters: Any) -> list[dict[str, Any]]:
        """All rows."""
        return rows(self.sql, self._bound(parameters))

    def row(self, **parameters: Any) -> dict[str, Any] | None:
        """The first row, or None."""
        return row(self.sql, self._bound(parameters))

    def scalar(self, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        return scalar(self.sql, self._bound(parameters))


def _as_psycopg(text: str) -> str:
    """`:name` as psycopg writes it, `%(name)s`; comments and quoted texts stay as they are."""
    pieces, end = [], 0
    for skipped in _TEXT_OR_COMMENT.finditer(text):
        pieces += [_PARAMETER.sub(r"%(\1)s", text[end : skipped.start()].replace("%", "%%")), skipped[0].replace("%", "%%")]
        end = skipped.end()
    return "".join([*pieces, _PARAMETER.sub(r"%(\1)s", text[end:].replace("%", "%%"))])


@cache
def load(module_file: str) -> Mapping[str, Query]:
    """The queries of the .sql file beside a module: `queries = load(__file__)`. Raises SqlFileError."""
    file = Path(module_file).with_suffix(".sql")
    text = file.read_text(encoding="utf-8")
    parts = _HEAD.split(text)
    names, before = parts[1::3], _TEXT_OR_COMMENT.sub("", parts[0]).strip()
    if not names or before or len(set(names)) < len(_LIKE_HEAD.findall(text)):
        raise SqlFileError(f"{file.parent.name}/{file.name}: each query must begin with a line `-- name: …` of its own")
    heads = zip(names, parts[2::3], parts[3::3], strict=True)
    return {name: Query(file, name, frozenset(re.findall(r"\w+", given or "")), text.strip()) for name, given, text in heads}
