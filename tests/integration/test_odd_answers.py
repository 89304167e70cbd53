"""What providers and endpoints answer that nobody expects: it costs an attempt, never a worker, and tells nobody's words."""

from __future__ import annotations

import json
from typing import Any

import peewee
import pytest

from scripts.local.simulator.client import Simulator
from shared import config, db
from shared.channels.registry import SEND_QUEUES
from tests.builders import World

QUESTION = "the customer's own words"


def completion(content: str, **more: Any) -> str:
    """An answer of the AI as JSON text, with whatever is in it escaped."""
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    return json.dumps({"id": "chatcmpl-1", "model": "m", "choices": [choice], "usage": {"prompt_tokens": 3}, **more})


def answers(world: World, simulator: Simulator, kind: str, queue: str, body: str, status: int = 200, **headers: str) -> Any:
    """The queue's job after one service answered so, once."""
    rule = {"kind": kind, "fault": "status", "status": status, "body": body, "headers": headers, "times": 1}
    simulator.faults([rule])
    world.say(QUESTION, channel="whatsapp_cloud", user="49123")
    world.drain()
    return world.jobs(queue=queue)[0]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (completion("cut in half \ud83d"), "cut in half ?"),
        (completion("NUL \x00here"), "NUL here"),
        (completion("odd names", id="\x00", model="\ud800"), "odd names"),
        (completion("no id", id=[1]), "no id"),
        ('{"id": NaN, "choices": [{"message": {"content": "not a number"}}]}', "not a number"),
        (completion("infinite tokens", usage={"prompt_tokens": float("inf")}), "infinite tokens"),
        (completion("counts wrong", usage={"prompt_tokens": 10**12, "completion_tokens": -5}), "counts wrong"),
    ],
)
def test_an_odd_completion_is_kept(world: World, simulator: Simulator, body: str, text: str) -> None:
    assert answers(world, simulator, "ai", "ai-processing", body)["state"] == "completed"
    [reply] = world.messages(role="assistant")
    assert (reply["content"], reply["status"]) == (text, "SENT")


def test_an_answer_too_long_for_meta_leaves_in_parts(world: World, simulator: Simulator) -> None:
    paragraphs = ["a" * 3_000, "b" * 3_000, "c" * 3_000]
    job = answers(world, simulator, "ai", "whatsapp-cloud-send", completion("\n\n".join(paragraphs)))
    assert job["state"] == "completed"
    sent = simulator.record("graph")
    assert [one["text"] for one in sent] == paragraphs
    [reply] = world.messages(role="assistant")
    assert [one["callback_data"] for one in sent] == [f"msg_{reply['id']}/1", f"msg_{reply['id']}/2", f"msg_{reply['id']}"]
    assert (reply["status"], reply["external_id"]) == ("SENT", sent[-1]["answered_id"])
    assert db.scalar("select count(*) from usage_log where kind = 'whatsapp_cloud'") == 1


def test_a_part_that_is_refused_is_sent_again_and_not_the_ones_before_it(world: World, simulator: Simulator) -> None:
    refused = {"kind": "graph", "fault": "rate_limit", "match": "bbb", "times": 1}
    body = completion("a" * 3_000 + "\n\n" + "b" * 3_000)
    simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": body}, refused])
    world.say(QUESTION, channel="whatsapp_cloud", user="49123")
    world.drain()
    [job] = world.jobs(queue="whatsapp-cloud-send")
    assert (job["state"], job["attempts"]) == ("delayed", 0), "a limit is nobody's mistake"
    assert world.messages(role="assistant")[0]["metadata"]["parts_sent"] == 1
    db.rows("update channel_health set slow_until = null")
    db.rows("update job set state = 'waiting', run_at = null where id = %s", [job["id"]])
    world.drain()
    taken = [one["text"][0] for one in simulator.record("graph") if one["answered_id"]]
    assert (taken, world.messages(role="assistant")[0]["status"]) == (["a", "b"], "SENT")


@pytest.mark.parametrize(("channel", "service"), [("whatsapp_cloud", "graph"), ("whatsapp_qr", "waha")])
def test_markdown_leaves_in_the_channels_marks_and_is_kept_as_it_was_written(
    world: World, simulator: Simulator, channel: str, service: str
) -> None:
    written = "## Prices\n**Tea**: 5 *each*, see [shop](https://x.io/a_b)"
    simulator.faults([{"kind": "ai", "fault": "status", "status": 200, "body": completion(written), "times": 1}])
    world.say(QUESTION, channel=channel, user="49123")
    world.drain()
    [sent] = simulator.record(service)
    assert sent["text"] == "*Prices*\n*Tea*: 5 _each_, see shop (https://x.io/a_b)"
    [reply] = world.messages(role="assistant")
    assert reply["content"] == written
    # A person's message may have the channel's own marks.
    db.rows(
        "update message set metadata = %s, content = '*Tea* **5**', status = 'PENDING' where id = %s",
        ['{"source": "api"}', reply["id"]],
    )
    db.rows("update job set state = 'waiting', closed_at = null where queue = %s", [f"{channel.replace('_', '-')}-send"])
    world.drain()
    assert simulator.record(service)[-1]["text"] == "*Tea* *5*"


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000,
        '{"choices": ' + "[" * 5_000 + "]" * 5_000 + "}",
        json.dumps({"choices": [{"message": {"content": "x" * 5_000_000}}]}),
    ],
    ids=["deep", "deep within", "5 MB"],
)
def test_what_is_no_completion_is_asked_for_again(world: World, simulator: Simulator, body: str) -> None:
    job = answers(world, simulator, "ai", "ai-processing", body)
    assert (job["state"], job["attempts"]) == ("delayed", 1)
    assert job["last_error"].startswith("ProviderError: AI provider: ")


def test_an_ai_that_drips_its_answer_holds_nobody_longer_than_its_timeout(
    world: World, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_TIMEOUT_SECONDS", "3")
    config.reset()
    simulator.faults([{"kind": "ai", "fault": "drip", "times": 1}])  # a byte each 0.1 s: half a minute for all
    world.say()
    world.drain()
    [job] = world.jobs(queue="ai-processing")
    assert job["state"] == "delayed"
    assert "AI provider: no answer" in job["last_error"]


def test_an_error_that_postgres_cannot_keep_as_it_is_still_ends_the_attempt(world: World, simulator: Simulator) -> None:
    world.endpoint(world.customer)
    job = answers(world, simulator, "webhook", "webhook-delivery", "NUL \x00here", status=500)
    assert (job["state"], job["last_error"]) == ("delayed", "EndpointRefused: the endpoint answered HTTP 500")
    assert db.scalar("select error from webhook_event") == "EndpointRefused: the endpoint answered HTTP 500: NUL \ufffdhere"


def test_an_error_with_half_a_character_still_fails_the_message(world: World, simulator: Simulator) -> None:
    error = json.dumps({"error": {"code": 100, "message": "half \ud83d"}})
    job = answers(world, simulator, "graph", "whatsapp-cloud-send", error, status=400)
    assert (job["state"], job["last_error"]) == ("failed", "WhatsApp Cloud: HTTP 400, code 100")
    world.dead_letters()
    [reply] = world.messages(role="assistant")
    assert (reply["status"], reply["error"]) == ("FAILED", "WhatsApp Cloud: HTTP 400, code 100: half ?")


@pytest.mark.parametrize(
    "body", ['{"messages": [{"id": "wamid.\\u0000"}]}', "[" * 50_000, json.dumps({"messages": [{"id": "w" * 9_000}]})]
)
def test_what_meta_took_is_not_sent_again_whatever_it_says(world: World, simulator: Simulator, body: str) -> None:
    job = answers(world, simulator, "graph", "whatsapp-cloud-send", body)
    assert (job["state"], job["attempts"]) == ("completed", 1)
    assert world.messages(role="assistant")[0]["status"] == "SENT"


@pytest.mark.parametrize("header", ["0", "-5", "1e-9", "nan"])
def test_who_asks_for_no_pause_gets_one(world: World, simulator: Simulator, header: str) -> None:
    world.endpoint(world.customer)
    job = answers(world, simulator, "webhook", "webhook-delivery", "{}", 429, **{"Retry-After": header})
    assert job["state"] == "delayed"
    assert (job["run_at"] - job["started_at"]).total_seconds() >= 1


def test_an_error_of_postgres_quotes_nobody(environment: dict[str, str]) -> None:
    with pytest.raises(peewee.DatabaseError) as caught:
        db.rows("select %s::jsonb", [f'{{"content": "{QUESTION}" half}}'])
    assert str(caught.value) == "invalid input syntax for type json (SQLSTATE 22P02)"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("bigint", 'my "iban"\nis DE89', 'invalid input syntax for type bigint: "…" (SQLSTATE 22P02)'),
        ("bigint", "491701234567491701234567", 'value "…" is out of range for type bigint (SQLSTATE 22003)'),
        ("timestamptz", "tomorrow with Anna", 'invalid input syntax for type timestamp with time zone: "…" (SQLSTATE 22007)'),
    ],
)
def test_nor_does_it_quote_the_value_that_it_is_about(environment: dict[str, str], kind: str, value: str, words: str) -> None:
    with pytest.raises(peewee.DatabaseError) as caught:
        db.rows(f"select cast(%s as {kind})", [value])
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("channel", "service", "body"),
    [
        ("whatsapp_cloud", "graph", {"error": {"message": "Message undeliverable", "code": 131026}}),
        ("whatsapp_qr", "waha", {"statusCode": 500, "error": "Internal", "message": "invalid wid"}),
    ],
)
def test_a_refusal_that_comes_as_200_is_no_delivery(
    world: World, simulator: Simulator, channel: str, service: str, body: dict[str, Any]
) -> None:
    simulator.faults([{"kind": service, "fault": "status", "status": 200, "body": body}])
    world.say(QUESTION, channel=channel, user="49123")
    world.drain()
    [job], [reply] = world.jobs(queue=SEND_QUEUES[channel]), world.messages(role="assistant")
    assert (job["state"], reply["metadata"]["error_code"]) == ("failed", "recipient_unreachable")
