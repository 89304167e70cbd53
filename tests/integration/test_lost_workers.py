"""A worker that dies with jobs in hand: which of them are suspects, how these are tried, and which one is given up."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.local.proxy import Mode, Proxy
from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.broker import census, identity
from shared.broker.redis_broker import DEAD_AFTER, get_broker
from shared.config import settings
from shared.db import session, sessions
from shared.jobs.isolation import MAX_AT_ONCE
from shared.jobs.ledger import leases
from shared.jobs.outcome import AttemptEnded
from shared.jobs.stage import POISON_AFTER
from shared.jobs.sweep import LOCKED_FOR, keep, sweep, sweep_if_alone, take_over_from
from shared.jobs.worker_process import keep_leases
from shared.queues import Queue
from tests.builders import World, times_claimed
from tests.waiting import until

POISON = Path(__file__).parents[2] / "scripts" / "local" / "chaos" / "poison"


@pytest.fixture
def poison_kills(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that are started from now on die of a marked question."""
    monkeypatch.setenv("PYTHONPATH", f"{POISON}:{root}")


def job_of(world: World, queue: Queue, **said: Any) -> int:
    """The job of a new message in this stage; the stages before it have done their work."""
    before = db.scalar("select coalesce(max(id), 0) from job")
    world.say(**{"channel": "whatsapp_cloud", "user": "4915112345", **said})
    while True:
        for row in db.rows("select id, queue from job where closed_at is null and not held and id > %s order by id", [before]):
            if row["queue"] == queue:
                return int(row["id"])
            if row["queue"] != Queue.WEBHOOKS:
                world.run(row["id"])


def suspect_of(world: World, queue: Queue, **said: Any) -> int:
    """The same, after a worker died with it and others."""
    job_id = job_of(world, queue, **said)
    db.rows("select job_mark_lost_v1(array[%s])", [job_id])
    return job_id


def row_of(job_id: int) -> dict[str, Any]:
    return db.rows("select * from job where id = %s", [job_id])[0]


def test_a_sweeper_that_died_with_its_machine_delays_no_rescue(world: World) -> None:
    """The promised 30 s have room for a heartbeat's end and the wait of a send that may have arrived; not for a lock besides."""
    assert LOCKED_FOR + settings().sweep_interval <= DEAD_AFTER
    client = get_broker().client
    left_behind = client.lock(f"{settings().redis_namespace}:sweeping", timeout=LOCKED_FOR)
    assert left_behind.acquire(blocking=False)
    assert not sweep_if_alone()
    left_behind.release()
    assert sweep_if_alone()


def test_a_sweep_that_takes_long_keeps_its_lock(world: World) -> None:
    client, name = get_broker().client, f"{settings().redis_namespace}:sweeping"
    lock = client.lock(name, timeout=1)
    assert lock.acquire(blocking=False)
    sweep(partial(keep, lock))
    assert client.pttl(name) > 1_000
    client.delete(name)
    sweep(partial(keep, lock))  # it has lost it, and goes on
    assert not client.exists(name)


class ThreeTimes(threading.Event):
    """A thread that looks whether it shall stop goes on three times."""

    asked = 0

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it stops."""
        self.asked += 1
        return self.asked > 3


def test_an_error_of_ours_ends_no_renewal_of_leases(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(census, "HOST", object())  # which JSON does not take
    stopping = ThreeTimes()
    keep_leases(stopping)
    assert stopping.asked == 4
    assert [record.message for record in caplog.records].count("worker_not_announced") == 3


@pytest.mark.parametrize("queue", [Queue.INCOMING, Queue.AI, Queue.OUTGOING, Queue.WHATSAPP_CLOUD, Queue.WEBHOOKS])
def test_an_innocent_suspect_is_done_alone_and_at_once(world: World, queue: Queue) -> None:
    world.endpoint(world.customer)
    suspect = suspect_of(world, queue)
    assert world.run(suspect) is None
    assert (row_of(suspect)["state"], row_of(suspect)["lost_claims"]) == ("completed", 1)


def test_a_suspect_runs_in_another_process_and_says_so(world: World, simulator: Simulator) -> None:
    suspect = suspect_of(world, Queue.AI)
    simulator.faults([{"kind": "ai", "fault": "hold"}])
    running = threading.Thread(target=world.run, args=(suspect,))
    running.start()
    until(lambda: row_of(suspect)["claimed_by"] == f"alone:{identity.name}")
    until(_isolated)  # there is a process for it
    simulator.clear_faults()
    running.join()
    assert row_of(suspect)["state"] == "completed"


def _is_isolated(child: psutil.Process) -> bool:
    try:
        return "shared.jobs.isolated" in child.cmdline()
    except psutil.NoSuchProcess:  # it has ended, as the reader of documents does when it is idle
        return False


def _isolated() -> list[psutil.Process]:
    """The processes in which suspects run."""
    forks = [child for child in psutil.Process().children(recursive=True) if _is_isolated(child)]
    return [fork for fork in forks if fork.ppid() in {child.pid for child in forks}]


def test_poison_dies_alone_twice_and_is_given_up(world: World, poison_kills: None) -> None:
    neighbours = [suspect_of(world, Queue.AI, user=f"491511234{number}") for number in range(3)]
    poison = suspect_of(world, Queue.AI, user="4915119999", content="poison-pill")
    first = world.run(poison)
    assert isinstance(first, AttemptEnded)
    assert (row_of(poison)["state"], row_of(poison)["lost_claims"]) == ("delayed", 2)
    db.rows("update job set run_at = clock_timestamp() where id = %s", [poison])
    world.run(poison)
    job = row_of(poison)
    assert (job["state"], job["lost_claims"]) == ("failed", POISON_AFTER)
    assert "poison" in job["last_error"]
    for neighbour in neighbours:
        world.run(neighbour)
        assert row_of(neighbour)["state"] == "completed"
    world.dead_letters()
    replies = {message["content"] for message in world.messages(role="assistant") if "fallback" in message["metadata"]}
    assert replies == {"We are busy."}


def test_a_send_whose_process_died_may_have_left(world: World, simulator: Simulator) -> None:
    suspect = suspect_of(world, Queue.WHATSAPP_CLOUD)
    simulator.faults([{"kind": "graph", "fault": "hold", "times": 1}])
    running = threading.Thread(target=world.run, args=(suspect,))
    running.start()
    until(simulator.faults_are_drawn)
    assert row_of(suspect)["claimed_by"].startswith("alone:")
    for process in until(_isolated):
        process.kill()
    running.join()
    job = row_of(suspect)
    assert (job["state"], job["lost_claims"]) == ("delayed", 2)
    assert job["outcome_unknown_since"] is not None


def test_suspects_wait_for_a_process_of_their_own(world: World, simulator: Simulator) -> None:
    suspects = [suspect_of(world, Queue.AI, user=f"49151{number}") for number in range(MAX_AT_ONCE + 1)]
    simulator.faults([{"kind": "ai", "fault": "hold", "times": MAX_AT_ONCE}])
    running = [threading.Thread(target=world.run, args=(suspect,)) for suspect in suspects]
    for thread in running:
        thread.start()
    until(simulator.faults_are_drawn)
    until(lambda: [suspect for suspect in suspects if row_of(suspect)["state"] == "delayed"])
    simulator.clear_faults()
    for thread in running:
        thread.join()
    states = sorted((row_of(suspect)["state"], row_of(suspect)["attempts"]) for suspect in suspects)
    assert states == [("completed", 1)] * MAX_AT_ONCE + [("delayed", 0)], "who waits spends no attempt"


def test_the_process_that_forks_may_end_at_any_time(world: World) -> None:
    for user in ("4915111", "4915112"):
        suspect = suspect_of(world, Queue.AI, user=user)
        world.run(suspect)
        assert row_of(suspect)["state"] == "completed"
        [forks] = filter(_is_isolated, psutil.Process().children())
        forks.kill()


@dataclasses.dataclass(frozen=True)
class Found:
    """An active job as the next claim finds it, and what that makes of it."""

    by: str
    lost_before: int = 0
    has_begun: bool = False
    lost: int = 0
    attempts: int = 2
    unknown: bool = True


ME = identity.name
CLAIMS = {
    "the answer to my claim was lost": Found(ME, attempts=1, unknown=False),
    "what came of my work could not be recorded": Found(ME, has_begun=True),
    "a suspect of mine, the same": Found(f"alone:{ME}", lost_before=1, has_begun=True, lost=1),
    "a worker died": Found("worker-other", lost=1),
    "a worker died before the suspect ran": Found("worker-other", lost_before=1, lost=1, attempts=1, unknown=False),
    "a worker died, and the suspect with it": Found("alone:worker-other", lost_before=1, lost=2),
}


@pytest.mark.parametrize("found", CLAIMS.values(), ids=CLAIMS.keys())
def test_only_a_worker_that_died_counts_as_lost(world: World, found: Found) -> None:
    job_id = job_of(world, Queue.WHATSAPP_CLOUD)
    claimed = world.claim(job_id)
    if found.has_begun:
        leases.abandon(job_id, claimed.claim)
    else:
        leases.clear()
    ended = "" if found.by == ME else ", lease_until = clock_timestamp() - interval '1 second'"
    db.rows(f"update job set claimed_by = %s, lost_claims = %s{ended} where id = %s", [found.by, found.lost_before, job_id])
    again = world.claim(job_id)
    assert (again.lost_claims, again.attempt, again.outcome_unknown_for is not None) == (
        found.lost,
        found.attempts,
        found.unknown,
    )


def test_nobody_takes_what_another_thread_of_the_process_works_on(world: World) -> None:
    job_id = job_of(world, Queue.AI)
    claimed = world.claim(job_id)
    assert world.run(job_id) is None
    job = row_of(job_id)
    assert (job["state"], job["claims"]) == ("active", claimed.claim)


@pytest.fixture
def proxy(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A network before PostgreSQL."""
    with Proxy.to(environment["DATABASE_URL"]) as running:
        monkeypatch.setenv("DATABASE_URL", running.url)
        config.reset()
        db.reset()
        yield running


def test_a_claim_whose_answer_was_lost_is_no_lost_worker(
    proxy: Proxy, world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "TRUSTED_FOR", 3600.0)  # however busy the machine is, the claim is what is said next
    monkeypatch.setattr(session, "REPLAN_EVERY", 3600.0)
    world.run(job_of(world, Queue.WHATSAPP_CLOUD, user="4915111"))  # what it says is prepared
    job_id = job_of(world, Queue.WHATSAPP_CLOUD)
    stage = world.stage(job_id)
    proxy.treat(Mode.CUT, new=False)
    stage.run(job_id)
    job = row_of(job_id)
    assert (job["state"], times_claimed(job), job["attempts"], job["lost_claims"]) == ("completed", 2, 1, 0)
    assert job["outcome_unknown_since"] is None, "it had not begun"
    assert simulator.counts()["graph"]["accepted"] == 2


def test_the_next_process_takes_over_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOB_LEASE_SECONDS", "3600")  # however busy the machine is
    config.reset()
    ai = job_of(world, Queue.AI)
    world.claim(ai)
    leases.clear()
    db.rows("update job set claimed_by = 'worker-other' where id = %s", [ai])
    alone = job_of(world, Queue.AI, user="4915117")
    world.claim(alone)
    leases.clear()
    db.rows("update job set claimed_by = 'alone:worker-other' where id = %s", [alone])
    world.say(user="4915118")
    broker = get_broker()
    broker.broker_id = "worker-other"
    assert broker.take(Queue.INCOMING.value, 10).messages
    take_over_from("worker-other")
    assert broker.client.zscore(f"{broker.namespace}:__heartbeats__", "worker-other") is None
    assert broker.client.llen(f"{broker.namespace}:{Queue.INCOMING}") > 0
    assert [
        row["lost_claims"]
        for row in db.rows("select lost_claims from job where queue = 'incoming-messages' and state = 'waiting'")
    ] == [1]
    world.run(ai)
    assert (row_of(ai)["state"], row_of(ai)["lost_claims"]) == ("completed", 1)
    world.run(alone)
    assert row_of(alone)["state"] == "active", "its own process may live"


def test_a_worker_forgets_what_it_could_not_record_once_it_is_over(world: World) -> None:
    ended, open_one = (job_of(world, Queue.WHATSAPP_CLOUD), job_of(world, Queue.AI))
    claims = {job_id: world.claim(job_id).claim for job_id in (ended, open_one)}
    for job_id, claim in claims.items():
        leases.abandon(job_id, claim)
    db.rows("update job set claims = claims + 1, claimed_by = 'worker-other' where id = %s", [ended])
    leases.renew()
    assert (leases.abandoned(ended), leases.abandoned(open_one)) == (0, claims[open_one])
