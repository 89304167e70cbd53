"""The connections to Redis: the pool of a process, outages, Redis' clock, and settings of it that lose jobs."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterError,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    TryAgainError,
)
from redis.retry import Retry

from shared.broker.hosts import NamedConnection, NamedTlsConnection
from shared.config import Settings
from shared.dns.services import SILENT, UNKNOWN
from shared.telemetry.outage import Outage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long a process waits for a Redis that does not answer; it answers in microseconds or is gone."""

    #: Seconds for a connection, for an answer, and for a free connection of the pool.
    timeout: float
    #: Seconds in which Redis is not asked again after that.
    pause: float
    #: Connections beyond REDIS_POOL_SIZE.
    spare: int = 0


#: A worker has nothing else to do.
WORKER = Patience(timeout=5.0, pause=0.0)
#: Somebody waits at the front door, and what they sent is in PostgreSQL: Redis hears of it from the sweep.
DOOR = Patience(timeout=1.0, pause=1.0, spare=1)

#: Refused at start (shared/broker/suitability.py).
CLUSTER = "a cluster; take one that is none"
#: Of a hosted plan.
_QUOTA = "a quota of its provider is used up"
#: A proxy, or a service that is not quite Redis: redis-py greets in the newer protocol.
_OLD_PROTOCOL = "knows only the protocol RESP2; add the option protocol=2 to its URL"
#: What redis-py's errors mean, the first that fits.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (ReadOnlyError, "read only"),
    (OutOfMemoryError, "full"),
    (BusyLoadingError, "starting up"),
    (AuthenticationError, "credentials refused"),
    (NoPermissionError, "not permitted"),
    (MasterDownError, "its primary is away"),
    (ClusterError, CLUSTER),
    (ClusterCrossSlotError, CLUSTER),
    (AskError, CLUSTER),
    (TryAgainError, CLUSTER),
    (redis.TimeoutError, "no answer in time"),
    (redis.ConnectionError, "cannot be reached"),
)
#: What redis-py says where each connection of the pool waits for an answer.
_NONE_FREE = "No connection available."
#: Where redis-py has no class for it: a script's error before Redis 7, a connection that is refused, what an operator must mend.
_TEXTS = {
    "READONLY": "read only",
    "OOM command": "full",
    "max number of clients": "too many connections",
    "max concurrent connections": "too many connections",
    "limit exceeded": _QUOTA,  # ERR max daily request limit exceeded, and others of Upstash
    "quota exceeded": _QUOTA,
    "max bandwidth exceeded": _QUOTA,
    "max commands per second exceeded": _QUOTA,
    SILENT: SILENT,
    UNKNOWN: UNKNOWN,
    "MISCONF": "cannot save to its disk",
    "NOREPLICAS": "too few replicas",
    "DB index is out of range": "has no database of this number",
    "SELECT is not allowed in cluster": CLUSTER,
    "access a non local key": CLUSTER,
    "DENIED": "in protected mode",
    "ACL failure in script": "not permitted",
    "The user executing the script can't": "not permitted",  # Valkey, and Redis from 7 on
    "is busy running": "busy with a script",  # BUSY Redis …, BUSY Valkey …
    "UNBLOCKED": "turned into a replica",  # a failover, while a command waited
    "HELLO": _OLD_PROTOCOL,  # before what is said of any command
    "'hello'": _OLD_PROTOCOL,
    "NOPROTO": _OLD_PROTOCOL,
    "nknown Redis command": "older than 6.2, or a command is disabled",
    "nknown command": "older than 6.2, or a command is disabled",
    "Command is not available": "older than 6.2, or a command is disabled",
}


class NotAskedAgain(redis.ConnectionError):
    """Redis was not asked, because a moment ago it failed."""

    def __init__(self) -> None:
        super().__init__("Redis did not answer a moment ago")


def word_for(problem: BaseException) -> str:
    """What is wrong with Redis, in a few words."""
    text = str(problem)
    if isinstance(problem, NotAskedAgain) or text == _NONE_FREE:
        return outage.latest or "no answer in time"
    for part, word in _TEXTS.items():
        if part in text:
            return word
    return next((word for kind, word in _WORDS if isinstance(problem, kind)), type(problem).__name__)


#: A Redis that is full, or a replica, still answers what reads, and one that is full takes our scripts that make room first. So
#: only those say that it is over whose write needs memory. And one thread's good connection says little of another's.
outage = Outage("redis", word_for)

#: A message that a worker has taken: its Redis queue and its id there.
Delivery = tuple[str, str]


def now_ms() -> int:
    """This machine's clock in milliseconds, as Dramatiq writes them into messages. It may be wrong: nothing is decided by it."""
    return int(time.time() * 1000)


def redis_now_ms(client: redis.Redis) -> int:
    """Redis' clock, which decides for all processes."""
    seconds, microseconds = client.time()
    return seconds * 1000 + microseconds // 1000


class Pool(redis.BlockingConnectionPool):
    """As many connections as are set, and who finds none waits for one. One that breaks takes the idle ones along.

    They are as dead as it is where Redis was lost without a word, and each would cost its user the whole timeout.
    """

    def __init__(self, patience: Patience, **kwargs: Any) -> None:
        self.patience, self._away_until = patience, 0.0
        timeouts = {"socket_timeout": patience.timeout, "socket_connect_timeout": patience.timeout}
        super().__init__(timeout=patience.timeout, **{**timeouts, **kwargs})  # type: ignore[no-untyped-call]

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:
        """A connection. Raises redis.ConnectionError: at once, if Redis is not to be asked again yet."""
        if time.monotonic() < self._away_until:
            raise NotAskedAgain
        return super().get_connection(*args, **kwargs)  # type: ignore[no-untyped-call]

    def release(self, connection: Any) -> None:
        """Takes a connection back; one that is closed has failed."""
        if not connection.is_connected:
            self._away_until = time.monotonic() + self.patience.pause
            self.disconnect(inuse_connections=False)
        super().release(connection)  # type: ignore[no-untyped-call]


def connect_redis(conf: Settings, patience: Patience = WORKER) -> redis.Redis:
    """The process's Redis client; a thread-safe pool."""
    pool = Pool.from_url(
        conf.redis_address,
        patience=patience,
        max_connections=conf.redis_pool_size + patience.spare,
        # Dramatiq's own loops decide how long to wait; a hidden retry would only double an enqueue.
        retry=Retry(NoBackoff(), 0),
        **_transport(conf),
    )
    return redis.Redis(connection_pool=pool)


def one_beside(client: redis.Redis) -> redis.Redis:
    """A client with a connection of its own, beside those of this client's pool; it connects on first use."""
    pool = cast(Pool, client.connection_pool)
    own = Pool(pool.patience, max_connections=1, connection_class=pool.connection_class, **pool.connection_kwargs)
    return redis.Redis(connection_pool=own)


def _transport(conf: Settings) -> dict[str, Any]:
    """What an address' scheme means, and REDIS_TLS_VERIFY and REDIS_CA_FILE for a rediss:// address."""
    if conf.redis_address.startswith("unix://"):
        return {}
    if not conf.redis_address.startswith("rediss://"):
        return {"connection_class": NamedConnection}
    tls: dict[str, Any] = {"connection_class": NamedTlsConnection}
    if not conf.redis_tls_verify:
        return {**tls, "ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return {**tls, "ssl_ca_certs": conf.redis_ca_file} if conf.redis_ca_file else tls


def warn_about_forgetful_redis(client: redis.Redis) -> None:
    """Names, once at start, Redis settings that lose jobs; PostgreSQL remembers them, but a loss costs seconds."""
    try:
        policy = client.info("memory").get("maxmemory_policy", "unknown")
        persistent = client.info("persistence").get("aof_enabled")
    except redis.RedisError:
        return
    if policy != "noeviction":
        log.warning("redis_may_evict_jobs", extra={"policy": policy, "advice": "set maxmemory-policy to noeviction"})
    if not persistent:
        log.warning("redis_not_persistent", extra={"advice": "set appendonly to yes"})
