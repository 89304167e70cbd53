"""A site is imported by the process type `knowledge`, which is killed in the middle of it."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from scripts.local.processes import ProcessManager
from scripts.local.simulator.client import Simulator
from shared import db
from shared.knowledge import sources
from shared.knowledge.sources import Sitemap
from tests.builders import World
from tests.pipeline.processes import idle, running
from tests.waiting import until

PAGES, BROKEN = 200, {"13": 500, "57": "redirect", "111": 404}


@pytest.fixture
def knowledge(environment: dict[str, str]) -> Iterator[ProcessManager]:
    """The process type, and the housekeeping; a lease is short, so that a kill is noticed soon."""
    with running("knowledge", "maintenance", JOB_LEASE_SECONDS="10", SWEEP_INTERVAL_SECONDS="1") as processes:
        yield processes


def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(
    world: World, knowledge: ProcessManager, simulator: Simulator
) -> None:
    base = db.scalar("select knowledge_base_id from chatbot where id = %s", [world.chatbot])
    simulator.site(pages=PAGES, broken=BROKEN)
    source = sources.start_import(base, Sitemap(simulator.url))
    for done in (20, 60):
        until(lambda done=done: sources.progress(source)["stored"] > done)  # type: ignore[misc, index]
        for process in psutil.Process(knowledge.pids("knowledge")[0]).children(recursive=True):
            process.kill()
    until(lambda: idle() and sources.progress(source)["state"] == "done")  # type: ignore[index]
    progress = sources.progress(source)
    assert progress is not None
    assert (progress["found"], progress["stored"], progress["failed"], progress["items"]) == (200, 197, 3, 394)
    assert db.scalar("select count(distinct title) from knowledge_item where document_id is not null") == 394
    assert {problem["location"].rpartition("/")[2] for problem in sources.problems_of(source)} == {
        "page-13",
        "page-57",
        "page-111",
    }
    simulator.site(broken={})
    assert sources.retry_failed(source) == 3
    until(lambda: sources.progress(source)["stored"] == 200)  # type: ignore[index]
