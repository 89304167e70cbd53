"""The registry of channels: what a new one needs, that nobody else keeps a list, and what every parser keeps to."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared import models
from shared.channels import health
from shared.channels.inbound import IgnoredItem, InboundItem, MalformedItem, parse_item
from shared.channels.outcomes import EXPLANATIONS, AccountDown, Meaning, Outcome, ProviderFailed, Reason, Slowed
from shared.channels.registry import CHANNELS, SEND_QUEUES, Channel, UnknownChannel, channel, channel_of
from shared.channels.telegram import errors as telegram
from shared.channels.whatsapp_cloud import errors as cloud
from shared.channels.whatsapp_cloud.errors import ERRORS, classify_error, meaning_of
from shared.channels.whatsapp_qr import evolution, waha
from shared.channels.whatsapp_qr.dialects import DIALECTS
from shared.errors import OutcomeUnknown, PermanentError, PermanentRefusal, Snooze
from shared.http import Response
from shared.queues import MODULES, Queue
from web.connecting import connect
from web.hooks import hook_modules

USAGE = "X-Business-Use-Case-Usage"

every_channel = pytest.mark.parametrize("one", CHANNELS.values(), ids=list(CHANNELS))


@every_channel
def test_a_channel_has_its_package_and_its_worker(one: Channel, root: Path) -> None:
    assert importlib.import_module(f"shared.channels.{one.name}").__doc__
    if one.send_queue is not None:
        assert MODULES[one.send_queue] == one.name
        assert (root / "workers" / f"{one.name}.py").exists()
        assert channel_of(one.send_queue) is one


@every_channel
def test_a_channel_with_a_hook_has_accounts_and_replays_what_had_none(one: Channel) -> None:
    assert (one.name in hook_modules()) == one.has_hook == bool(one.account_table)
    if one.has_hook:
        module = hook_modules()[one.name]
        assert (module.hook.name, module.CHANNEL, callable(module.replay)) == (one.name, one, True)
        tables: dict[str, Any] = {model._meta.table_name: model for model in models.TABLES}
        assert one.account_column in tables[one.account_table]._meta.fields
        assert one.account_noun


@every_channel
def test_what_asks_all_accounts_asks_this_channels(one: Channel, root: Path) -> None:
    erasure, ai = ((root / name).read_text(encoding="utf-8") for name in ("shared/privacy/erasure.sql", "workers/ai.sql"))
    assert one.account_table in erasure, "what was rejected belongs to an account"
    assert one.account_table in ai or not one.shows_typing, "the claim says by which account somebody types"


def test_the_send_queues_are_the_channels_own() -> None:
    assert SEND_QUEUES == {
        "widget": None,
        "whatsapp_cloud": "whatsapp-cloud-send",
        "whatsapp_qr": "whatsapp-qr-send",
        "telegram": "telegram-send",
    }


def test_an_unknown_channel_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(
        UnknownChannel, match="no channel 'pigeon'; it must be one of widget, whatsapp_cloud, whatsapp_qr, telegram"
    ):
        channel("pigeon")
    with pytest.raises(UnknownChannel, match="ai-processing sends for no channel"):
        channel_of(Queue.AI)
    assert issubclass(UnknownChannel, PermanentError)


def test_a_channel_that_nobody_taught_to_connect_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHANNELS, "pigeon", replace(CHANNELS["telegram"], name="pigeon", account_noun="number"))
    with pytest.raises(UnknownChannel, match="nobody can prove here whose account of pigeon it is"):
        connect(1, "pigeon", 1, {"name": "777", "secret": "token"})


def _texts(node: ast.AST) -> set[Any]:
    parts = [*node.keys, *node.values] if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    return {part.value for part in parts if isinstance(part, ast.Constant)}


def test_nobody_but_the_registry_lists_channels(root: Path) -> None:
    lists = {
        f"{path.relative_to(root)}:{node.lineno}"
        for package in ("shared", "web", "workers", "scripts/commands")
        for path in (root / package).rglob("*.py")
        if path.name not in ("registry.py", "queues.py")  # queues names modules of workers/
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict) and len(_texts(node) & set(CHANNELS)) > 1
    }
    assert not lists


def test_the_registry_is_vocabulary(root: Path) -> None:
    source = ast.parse((root / "shared/channels/registry.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(source) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "dataclasses", "shared.errors", "shared.queues"}
    packages = ast.parse((root / "shared/channels/__init__.py").read_text(encoding="utf-8"))
    assert not [node for node in ast.walk(packages) if isinstance(node, ast.Import | ast.ImportFrom)]


def test_a_fault_of_a_parser_costs_one_item() -> None:
    def parse(raw: dict[str, Any]) -> InboundItem:
        return IgnoredItem(raw=raw["here"])

    assert parse_item(parse, {"here": 1}) == IgnoredItem(raw=1)
    assert parse_item(parse, {"there": 1}) == MalformedItem(
        raw={"there": 1}, reason="The parser failed with KeyError; the log has the traceback."
    )


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
@pytest.mark.parametrize("data", [None, 7, "x", [], {}, [7], [{}], {"key": 7}])
def test_a_dialect_parses_whatever_comes_into_at_least_one_item(dialect: Any, data: Any) -> None:
    for event in (None, 7, "other", "message", "message.ack", "session.status", "messages.upsert", "CONNECTION_UPDATE"):
        items = dialect.parse({"event": event, "payload": data, "data": data})
        assert items
        assert all(isinstance(item, IgnoredItem | MalformedItem) for item in items)


def _classified(status: int, code: Any = None, **headers: str) -> Exception:
    error = {} if code is None else {"code": code, "message": "why", "error_data": {"details": "how"}}
    body = json.dumps({"error": error}).encode()
    return classify_error(Response(status, body, headers))


@pytest.mark.parametrize(
    ("status", "code", "expected", "reason"),
    [
        (400, 1, OutcomeUnknown, Reason.PROVIDER_FAILED),
        (500, 131000, OutcomeUnknown, Reason.PROVIDER_FAILED),
        (503, 99, OutcomeUnknown, Reason.PROVIDER_FAILED),
        (400, 131026, PermanentRefusal, Reason.RECIPIENT_UNREACHABLE),
        (400, 131047, PermanentRefusal, Reason.WINDOW_CLOSED),
        (500, 131047, PermanentRefusal, Reason.WINDOW_CLOSED),  # the code, whatever the status
        (401, 190, AccountDown, Reason.TOKEN_INVALID),
        (400, 0, AccountDown, Reason.TOKEN_INVALID),
        (403, 10, AccountDown, Reason.PERMISSION_MISSING),
        (403, 200, AccountDown, Reason.PERMISSION_MISSING),
        (403, 299, AccountDown, Reason.PERMISSION_MISSING),
        (403, 368, AccountDown, Reason.ACCOUNT_RESTRICTED),
        (403, 131031, AccountDown, Reason.ACCOUNT_RESTRICTED),
        (400, 133010, AccountDown, Reason.NOT_REGISTERED),
        (400, 131042, AccountDown, Reason.PAYMENT_MISSING),
        (400, 131048, PermanentRefusal, Reason.SPAM_LIMITED),
        (400, 131050, PermanentRefusal, Reason.MARKETING_REFUSED),
        (400, 132001, PermanentRefusal, Reason.TEMPLATE_REFUSED),
        (400, 100, PermanentRefusal, Reason.REQUEST_REFUSED),
        (400, 131053, ProviderFailed, Reason.MEDIA_FAILED),
        (400, 2500, AccountDown, Reason.TOKEN_INVALID),
        (400, 80008, Slowed, Reason.RATE_LIMITED),
        (400, 137000, PermanentRefusal, Reason.RECIPIENT_REFUSES),
        (400, 803, AccountDown, Reason.PERMISSION_MISSING),
        (400, 131043, PermanentRefusal, Reason.RECIPIENT_UNREACHABLE),
        (400, 131058, PermanentRefusal, Reason.TEMPLATE_REFUSED),
        (400, "131000", OutcomeUnknown, Reason.PROVIDER_FAILED),  # a business provider between Meta and us makes texts of codes
        (400, "9" * 5_000, PermanentRefusal, Reason.UNKNOWN_CODE),  # Python makes no number of it
        (400, "131000 x", PermanentRefusal, Reason.UNKNOWN_CODE),  # an exact match only
        (400, True, PermanentRefusal, Reason.UNKNOWN_CODE),
        (400, 13100, PermanentRefusal, Reason.UNKNOWN_CODE),
        (400, [4], PermanentRefusal, Reason.UNKNOWN_CODE),
        (400, None, ProviderFailed, Reason.PROVIDER_FAILED),
        (401, None, AccountDown, Reason.TOKEN_INVALID),
        (401, "invalid_key", AccountDown, Reason.TOKEN_INVALID),
        (401, 131026, PermanentRefusal, Reason.RECIPIENT_UNREACHABLE),
        (403, None, ProviderFailed, Reason.PROVIDER_FAILED),
    ],
)
def test_what_meta_says_decides_by_code_then_by_status(status: int, code: Any, expected: type[Exception], reason: Reason) -> None:
    error: Any = _classified(status, code)
    assert (type(error), error.error_code) == (expected, reason)


@pytest.mark.parametrize("channel_errors", [cloud, telegram, waha, evolution])
def test_a_redirect_which_nobody_follows_is_no_refusal(channel_errors: Any, caplog: pytest.LogCaptureFixture) -> None:
    for status in (301, 302, 303, 307, 308):
        problem = channel_errors.classify_error(Response(status, b"<html>Moved", {"Location": "https://maintenance.example"}))
        assert (type(problem), problem.error_code) == (ProviderFailed, Reason.PROVIDER_FAILED)
    assert not caplog.records


def test_a_number_that_the_token_may_not_use_holds_its_replies() -> None:
    words = "Unsupported post request. Object with ID '777' does not exist, cannot be loaded due to missing permissions"
    for subcode, expected in ((33, AccountDown), ("33", PermanentRefusal), (2494010, PermanentRefusal), (None, PermanentRefusal)):
        error = {"message": words, "type": "GraphMethodException", "code": 100, "error_subcode": subcode}
        problem: Any = classify_error(Response(400, json.dumps({"error": error}).encode(), {}))
        assert type(problem) is expected
    assert {meaning_of(400, {"code": 100, "error_subcode": 33}).reason} == {Reason.PERMISSION_MISSING}


def test_an_unknown_code_is_an_alert(caplog: pytest.LogCaptureFixture) -> None:
    _classified(400, 131026)
    assert not caplog.records
    _classified(400, 987654)
    [line] = caplog.records
    assert (line.levelname, line.message, line.code) == ("ERROR", "provider_code_unknown", "987654")


def test_the_page_of_the_workers_names_each_code_of_metas_that_does_not_fail_at_once(root: Path) -> None:
    """An operator who looks a code up there believes of any other one that its message has failed."""
    page = (root / "workers/README.md").read_text(encoding="utf-8")
    table = page.split("| Meta answers | the job |")[1].split("| any other code", 1)[0]
    named = {int(number) for number in re.findall(r"\b\d+\b", table)} | set(range(200, 300))
    waiting = {code for code, meaning in ERRORS.items() if meaning.outcome not in (Outcome.FAIL, Outcome.TEMPLATE)}
    assert sorted(waiting - named) == []


def test_every_reason_has_its_words() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    assert all(isinstance(meaning, Meaning) and meaning.reason in EXPLANATIONS for meaning in ERRORS.values())
    waits = {meaning.outcome for meaning in ERRORS.values() if meaning.seconds}
    assert waits == {Outcome.SLOW, Outcome.DELAY}


@pytest.mark.parametrize(
    ("status", "message", "expected", "reason"),
    [
        (400, [{"exists": False, "jid": "1@s.whatsapp.net"}], PermanentRefusal, Reason.RECIPIENT_UNREACHABLE),
        (400, [[{"exists": False, "number": "1"}]], PermanentRefusal, Reason.RECIPIENT_UNREACHABLE),
        (400, "Error: Connection Closed", AccountDown, Reason.SESSION_OFFLINE),
        (400, ["Error: Timed Out"], OutcomeUnknown, Reason.OUTCOME_UNKNOWN),
        (400, ["Error: rate-overlimit"], Slowed, Reason.RATE_LIMITED),
        (400, "Error: Connection was lost", AccountDown, Reason.SESSION_OFFLINE),
        (400, ["Error: Intentional Logout"], AccountDown, Reason.SESSION_OFFLINE),
        (400, "Error: not-acceptable", PermanentRefusal, Reason.RECIPIENT_UNREACHABLE),
        (400, [["text", 'instance requires property "text"']], PermanentRefusal, Reason.REQUEST_REFUSED),
        # Evolution's database failed when the message had left.
        (
            400,
            ["PrismaClientKnownRequestError: \nInvalid `x.message.create()` invocation"],
            OutcomeUnknown,
            Reason.OUTCOME_UNKNOWN,
        ),
        *(
            (status, f"TypeError: Cannot read properties of undefined (reading '{member}')", AccountDown, Reason.SESSION_OFFLINE)
            for status, member in ((500, "textMessage"), (500, "mediaMessage"), (500, "onWhatsApp"), (400, "sendMessage"))
        ),
        (400, "TypeError: Cannot read properties of undefined (reading 'message')", ProviderFailed, Reason.PROVIDER_FAILED),
        (400, "Error: something of the phone", ProviderFailed, Reason.PROVIDER_FAILED),
        (400, None, ProviderFailed, Reason.PROVIDER_FAILED),
        (401, "Unauthorized", AccountDown, Reason.TOKEN_INVALID),
        (404, ['The "s1" instance does not exist'], AccountDown, Reason.SESSION_OFFLINE),
        (429, "Too many", Slowed, Reason.RATE_LIMITED),
        *((status, "Later", ProviderFailed, Reason.PROVIDER_FAILED) for status in (408, 409, 421, 423, 424, 425, 449)),
        (500, "Error", ProviderFailed, Reason.PROVIDER_FAILED),
        (500, ["Error: Connection Closed"], AccountDown, Reason.SESSION_OFFLINE),
        (500, ["Error: Timed Out"], OutcomeUnknown, Reason.OUTCOME_UNKNOWN),
        (502, "forbidden", ProviderFailed, Reason.PROVIDER_FAILED),  # a proxy's page
        (504, "", OutcomeUnknown, Reason.OUTCOME_UNKNOWN),
        (418, "teapot", PermanentRefusal, Reason.UNKNOWN_CODE),
    ],
)
def test_evolutions_errors_are_read_for_what_they_say(
    status: int, message: Any, expected: type[Exception], reason: Reason
) -> None:
    body = json.dumps({"status": status, "error": "Bad Request", "response": {"message": message}})
    error: Any = evolution.classify_error(Response(status, body.encode(), {}))
    assert (type(error), error.error_code) == (expected, reason)


#: What WAHA's engines say of a session that cannot send: NOWEB, GOWS, WEBJS.
DEAD = (
    "Connection Closed",
    "2 UNKNOWN: websocket not connected",
    "2 UNKNOWN: the store doesn't contain a device JID",
    "Protocol error (Runtime.callFunctionOn): Target closed.",
    "Protocol error: Session closed. Most likely the page has been closed.",
    "Attempted to use detached Frame '7A'.",
    "Navigating frame was detached",
    "Navigation failed because browser has disconnected!",
    "page.evaluate: Target page, context or browser has been closed",
    "Evaluation failed: TypeError: Cannot read properties of undefined (reading 'WidFactory')",
    "Cannot read properties of undefined (reading 'getChat')",
)


def raised(words: str) -> dict[str, Any]:
    """An error of an engine as WAHA passes it on."""
    return {"statusCode": 500, "exception": {"message": words, "stack": "Error", "name": "Error"}, "request": {"path": "/"}}


def test_an_engines_words_are_the_reason_that_is_kept() -> None:
    error: Any = waha.classify_error(Response(500, json.dumps(raised("Connection Closed")).encode(), {}))
    assert error.words == "Connection Closed"


@pytest.mark.parametrize(
    ("gateway", "body", "words"),
    [
        (waha, {"message": ["chatId must be a string"], "error": "Bad Request"}, "chatId must be a string; Bad Request"),
        (waha, {"message": "Internal server error", **raised("no such chat")}, "no such chat; Internal server error"),
        (waha, {"message": {"reason": "plus only"}, "error": None}, "plus only"),
        (waha, "<html>502</html>", '"<html>502</html>"'),
        (evolution, {"response": {"message": [["number is wrong", "text is wrong"]]}}, "number is wrong; text is wrong"),
        (evolution, {"status": 400, "message": ["number is wrong"]}, "number is wrong"),
        (evolution, {"status": 400, "response": {"message": [[{"exists": False, "jid": "1@s.whatsapp.net"}]]}}, ""),
        (evolution, {"status": 400, "response": {"message": {"exists": False, "number": "1"}}}, ""),
        (evolution, {"response": {"message": json.loads("[" * 500 + "]" * 500)}}, '{"response": {"message": ' + "[" * 275),
    ],
)  # fmt: skip
def test_what_a_gateway_says_is_kept_as_people_say_it(gateway: Any, body: Any, words: str) -> None:
    error: Any = gateway.classify_error(Response(400, json.dumps(body).encode(), {}))
    assert error.words == words
    assert ("exists: false" in str(error)) == (error.error_code == Reason.RECIPIENT_UNREACHABLE)


@pytest.mark.parametrize(
    ("status", "body", "expected", "reason"),
    [
        (422, {"error": "not as expected", "status": "STOPPED"}, AccountDown, Reason.SESSION_OFFLINE),
        (422, {"message": "chatId is wrong"}, PermanentRefusal, Reason.REQUEST_REFUSED),
        (401, {"message": "Unauthorized"}, AccountDown, Reason.TOKEN_INVALID),
        (404, {"message": "Session not found"}, AccountDown, Reason.SESSION_OFFLINE),
        *((status, {}, ProviderFailed, Reason.PROVIDER_FAILED) for status in (408, 409, 421, 423, 424, 425, 449)),
        (500, {"message": "puppeteer"}, ProviderFailed, Reason.PROVIDER_FAILED),
        (500, {"message": "Internal server error", **raised("Target closed")}, AccountDown, Reason.SESSION_OFFLINE),
        *((500, raised(said), AccountDown, Reason.SESSION_OFFLINE) for said in DEAD),
        (500, raised("Timed Out"), OutcomeUnknown, Reason.OUTCOME_UNKNOWN),
        (500, raised("2 UNKNOWN: no LID found for 5@s.whatsapp.net from server"), ProviderFailed, Reason.RECIPIENT_UNREACHABLE),
        (500, raised("Error: No LID for user"), ProviderFailed, Reason.RECIPIENT_UNREACHABLE),
        (500, raised("Execution context was destroyed, most likely by a navigation"), OutcomeUnknown, Reason.OUTCOME_UNKNOWN),
        (500, raised("Protocol error (Runtime.callFunctionOn): Promise was collected"), OutcomeUnknown, Reason.OUTCOME_UNKNOWN),
        (500, raised("4 DEADLINE_EXCEEDED: Deadline exceeded after 30s"), OutcomeUnknown, Reason.OUTCOME_UNKNOWN),
        (500, raised("2 UNKNOWN: context deadline exceeded"), OutcomeUnknown, Reason.OUTCOME_UNKNOWN),
        (
            500,
            raised("2 UNKNOWN: websocket disconnected before info query returned response"),
            OutcomeUnknown,
            Reason.OUTCOME_UNKNOWN,
        ),
        (500, raised("14 UNAVAILABLE: No connection established"), ProviderFailed, Reason.PROVIDER_FAILED),
        (500, raised("Evaluation failed: Error: wid error: invalid wid"), PermanentRefusal, Reason.RECIPIENT_UNREACHABLE),
        (500, raised("2 UNKNOWN: can't send message to unknown server x"), PermanentRefusal, Reason.RECIPIENT_UNREACHABLE),
        (500, raised("2 UNKNOWN: server returned error 463"), PermanentRefusal, Reason.NEW_CHATS_REFUSED),
        (500, raised("2 UNKNOWN: server returned error 479"), ProviderFailed, Reason.PROVIDER_FAILED),
        (504, {}, OutcomeUnknown, Reason.OUTCOME_UNKNOWN),
        (418, {}, PermanentRefusal, Reason.UNKNOWN_CODE),
    ],
)
def test_what_wahas_statuses_mean(status: int, body: dict[str, Any], expected: type[Exception], reason: Reason) -> None:
    error: Any = waha.classify_error(Response(status, json.dumps(body).encode(), {}))
    assert (type(error), error.error_code) == (expected, reason)


@pytest.mark.parametrize(
    ("status", "code", "headers", "delay"),
    [
        (400, 130429, {}, 5.0),
        (400, 131056, {}, 6.0),
        (500, 131057, {}, 30.0),
        (429, 131000, {}, 5.0),
        (429, None, {"Retry-After": "9"}, 9.0),
        (400, 4, {"Retry-After": "9"}, 9.0),
        (429, None, {"Retry-After": "60, 90"}, 90.0),
        (429, None, {"Retry-After": "120s"}, 120.0),
        (429, None, {"Retry-After": "PT1M30S"}, 90.0),
        (429, None, {"Retry-After": '"60"'}, 60.0),
        (429, None, {"Retry-After": "60 seconds"}, 60.0),
        (429, None, {"Retry-After": "-7"}, 1.0),
        (429, None, {"Retry-After": "PT0S"}, 5.0),
        (429, None, {"Retry-After": "later"}, 5.0),
        (429, None, {"Retry-After": "9" * 15}, 30 * 86_400.0),
        (429, None, {"Retry-After": "2026-11-30T00:53:50Z", "Date": "Mon, 30 Nov 2026 00:53:20 GMT"}, 30.0),
        (429, None, {"Retry-After": "Mon, 30 Nov 2026 09:53:50 +0900", "Date": "Mon, 30 Nov 2026 00:53:20 GMT"}, 30.0),
        (429, None, {"Retry-After": "1796000030", "Date": "Mon, 30 Nov 2026 00:53:20 GMT"}, 30.0),
        (429, None, {"Retry-After": "1796000030000", "Date": "Mon, 30 Nov 2026 00:53:20 GMT"}, 30.0),
        (429, None, {"Retry-After": "1700000000", "Date": "Mon, 30 Nov 2026 00:53:20 GMT"}, 5.0),
        (503, None, {"Retry-After": "40"}, 40.0),
        (425, None, {"Retry-After": "Mon, 30 Nov 2026 00:53:50 GMT", "Date": "Mon, 30 Nov 2026 00:53:20 GMT"}, 30.0),
        (400, 131052, {"Retry-After": "7"}, 7.0),
        (400, 80007, {USAGE: '{"102": [{"type": "whatsapp", "estimated_time_to_regain_access": 3}]}'}, 180.0),
        (400, 80007, {USAGE: '{"1": [{"estimated_time_to_regain_access": 3}, {"estimated_time_to_regain_access": "5"}]}'}, 300.0),
        (400, 80007, {USAGE: '{"102": [{"estimated_time_to_regain_access": 0}]}'}, 30.0),
        (400, 80007, {USAGE: '{"102": [{"estimated_time_to_regain_access": 3}]}', "Retry-After": "9"}, 9.0),
        *((400, 80007, {USAGE: odd}, 30.0) for odd in ("", "[", "[]", "7", '{"1": 2}', '{"1": [3]}', '{"1": [{}]}', "[" * 9_999)),
        (400, 4, {USAGE: '{"1": [{"estimated_time_to_regain_access": 1e300}]}'}, 30 * 86_400.0),
        (400, 4, {USAGE: '{"1": [{"estimated_time_to_regain_access": -1}]}'}, 30.0),
    ],
)
def test_what_meta_throttles_waits(status: int, code: Any, headers: dict[str, str], delay: float) -> None:
    error = _classified(status, code, **headers)
    assert isinstance(error, Snooze)
    assert error.delay == delay


@pytest.mark.parametrize("status", [503, 408, 409, 421, 423, 424, 425, 449])
@pytest.mark.parametrize("classify", [waha.classify_error, evolution.classify_error, telegram.classify_error])
def test_a_refusal_that_says_until_when_costs_no_attempt(classify: Callable[[Response], Exception], status: int) -> None:
    error = classify(Response(status, b"Service Unavailable", {"Retry-After": "40"}))
    assert isinstance(error, Slowed)
    assert (error.delay, error.error_code) == (40.0, Reason.PROVIDER_FAILED)


def test_what_may_have_left_stays_unknown_though_the_answer_says_until_when() -> None:
    assert isinstance(_classified(503, 131000, **{"Retry-After": "40"}), OutcomeUnknown)
    for classify in (waha.classify_error, evolution.classify_error):
        timed_out = Response(503, b'{"message": "Timed Out"}', {"Retry-After": "40"})
        assert isinstance(classify(timed_out), OutcomeUnknown)
    assert isinstance(telegram.classify_error(Response(502, b"Bad Gateway", {"Retry-After": "40"})), OutcomeUnknown)


def test_every_code_of_metas_is_one_row_of_the_table() -> None:
    assert all(isinstance(code, int) for code in ERRORS)
    refusal = _classified(400, 131026)
    assert isinstance(refusal, PermanentRefusal)
    assert (str(refusal), refusal.words) == ("WhatsApp Cloud: HTTP 400, code 131026", "why: how")


def test_what_holds_an_account_is_the_accounts_whoever_says_it() -> None:
    holds = {meaning.reason for meaning in ERRORS.values() if meaning.outcome is Outcome.HOLD}
    assert holds <= health.ACCOUNT_WIDE
    assert not health.ACCOUNT_WIDE & {meaning.reason for meaning in ERRORS.values() if meaning.outcome is not Outcome.HOLD}
