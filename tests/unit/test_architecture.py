"""The house keeps its rooms: who may import whom, and names that must agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from contextlib import closing
from graphlib import TopologicalSorter
from pathlib import Path

import psycopg2
import pytest

from scripts.commands.migrate import RECORD, migrate, migrations
from scripts.local.processes import STOP_TIMEOUT, parse_procfile
from shared import config, models, queues
from shared.channels.registry import SEND_QUEUES
from shared.webhooks.events import DEFAULT_EVENTS, EVENTS
from tests.settings import variables

CATALOG = """
    select 'column', table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, column_default,
        generation_expression) from information_schema.columns where table_schema = 'public'
    union all select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'public'::regnamespace
    union all select 'index', indexname, indexdef from pg_indexes where schemaname = 'public'
    union all select 'function', proname, pg_get_functiondef(oid) from pg_proc where pronamespace = 'public'::regnamespace
        and not exists (select from pg_depend where objid = pg_proc.oid and deptype = 'e') -- pgvector's own
    union all select 'trigger', tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
"""

#: Together they name every setting and every queue.
DOCUMENTS = (
    "README.md",
    "workers/README.md",
    "web/README.md",
    "scripts/README.md",
    "shared/README.md",
    "shared/channels/README.md",
    "tests/README.md",
)


def imports(path: Path) -> set[str]:
    """What a file imports: modules, and the names it takes from them, which may be modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


#: What a process type does without, though others need it: megabytes of each process.
CALLERS = ("shared.http", "urllib3", "requests", "openai", "shared.channels.health")
NOT_LOADED = {
    "workers.incoming": CALLERS,
    "workers.outgoing": (*CALLERS, "markdown_it"),
    "workers.whatsapp_cloud": ("openai", "numpy"),
    "workers.whatsapp_qr": ("openai", "numpy"),
    "workers.telegram": ("openai", "numpy"),
    "workers.webhooks": ("openai", "numpy", "markdown_it"),
    "workers.media_fetch": ("openai", "numpy"),
    "workers.knowledge_embed": ("openai", "numpy"),
    "workers.maintenance": ("openai", "numpy"),
    "web.server.front": ("openai", "numpy"),
}


@pytest.mark.parametrize("module", NOT_LOADED)
def test_a_worker_loads_nothing_that_only_others_need(root: Path, module: str, environment: dict[str, str]) -> None:
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert module in loaded
    assert not set(NOT_LOADED[module]) & set(loaded)
    assert "sentry_sdk" not in loaded or module.startswith("web."), "SENTRY_DSN is not set"


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


#: Pure data, which the vocabulary may ask.
VOCABULARY_OF_CHANNELS = ("shared.channels.registry", "shared.channels.kinds", "shared.channels.handoffs")
#: The floors of shared/: a module may import what stands below it, and its own package.
FLOORS = (
    {"shared.database_url", "shared.setting_checks"},
    {"shared.redis_url"},
    {"shared.setting_types"},
    {"shared.config", "shared.errors", "shared.queues"},
    {"shared.telemetry", *VOCABULARY_OF_CHANNELS},
    {"shared.payloads", "shared.dns"},
    {"shared.db"},
    {"shared.broker", "shared.http", "shared.models"},
    {"shared.jobs", "shared.media", "shared.people", "shared.teaching"},
    {"shared.budgets", "shared.knowledge", "shared.privacy"},
    {"shared.ai", "shared.channels", "shared.webhooks"},
    {"shared.queue_service"},
    {"shared.inbox", "shared.operations"},
)


def room(module: str) -> str:
    """The package or flat module of shared/ that a dotted name belongs to."""
    flat = ".".join(module.split(".")[:3])
    return flat if flat in VOCABULARY_OF_CHANNELS else ".".join(module.split(".")[:2])


def test_shared_has_floors(root: Path) -> None:
    floor_of = {name: number for number, names in enumerate(FLOORS) for name in names}
    files = [path for path in sorted((root / "shared").rglob("*.py")) if path != root / "shared" / "__init__.py"]
    for path in files:
        here = room(".".join(path.relative_to(root).with_suffix("").parts))
        for name in imports(path):
            if name.startswith("shared.") and room(name) != here:
                assert floor_of[room(name)] < floor_of[here], f"{path.relative_to(root)} imports {name}"


def test_nothing_in_shared_sits_flat_but_the_vocabulary(root: Path) -> None:
    flat = {path.stem for path in (root / "shared").glob("*.py")}
    assert flat == {
        "__init__",
        "config",
        "database_url",
        "errors",
        "payloads",
        "queue_service",
        "queues",
        "redis_url",
        "setting_checks",
        "setting_types",
    }


@pytest.mark.parametrize("package", ["shared", "workers", "web", "scripts"])
def test_there_is_no_circle_of_imports(root: Path, package: str) -> None:
    graph = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): imports(path)
        for path in (root / package).rglob("*.py")
    }
    # To name a sibling is to name the package as well, whose __init__ takes names from its modules: no circle.
    within = {
        module: {name for name in names if name in graph and not module.startswith(name)} for module, names in graph.items()
    }
    assert graph
    TopologicalSorter(within).prepare()  # raises CycleError, which names the modules


def test_packages_say_what_belongs_in_them(root: Path) -> None:
    for package in sorted([*(root / "shared").iterdir(), *(root / "web").iterdir()]):
        if (package / "__init__.py").exists():
            text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
            assert "What belongs here" in text, package.name
            assert "What does not" in text, package.name


def test_packages_of_shared_import_what_they_say(root: Path) -> None:
    flat = {f"shared.{path.stem}" for path in (root / "shared").glob("*.py")}
    packages = [path for path in sorted((root / "shared").iterdir()) if (path / "__init__.py").exists()]
    assert len(packages) > 10
    for package in packages:
        text = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
        [allowed] = re.findall(r"^It may import:? (.*?)\.(?:\s|$)", text, re.S | re.M)
        if "everything" in allowed or "what stands below" in allowed:  # test_shared_has_floors holds that
            continue
        names = {name for path in package.rglob("*.py") for name in imports(path) if name.startswith("shared.")}
        rooms = {room(name) for name in names} - {f"shared.{package.name}", *VOCABULARY_OF_CHANNELS}
        vocabulary = flat - {"shared.queue_service"} if "the vocabulary" in allowed else set()
        missing = {one for one in rooms - vocabulary if not re.search(rf"\b{one.removeprefix('shared.')}\b", allowed)}
        assert not missing, f"{package.name} does not say that it imports {missing}"


#: It keeps the list of what was applied, also before there is any table of a model.
_WRITES_SQL = {"scripts/commands/migrate.py"}


def test_the_front_door_and_the_commands_write_through_the_models(root: Path) -> None:
    write = re.compile(r"\b(insert\s+into|delete\s+from|update\s+\w+\s+set)\b", re.I)
    files = [
        path
        for room in ("web", "scripts/commands")
        for path in (root / room).rglob("*")
        if path.suffix in (".py", ".sql") and write.search(path.read_text(encoding="utf-8"))
    ]
    assert {str(path.relative_to(root)) for path in files} == _WRITES_SQL


def test_the_table_of_channels_is_the_registry(database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select name, send_queue from channel")
        assert dict(cursor.fetchall()) == SEND_QUEUES


def test_the_events_of_the_database_are_those_of_the_list(root: Path, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select webhook_event_names(), webhook_default_events()")
        assert [set(names) for names in cursor.fetchone()] == [set(EVENTS), set(DEFAULT_EVENTS)]
    document = (root / "workers/README.md").read_text(encoding="utf-8")
    assert [event for event in EVENTS if f"`{event}`" not in document] == []


def test_each_queue_has_its_module_and_its_line_in_the_procfile(root: Path) -> None:
    lines = parse_procfile((root / "Procfile").read_text(encoding="utf-8"))
    assert set(queues.MODULES) == set(queues.Queue)
    assert set(lines) == {*queues.PROCESS_TYPES.values(), "release", "web", "maintenance", "scheduler", "worker"}
    for queue, module in queues.MODULES.items():
        assert (root / "workers" / f"{module}.py").exists()
        supervisor, modules = lines[queues.PROCESS_TYPES[queue]].split(" --processes")[0].split(" dramatiq ")
        assert supervisor == "python -m shared.jobs.supervisor"
        sharing = {queues.MODULES[other] for other, name in queues.PROCESS_TYPES.items() if name == queues.PROCESS_TYPES[queue]}
        assert set(modules.split()) == {f"workers.{name}" for name in sharing}, queue


def test_the_process_of_small_systems_runs_every_module(root: Path) -> None:
    modules = {f"workers.{path.stem}" for path in (root / "workers").glob("*.py")} - {"workers.__init__"}
    started = parse_procfile((root / "Procfile").read_text(encoding="utf-8"))["worker"].split(" --")[0].split()
    assert started[:4] == ["python", "-m", "shared.jobs.supervisor", "dramatiq"]
    assert set(started[4:]) == modules


def test_every_worker_releases_its_jobs_before_a_platform_kills_it(root: Path) -> None:
    lines = [line for line in parse_procfile((root / "Procfile").read_text(encoding="utf-8")).values() if " dramatiq " in line]
    limits = [re.findall(r" --worker-shutdown-timeout (\d+) ", line) for line in lines]
    assert len(lines) > 9
    assert [[int(ms) / 1000 + 5 < STOP_TIMEOUT for ms in each] for each in limits] == [[True]] * len(lines), "and has time to end"


def test_env_example_is_the_configuration(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.findall(r"^([A-Z_]+)=(.*)$", (root / ".env.example").read_text(encoding="utf-8"), re.M)
    written = dict(lines)
    assert set(written) == variables()
    assert len(lines) == len(written), "each once"
    required = {"DATABASE_URL": "postgresql://h/db", "REDIS_HOST": "h", "CREDENTIALS_KEY": "k" * 43 + "="}
    for name in written:
        monkeypatch.delenv(name, raising=False)
    for name, value in required.items():
        assert written[name] == "", name
        monkeypatch.setenv(name, value)
    defaults = vars(config.read_settings())
    for name, value in (written | required).items():
        monkeypatch.setenv(name, value)
    assert vars(config.read_settings()) == defaults


def test_a_shell_reads_env_example_as_it_is_written(root: Path) -> None:
    """It says itself: set -a; . ./.env. A value with a space would be a command there, and its setting lost."""
    told = subprocess.run(["sh", "-ec", "set -a; . ./.env.example; env -0"], cwd=root, env={}, capture_output=True, timeout=120)
    assert told.stderr == b""
    read = dict(line.split("=", 1) for line in told.stdout.decode().split("\0") if line)
    written = dict(re.findall(r"^([A-Z_]+)=(.*)$", (root / ".env.example").read_text(encoding="utf-8"), re.M))
    assert {name: read.get(name) for name in written} == written


def test_the_procfile_reads_settings_and_has_the_defaults_of_env_example(root: Path) -> None:
    written = dict(re.findall(r"^([A-Z_]+)=(.*)$", (root / ".env.example").read_text(encoding="utf-8"), re.M))
    read = re.findall(r"\$\{([A-Z_]+):-(\w[\w.]*)?", (root / "Procfile").read_text(encoding="utf-8"))
    assert len(read) > 15
    for name, default in read:
        assert written.get(name) in ("", default), name


def test_encrypted_columns_are_those_of_the_schema(root: Path) -> None:
    tables = re.findall(r"^create table (\w+) (.*?)^\)", (root / "schema.sql").read_text(encoding="utf-8"), re.M | re.S)
    commented = {(table, column) for table, text in tables for column in re.findall(r"(\w+) +text[^\n]*-- encrypted", text)}
    fields = {(m._meta.table_name, f.column_name) for m in models.TABLES for f in models.encrypted_fields(m)}  # type: ignore[attr-defined]  # peewee makes _meta
    assert fields == commented
    assert len(fields) >= 5


def test_documents_name_every_setting_and_every_queue(root: Path) -> None:
    text = "\n".join((root / document).read_text(encoding="utf-8") for document in DOCUMENTS)
    missing = [name for name in (*variables(), *queues.Queue) if name not in text]
    assert not missing


def test_the_readme_is_short(root: Path) -> None:
    """Details have their place in the documents of the rooms."""
    assert len((root / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_log_events_that_documents_list_are_logged_and_all_but_debug_are_listed(root: Path) -> None:
    code = "".join(
        path.read_text(encoding="utf-8") for package in ("shared", "workers", "web") for path in (root / package).rglob("*.py")
    )
    logged = set(re.findall(r'\blog\.(?:info|warning|error|exception)\(\s*"(\w+)"', code))
    texts = [(root / document).read_text(encoding="utf-8") for document in DOCUMENTS]
    tables = [table for text in texts for table in re.findall(r"^\| event \| level .*\n((?:\|.*\n)+)", text, re.M)]
    cells = [cell for table in tables for cell in re.findall(r"^\| (`.*?) \|", table, re.M)]
    listed = {event for cell in cells for event in re.findall("`(.*?)`", cell)}
    assert len(listed) > 50
    assert not sorted(event for event in listed if f'"{event}"' not in code)
    # Beside the tables a stage's section tells of some.
    assert not sorted(event for event in logged if not any(f"`{event}`" in text for text in texts))


def test_links_between_the_documents_lead_somewhere(root: Path) -> None:
    texts = {(root / name).resolve(): (root / name).read_text(encoding="utf-8") for name in DOCUMENTS}
    anchors = {path: {_anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)} for path, text in texts.items()}
    for path, text in texts.items():
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{path.relative_to(root)}: {link}"
            assert not anchor or anchor in anchors[target], f"{path.relative_to(root)}: {link}"


def _anchor(heading: str) -> str:
    """What GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def test_modules_are_short(root: Path) -> None:
    packages = ("workers", "shared", "web", "scripts", "tests")
    modules = [path for package in packages for path in (root / package).rglob("*.py") if not path.stem.startswith("test_")]
    lines = {str(path.relative_to(root)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    assert len(lines) > 400
    assert {name: count for name, count in lines.items() if count > 300} == {}


def test_each_migration_has_a_number_of_its_own_and_each_post_file_a_pre_file() -> None:
    names = [path.name for path in migrations()]
    pre, post = ({name.split(".")[0] for name in names if f".{kind}." in name} for kind in ("pre", "post"))
    assert len({name.split("_")[0] for name in pre}) == len(pre)
    assert post <= pre


def _catalog(url: str) -> list[tuple[str, str, str]]:
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute(CATALOG)
        rows = sorted(row for row in cursor.fetchall() if "schema_migration" not in str(row))
    connection.close()
    return rows


def test_schema_sql_equals_the_migrations(database_url: str, empty_database_url: str) -> None:
    first, *_ = migrations()
    with closing(psycopg2.connect(empty_database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(first.read_text(encoding="utf-8"))
        cursor.execute(f"{RECORD}; insert into schema_migration (name) values (%s)", [first.name])
    migrate(empty_database_url, post=True)
    written, migrated = _catalog(database_url), _catalog(empty_database_url)  # the first was made by schema.sql
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


def test_no_quantifier_of_a_group_is_possessive(root: Path) -> None:
    """Python before 3.11.5, which Debian 12 has, matches them wrongly (CPython issue 106052), and atomic groups rightly."""
    sources = [path for room in ("shared", "workers", "web") for path in (root / room).rglob("*.py")]
    lines = [line for path in sources for line in path.read_text(encoding="utf-8").splitlines()]
    assert not [line for line in lines if re.search(r"\)(?:[*+?]|\{[\d,]+\})\+", line)]
