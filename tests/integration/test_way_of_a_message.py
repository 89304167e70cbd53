"""How many files a WhatsApp text passes on its way from Meta's hook to Meta's API: shared/README.md names them."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

from shared import db
from shared.broker.redis_broker import get_broker
from shared.http import connections
from tests.integration.front_door import FrontDoor, change, webhook, written

ROOT = Path(__file__).parents[2]
#: What every request and every job stands on, whatever it is about: settings, logs, connections and how they are opened, limits,
#: budgets and pauses that are not set, and the cookie that a hook does not have.
FOUNDATION = re.compile(
    r"shared/(telemetry/|db/|dns/|config|database_url|errors|queues|models|broker/(connection|hosts|rate_limits)"
    r"|http/(connections|connecting|addresses)|budgets/meter|jobs/pauses)|web/(hardening|json_bodies|desk/install)"
)
#: Files of the AI's room: a list of providers, what each vendor's model takes and says, the prompt, tools, citations. And others.
#: As many as there are: a change that adds one has to say so here.
MOST_OF_AI, MOST_OTHERS = 12, 27
#: How often the request comes back to a file of web/ that it had left.
MOST_RETURNS = 0


@contextmanager
def traced(files: list[str]) -> Iterator[None]:
    """Notes the files whose functions are called in the block, in their order."""

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in ("shared", "web", "workers"):
            files.append(str(path.relative_to(ROOT)))

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def lose_connections() -> None:
    """To the services and those outside: one may be lost at any time, or be in use by another thread."""
    db.reset()
    get_broker().client.connection_pool.disconnect()
    connections.OPEN.clear()
    connections.GUARDED.clear()


def send(door: FrontDoor, number: int) -> None:
    """A text from a customer of this number."""
    message = {**written(f"wamid.{number}"), "from": f"49170{number}"}
    assert door.meta(webhook(change(door.number, messages=[message]))).status_code == 200


def test_a_whatsapp_text_passes_few_files_and_the_readme_names_them(door: FrontDoor) -> None:
    send(door, 1)
    door.world.drain()  # what is made once a process is made
    lose_connections()
    files: list[str] = []
    with traced(files):
        send(door, 2)
    steps = [file for file in files if file.startswith("web/") and not FOUNDATION.match(file)]
    visits = [file for file, _ in groupby(steps)]
    assert len(visits) - len(set(visits)) <= MOST_RETURNS, visits
    while ready := db.rows("select id from job where state = 'waiting' and not held and queue <> 'webhook-delivery'"):
        stage = door.world.stage(ready[0]["id"])
        with traced(files):
            stage.run(ready[0]["id"])
    assert [message["status"] for message in door.world.messages(role="assistant")] == ["SENT", "SENT"]
    # In a process of its own a worker also has what takes the job from Redis to a thread.
    passed = {file for file in files if not FOUNDATION.match(file)} | {"shared/broker/consumer.py", "shared/broker/fair_queue.py"}
    of_ai = {file for file in passed if file.startswith("shared/ai/")}
    assert len(of_ai) <= MOST_OF_AI, sorted(of_ai)
    assert len(passed - of_ai) <= MOST_OTHERS, sorted(passed - of_ai)
    section = (ROOT / "shared" / "README.md").read_text(encoding="utf-8").partition("## The way of one WhatsApp text")[2]
    assert set(re.findall(r"`((?:shared|web|workers)/[\w/]+\.py)`", section)) == passed
