"""PostgreSQL is away for longer than a lease while somebody outside is called: what came of that is kept, not asked for again.

And nobody renews the lease of a job that nobody works on.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from scripts.local.proxy import Mode, Proxy
from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.db import WORKER
from shared.jobs import ledger
from shared.jobs.ledger import leases
from shared.queues import Queue
from tests.builders import World, stage_of_queue, times_claimed
from tests.waiting import give_up_soon, until

#: Seconds of a lease in these tests.
LEASE = 1


class Partition:
    """The way to PostgreSQL, which can be barred; `ask` goes round it, as another machine's connections would."""

    def __init__(self, proxy: Proxy, url: str) -> None:
        self._proxy, self._url = proxy, url

    def begin(self) -> None:
        """PostgreSQL is away, for new connections and for open ones."""
        self._proxy.refuse()
        self._proxy.reset()

    def silence(self) -> None:
        """As begin(), but nobody is told."""
        self._proxy.refuse()
        self._proxy.treat(Mode.LOSE, new=False)
        give_up_soon()

    def end(self) -> None:
        """It is back."""
        self._proxy.accept()

    def ask(self, statement: str) -> Any:
        """The first column of a statement's first row, None if it has none."""
        with closing(psycopg2.connect(self._url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]  # it has a row then


@pytest.fixture
def partition(world: World, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Partition]:
    """This process and PostgreSQL on two sides of a network."""
    with Proxy.to(database_url) as proxy:
        monkeypatch.setenv("DATABASE_URL", proxy.url)
        monkeypatch.setenv("JOB_LEASE_SECONDS", str(LEASE))
        monkeypatch.setattr(ledger, "INSIST_PAUSE", 0.1)
        config.reset()
        db.reset()
        db.use(WORKER)
        yield Partition(proxy, database_url)
        db.reset()


def _prepared_job(world: World, queue: Queue, channel: str) -> int:
    """Everything that goes before is done; returns the id of the queue's job."""
    world.endpoint(world.customer)
    world.say(channel=channel, user="49123")
    while not (jobs := world.jobs(queue=queue)):
        world.run(world.jobs(state="waiting")[0]["id"])
    return int(jobs[0]["id"])


#: What each stage calls, as the simulator knows it.
CALLS = [
    (Queue.AI, "whatsapp_cloud", "ai"),
    (Queue.WHATSAPP_CLOUD, "whatsapp_cloud", "graph"),
    (Queue.WHATSAPP_QR, "whatsapp_qr", "waha"),
    (Queue.WEBHOOKS, "whatsapp_cloud", "webhook"),
]


def _run_until_called(simulator: Simulator, queue: Queue, job_id: int, kind: str, *faults: dict[str, Any]) -> threading.Thread:
    """The stage at work in a thread, in the middle of its call, which is answered when the rules are removed."""
    simulator.faults([{"kind": kind, "fault": "hold", "times": 1}, *faults])
    running = threading.Thread(target=_run, args=(queue, job_id), daemon=True)
    running.start()
    until(simulator.faults_are_drawn)
    return running


def _run(queue: Queue, job_id: int) -> None:
    try:
        stage_of_queue(queue).run(job_id)
    except Exception:  # what it tells Dramatiq
        return


def _answer(simulator: Simulator, kind: str) -> None:
    """The call is answered."""
    simulator.clear_faults()
    until(lambda: simulator.record(kind))


def _away_for_two_leases(partition: Partition, running: threading.Thread, simulator: Simulator, kind: str) -> None:
    _answer(simulator, kind)
    time.sleep(2 * LEASE)
    assert running.is_alive(), "it keeps what it has"
    partition.end()
    running.join(30)
    assert not running.is_alive()
    assert len(simulator.record(kind)) == 1


@pytest.mark.parametrize("how", ["begin", "silence"])
@pytest.mark.parametrize(("queue", "channel", "kind"), CALLS)
def test_an_answer_that_was_received_is_kept(
    partition: Partition, world: World, simulator: Simulator, queue: Queue, channel: str, kind: str, how: str
) -> None:
    job_id = _prepared_job(world, queue, channel)
    running = _run_until_called(simulator, queue, job_id, kind)
    getattr(partition, how)()
    _away_for_two_leases(partition, running, simulator, kind)
    [job] = world.jobs(id=job_id)
    assert (job["state"], times_claimed(job), job["lost_claims"], job["outcome_unknown_since"]) == ("completed", 1, 0, None)
    assert leases._snapshot()[0] == []
    world.drain()
    assert len(world.messages(role="assistant", status="SENT")) == 1


def test_a_refusal_that_was_received_is_kept(partition: Partition, world: World, simulator: Simulator) -> None:
    job_id = _prepared_job(world, Queue.WHATSAPP_CLOUD, "whatsapp_cloud")
    refusal = {"kind": "graph", "fault": "status", "status": 400, "times": 1}
    running = _run_until_called(simulator, Queue.WHATSAPP_CLOUD, job_id, "graph", refusal)
    partition.begin()
    _away_for_two_leases(partition, running, simulator, "graph")
    [job] = world.jobs(id=job_id)
    assert (job["state"] in ("failed", "delayed"), job["attempts"], times_claimed(job)) == (True, 1, 1)
    assert leases._snapshot()[0] == []


def test_who_took_the_job_over_meanwhile_learns_that_it_was_sent(
    partition: Partition, world: World, simulator: Simulator
) -> None:
    """Cut off from PostgreSQL alone, this process loses its lease to another one; that one waits before it sends again."""
    job_id = _prepared_job(world, Queue.WHATSAPP_CLOUD, "whatsapp_cloud")
    running = _run_until_called(simulator, Queue.WHATSAPP_CLOUD, job_id, "graph")
    partition.begin()
    _answer(simulator, "graph")
    until(lambda: partition.ask(f"select lease_until < clock_timestamp() from job where id = {job_id}"))
    row = {"job_id": job_id, "worker": "other", "lease": 0.1, "clock_skew": 0, "at_most_once": True, "durable": True}
    claim = json.dumps([{"n": 0, "begun": 0, **row}])
    assert partition.ask(f"select attempt from job_claim_v3('whatsapp-cloud-send', '{claim}')") == 2
    partition.end()
    running.join(30)
    assert [message["status"] for message in world.messages(role="assistant")] == ["SENT"]
    time.sleep(0.2)
    stage_of_queue(Queue.WHATSAPP_CLOUD)(world.claim(job_id))  # as the other one, when its wait is over
    [job] = world.jobs(id=job_id)
    assert (job["state"], times_claimed(job), len(simulator.record("graph"))) == ("completed", 3, 1)


def test_a_lease_is_not_renewed_when_nobody_works_on_its_job(
    partition: Partition, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = _prepared_job(world, Queue.WHATSAPP_QR, "whatsapp_qr")
    stage = stage_of_queue(Queue.WHATSAPP_QR)
    claim = type(stage.claim).__call__

    def claim_then_lose_postgres(*arguments: Any) -> Any:
        job = claim(*arguments)
        partition.begin()
        return job

    monkeypatch.setattr(type(stage.claim), "__call__", claim_then_lose_postgres)
    running = threading.Thread(target=_run, args=(Queue.WHATSAPP_QR, job_id))
    running.start()
    time.sleep(2 * LEASE)
    monkeypatch.undo()
    partition.end()
    running.join(30)
    assert not running.is_alive()
    assert leases._snapshot()[0] == []
    [job] = world.jobs(id=job_id)
    assert (job["state"], job["lost_claims"], job["attempts"]) in [("delayed", 0, 0), ("completed", 0, 1)]
