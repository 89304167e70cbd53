"""A token that is revoked while replies are queued, with the Procfile's own processes, one of which is killed meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

from scripts.local.simulator.client import Simulator
from shared import db
from tests.builders import World
from tests.pipeline.processes import idle, running
from tests.waiting import until

USERS, EACH = 100, 3


def replace_token(world: World, root: Path) -> None:
    """What the shop does: scripts/connect whatsapp with a new token."""
    number = db.scalar("select phone_number_id from whatsapp_cloud_account where chatbot_id = %s", [world.chatbot])
    command = [sys.executable, "-m", "scripts.commands.connect", "whatsapp", "--chatbot", str(world.chatbot)]
    subprocess.run([*command, "--phone-number-id", number], input="new-token\n", text=True, check=True, cwd=root, timeout=120)


def test_a_revoked_token_costs_no_reply(world: World, root: Path, simulator: Simulator) -> None:
    world.endpoint(world.customer)
    db.rows("update webhook_endpoint set events = '{channel.down,channel.up}'")
    simulator.faults([{"kind": "graph", "fault": "revoked", "token": "Bearer token"}])
    for number in range(EACH):
        for user in range(USERS):
            world.say(f"When do you ship? {number}", channel="whatsapp_cloud", user=f"49{user:08}")
    with running("worker", JOB_LEASE_SECONDS="10", SWEEP_INTERVAL_SECONDS="1") as processes:
        until(
            lambda: db.scalar("select count(*) from job where waits_for is not null and closed_at is null") == USERS, seconds=120
        )
        processes.kill("worker")
        until(lambda: len(world.messages(role="assistant")) == USERS * EACH)
        assert simulator.counts()["graph"]["requests"] <= 3
        assert simulator.counts()["graph"]["accepted"] == 0
        replace_token(world, root)
        until(idle)
    assert Counter(m["status"] for m in world.messages(role="assistant")) == {"SENT": USERS * EACH}
    sent = [(row["key"], int(row["callback_data"].removeprefix("msg_"))) for row in simulator.record("graph") if row["accepted"]]
    assert len(sent) == len(set(sent)) == USERS * EACH, "none twice"
    for user in {key for key, _ in sent}:
        assert (mine := [message for key, message in sent if key == user]) == sorted(mine)
        assert len(mine) == EACH
    assert db.scalar("select array_agg(event order by id) from webhook_event") == ["channel.down", "channel.up"]
