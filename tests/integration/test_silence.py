"""Connections to PostgreSQL that die without a word: nobody is told, and TCP is content. Each wait has an end of its own.

Behind the proxy a lost connection stays silent for ever, so that a test which ends at all has proved that somebody gave it up.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from scripts.local.proxy import Mode, Proxy
from shared import config, db
from shared.db import connecting, pool, query, session
from shared.db.session import COMMAND, WORKER, Limits
from shared.errors import ServiceDown
from shared.jobs.ledger import leases
from shared.queue_service import enqueue_incoming_message
from shared.queues import Queue
from tests.builders import World, stage_of_queue
from tests.integration.front_door import FrontDoor, change, webhook, written
from tests.waiting import give_up_soon, until

#: A connection attempt that is never answered takes as long as this.
HASTY = Limits(statement=WORKER.statement, connect=3, turn=WORKER.turn)


@pytest.fixture
def network(world: World, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """What lies between this process and PostgreSQL."""
    with Proxy.to(database_url) as proxy:
        monkeypatch.setenv("DATABASE_URL", proxy.url)
        config.reset()
        db.reset()
        db.use(HASTY)
        yield proxy
        db.reset()


def _forget(network: Proxy) -> None:
    """As a firewall that has forgotten its connections does; new ones work."""
    assert network.treat(Mode.LOSE, new=False) > 0
    give_up_soon()


def _finish(world: World, messages: int) -> None:
    """Every message has its reply, and nobody works on anything."""
    world.drain()
    assert len(world.messages(role="assistant", status="SENT")) == messages
    assert leases._snapshot()[0] == []


def test_a_read_ends_and_the_next_one_is_answered(network: Proxy) -> None:
    assert db.scalar("select 1") == 1
    _forget(network)
    with pytest.raises(Exception, match="no answer within 1 s"):
        db.rows("select 2")
    assert db.scalar("select 3") == 3


def test_a_patient_program_does_not_hang_when_it_accepts_a_message(
    network: Proxy, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that uses shared/queue_service.py by itself has the ten minutes of a command for its statements."""

    def accept() -> int:
        return enqueue_incoming_message(
            chatbot_id=world.chatbot, channel="widget", external_user_id="v-1", content="Hello", external_id="m-1"
        )

    db.reset()
    db.scalar("select 1")
    _forget(network)
    with monkeypatch.context() as hasty:
        hasty.setattr(query, "LONGEST", 1.0)
        with pytest.raises(ServiceDown, match="PostgreSQL: no answer in time"):
            accept()
    assert accept() == accept()


def test_a_connection_that_rested_is_asked_first(network: Proxy) -> None:
    assert db.scalar("select 1") == 1
    time.sleep(1.1)  # from now on it is pinged before it is used
    _forget(network)
    assert db.scalar("select 2") == 2


def test_a_commit_ends(network: Proxy) -> None:
    with pytest.raises(Exception, match="no answer within 1 s"), db.transaction():  # noqa: PT012 - the end of the block fails
        db.rows("select 1")
        _forget(network)
    assert db.scalar("select 3") == 3


def test_all_stages_go_on(network: Proxy, world: World) -> None:
    world.say(channel="whatsapp_cloud", user="49123")
    stages = set()
    while ready := world.jobs(state="waiting", held=False):
        _forget(network)
        stages.add(ready[0]["queue"])
        stage_of_queue(Queue(ready[0]["queue"])).run(ready[0]["id"])
    assert len(stages) == 4
    _finish(world, 1)


def test_one_silent_connection_holds_up_nobody_else(network: Proxy, world: World) -> None:
    """The leader of a batch waits on it; who comes later takes another connection."""
    for number in range(9):
        world.say(user=f"v-{number}")
    first, *others = [job["id"] for job in world.jobs(queue="incoming-messages")]
    stage = stage_of_queue(Queue.INCOMING)
    _forget(network)
    with ThreadPoolExecutor(9) as threads:
        leader = threads.submit(stage.run, first)
        until(lambda: any(connection.said(b"save_message") for connection in network.connections()))
        for done in [leader, *(threads.submit(stage.run, job) for job in others)]:
            done.result(60)
    _finish(world, 9)


def test_the_door_says_503_while_it_is_silent_and_then_goes_on(network: Proxy, door: FrontDoor) -> None:
    def post(external_id: str) -> int:
        return door.meta(webhook(change(door.number, messages=[written(external_id)]))).status_code

    db.use(HASTY)
    assert post("wamid.1") == 200
    network.treat(Mode.STALL)
    give_up_soon()
    with ThreadPoolExecutor(12) as threads:  # more than there are connections
        answers = [threads.submit(post, f"wamid.{number}") for number in range(2, 14)]
        assert {answer.result(60) for answer in answers} == {503}
    network.treat(Mode.PASS)
    assert [post(f"wamid.{number}") for number in range(1, 14)] == [200] * 13
    assert len({job["dedup_key"] for job in door.world.jobs(queue="incoming-messages")}) == 13


def test_a_server_that_accepts_and_says_nothing_is_given_up(network: Proxy) -> None:
    network.treat(Mode.STALL)
    with pytest.raises(ServiceDown, match="PostgreSQL: cannot be reached"):
        db.retry_on_outage(lambda: db.rows("select 1"), 0.0)
    network.treat(Mode.PASS)
    assert db.scalar("select 1") == 1


def test_an_answer_that_breaks_off_is_asked_for_again(network: Proxy) -> None:
    assert db.scalar("select 1") == 1
    network.treat(Mode.CUT, new=False)
    assert db.retry_on_outage(lambda: db.scalar("select 2"), 60.0) == 2


def test_a_statement_that_postgres_ends_leaves_a_good_connection(network: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connecting, pool, session):
        monkeypatch.setattr(module, "ON_ITS_WAY", 60.0)  # however late this process hears of it
    db.use(Limits(statement=2, connect=WORKER.connect, turn=WORKER.turn))
    before = db.scalar("select pg_backend_pid()")
    with pytest.raises(ServiceDown, match="PostgreSQL: statement too slow"):
        db.retry_on_outage(lambda: db.rows("select pg_sleep(30)"), 0.0)
    assert db.scalar("select pg_backend_pid()") == before
    with db.patient(60):
        assert db.scalar("select pg_sleep(2.5)::text || 'done'") == "done"
    with pytest.raises(Exception, match="statement timeout"):
        db.rows("select pg_sleep(30)")


def test_who_may_take_long_is_not_waited_for_so_long_before_it_begins(network: Proxy) -> None:
    assert db.scalar("select 1") == 1
    _forget(network)
    with pytest.raises(Exception, match="no answer within 1 s"), db.patient(30):
        db.rows("select 2")
    with db.patient(30) as database:
        assert database.session.patience > 30
    with db.connection() as database:
        assert database.session.patience < 30


def test_a_patient_program_waits_for_a_new_connection_as_long_as_any(network: Proxy) -> None:
    with closing(connecting._connect(network.url, COMMAND)) as new:
        assert new.patience < 60
    with closing(connecting.open_session(network.url, COMMAND)) as ready:
        assert ready.patience > 60


def test_who_listens_learns_that_nobody_speaks(network: Proxy) -> None:
    connection = db.listener("widget")
    assert connection.answers(60)
    _forget(network)
    assert not connection.answers(0.5)
    connection.close()
