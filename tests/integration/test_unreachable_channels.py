"""A channel that cannot be reached, because DNS, the network or a gateway is away: nothing has left, so its replies wait."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from tests.builders import World

NOWHERE = "http://127.0.0.1:1"
#: Of each channel: what its calls are in the simulator's record, the setting that says where it is, and the queue of its replies.
CHANNELS = {
    "whatsapp_cloud": ("graph", "WHATSAPP_GRAPH_URL", "whatsapp-cloud-send"),
    "whatsapp_qr": ("waha", "WHATSAPP_QR_SERVICE_URL", "whatsapp-qr-send"),
}


def lead_to(patch: pytest.MonkeyPatch, name: str, url: str) -> None:
    """The setting says so from now on."""
    patch.setenv(name, url)
    config.reset()


def deny_names(patch: pytest.MonkeyPatch, number: int) -> None:
    """DNS answers with this error from now on."""
    ask = socket.getaddrinfo

    def getaddrinfo(name: Any, *more: Any, **options: Any) -> Any:
        if str(name).endswith(".example"):
            raise socket.gaierror(number, "as DNS says")
        return ask(name, *more, **options)

    patch.setattr(socket, "getaddrinfo", getaddrinfo)


def send_jobs(world: World, channel: str, users: int) -> list[dict[str, Any]]:
    """Replies to so many customers, ready to leave; returns their jobs."""
    queue = CHANNELS[channel][2]
    for number in range(users):
        world.say(channel=channel, user=f"4912300{number}")
    while left := db.rows("select id from job where state = 'waiting' and not held and queue <> %s order by id", [queue]):
        for row in left:
            world.run(row["id"])
    return world.jobs(queue=queue)


def try_again(world: World, job: dict[str, Any]) -> dict[str, Any]:
    """Its time has come. Returns it as it is afterwards."""
    db.rows("update channel_health set slow_until = null")
    db.rows("update job set state = 'waiting', run_at = null where id = %s and state = 'delayed'", [job["id"]])
    world.run(job["id"])
    return world.jobs(id=job["id"])[0]


@pytest.mark.parametrize("channel", CHANNELS)
def test_replies_outlast_a_gateway_that_is_away_for_minutes(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    service, setting, _ = CHANNELS[channel]
    [job] = send_jobs(world, channel, users=1)
    there = simulator.environment()[setting]
    lead_to(monkeypatch, setting, NOWHERE)
    for _ in range(9):
        job = try_again(world, job)
        assert job["state"] == "delayed", job["last_error"]
    assert job["attempts"] == 3, "the attempts of the stage's policy, and then waits that cost none"
    assert "cannot be reached: the connection was refused" in job["last_error"]
    lead_to(monkeypatch, setting, there)
    assert try_again(world, job)["state"] == "completed"
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["error"], simulator.counts()[service]["accepted"]) == ("SENT", None, 1)


@pytest.mark.parametrize(
    ("number", "words"), [(socket.EAI_AGAIN, "DNS did not answer"), (socket.EAI_NONAME, "DNS knows no address for it")]
)
def test_replies_outlast_a_dns_that_fails(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    [job] = send_jobs(world, "whatsapp_cloud", users=1)
    with monkeypatch.context() as patch:
        deny_names(patch, number)
        lead_to(patch, "WHATSAPP_GRAPH_URL", "http://graph.example")
        for _ in range(6):
            job = try_again(world, job)
    assert (job["state"], words in job["last_error"]) == ("delayed", True)
    config.reset()
    assert try_again(world, job)["state"] == "completed"
    assert simulator.counts()["graph"] == {"requests": 1, "accepted": 1}


def test_one_reply_finds_out_for_all_of_its_account(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = send_jobs(world, "whatsapp_cloud", users=5)
    lead_to(monkeypatch, "WHATSAPP_GRAPH_URL", NOWHERE)
    for _ in range(4):
        try_again(world, first)
    for job in others:
        world.run(job["id"])
    waiting = [job for job in world.jobs(queue="whatsapp-cloud-send") if job["id"] != first["id"]]
    assert {(job["state"], job["attempts"]) for job in waiting} == {("delayed", 0)}


def test_who_is_never_reached_fails_in_the_end_and_says_why(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    [job] = send_jobs(world, "whatsapp_cloud", users=1)
    lead_to(monkeypatch, "WHATSAPP_GRAPH_URL", NOWHERE)
    for _ in range(4):
        try_again(world, job)
    db.rows("update job set created_at = created_at - interval '1 hour' where id = %s", [job["id"]])
    job = try_again(world, job)
    assert (job["state"], "still so after" in job["last_error"]) == ("failed", True)
    world.dead_letters()
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["metadata"]["error_code"]) == ("FAILED", "provider_unreachable")
