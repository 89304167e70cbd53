"""A long reply leaves in parts: each once and in its order, whenever the worker dies."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.channels import changes, registry, sending
from shared.channels.delivery_status import apply_delivery_status
from shared.channels.inbound import InboundAccount, InboundReaction
from shared.channels.whatsapp_qr.waha_content import bare_id
from shared.db.credentials import encrypt
from shared.models import TelegramBot
from tests.builders import World

PARTS = ["a" * 3_000, "b" * 3_000, "c" * 3_000]
SERVICES = {"whatsapp_cloud": "graph", "telegram": "telegram", "whatsapp_qr": "waha"}


class Killed(BaseException):
    """kill -9, as far as a worker's own code can tell."""


def reply_is_ready(world: World, channel: str) -> int:
    """A reply of three parts that is about to leave; returns the id of its send job."""
    with db.connection():
        secrets = {"token": encrypt(f"700:{'t' * 35}"), "webhook_secret": encrypt("secret")}
        TelegramBot.create(chatbot=world.chatbot, bot_id="700", username="shop_bot", **secrets)
    text = "\n\n".join(PARTS)
    body = {"id": "1", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
    world.simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": body}])
    world.say(channel=channel, user="49123")
    for queue in ("incoming-messages", "ai-processing", "outgoing-messages"):
        world.run(world.jobs(queue=queue)[-1]["id"])
    return int(world.jobs()[-1]["id"])


def die(world: World, job_id: int) -> None:
    """The worker ends with the job in its hands, and its lease after it."""
    with pytest.raises(Killed):
        world.run(job_id)
    world.vanish()


def go_on(world: World, job_id: int) -> None:
    """The next worker, once nobody waits for a status any more."""
    world.run(job_id)
    db.rows("update job set outcome_unknown_since = now() - interval '1 hour' where outcome_unknown_since is not null")
    db.rows("update job set state = 'waiting', run_at = null where id = %s and state = 'delayed'", [job_id])
    world.run(job_id)


def arrived(world: World, channel: str) -> list[str]:
    """The first letters of what arrived, in its order."""
    return [one["text"][0] for one in world.simulator.record(SERVICES[channel]) if one["accepted"] and one["text"]]


def dies_at(monkeypatch: pytest.MonkeyPatch, part: int, *, is_kept: bool) -> None:
    """Once that part has left, and perhaps been kept as sent."""
    keep = sending.keep_parts_sent

    def kept(message: Any, count: int, part_id: str) -> None:
        if is_kept or count != part:
            keep(message, count, part_id)
        if count == part:
            monkeypatch.setattr(sending, "keep_parts_sent", keep)
            raise Killed

    monkeypatch.setattr(sending, "keep_parts_sent", kept)


@pytest.mark.parametrize("channel", ["whatsapp_cloud", "telegram"])
def test_a_worker_that_dies_between_two_parts_doubles_and_loses_none(
    world: World, monkeypatch: pytest.MonkeyPatch, channel: str
) -> None:
    job = reply_is_ready(world, channel)
    dies_at(monkeypatch, 2, is_kept=True)
    die(world, job)
    assert arrived(world, channel) == ["a", "b"]
    go_on(world, job)
    assert arrived(world, channel) == ["a", "b", "c"]
    assert [reply["status"] for reply in world.messages(role="assistant")] == ["SENT"]


@pytest.mark.parametrize(("policy", "letters", "status"), [("resend", "abbc", "SENT"), ("hold", "ab", "FAILED")])
@pytest.mark.parametrize("channel", ["whatsapp_cloud", "telegram"])
def test_of_a_part_whose_answer_was_lost_only_that_one_may_come_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, channel: str, policy: str, letters: str, status: str
) -> None:
    monkeypatch.setenv("AMBIGUOUS_SEND", policy)
    config.reset()
    job = reply_is_ready(world, channel)
    dies_at(monkeypatch, 2, is_kept=False)
    die(world, job)
    go_on(world, job)
    world.dead_letters()
    assert "".join(arrived(world, channel)) == letters
    assert [reply["status"] for reply in world.messages(role="assistant")] == [status]


@pytest.mark.parametrize("dialect", ["waha", "evolution"])
def test_a_gateway_gets_a_long_reply_in_one_piece_and_once(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    """Its acknowledgement names the id that we gave it, so nothing is sent again where a worker died with the answer."""
    db.rows("update whatsapp_qr_session set dialect = %s", [dialect])
    job = reply_is_ready(world, "whatsapp_qr")

    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(sending, "_finish_sent", killed)
        die(world, job)
    [sent] = [one for one in simulator.record(dialect) if one["text"]]
    assert sent["text"] == "\n\n".join(PARTS)
    apply_delivery_status("DELIVERED", provider_id=bare_id(sent["answered_id"]), chatbot_id=world.chatbot)
    go_on(world, job)
    assert len([one for one in simulator.record(dialect) if one["text"]]) == 1
    assert [reply["status"] for reply in world.messages(role="assistant")] == ["DELIVERED"]


@pytest.mark.parametrize("channel", ["whatsapp_cloud", "telegram"])
def test_a_reaction_to_any_part_is_kept_with_the_reply(world: World, channel: str) -> None:
    world.run(reply_is_ready(world, channel))
    first, _second, last = ids_of_parts(world, channel)
    account = InboundAccount(1, "n", world.chatbot)
    for part in (first, last):
        for emoji, data in (("👍", {"reaction": "👍"}), ("", {})):
            assert changes.react(registry.channel(channel), account, InboundReaction(message_id=part, emoji=emoji)) == "changed"
            assert world.messages(role="assistant")[0]["data"] == data


def test_a_reaction_that_is_faster_than_what_is_kept_of_its_part_waits(world: World) -> None:
    job = reply_is_ready(world, "telegram")
    changes.react(
        registry.channel("telegram"), InboundAccount(1, "n", world.chatbot), InboundReaction(message_id="49123:1", emoji="👍")
    )
    world.run(job)
    db.rows("update parked_reaction set external_id = %s", [ids_of_parts(world, "telegram")[1]])
    changes.apply_late_reactions()
    assert world.messages(role="assistant")[0]["data"] == {"reaction": "👍"}


@pytest.mark.parametrize(("said", "quoted"), [("b" * 3_000, "b" * 1_000), (None, "a" * 1_000)], ids=["told", "not told"])
def test_a_quote_of_any_part_has_its_words_as_far_as_they_are_told(world: World, said: str | None, quoted: str) -> None:
    world.run(reply_is_ready(world, "telegram"))
    for part in ids_of_parts(world, "telegram")[1:]:
        data = {"quoted": {"id": part, **({"text": said} if said else {})}}
        asked = {"external_user_id": "49123", "external_id": f"asks-of-{part}", "content": "What is this?", "data": data}
        world.service.accept_message({"chatbot_id": world.chatbot, "channel": "telegram", **asked})
        world.drain()
        kept = world.messages(role="user")[-1]["data"]["quoted"]
        assert kept == {"id": part, "text": quoted, "role": "assistant"}


@pytest.mark.parametrize("error", [None, "HTTP 500"], ids=["sent", "failed"])
def test_a_status_of_a_reply_in_one_part_rewrites_no_index(world: World, error: str | None) -> None:
    """A HOT update: what finds the parts of long replies must not slow each other reply."""
    world.say(channel="widget")
    world.drain()
    hot = "select pg_stat_get_xact_tuples_hot_updated('message'::regclass)"
    db.rows("update message set status = 'PENDING' where role = 'assistant'")
    with db.transaction():
        before = db.scalar(hot)
        moved = "select message_set_status_v2(id, %s, %s, null, 2, '{\"attempts\": 2}') from message where role = 'assistant'"
        db.rows(moved, ["FAILED" if error else "SENT", error])
        assert db.scalar(hot) == before + 1


def ids_of_parts(world: World, channel: str) -> list[str]:
    """As the channel's answers named them, in their order."""
    return [one["answered_id"] for one in world.simulator.record(SERVICES[channel]) if one["accepted"]]
