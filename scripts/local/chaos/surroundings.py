"""What some scenarios put around the system: proxies, a pooler, a web process, more workers with a wrong clock."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import redis

from scripts.local.chaos.door import Door
from scripts.local.chaos.pooler import PgBouncer
from scripts.local.embedded import Services
from scripts.local.folders import ROOT
from scripts.local.ports import free_port
from scripts.local.processes import ProcessManager
from scripts.local.proxy import Proxy

#: Put first on PYTHONPATH, it sets a process's clock wrong.
CLOCK = Path(__file__).with_name("clock")

OnLine = Callable[[str, str], object]


@dataclass(frozen=True)
class Setup:
    """What a scenario needs around the system."""

    #: A proxy before PostgreSQL, and one before Redis.
    proxied: bool = False
    #: PgBouncer before PostgreSQL.
    pooled: bool = False
    #: Redis refuses more connections than this; 0: its own default of 10,000.
    redis_clients: int = 0
    #: The system's role may have so many connections to PostgreSQL; 0: as many as it likes.
    postgres_connections: int = 0
    #: A web process, which is asked during outages.
    door: bool = False
    #: Seconds by which the clock of a second set of workers is wrong; 0: there is none.
    clock_offset: float = 0.0


@dataclass
class Surroundings:
    """What there is; None where the scenario has no such thing."""

    postgres: Proxy | None = None
    redis: Proxy | None = None
    pooler: PgBouncer | None = None
    door: Door | None = None
    others: ProcessManager | None = None
    #: Settings of the workers and of whoever enqueues: the way through proxies or pooler.
    settings: dict[str, str] = field(default_factory=dict)


def put_before_servers(setup: Setup, services: Services, stack: ExitStack) -> Surroundings:
    """What stands between the system and its servers. It ends with the stack."""
    around = Surroundings()
    if setup.proxied:
        around.postgres = stack.enter_context(Proxy.to(services.database_url))
        around.redis = stack.enter_context(Proxy.to(services.redis_url))
        around.settings = {"DATABASE_URL": around.postgres.url, "REDIS_URL": around.redis.url}
    if setup.pooled:
        around.pooler = PgBouncer(services)
        stack.callback(around.pooler.kill)
        around.pooler.start()
        around.settings = {"DATABASE_URL": around.pooler.url}
    if setup.postgres_connections:
        around.settings = {"DATABASE_URL": _small_plan(services.database_url, setup.postgres_connections)}
    if setup.redis_clients:
        with redis.Redis.from_url(services.redis_url) as client:
            client.config_set("maxclients", setup.redis_clients)
    return around


def _small_plan(url: str, connections: int) -> str:
    """The URL for a role with few connections, as small plans of platforms have them."""
    parts = urlsplit(url)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"create role small_plan login connection limit {connections} password '{parts.password}'")
        cursor.execute("grant pg_read_all_data, pg_write_all_data to small_plan")
    return urlunsplit(parts._replace(netloc=parts.netloc.replace(f"{parts.username}:", "small_plan:", 1)))


def add_door(around: Surroundings, environment: Mapping[str, str], on_line: OnLine, stack: ExitStack) -> None:
    """A web process, and a channel in front of it."""
    port = free_port(0)
    settings = {**environment, "PORT": str(port), "WEB_HOST": "127.0.0.1"}
    web = ProcessManager(ROOT / "Procfile", env=settings, cwd=ROOT, names=["web"], on_line=on_line)
    stack.callback(web.stop)
    web.start()
    around.door = Door(port, environment["WHATSAPP_APP_SECRET"])


def add_others(
    around: Surroundings, environment: Mapping[str, str], offset: float, names: list[str], on_line: OnLine, stack: ExitStack
) -> None:
    """The same processes once more, as on a second machine whose clock is wrong by `offset` seconds."""
    path = os.pathsep.join([str(CLOCK), str(ROOT)])
    settings = {**environment, "PYTHONPATH": path, "CHAOS_CLOCK_OFFSET": str(offset)}
    around.others = ProcessManager(ROOT / "Procfile", env=settings, cwd=ROOT, names=names, on_line=on_line)
    stack.callback(around.others.stop)
    around.others.start()
