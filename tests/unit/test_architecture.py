"""The house keeps its rooms: who may import whom, and names that must agree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import psycopg2
import pytest
from honcho.environ import parse_procfile

from scripts.local.embedded import Services
from shared import config, models, queues
from tests.settings import variables

CATALOG = """
    select 'column', table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, column_default,
        generation_expression) from information_schema.columns where table_schema = 'public'
    union all select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'public'::regnamespace
    union all select 'index', indexname, indexdef from pg_indexes where schemaname = 'public'
    union all select 'function', proname, pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace
    union all select 'trigger', tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
"""


def imports(path: Path) -> set[str]:
    """The top-level packages of ours and others that a file imports, with their second name."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module}
    return found


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [("workers", ("workers", "scripts", "web")), ("shared", ("workers", "scripts", "web")), ("web", ("workers", "scripts"))],
)
def test_who_may_import_whom(root: Path, package: str, forbidden: tuple[str, ...]) -> None:
    files = sorted((root / package).rglob("*.py"))
    assert files
    for path in files:
        wrong = {name for name in imports(path) if name.split(".")[0] in forbidden}
        assert not wrong, f"{path.relative_to(root)} imports {wrong}"


def test_each_queue_has_its_module_and_its_line_in_the_procfile(root: Path) -> None:
    lines = parse_procfile((root / "Procfile").read_text()).processes
    assert set(queues.MODULES) == set(queues.Queue)
    assert set(lines) == {*queues.MODULES.values(), "release", "web", "maintenance", "scheduler"}
    for queue, module in queues.MODULES.items():
        assert (root / "workers" / f"{module}.py").exists()
        assert lines[module].startswith(f"dramatiq workers.{module} "), queue


def test_env_example_is_the_configuration(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = dict(re.findall(r"^([A-Z_]+)=(.*)$", (root / ".env.example").read_text(), re.M))
    assert set(written) == variables()
    required = {"DATABASE_URL": "postgresql://h/db", "REDIS_HOST": "h", "CREDENTIALS_KEY": "k"}
    for name in written:
        monkeypatch.delenv(name, raising=False)
    for name, value in required.items():
        assert written[name] == "", name
        monkeypatch.setenv(name, value)
    defaults = vars(config.read_settings())
    for name, value in (written | required).items():
        monkeypatch.setenv(name, value)
    assert vars(config.read_settings()) == defaults


def test_readme_names_every_setting_and_every_queue(root: Path) -> None:
    text = (root / "README.md").read_text()
    missing = [name for name in (*variables(), *queues.Queue) if name not in text]
    assert not missing


def test_modules_are_short(root: Path) -> None:
    long = {
        str(path.relative_to(root)): count
        for package in ("workers", "shared", "web", "scripts")
        for path in (root / package).rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 330
    }
    assert not long


def _catalog(url: str) -> list[tuple[str, str, str]]:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute(CATALOG)
        rows = sorted(row for row in cursor.fetchall() if "schema_migration" not in str(row))
    connection.close()
    return rows


def test_schema_sql_equals_the_migrations(services: Services, database_url: str, root: Path) -> None:
    fresh = services.database_url.replace("/switchboard", "/from_schema")
    admin = psycopg2.connect(services.database_url.replace("/switchboard", "/postgres"))
    admin.autocommit = True
    admin.cursor().execute("drop database if exists from_schema")
    admin.cursor().execute("create database from_schema")
    with psycopg2.connect(fresh) as connection:
        connection.cursor().execute((root / "schema.sql").read_text())
    connection.close()
    written, migrated = _catalog(fresh), _catalog(database_url)
    admin.cursor().execute("drop database from_schema")
    admin.close()
    assert written == migrated
    assert len(written) > 100


def test_models_are_the_tables(database_url: str) -> None:
    connection = psycopg2.connect(database_url)
    with connection.cursor() as cursor:
        cursor.execute("select table_name, column_name from information_schema.columns where table_schema = 'public'")
        columns: dict[str, set[str]] = {}
        for table, column in cursor.fetchall():
            columns.setdefault(table, set()).add(column)
    connection.close()
    columns.pop("schema_migration")
    declared = {m._meta.table_name: {f.column_name for f in m._meta.sorted_fields} for m in models.TABLES}  # type: ignore[attr-defined]  # peewee makes _meta
    assert declared == columns
