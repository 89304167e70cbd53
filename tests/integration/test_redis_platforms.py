"""Redis as platforms give it: behind TLS with a certificate of their own, and for a user with few rights."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from wsgiref.util import setup_testing_defaults

import pytest
import redis
from redis._parsers.base import BaseParser

from shared import config
from shared.broker import rate_limits, redis_broker
from shared.broker.connection import connect_redis, word_for
from shared.broker.consumer import WokenConsumer
from shared.broker.enqueue import Ticket, enqueue, message_for
from shared.broker.redis_broker import addressed, get_broker
from shared.config import settings
from shared.jobs.sweep import sweep_if_alone
from shared.queues import Queue
from shared.telemetry import metrics
from tests.integration.front_door import METRICS, FrontDoor, change, webhook, written
from tests.tls import TlsProxy, self_signed
from tests.waiting import until
from web.ops.dashboard import application

LANE = Queue.OUTGOING.value


@pytest.fixture
def tls(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """REDIS_URL as Heroku sets it; yields the certificate's file."""
    certificate, plain = self_signed(tmp_path), urlsplit(environment["REDIS_URL"])
    proxy = TlsProxy(certificate, (plain.hostname or "", plain.port or 0))
    monkeypatch.setenv("REDIS_URL", f"rediss://:{plain.password or ''}@localhost:{proxy.port}/0")
    config.reset()
    redis_broker.reset()
    yield certificate
    proxy.shutdown()
    proxy.server_close()


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: Path) -> None:
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        connect_redis(settings()).ping()


@pytest.mark.parametrize("text", ["false", "0", "no"])
def test_it_is_accepted_if_a_setting_says_so(tls: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("REDIS_TLS_VERIFY", text)
    config.reset()
    assert connect_redis(settings()).ping()


def test_it_is_accepted_if_its_authority_is_named(tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_CA_FILE", str(tls))
    config.reset()
    assert connect_redis(settings()).ping()


def test_what_the_address_itself_says_about_tls_counts(tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", f"{settings().redis_url}?ssl_cert_reqs=none")
    config.reset()
    assert connect_redis(settings()).ping()


def test_an_authority_that_is_not_there_is_named_at_start(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REDIS_CA_FILE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(config.ConfigError, match=r"REDIS_CA_FILE: .*not a file"):
        config.read_settings()


@pytest.fixture
def few_rights(door: FrontDoor, root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """The user of workers/README.md; yields an administrator, who is told what was refused."""
    [line] = re.findall(r"^ACL SETUSER (switchboard .*)$", (root / "workers" / "README.md").read_text(encoding="utf-8"), re.M)
    url = settings().redis_url
    admin = redis.Redis.from_url(url)
    admin.execute_command("ACL", "SETUSER", *line.replace("PASSWORD", "secret-1").split())
    admin.execute_command("ACL", "LOG", "RESET")
    monkeypatch.setenv("REDIS_URL", re.sub(r"//(.*@)?", "//switchboard:secret-1@", url, count=1))
    config.reset()
    redis_broker.reset()
    metrics.reset()
    yield admin
    admin.execute_command("ACL", "DELUSER", "switchboard")


def refused(admin: redis.Redis) -> list[Any]:
    """What the user was not allowed."""
    return [(entry["reason"], entry["object"], entry["context"]) for entry in admin.acl_log()]


def test_the_documented_rights_suffice(few_rights: redis.Redis, door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_AI_PROCESSING", "100/1s")
    config.reset()
    broker = get_broker()
    _move_messages()
    assert door.meta(webhook(change(door.number, messages=[written("wamid.1")]))).status_code == 200
    door.world.drain()
    assert len(door.world.messages(role="assistant", status="SENT")) == 1
    rate_limits.admit(1, Queue.AI, 1)
    assert sweep_if_alone()
    broker.rescue(dead_after=0)
    assert "switchboard_sweep_age_seconds" in door.client.get("/metrics", headers={"Authorization": f"Bearer {METRICS}"}).text
    assert door.client.get("/readyz").json["checks"]["redis"] == "ok"  # type: ignore[index]
    assert door.client.post("/widget/sessions", json={"chatbot": "x"}).status_code < 500
    _look_at_the_dashboard()
    assert refused(few_rights) == []


def _enqueue_one() -> None:
    enqueue([Ticket(int(time.monotonic() * 1000), Queue.OUTGOING, 5, customer=1)])


def _move_messages() -> None:
    """All that a worker does: it is pushed, takes, gives back, acks, fails and forgets messages."""
    broker = get_broker()
    broker.declare_queue(LANE)
    consumer = cast(WokenConsumer, broker.consume(LANE, prefetch=8))
    consumer.ack(until(lambda: next(consumer) or _enqueue_one(), "nothing is pushed"))
    broker.put([addressed(message_for(Ticket(number, Queue.OUTGOING, 5, customer=number % 2)), 0) for number in range(30)])
    broker.put([addressed(message_for(Ticket(100, Queue.OUTGOING, 5)), 5)])
    time.sleep(0.02)
    first, second, third = _three(consumer)
    consumer.nack(first)
    consumer.requeue([second])
    broker.end([(LANE, third.options["redis_message_id"])], [])
    broker.missing(LANE, ["job-1"])
    broker.reclaim(LANE)
    broker.retire()
    broker.retired = False
    metrics.increment("attempts", LANE, "completed")
    metrics.flush()
    assert metrics.read()


def _three(consumer: WokenConsumer) -> list[Any]:
    taken: list[Any] = []
    while len(taken) < 3:
        message = next(consumer)
        taken += [message] if message else []
    return taken


def _look_at_the_dashboard() -> None:
    app = application(get_broker(), prefix="")
    for path in ("/", f"/queues/{LANE}", f"/queues/{LANE}/failed", f"/queues/{LANE}/delayed"):
        environ: dict[str, Any] = {}
        setup_testing_defaults(environ)
        environ["PATH_INFO"] = path
        statuses: list[str] = []
        b"".join(app(environ, lambda status, _headers, *_rest, seen=statuses: seen.append(status)))
        assert statuses, path
        assert not statuses[0].startswith("5"), path


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "other:key"),
        ("SET", "other:key", "1"),
        ("PUBLISH", "other", "1"),
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("EVAL", "return redis.call('get', 'other:key')", "0"),
    ],
)
def test_the_documented_rights_are_not_more(few_rights: redis.Redis, command: tuple[str, ...]) -> None:
    with pytest.raises(redis.RedisError, match=r"(?i)permission|can.t access"):
        get_broker().client.execute_command(*command)


def test_a_process_that_does_not_listen_has_the_connections_that_are_set(environment: dict[str, str]) -> None:
    admin, client = redis.Redis.from_url(environment["REDIS_URL"]), connect_redis(settings())
    before = {one["id"] for one in admin.client_list()}
    with ThreadPoolExecutor(2) as pool:
        blocks = pool.submit(client.blpop, ["what comes late"], 0)
        until(lambda: any(one["cmd"] == "blpop" for one in admin.client_list()))
        pings = pool.submit(client.ping)
        admin.rpush("what comes late", "it")
        assert blocks.result() == (b"what comes late", b"it")
        assert pings.result(), "it waited for the one that there is"
    assert len({one["id"] for one in admin.client_list()} - before) == 1


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ("MISCONF Redis is configured to save RDB snapshots, but is unable to persist to disk.", "cannot save to its disk"),
        ("NOREPLICAS Not enough good replicas to write.", "too few replicas"),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "its primary is away"),
        ("MOVED 3999 10.0.0.7:6381", "a cluster; take one that is none"),
        ("CROSSSLOT Keys in request don't hash to the same slot", "a cluster; take one that is none"),
        ("ERR Script attempted to access a non local key in a cluster node", "a cluster; take one that is none"),
        ("CLUSTERDOWN Hash slot not served", "a cluster; take one that is none"),
        ("DENIED Redis is running in protected mode because protected mode is enabled", "in protected mode"),
        ("BUSY Redis is busy running a script.", "busy with a script"),
        ("BUSY Valkey is busy running a script.", "busy with a script"),
        ("BUSY Valkey is busy running a module command.", "busy with a script"),
        ("UNBLOCKED force unblock from blocking operation, instance state changed", "turned into a replica"),
        ("ERR ACL failure in script: User app has no permissions to run the 'zadd' command", "not permitted"),
        ("ERR The user executing the script can't run this command or subcommand", "not permitted"),
        ("ERR unknown command 'EVALSHA', with args beginning with:", "older than 6.2, or a command is disabled"),
        (
            "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH'",
            "knows only the protocol RESP2; add the option protocol=2 to its URL",
        ),
        ("ERR unknown command 'hello'", "knows only the protocol RESP2; add the option protocol=2 to its URL"),
        ("NOPROTO unsupported protocol version", "knows only the protocol RESP2; add the option protocol=2 to its URL"),
        ("ERR Unknown Redis command called from script", "older than 6.2, or a command is disabled"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "full"),
        ("ERR max number of clients reached", "too many connections"),
        ("ERR max concurrent connections exceeded", "too many connections"),
        ("ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.", "a quota of its provider is used up"),
        ("ERR max requests limit exceeded. Limit: 500000, Usage: 500001.", "a quota of its provider is used up"),
        ("ERR max daily bandwidth limit exceeded.", "a quota of its provider is used up"),
        ("ERR DB capacity quota exceeded.", "a quota of its provider is used up"),
        ("ERR Command is not available: 'INFO'.", "older than 6.2, or a command is disabled"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "a cluster; take one that is none"),
        ("ASK 3999 10.0.0.7:6381", "a cluster; take one that is none"),
        ("NOPERM this user has no permissions to run the 'eval' command", "not permitted"),
        ("NOAUTH Authentication required.", "credentials refused"),
    ],
)
def test_what_redis_refuses_is_said_in_words(answer: str, word: str) -> None:
    assert word_for(BaseParser.parse_error(answer)) == word


def test_a_database_that_redis_does_not_have_is_said(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", settings().redis_url.replace("/0", "/999"))
    config.reset()
    with pytest.raises(redis.RedisError) as refused:
        connect_redis(settings()).ping()
    assert word_for(refused.value) == "has no database of this number"


def test_where_all_connections_wait_for_redis_that_is_the_reason(environment: dict[str, str]) -> None:
    client = connect_redis(settings())
    client.connection_pool.get_connection()
    client.connection_pool.timeout = 0.2  # type: ignore[attr-defined]  # a BlockingConnectionPool's
    with pytest.raises(redis.ConnectionError) as none_free:
        client.ping()
    assert word_for(none_free.value) == "no answer in time"
