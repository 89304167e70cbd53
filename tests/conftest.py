"""Real PostgreSQL and Redis for every test that asks: embedded servers, a database copied from a template for each."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import hypothesis
import psycopg2
import pytest
import redis

from scripts.commands.migrate import migrate_and_fill
from scripts.local.embedded import Services
from scripts.local.leftovers import clear_abandoned
from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.ai import profiles
from shared.broker import connection, redis_broker
from shared.jobs.ledger import leases
from shared.jobs.stage import isolation
from shared.telemetry import metrics
from shared.webhooks import gone
from tests.builders import World

# Neither how long an example takes on a busy machine nor which ones are tried decides a test: they are the same each time.
# `scripts/test --hypothesis-profile random` looks for new ones.
hypothesis.settings.register_profile("fixed", deadline=None, derandomize=True)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile("fixed")

_numbers = itertools.count(1)
_MEMORY = Path("/dev/shm")
#: The folders of runs begin with this; those of single tests do not.
_FOLDER = "switchboard-run-"


def pytest_configure() -> None:
    """SIGTERM ends a run as Ctrl-C does: what fixtures started they end. What libpq's variables name is none of its servers.

    A shell has a run in the background ignore SIGINT, and so would the programs that tests start, and send it.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """One PostgreSQL and one Redis for the whole run; not in pytest's own folders, which PostgreSQL's user cannot enter.

    What runs left that were killed is cleared away.
    """
    for place in (_MEMORY, Path(tempfile.gettempdir())):
        clear_abandoned(place, f"{_FOLDER}*")
    with tempfile.TemporaryDirectory(prefix=_FOLDER, dir=_memory()) as folder:
        running = Services(Path(folder), fast=True)
        running.start()
        yield running
        running.stop()


def _memory() -> Path | None:
    """Where files stay in memory, if much is free there: a disk is slow to copy a database for each test."""
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 4 * 1024**3 else None


def _administer(services: Services, statement: str) -> None:
    """Runs a statement about databases, on a connection of its own: a test may crash the server."""
    with closing(psycopg2.connect(services.database_url.replace("/switchboard", "/postgres"))) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


@pytest.fixture(scope="session")
def template(services: Services) -> str:
    """A migrated database to copy from, with the common words of each language."""
    _administer(services, "create database template_switchboard")
    migrate_and_fill(services.database_url.replace("/switchboard", "/template_switchboard"))
    return "template_switchboard"


@pytest.fixture
def database_url(services: Services, template: str) -> Iterator[str]:
    """A fresh database."""
    name = f"test_{next(_numbers)}"
    _administer(services, f"create database {name} template {template} strategy file_copy")  # half as long
    yield services.database_url.replace("/switchboard", f"/{name}")
    db.reset()
    _administer(services, f"drop database {name} with (force)")


@pytest.fixture
def empty_database_url(services: Services) -> Iterator[str]:
    """A database without any table."""
    name = f"empty_{next(_numbers)}"
    _administer(services, f"create database {name}")
    yield services.database_url.replace("/switchboard", f"/{name}")
    _administer(services, f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """The outside world."""
    with Simulator.start(seed=1) as running:
        yield running


@pytest.fixture(scope="session")
def media_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On the disk where tests make their own files, which are renamed into it."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture
def environment(
    services: Services, database_url: str, media_folder: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """This process and its children as parts of a system of their own; Redis and the simulator's record are empty."""
    redis.Redis.from_url(services.redis_url).flushall()
    simulator.reset()
    of_test = {"DATABASE_URL": database_url, "MEDIA_FOLDER": str(media_folder), "LOG_LEVEL": "INFO"}
    chosen = {**services.environment(), **simulator.environment(), **of_test}
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
    _forget()
    yield chosen
    _forget()


def _forget() -> None:
    gone.stop()
    config.reset()
    db.reset()
    db.outage.forget()
    connection.outage.forget()
    redis_broker.reset()
    leases.clear()
    isolation.close()
    profiles.forget()
    metrics.reset()


@pytest.fixture
def world(environment: dict[str, str], simulator: Simulator) -> World:
    """A builder of tenants in a fresh system."""
    return World(simulator)


@pytest.fixture
def root() -> Path:
    """The repository."""
    return Path(__file__).parents[1]
