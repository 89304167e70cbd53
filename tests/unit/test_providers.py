"""What each outside service's answer means for a job; each answer comes from the simulator over real HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.local.simulator.client import Simulator
from shared.ai import prompt, provider
from shared.ai.prompt import Item, as_prompt
from shared.channels.outcomes import AccountDown, ProviderFailed, Slowed
from shared.channels.telegram.send import id_of_sent
from shared.channels.whatsapp_cloud import send
from shared.channels.whatsapp_qr.dialects import dialect
from shared.channels.whatsapp_qr.ids import id_in_answer, message_id_in
from shared.errors import OutcomeUnknown, OutsideFailure, PermanentError, PermanentRefusal, Snooze
from shared.http import Response


@pytest.fixture(autouse=True)
def quick(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What hangs is given up soon, and what answers is not, on a busy machine."""
    from shared import config

    monkeypatch.setenv("HTTP_TIMEOUT_SECONDS", "5")
    monkeypatch.setenv("AI_TIMEOUT_SECONDS", "5")
    config.reset()


def _graph(simulator: Simulator, to: str = "491") -> str:
    return send.send_message("777001", "token", to, send.as_text("Hello"), send.callback_id(12))


def _waha(simulator: Simulator, session: str = "s1") -> str:
    return dialect("waha").send_text(session, "key", "491@c.us", "Hello", 12)


def _ask(simulator: Simulator, key: str = "sk") -> provider.Completion:
    asked = provider.Provider(f"{simulator.url}/v1", key, "gpt", 0.3, 100)
    return provider.complete(
        asked,
        prompt.build(
            "Be kind.",
            as_prompt([Item(1, "Shipping", "We ship <fast>.")], []),
            [prompt.Turn("user", "do you ship?", 0.0)],
            history_budget=24_000,
            place="on WhatsApp",
        ),
    )


def test_graph_send_carries_our_id_and_returns_the_wamid(simulator: Simulator) -> None:
    wamid = _graph(simulator)
    [seen] = simulator.record("graph")
    assert wamid.startswith("wamid.")
    assert (seen["answered_id"], seen["callback_data"], seen["path"]) == (wamid, "msg_12", "/v25.0/777001/messages")


def test_a_business_scoped_user_is_written_to_as_recipient(simulator: Simulator) -> None:
    _graph(simulator, "BR.1502576394655843")
    assert simulator.record("graph")[0]["key"] == "BR.1502576394655843"


@pytest.mark.parametrize(
    ("rule", "expected", "says"),
    [
        ({"fault": "rate_limit", "retry_after": 7}, Slowed, "130429"),
        ({"fault": "status", "status": 400, "body": {"error": {"code": 131056, "message": "pair"}}}, Snooze, "131056"),
        (
            {"fault": "status", "status": 400, "body": {"error": {"code": 131047, "message": "window closed"}}},
            PermanentError,
            "131047",
        ),
        ({"fault": "status", "status": 401, "body": {"error": {"code": 190, "message": "expired"}}}, AccountDown, "190"),
        ({"fault": "status", "status": 503, "body": "oops"}, OutcomeUnknown, "503"),
        *(
            ({"fault": "status", "status": 400, "body": {"error": {"code": code, "message": "limit"}}}, Snooze, f"code {code}$")
            for code in (4, 17, 32, 341, 613, 80007, "613")
        ),
        (
            {"fault": "status", "status": 400, "body": {"error": {"code": 99, "message": "later", "is_transient": True}}},
            ProviderFailed,
            "99",
        ),
        (
            {"fault": "status", "status": 400, "body": {"error": {"code": 99, "message": "no", "is_transient": False}}},
            PermanentError,
            "99",
        ),
        ({"fault": "status", "status": 425, "body": {"error": {"code": 99, "message": "early"}}}, ProviderFailed, "425"),
        ({"fault": "reset_after"}, OutcomeUnknown, "did not answer"),
        ({"fault": "timeout", "ms": 60_000}, OutcomeUnknown, "did not answer"),
    ],
)
def test_what_a_graph_answer_means(simulator: Simulator, rule: dict[str, Any], expected: type[Exception], says: str) -> None:
    simulator.faults([{"kind": "graph", **rule}])
    with pytest.raises(expected, match=says) as caught:
        _graph(simulator)
    if isinstance(caught.value, Snooze) and "retry_after" in rule:
        assert caught.value.delay == 7


@pytest.mark.parametrize("fault", ["half", "drip", "garbage"])
def test_what_was_accepted_is_sent_whatever_comes_of_the_body(simulator: Simulator, fault: str) -> None:
    simulator.faults([{"kind": "graph", "fault": fault}, {"kind": "waha", "fault": fault}])
    assert _graph(simulator) == "", "no wamid"
    assert _waha(simulator) in dialect("waha").expected_ids(12), "its id is ours"


def test_a_number_that_does_not_exist(simulator: Simulator) -> None:
    with pytest.raises(PermanentRefusal, match="131026") as refusal:
        _graph(simulator, "490000404")
    assert "not a WhatsApp user" in refusal.value.words


def test_waha_keeps_one_id_for_all_attempts(simulator: Simulator) -> None:
    first, second = _waha(simulator), _waha(simulator)
    assert first == second
    assert first in dialect("waha").expected_ids(12)


@pytest.mark.parametrize(("session", "expected"), [("stopped-1", AccountDown), ("unknown-1", AccountDown)])
def test_what_a_waha_session_means(simulator: Simulator, session: str, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        _waha(simulator, session)


@pytest.mark.parametrize("message_id", ["X", {"_serialized": "X"}, {"id": "X"}])
def test_a_gateway_id_is_found_wherever_the_engine_puts_it(message_id: Any) -> None:
    for body in ({"id": message_id}, {"key": {"id": "X"}}, {"_data": {"id": message_id}}):
        assert message_id_in(body) == "X"


@pytest.mark.parametrize(
    "body",
    [
        [{"key": {"id": "X"}}],
        {"data": {"Info": {"ID": "X", "Chat": "49@s.whatsapp.net"}}, "message": "success"},
        {"message": {"key": {"id": "X"}, "conversation": "Hi"}, "status": "PENDING"},
        {"success": True, "result": {"id": {"_serialized": "X"}}},
    ],
)
def test_an_answers_id_is_found_whatever_stands_around_it(body: Any) -> None:
    assert id_in_answer(body) == "X"


@pytest.mark.parametrize("body", [None, [], "X", {"message": "X"}, {"data": None, "id": None}, [["X"]], {"key": {"id": True}}])
def test_an_answer_without_an_id_has_none(body: Any) -> None:
    assert id_in_answer(body) == ""


@pytest.mark.parametrize(
    ("body", "wamid"),
    [
        ({"messages": [{"id": None}]}, ""),
        ({"messages": [None]}, ""),
        ({"messages": None}, ""),
        ([], ""),
        ({"messages": [{"id": 7}]}, "7"),
        ({"messages": {"id": "wamid.1"}}, "wamid.1"),
    ],
)
def test_metas_id_is_one_or_none(simulator: Simulator, body: Any, wamid: str) -> None:
    simulator.faults([{"kind": "graph", "fault": "status", "status": 200, "body": body}])
    assert _graph(simulator) == wamid


@pytest.mark.parametrize(("said", "identity"), [(8, "42:8"), ("8", "42:8"), (None, ""), (True, ""), ({}, "")])
def test_telegrams_id_may_be_a_text(said: Any, identity: str) -> None:
    answer = Response(200, json.dumps({"ok": True, "result": {"message_id": said}}).encode(), {})
    assert id_of_sent("42", answer) == identity


def test_an_unknown_dialect_is_permanent() -> None:
    with pytest.raises(PermanentError, match="must be one of waha, evolution"):
        dialect("smoke-signals")


def test_the_ai_answers_from_the_prompts_knowledge(simulator: Simulator) -> None:
    completion = _ask(simulator)
    assert "We ship <fast>." in completion.text
    assert completion.prompt_tokens > 0


@pytest.mark.parametrize(
    ("rule", "expected", "says"),
    [
        ({"fault": "rate_limit", "retry_after": 3}, Snooze, "rate_limit_exceeded"),
        ({"fault": "quota"}, PermanentError, "insufficient_quota"),
        ({"fault": "bad_key"}, PermanentError, "invalid_api_key"),
        ({"fault": "status", "status": 500}, provider.ProviderError, "HTTP 500"),
        ({"fault": "status", "status": 408}, provider.ProviderError, "HTTP 408"),
        ({"fault": "status", "status": 409}, provider.ProviderError, "HTTP 409"),
        ({"fault": "status", "status": 302}, PermanentError, "HTTP 302"),
        (
            {"fault": "status", "status": 404, "body": {"error": {"code": "model_not_found", "message": "no such model"}}},
            PermanentError,
            "AI provider: HTTP 404 model_not_found$",
        ),
        ({"fault": "status", "status": 400, "body": {"error": "not as OpenAI does"}}, PermanentError, "HTTP 400"),
        ({"fault": "status", "status": 403, "body": "<html>"}, PermanentError, "HTTP 403"),
        ({"fault": "status", "status": 429, "body": {"error": {"type": ["odd"]}}}, Snooze, "HTTP 429"),
        ({"fault": "garbage"}, provider.ProviderError, "not a completion"),
        ({"fault": "status", "status": 200, "body": {"choices": []}}, provider.ProviderError, "not a completion"),
        (
            {"fault": "status", "status": 200, "body": {"choices": [{"message": {"content": " "}}]}},
            provider.NoText,
            "empty",
        ),
        ({"fault": "reset_before"}, provider.ProviderError, "no answer"),
        ({"fault": "timeout", "ms": 60_000}, provider.ProviderError, "no answer"),
    ],
)
def test_what_an_ai_answer_means(simulator: Simulator, rule: dict[str, Any], expected: type[Exception], says: str) -> None:
    simulator.faults([{"kind": "ai", **rule}])
    with pytest.raises(expected, match=says):
        _ask(simulator)


#: What a provider says about the prompt that it refuses, and that no log may repeat.
WORDS = "PERSONALWORDS my iban is DE89"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"message": WORDS}),
        (400, {"message": WORDS, "code": WORDS, "type": WORDS}),
        (422, {"message": [WORDS]}),
        (429, {"message": WORDS, "code": WORDS}),
        (500, {"message": WORDS, "code": {WORDS: 1}}),
        (200, {"message": WORDS}),
    ],
)
def test_the_words_of_a_provider_are_apart(simulator: Simulator, status: int, error: dict[str, Any]) -> None:
    simulator.faults([{"kind": "ai", "fault": "status", "status": status, "body": {"error": error}}])
    with pytest.raises((OutsideFailure, Snooze)) as failure:
        _ask(simulator)
    assert WORDS not in str(failure.value)
    assert WORDS in str(vars(failure.value).get("words")) or status == 200


@pytest.mark.parametrize("base_url", ["http://a..b/v1", "http://\x00/v1", "http://"])
def test_a_base_url_that_cannot_be_called_is_permanent(base_url: str) -> None:
    with pytest.raises(PermanentError):
        provider.complete(provider.Provider(base_url, "sk", "gpt", 0.3, 100), [])


@pytest.mark.parametrize("key", ["sk-hunter2\n", "sk-hunter2-\u00e9"])
def test_a_key_that_cannot_be_sent_is_permanent_and_not_shown(simulator: Simulator, key: str) -> None:
    with pytest.raises(PermanentError) as caught:
        _ask(simulator, key)
    assert "hunter2" not in str(caught.value)


def test_an_unreachable_provider_may_be_back_later() -> None:
    with pytest.raises(provider.ProviderError, match=r"no answer: private-llm\.invalid cannot be reached: DNS"):
        provider.complete(provider.Provider("https://private-llm.invalid/v1", "sk", "gpt", 0.3, 100), [])


def test_no_key_is_permanent_and_says_what_to_do(simulator: Simulator) -> None:
    with pytest.raises(PermanentError, match="set OPENAI_API_KEY"):
        _ask(simulator, key="")
