"""SQL files: what is wrong with one, or with a call of its queries, is an error that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.db import sql
from shared.db.prepared import Statement
from shared.db.sql import SqlFileError


def loaded(folder: Path, text: str) -> sql.Query:
    """The first query of a file with this text."""
    (folder / "stage.sql").write_text(text, encoding="utf-8")
    sql.load.cache_clear()
    return next(iter(sql.load(str(folder / "stage.py")).values()))


def test_a_query_has_its_parameters_in_its_head(tmp_path: Path) -> None:
    query = loaded(
        tmp_path, "-- name: rename(id, name)\n-- 100 % :right\nupdate t set name = :name::text, note = ':x' where id = :id\n"
    )
    assert query.parameters == {"id", "name"}
    assert "name = %(name)s::text, note = ':x' where id = %(id)s" in query.sql
    assert "-- 100 %% :right" in query.sql


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-- name: rename(id)\nselect :id, :name", "stage.sql, query rename.*differ in: name"),
        ("-- name: rename(id, name)\nselect :id", "stage.sql, query rename.*differ in: name"),
        ("-- name: rename(id)\nselect $1", r"stage.sql, query rename: takes rows \(\$1\)"),
        ("select 1", "stage.sql: each query must begin with a line `-- name"),
        ("-- name: a()\nselect 1\n-- name: a()\nselect 2", "stage.sql: each query must begin"),
        ("select 0\n-- name: a()\nselect 1", "stage.sql: each query must begin"),
        ("-- name: a()\nselect 1\n--name: b()\nselect 2", "stage.sql: each query must begin"),
        ("-- name: a()\nselect 1\n-- Name: b()\nselect 2", "stage.sql: each query must begin"),
        ("-- name: a()\n-- nothing\n", "stage.sql, query a: has no statement"),
    ],
)
def test_a_wrong_file_is_named_when_it_is_loaded(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(SqlFileError, match=problem):
        loaded(tmp_path, text)


def test_a_call_without_a_parameter_names_the_file_and_the_parameter(tmp_path: Path) -> None:
    query = loaded(tmp_path, "-- name: rename(id, name)\nselect :id, :name")
    with pytest.raises(
        SqlFileError, match=r"stage.sql, query rename: missing parameters \['name'\], unknown parameters \['nam'\]"
    ):
        query.rows(id=1, nam="x")


def test_types_and_comments_among_the_columns_are_no_columns(tmp_path: Path) -> None:
    columns = "n integer, price numeric(10, 2), -- in, for example, dollars\n name text"
    statement = Statement(loaded(tmp_path, f"-- name: price\nselect n from jsonb_to_recordset($1) as i({columns})"))
    with pytest.raises(SqlFileError, match="differ in: name, price, x"):
        statement.execute([{"x": 1}])


def test_an_item_without_a_column_names_the_file_and_the_column(tmp_path: Path) -> None:
    statement = Statement(
        loaded(tmp_path, "-- name: say\nselect n from jsonb_to_recordset($1) as input(n integer, job_id bigint)")
    )
    with pytest.raises(SqlFileError, match=r"stage\.sql, query say: an item and its columns differ in: claim"):
        statement.execute([{"job_id": 1, "claim": 2}])
    with pytest.raises(SqlFileError, match="takes its rows as"):
        Statement(loaded(tmp_path, "-- name: say(id)\nselect :id"))


def test_two_statements_of_one_name_are_refused(tmp_path: Path) -> None:
    Statement(loaded(tmp_path, "-- name: greet\nselect 1 as n, $1"))
    Statement(loaded(tmp_path, "-- name: greet\nselect 1 as n, $1"))
    with pytest.raises(SqlFileError, match="another statement is prepared as greet"):
        Statement(loaded(tmp_path, "-- name: greet\nselect 2 as n, $1"))
