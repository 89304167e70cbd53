"""Disruptions that end no process: what networks, failovers, poolers and clocks do. Proxies carry most of them out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import redis

from scripts.local.chaos.disruptions import Target
from scripts.local.proxy import Connection, Mode, Proxy, everyone

#: Seconds for which a server is away: longer than two leases, so that every lease of the workers ends meanwhile.
LONG = 40.0
#: Seconds of a stall: longer than a lease, and than the patience of a channel that waits for an answer.
STALL = 20.0
#: Seconds until a failover's new primary takes sessions.
PROMOTION = 5.0


@contextmanager
def _door_watched(target: Target, outage: str, refuses: bool = False) -> Iterator[None]:
    door = target.around.door
    if door is None:
        yield
        return
    with door.watch(outage, refuses):
        yield


def failover(target: Target) -> None:
    """PostgreSQL becomes read-only; 5 s later it takes new sessions as a new primary would, and the old ones stay read-only."""
    if not target.reached(0.2):
        return
    with _door_watched(target, "failover", refuses=True):
        _administer(target, "alter system set default_transaction_read_only = on", "select pg_reload_conf()")
        target.report("failover: every session is read-only")
        time.sleep(PROMOTION)
        _administer(target, "alter role current_user set default_transaction_read_only = off")
        target.over("a new session may write; those that are open stay read-only")
    if target.reached(0.6):
        _administer(target, "alter system reset default_transaction_read_only", "select pg_reload_conf()")
        target.over("the open sessions may write again")


def outlast_leases(target: Target) -> None:
    """PostgreSQL is down for 40 s, longer than two leases."""
    if not target.reached(0.2):
        return
    target.services.postgres_crash()
    target.report(f"PostgreSQL crashed, for {LONG:.0f} s")
    with _door_watched(target, "PostgreSQL down", refuses=True):
        time.sleep(LONG)
        target.services.postgres_start()
        target.over("PostgreSQL restarted")


def lose_postgres_connections(target: Target) -> None:
    """PostgreSQL's connections all die silently, twice; new ones work."""
    for share in (0.2, 0.6):
        if not target.reached(share):
            return
        with _door_watched(target, "PostgreSQL's connections half open"):
            lost = _postgres(target).treat(Mode.LOSE, new=False)
            target.over(f"{lost} connections to PostgreSQL half open")
            time.sleep(STALL)


def lose_redis_connections(target: Target) -> None:
    """Redis' listening connections die silently, later all of them; new ones work."""
    for share, what, chosen in ((0.2, "listening connections", _listens), (0.6, "connections", everyone)):
        if not target.reached(share):
            return
        with _door_watched(target, "Redis' connections half open"):
            lost = _redis(target).treat(Mode.LOSE, only=chosen, new=False)
            target.over(f"{lost} {what} to Redis half open")
            time.sleep(STALL / 2)


def stall(target: Target) -> None:
    """PostgreSQL says nothing for 20 s, and later Redis; no connection ends."""
    servers = ((0.2, "PostgreSQL", _postgres(target)), (0.6, "Redis", _redis(target)))
    for share, name, proxy in servers:
        if not target.reached(share):
            return
        with _door_watched(target, f"{name} stalls", refuses=name == "PostgreSQL"):
            proxy.treat(Mode.STALL)
            target.report(f"{name} stalls for {STALL:.0f} s")
            time.sleep(STALL)
            proxy.treat(Mode.PASS)
            target.over(f"{name} answers again")


def bad_network(target: Target) -> None:
    """PostgreSQL and later Redis: resets, answers that break off, delays and a short stall."""
    for share, name, proxy in ((0.1, "PostgreSQL", _postgres(target)), (0.5, "Redis", _redis(target))):
        if not target.reached(share):
            return
        for mode, times in ((Mode.RESET, 4), (Mode.CUT, 6)):
            for _ in range(times):
                target.report(f"{name}: {mode.value} of {proxy.treat(mode, new=False)} connections")
                time.sleep(0.7)
        for mode, seconds in ((Mode.DELAY, 5.0), (Mode.STALL, 8.0)):
            proxy.treat(mode)
            target.report(f"{name}: {mode.value} for {seconds:.0f} s")
            time.sleep(seconds)
        proxy.treat(Mode.PASS)
        target.over(f"{name}: the network is good again")


def restart_pooler(target: Target) -> None:
    """PostgreSQL behind PgBouncer in session mode, which is killed and restarted, twice."""
    assert target.around.pooler is not None
    for share in (0.25, 0.65):
        if not target.reached(share):
            return
        target.around.pooler.kill()
        target.report("PgBouncer killed")
        time.sleep(1.0)
        target.around.pooler.start()
        target.over("PgBouncer restarted")


def lose_other_machine(target: Target) -> None:
    """kill -9 of the second machine's workers, which do not come back."""
    assert target.around.others is not None
    if target.reached(0.3):
        for name in target.around.others.restarts():
            target.around.others.lose(name)
        target.over("the machine with the wrong clock is lost")


def fill_redis(target: Target) -> None:
    """Redis is full and takes no writes for 20 s, twice."""
    with redis.Redis.from_url(target.services.redis_url) as client:
        for share in (0.15, 0.5):
            if not target.reached(share):
                return
            client.config_set("maxmemory", 1)
            target.report("Redis is full")
            with _door_watched(target, "Redis full"):
                time.sleep(STALL)
                client.config_set("maxmemory", 0)
                target.over("Redis has room again")


def _administer(target: Target, *statements: str) -> None:
    """Runs statements beside the system, also where sessions begin read-only."""
    connection = psycopg2.connect(target.services.database_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        for statement in ("set default_transaction_read_only = off", *statements):
            cursor.execute(statement)
    connection.close()


def _postgres(target: Target) -> Proxy:
    assert target.around.postgres is not None
    return target.around.postgres


def _redis(target: Target) -> Proxy:
    assert target.around.redis is not None
    return target.around.redis


def _listens(connection: Connection) -> bool:
    return connection.said(b"SUBSCRIBE")
