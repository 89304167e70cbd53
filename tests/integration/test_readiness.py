"""/readyz says ok only if work can be done, and what is missing otherwise."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import pytest
import redis
from cryptography.fernet import Fernet

from shared import config, db, queues
from shared.broker import census
from shared.broker.connection import connect_redis
from shared.broker.redis_broker import Broker, get_broker
from shared.config import settings
from shared.db import credentials, schema_age
from shared.db.session import Limits
from shared.jobs.sweep import sweep_if_alone
from shared.jobs.worker_process import keep_leases
from shared.media.storage import storage
from shared.models import TelegramBot
from shared.queues import Queue
from tests.integration.conftest import RedisRefusing
from tests.integration.desk_pages import Visitor, person
from tests.integration.front_door import FrontDoor
from tests.waiting import until
from web.app import create_app
from web.ops import health


def ready(door: FrontDoor, strict: bool = False) -> tuple[int, dict[str, Any]]:
    """The status code and the answer."""
    answer = door.client.get("/readyz?strict" if strict else "/readyz")
    body: dict[str, Any] = answer.json  # type: ignore[assignment]
    return answer.status_code, body


def work(*queues_served: Queue) -> None:
    """Workers of these queues look once."""
    worker = Broker(connect_redis(settings()), [], settings().redis_namespace)
    for queue in queues_served or tuple(Queue):
        for lane in queues.lanes(queue).values():
            worker.take(lane, 1)


@pytest.fixture
def well(door: FrontDoor) -> FrontDoor:
    """A system in which work can be done."""
    sweep_if_alone()
    work()
    assert ready(door) == (
        200,
        {
            "status": "ok",
            "checks": dict.fromkeys(("postgres", "redis", "storage", "credentials", "sweep", "scheduler", "workers"), "ok"),
        },
    )
    return door


@pytest.mark.parametrize(
    ("command", "says"),
    [(("replicaof", "127.0.0.1", "1"), "failed: read only"), (("config", "set", "maxmemory", "1"), "failed: full")],
)
def test_a_redis_that_takes_no_writes_is_not_ok(
    well: FrontDoor, redis_refusing: RedisRefusing, command: tuple[str, ...], says: str
) -> None:
    with redis_refusing(*command):
        code, body = ready(well)
        assert (code, body["status"], body["checks"]["redis"]) == (200, "degraded", says)
        assert ready(well, strict=True)[0] == 503
    assert ready(well, strict=True) == (200, ready(well)[1])
    assert ready(well)[1]["status"] == "ok"


@pytest.mark.parametrize("lock", ["message in access exclusive", "job in share"])
def test_a_table_that_somebody_locks_is_not_ok(well: FrontDoor, lock: str) -> None:
    """VACUUM FULL, for example, or an index made by hand."""
    with closing(psycopg2.connect(settings().database_url)) as another, another.cursor() as cursor:
        cursor.execute(f"lock table {lock} mode")
        code, body = ready(well)
        assert (code, body["status"]) == (503, "not ready")
        assert body["checks"]["postgres"].startswith("failed: a table that messages are written to is locked")
        another.rollback()
        assert ready(well)[1]["status"] == "ok"


def test_an_operator_reads_why_nothing_is_answered(well: FrontDoor, redis_refusing: RedisRefusing) -> None:
    """A full Redis still says which workers there were: nothing else on the page would say why messages wait."""
    operator = Visitor(create_app(), person("operator", None))
    assert "Redis takes no writes" not in operator.get("/desk/operate/").text
    with redis_refusing("config", "set", "maxmemory", "1"):
        health.problems()
        until(lambda: health.problems().get("redis"))
        page = operator.get("/desk/operate/").text
    assert "<b>Redis takes no writes. Messages are accepted and wait;" in page
    assert "<code>failed: full</code>" in page
    assert "Some queues have no worker." not in page, "that is not known, and has the same cause"


def test_each_check_knows_why_redis_is_not_asked(well: FrontDoor) -> None:
    """After a refusal the door rests for a second, in which nothing asks Redis; why is known all the same."""
    admin = redis.Redis.from_url(settings().redis_address)
    limit = admin.config_get("maxclients")["maxclients"]
    admin.config_set("maxclients", "1")
    try:
        get_broker().client.connection_pool.disconnect()
        checks = ready(well)[1]["checks"]
    finally:
        admin.config_set("maxclients", limit)
    assert checks == {
        "postgres": "ok",
        "storage": "ok",
        "credentials": "ok",
        **dict.fromkeys(("redis", "sweep", "scheduler", "workers"), "failed: too many connections"),
    }


def test_a_process_whose_connections_are_all_in_use_says_so(door: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_POOL_SIZE", "1")
    config.reset()
    db.reset()
    db.use(Limits(statement=3, connect=2, turn=0.1))
    with db.connection(), ThreadPoolExecutor(1) as pool:
        code, body = pool.submit(ready, door).result(60)
    assert (code, body["status"]) == (503, "not ready")
    assert body["checks"]["postgres"].startswith("failed: none of DB_POOL_SIZE=1 connections was free")


def test_a_folder_that_takes_no_files_is_not_ok(well: FrontDoor, caplog: pytest.LogCaptureFixture) -> None:
    folder = storage().arrivals
    folder.rmdir()
    folder.write_bytes(b"")  # root may write anywhere, but not into a file
    try:
        code, body = ready(well)
    finally:
        folder.unlink()
    assert (code, body["status"]) == (200, "degraded")
    assert body["checks"]["storage"] == "failed: takes no files; this process's log says why"
    [reason] = [getattr(record, "reason") for record in caplog.records if record.message == "health_check_failed"]  # noqa: B009
    assert reason == "media: the folder of the files refuses: File exists"
    assert ready(well, strict=True)[0] == 200


def test_why_a_check_fails_is_logged_once_however_often_it_is_asked(well: FrontDoor, caplog: pytest.LogCaptureFixture) -> None:
    folder = storage().arrivals
    for _ in range(2):  # it recovers in between, so the second failure is another one
        folder.rmdir()
        folder.write_bytes(b"")
        try:
            assert {ready(well)[1]["status"] for _ in range(5)} == {"degraded"}
        finally:
            folder.unlink()
        assert ready(well)[1]["status"] == "ok"
    assert [record.message for record in caplog.records].count("health_check_failed") == 2


def test_what_goes_on_is_logged_again_and_what_changes_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reasons = health._Reasons()
    for reason in ("full", "full", "read only", "full"):
        reasons.log("redis", reason)
    monkeypatch.setattr(health, "LOGGED_AGAIN", 0.0)
    reasons.log("redis", "full")
    logged = [getattr(record, "reason") for record in caplog.records if record.message == "health_check_failed"]  # noqa: B009
    assert logged == ["full", "read only", "full", "full"]


def test_a_key_of_another_database_is_not_ok(
    well: FrontDoor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CREDENTIALS_KEY", Fernet.generate_key().decode())
    config.reset()
    code, body = ready(well, strict=True)
    assert (code, body["status"]) == (503, "degraded")
    assert body["checks"]["credentials"] == "failed: CREDENTIALS_KEY does not open stored secrets; this process's log says which"
    [reason] = [getattr(record, "reason") for record in caplog.records if record.message == "health_check_failed"]  # noqa: B009
    assert reason.startswith("CREDENTIALS_KEY does not open the newest of WhatsappCloudAccount.access_token")


@pytest.mark.parametrize("missing", list(Queue))
def test_each_queue_needs_a_worker(door: FrontDoor, missing: Queue) -> None:
    sweep_if_alone()
    secrets = dict.fromkeys(("token", "webhook_secret"), credentials.encrypt("sealed"))
    db.rows(TelegramBot.insert(chatbot=door.world.chatbot, bot_id="4711", username="bot", **secrets))  # a channel that is used
    work(*(queue for queue in Queue if queue is not missing))
    code, body = ready(door)
    assert (code, body["status"]) == (200, "degraded")
    assert body["checks"]["workers"] == f"nobody takes jobs of {missing} ({queues.PROCESS_TYPES[missing]}): never"
    assert ready(door, strict=True)[0] == 503


class Once(threading.Event):
    """Lets a thread go round once."""

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it is the second time."""
        was_set = self.is_set()
        self.set()
        return was_set


def test_workers_of_another_database_are_told(well: FrontDoor, caplog: pytest.LogCaptureFixture) -> None:
    """A copied .env, staging's and production's: each takes the other's jobs."""
    get_broker().take(Queue.OUTGOING.value, 1)
    census.announce([Queue.OUTGOING])
    assert ready(well)[1]["status"] == "ok", "one of the release before, which does not say"
    keep_leases(Once())
    [worker] = census.workers()
    assert worker["database"].endswith(f"/{db.scalar('select oid from pg_database where datname = current_database()')}")
    assert ready(well)[1]["status"] == "ok", "one of ours"
    census.announce([Queue.OUTGOING], "7213/16384")
    code, body = ready(well)
    assert (code, body["status"]) == (200, "degraded")
    assert "REDIS_NAMESPACE" in body["checks"]["workers"]
    [reason] = [getattr(record, "reason") for record in caplog.records if record.message == "health_check_failed"]  # noqa: B009
    assert f"{worker['host']}/{worker['pid']}" in reason


def test_workers_that_an_early_migration_has_broken_are_told(well: FrontDoor, caplog: pytest.LogCaptureFixture) -> None:
    """Their statements fail from then on, and they look for jobs as before."""
    with db.connection() as database:
        needed = schema_age.newest_post(database.session)
    get_broker().take(Queue.OUTGOING.value, 1)
    keep_leases(Once())
    assert ready(well)[1]["status"] == "ok", "of this release"
    census.announce([Queue.OUTGOING], release=needed)
    assert ready(well)[1]["status"] == "ok", "it has the newest post file: what came later removed nothing"
    census.announce([Queue.OUTGOING], release=needed - 1)
    code, body = ready(well)
    assert (code, body["status"]) == (200, "degraded")
    assert "workers of an earlier release run" in body["checks"]["workers"]
    [reason] = [getattr(record, "reason") for record in caplog.records if record.message == "health_check_failed"]  # noqa: B009
    [worker] = census.workers()
    assert f"{worker['host']}/{worker['pid']}" in reason


def test_each_lane_needs_a_worker(well: FrontDoor) -> None:
    get_broker().client.hdel("dramatiq:__taken__", queues.lane(Queue.AI, 1))
    assert "ai-processing (ai)" in ready(well)[1]["checks"]["workers"]


def test_a_worker_that_died_is_missed(well: FrontDoor) -> None:
    lane = Queue.OUTGOING.value
    at = int(get_broker().client.hget("dramatiq:__taken__", lane))  # type: ignore[arg-type]
    get_broker().client.hset("dramatiq:__taken__", lane, at - 60_000)
    assert ready(well)[1]["checks"]["workers"].startswith(f"nobody takes jobs of {lane} (outgoing): for 6")
    work(Queue.OUTGOING)
    assert ready(well)[1]["status"] == "ok"


def test_a_busy_worker_is_there(well: FrontDoor) -> None:
    get_broker().client.delete("dramatiq:__taken__")
    worker = Broker(connect_redis(settings()), [], settings().redis_namespace)
    for lane in queues.every_lane():
        worker.take(lane, 0)  # no room
    assert ready(well)[1]["checks"]["workers"] == "ok"


def test_anybody_may_ask_and_costs_little(well: FrontDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH", 60.0)
    ready(well)
    before = _writes()
    for _ in range(50):
        assert ready(well)[0] == 200
    assert _writes() == before


def _writes() -> int:
    return int(get_broker().client.info("commandstats").get("cmdstat_set", {}).get("calls", 0))


def test_a_disk_without_room_for_what_is_new_is_seen(well: FrontDoor) -> None:
    """A limit plays the full disk: what the check writes needs new room, while the row that it changes has its own."""
    [name] = db.row("select current_database() as name").values()  # type: ignore[union-attr]
    db.rows(f"alter database {name} set temp_file_limit = 0")
    db.reset()
    code, body = ready(well)
    assert (code, body["status"], body["checks"]["postgres"]) == (
        503,
        "not ready",
        "failed: a limit of its settings is used up, most likely temp_file_limit",
    )
