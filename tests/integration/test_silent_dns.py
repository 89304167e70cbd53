"""A DNS server that says nothing: PostgreSQL and Redis are found where they were the last time, and who waits waits in time.

The silence has no end but the test's: what waited for it would wait for ever.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis

from shared import config, db
from shared.broker import redis_broker
from shared.broker.connection import DOOR, WORKER, connect_redis, word_for
from shared.config import settings
from shared.db.connecting import open_session
from shared.db.session import Limits
from shared.dns import services
from shared.telemetry import metrics
from tests.integration.front_door import FrontDoor
from tests.waiting import until

HASTY = Limits(statement=8, connect=1, turn=3)


class Dns:
    """Knows where the hosts of `.example` are, and says so while it is not silent."""

    def __init__(self) -> None:
        self.address, self.asked, self._ask = "127.0.0.1", list[str](), socket.getaddrinfo
        self.speaks = threading.Event()
        self.speaks.set()

    def getaddrinfo(self, name: Any, *more: Any, **options: Any) -> Any:
        """As socket's."""
        if not str(name).endswith(".example"):
            return self._ask(name, *more, **options)
        self.asked.append(name)
        self.speaks.wait()
        if name == "nobody.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._ask(self.address, *more, **options)


@pytest.fixture
def dns(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Dns]:
    """DATABASE_URL and REDIS_URL name hosts."""
    dns = Dns()
    monkeypatch.setattr(socket, "getaddrinfo", dns.getaddrinfo)
    _name_hosts(monkeypatch, "db.example", "redis.example")
    services.forget()
    yield dns
    dns.speaks.set()
    db.reset()
    redis_broker.reset()
    services.forget()


def _name_hosts(monkeypatch: pytest.MonkeyPatch, postgres: str, of_redis: str) -> None:
    for name, host in (("DATABASE_URL", postgres), ("REDIS_URL", of_redis)):
        url = config.read_settings().database_url if name == "DATABASE_URL" else config.read_settings().redis_address
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        monkeypatch.setenv(name, parts._replace(netloc=f"{user}{at}{host}:{parts.port}").geturl())
    config.reset()
    db.reset()
    redis_broker.reset()
    metrics.reset()


def test_where_they_were_the_last_time_they_are(dns: Dns) -> None:
    for client in (connect_redis(settings()), connect_redis(settings(), DOOR)):
        assert client.ping()
    assert db.scalar("select 1") == 1
    dns.speaks.clear()
    db.reset()
    assert db.scalar("select 1") == 1
    assert connect_redis(settings(), WORKER).ping()
    assert set(dns.asked) == {"db.example", "redis.example"}


def test_the_answer_that_comes_late_is_the_next_ones(dns: Dns) -> None:
    dns.address = "127.0.0.9"  # nobody is there
    with pytest.raises(redis.ConnectionError):
        connect_redis(settings()).ping()
    dns.address = "127.0.0.1"
    dns.speaks.clear()
    with pytest.raises(redis.ConnectionError):
        connect_redis(settings()).ping()
    asked = len(dns.asked)
    dns.speaks.set()
    until(lambda: services._latest["redis.example"] == ["127.0.0.1"])
    assert len(dns.asked) == asked, "by the look-up that was under way"
    dns.speaks.clear()
    assert connect_redis(settings()).ping()


def test_a_service_that_was_never_found_is_given_up(dns: Dns) -> None:
    dns.speaks.clear()
    with pytest.raises(psycopg2.OperationalError) as of_postgres:
        open_session(settings().database_url, HASTY)
    with pytest.raises(redis.ConnectionError) as of_redis:
        connect_redis(settings(), DOOR).ping()
    assert db.word_for(of_postgres.value) == word_for(of_redis.value) == "DNS did not answer"


def test_a_name_that_there_is_not_is_not_a_silent_dns(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    assert connect_redis(settings()).ping()
    _name_hosts(monkeypatch, "nobody.example", "nobody.example")
    with pytest.raises(psycopg2.OperationalError) as of_postgres:
        open_session(settings().database_url, HASTY)
    with pytest.raises(redis.ConnectionError) as of_redis:
        connect_redis(settings()).ping()
    assert db.word_for(of_postgres.value) == word_for(of_redis.value) == "DNS knows no address for it"


def test_of_several_hosts_those_count_that_are_found(dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    port = urlsplit(settings().database_url).port
    _name_hosts(monkeypatch, "nobody.example:1,127.0.0.1:1,db.example", "redis.example")
    assert str(port) in settings().database_url
    with closing(open_session(settings().database_url, HASTY)) as session:
        assert session.info.host == "db.example", "certificates name it"


def test_readyz_says_that_it_is_dns(door: FrontDoor, dns: Dns) -> None:
    dns.speaks.clear()
    db.use(HASTY)
    checks = door.client.get("/readyz").json["checks"]  # type: ignore[index]
    assert (checks["postgres"], checks["redis"]) == ("failed: DNS did not answer", "failed: DNS did not answer")


def test_readyz_waits_for_what_failed_once(door: FrontDoor, dns: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    _name_hosts(monkeypatch, "nobody.example", "redis.example")
    checks = door.client.get("/readyz").json["checks"]  # type: ignore[index]
    assert dns.asked.count("nobody.example") == 1
    assert checks["postgres"] == checks["credentials"] == checks["workers"] == "failed: DNS knows no address for it"
