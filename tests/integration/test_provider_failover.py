"""A chatbot's providers in their order: whatever is the first one's fault, the customer gets the second one's answer."""

from __future__ import annotations

import importlib
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from scripts.local.ports import free_port
from shared import config, db
from shared.ai import prompt
from shared.ai.context import Context
from shared.ai.failover import Failover
from shared.ai.failures import NoAnswer
from shared.db.credentials import encrypt
from shared.http.bulkhead import MAX_SLOTS, Bulkhead, customer_room
from shared.models import Chatbot, ChatbotProvider, Message
from shared.telemetry import metrics
from tests.builders import World
from tests.integration.front_door import FrontDoor
from tests.integration.test_front_door_api import Business
from tests.tls import TlsProxy, self_signed
from tests.unit.servers import Handle, read_request, serving

Serve = Callable[[Handle], str]


class Provider:
    """A server of raw bytes, and the heads of the requests that it got."""

    def __init__(self, serve: Serve, answer: Handle) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.url = f"http://{serve(self._handle)}/v1"

    def _handle(self, connection: socket.socket) -> None:
        if head := read_request(connection):
            self.asked.append(head.decode())
            self.answer(connection)


def http(status: str, body: object, *headers: str) -> Handle:
    """A whole answer."""
    content = json.dumps(body).encode()
    head = "\r\n".join((f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close", *headers, "", ""))
    return lambda connection: connection.sendall(head.encode() + content)


def says(text: str) -> Handle:
    """A completion."""
    return http("200 OK", {"choices": [{"message": {"content": text}}]})


def error(status: str, code: str, *headers: str) -> Handle:
    """An error as OpenAI words it."""
    return http(status, {"error": {"message": "Secret words of the provider.", "code": code}}, *headers)


def hangs(connection: socket.socket) -> None:
    """Takes the question and says nothing."""
    connection.recv(1)


def half(connection: socket.socket) -> None:
    """Promises more than it sends."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"choices": [{"mess')


def a_byte_a_time(connection: socket.socket) -> None:
    """Is never late, and never done."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.05)


THEIR_FAULT: dict[str, Handle] = {
    "hangs": hangs,
    "a byte a time": a_byte_a_time,
    "half an answer": half,
    "closes": lambda _: None,
    "nonsense": lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"),
    "429 without a header": error("429 Too Many Requests", "rate_limit_exceeded"),
    "429 for a second": error("429 Too Many Requests", "rate_limit_exceeded", "Retry-After: 1"),
    "429 for a day": error("429 Too Many Requests", "rate_limit_exceeded", "Retry-After: 86400"),
    "quota": error("429 Too Many Requests", "insufficient_quota"),
    "500": error("500 Internal Server Error", "server_error"),
    "503": http("503 Service Unavailable", "no JSON of OpenAI's"),
    "bad key": error("401 Unauthorized", "invalid_api_key"),
    "no permission": error("403 Forbidden", "unsupported_country"),
    "unknown model": error("404 Not Found", "model_not_found"),
    "redirect": http("302 Found", {}, "Location: http://127.0.0.1:1/v1"),
    "a refusal for a reason that nobody knows": error("400 Bad Request", "invalid_request"),
    "422": error("422 Unprocessable Entity", "invalid_request"),
    "an error with 200": http("200 OK", {"error": {"message": "Secret words of the provider.", "code": 502}}),
}


#: Seconds for a provider that says nothing. One that answers has all the time that there is.
SILENCE = 3


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers."""
    with serving() as start:
        yield start


@pytest.fixture(autouse=True)
def forgetful(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of any provider."""
    ai = importlib.import_module("workers.ai")
    bulkhead = Bulkhead(ai._failover.bulkhead._threads, no_response=(NoAnswer,))
    monkeypatch.setattr(ai, "_failover", Failover(bulkhead))
    prompt.forget_contexts()


def chain(world: World, first: str | None, *others: str | None, is_first_silent: bool = False, **columns: Any) -> int:
    """A chatbot with these providers; None: the platform's."""
    own = {} if first is None else {"provider_base_url": first, "provider_api_key": encrypt("sk-1"), "model": "m1"}
    _, chatbot = world.tenant(**own, **({"provider_timeout": SILENCE} if is_first_silent else {}))
    for position, url in enumerate(others, start=2):
        key = encrypt(f"sk-{position}") if url else None
        db.rows(
            ChatbotProvider.insert(chatbot=chatbot, position=position, base_url=url, api_key=key, model=f"m{position}", **columns)
        )
    return chatbot


def ask(world: World, chatbot: int, question: str = "When do you ship?") -> dict[str, Any]:
    """The reply to a question, after one attempt; empty if there is none."""
    message = world.say(question, chatbot_id=chatbot)
    world.drain()
    return next(iter(world.messages(reply_to=message)), {})


@pytest.mark.parametrize("fault", THEIR_FAULT)
def test_what_is_the_first_providers_fault_moves_on(world: World, serve: Serve, fault: str) -> None:
    first, second = Provider(serve, THEIR_FAULT[fault]), Provider(serve, says("From the second."))
    is_silent = fault in ("hangs", "a byte a time")
    reply = ask(world, chain(world, first.url, second.url, is_first_silent=is_silent))
    assert reply["content"] == "From the second."
    assert reply["metadata"]["provider"] == {"host": second.url[7:-3], "position": 2}
    assert (len(first.asked), len(second.asked)) == (1, 1)
    assert "Bearer sk-2" in second.asked[0]
    assert [job["attempts"] for job in world.jobs(queue="ai-processing")] == [1]


def test_who_is_not_there_or_nobody_can_trust_is_passed_over(world: World, serve: Serve, tmp_path: Path) -> None:
    second = Provider(serve, says("From the second."))
    with TlsProxy(self_signed(tmp_path), ("127.0.0.1", int(second.url.split(":")[2][:-3]))) as tls:
        for number, first in enumerate(
            (f"http://127.0.0.1:{free_port()}/v1", f"https://127.0.0.1:{tls.port}/v1", "http://no.such.host.invalid/v1"), start=1
        ):
            assert ask(world, chain(world, first, second.url))["content"] == "From the second.", first
            assert len(second.asked) == number
        tls.shutdown()


THE_REQUESTS_FAULT = {
    "a filter": error("400 Bad Request", "content_filter"),
    "an answer that was filtered": http("200 OK", {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}),
}


@pytest.mark.parametrize("fault", THE_REQUESTS_FAULT)
def test_what_is_the_requests_fault_does_not_move_on(world: World, serve: Serve, fault: str) -> None:
    first, second = Provider(serve, THE_REQUESTS_FAULT[fault]), Provider(serve, says("From the second."))
    assert ask(world, chain(world, first.url, second.url)) == {}
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], second.asked) == ("failed", [])


def test_the_api_says_who_answered(door: FrontDoor, serve: Serve) -> None:
    world = door.world
    first, second = Provider(serve, THEIR_FAULT["closes"]), Provider(serve, says("From the second."))
    chatbot = chain(world, first.url, second.url)
    reply = ask(world, chatbot)
    owner = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == chatbot))
    listed: Any = Business(door, owner)("GET", f"/conversations/{reply['conversation_id']}/messages")
    newest, question = listed.json["data"]
    assert (newest["provider"], question["provider"]) == ({"host": second.url[7:-3], "position": 2}, None)


def test_the_platform_is_one_of_the_list_and_its_key_goes_to_nobody_else(world: World, serve: Serve) -> None:
    own = Provider(serve, error("500 Internal Server Error", "server_error"))
    reply = ask(world, chain(world, own.url, None))
    assert reply["metadata"]["provider"]["position"] == 2
    assert reply["metadata"]["model"] == "m2"
    [asked] = world.simulator.record("ai")
    world.simulator.faults([{"kind": "ai", "fault": "status", "status": 500}])
    own.answer = says("From its own.")
    assert ask(world, chain(world, None, own.url))["content"] == "From its own."
    key = config.settings().openai_api_key
    assert key
    assert not any(key in head for head in own.asked)
    assert "sk-1" not in json.dumps(asked)


def test_own_providers_behind_the_first_are_called_through_the_guarded_door_as_well(
    world: World, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOW_PRIVATE_ADDRESSES", "0")
    config.reset()
    world.simulator.faults([{"kind": "ai", "fault": "status", "status": 500}])
    private = Provider(serve, says("From inside."))
    assert ask(world, chain(world, None, private.url)) == {}
    assert private.asked == []


@pytest.mark.parametrize(
    ("answers", "state", "error_says"),
    [
        (("bad key", "500"), "delayed", "HTTP 500"),  # one of them may answer at the next attempt
        (("500", "bad key"), "delayed", "HTTP 500"),
        (("429 for a second", "bad key"), "delayed", "HTTP 429"),
        (("bad key", "429 for a second", "429 for a day"), "delayed", "HTTP 429"),
        (("429 for a day", "bad key"), "failed", "AI_PATIENCE_SECONDS"),
        (("bad key", "unknown model", "quota"), "failed", "HTTP 401"),
        (("hangs", "hangs", "hangs", "hangs", "hangs"), "delayed", "did not answer"),
    ],
)
def test_when_all_fail_the_job_does_what_the_most_hopeful_of_them_asks_for(
    world: World, serve: Serve, answers: tuple[str, ...], state: str, error_says: str
) -> None:
    providers = [Provider(serve, THEIR_FAULT[fault]) for fault in answers]
    first, *others = (provider.url for provider in providers)
    silence = {"is_first_silent": True, "timeout": SILENCE} if "hangs" in answers else {}
    assert ask(world, chain(world, first, *others, **silence)) == {}
    [job] = world.jobs(queue="ai-processing")
    assert (job["state"], error_says in job["last_error"]) == (state, True), job["last_error"]
    assert all(len(provider.asked) == 1 for provider in providers), "one attempt asks each of them once"
    assert "Secret words" not in job["last_error"]
    assert all(provider.url[7:-3] in job["last_error"] for provider in providers), "the operator sees what each of them did"


def test_a_refused_key_is_called_the_platforms_or_the_chatbots_own(world: World, serve: Serve) -> None:
    world.simulator.faults([{"kind": "ai", "fault": "bad_key"}])
    own = Provider(serve, THEIR_FAULT["bad key"])
    for first, *others in ([None], [own.url], [own.url, None]):
        assert ask(world, chain(world, first, *others)) == {}
    platforms, chatbots, both = (job["last_error"] for job in world.jobs(queue="ai-processing"))
    assert platforms.endswith("; the platform's key (OPENAI_API_KEY) was refused")
    assert chatbots.endswith("; the chatbot's own key was refused")
    assert [key in both for key in ("the platform's key", "the chatbot's own key")] == [True, True]


def test_a_provider_that_keeps_failing_is_asked_last_until_it_is_back(
    world: World, serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Provider(serve, THEIR_FAULT["closes"]), Provider(serve, says("From the second."))
    chatbot = chain(world, first.url, second.url)
    before = metrics.read().get(("failovers",), 0)
    now = 1_000.0
    failover = importlib.import_module("workers.ai")._failover
    monkeypatch.setattr(failover.breaker, "now", lambda: now)
    caplog.set_level(logging.INFO)
    for _ in range(20):
        assert ask(world, chatbot)["metadata"]["provider"]["position"] == 2
    assert (len(first.asked), len(second.asked)) == (3, 20), "after three failures nobody waits for it"
    moves = [record for record in caplog.records if record.message == "provider_failed_over"]
    assert [(move.__dict__["host"], move.__dict__["position"], move.levelno) for move in moves] == [
        (first.url[7:-3], 1, logging.INFO)
    ] * 3
    assert "sk-1" not in caplog.text
    now += 5
    ask(world, chatbot)
    ask(world, chatbot)
    assert len(first.asked) == 4, "one question found out that it is not back"
    first.answer = says("From the first.")
    now += 10
    assert [ask(world, chatbot)["content"] for _ in range(3)] == ["From the first."] * 3
    assert metrics.read()["failovers",] == before + 22
    db.rows(Chatbot.update(provider_api_key=encrypt("sk-new")).where(Chatbot.id == chatbot))
    second.answer = hangs
    assert ask(world, chatbot)["content"] == "From the first."


def test_a_key_that_was_mended_is_tried_at_once(world: World, serve: Serve) -> None:
    first, second = Provider(serve, THEIR_FAULT["bad key"]), Provider(serve, says("From the second."))
    chatbot = chain(world, first.url, second.url)
    for _ in range(3):
        ask(world, chatbot)
    assert len(first.asked) == 1, "the next question would be refused as well"
    first.answer = says("From the first.")
    db.rows(Chatbot.update(provider_api_key=encrypt("sk-new")).where(Chatbot.id == chatbot))
    assert ask(world, chatbot)["content"] == "From the first."


def test_one_that_hangs_leaves_the_next_its_time(world: World, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AI_TIMEOUT_SECONDS", "12")
    monkeypatch.setenv("AI_PATIENCE_SECONDS", "12")
    config.reset()

    def slow(connection: socket.socket) -> None:
        time.sleep(2.1)
        says("From the second.")(connection)

    first, second = Provider(serve, hangs), Provider(serve, slow)
    assert ask(world, chain(world, first.url, second.url))["content"] == "From the second."


def test_what_a_next_provider_does_not_say_is_the_chatbots(world: World) -> None:
    chatbot = chain(world, None, None)
    db.rows(ChatbotProvider.insert(chatbot=chatbot, position=3, model="m3", temperature=0.1, max_tokens=5, timeout=7))
    db.rows(Chatbot.update(temperature=0.9, max_tokens=77, provider_timeout=3).where(Chatbot.id == chatbot))
    world.say(chatbot_id=chatbot)
    world.run(world.jobs()[0]["id"])
    claimed = world.claim(world.jobs(queue="ai-processing")[0]["id"])
    assert claimed.loaded is not None
    told = [[row[name] for name in ("model", "temperature", "max_tokens", "timeout")] for row in claimed.loaded["providers"]]
    assert told == [["gpt-4o-mini", 0.9, 77, 3], ["m2", 0.9, 77, None], ["m3", 0.1, 5, 7]]


def test_a_long_conversation_with_a_model_of_a_short_context_goes_on(world: World, serve: Serve) -> None:
    def small(connection: socket.socket) -> None:
        size = int(model.asked[-1].lower().split("content-length: ")[1].split()[0])
        (says("Yes.") if size < 4_000 else error("400 Bad Request", "context_length_exceeded"))(connection)

    model, larger = Provider(serve, small), Provider(serve, says("From the larger."))
    chatbot = chain(world, model.url, larger.url)
    for question in [f"{number}" * 1_000 for number in range(7)]:
        assert ask(world, chatbot, question)["content"] == "Yes."
    model.asked.clear()
    assert [ask(world, chatbot, "short?")["content"] for _ in range(3)] == ["Yes."] * 3
    assert len(model.asked) <= 4, "what was refused is not sent again each time"
    assert larger.asked == []
    assert ask(world, chatbot, "x" * 5_000)["content"] == "From the larger.", "the question itself is too long for the first"
    assert ask(world, chatbot, "short?")["content"] == "Yes.", "and that says nothing of the next question"


def test_a_claim_reads_what_its_context_says(world: World) -> None:
    world.say()
    world.run(world.jobs()[0]["id"])
    claimed = world.claim(world.jobs(queue="ai-processing")[0]["id"])
    assert claimed.loaded is not None
    assert claimed.loaded.keys() == Context.__annotations__.keys()


def test_the_history_says_when_and_by_whom(world: World) -> None:
    first = world.say("One")
    world.drain()
    asked = db.row(Message.select().where(Message.id == first))
    assert asked is not None
    for metadata in ({"source": "api"}, {"source": "api", "author": "Ann"}):
        conversation = {"conversation": asked["conversation_id"], "chatbot": asked["chatbot_id"], "channel": "widget"}
        db.rows(Message.insert(**conversation, role="assistant", content="By hand.", status="SENT", metadata=metadata))
    world.say("Two")
    world.run(world.jobs(queue="incoming-messages")[-1]["id"])
    claimed = world.claim(world.jobs(queue="ai-processing")[-1]["id"])
    assert claimed.loaded is not None
    history = claimed.loaded["history"]
    assert [(turn[0], turn[3]) for turn in history] == [
        ("user", None),
        ("assistant", None),
        ("assistant", "a colleague"),
        ("assistant", "Ann"),
        ("user", None),
    ]
    assert history[0][2] == pytest.approx(asked["created_at"].timestamp(), abs=0.001)


def test_one_that_is_paused_is_not_asked_because_the_one_that_works_is_full(world: World, serve: Serve) -> None:
    first, second = Provider(serve, error("500 Internal Server Error", "server_error")), Provider(serve, says("From the second."))
    chatbot = chain(world, first.url, second.url)
    for _ in range(4):
        ask(world, chatbot)
    assert len(first.asked) == 3
    bulkhead = importlib.import_module("workers.ai")._failover.bulkhead
    customer = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == chatbot))
    with ExitStack() as calls:
        for _ in range(MAX_SLOTS):
            calls.enter_context(bulkhead.slot(customer_room(customer), age=0))
        assert ask(world, chatbot) == {}
    assert (len(first.asked), len(second.asked)) == (3, 4)
    assert world.jobs(queue="ai-processing")[-1]["state"] == "delayed"
