"""The registry of channels: what a new one needs, that nobody else keeps a list, and what every parser keeps to."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest

from shared import models
from shared.channels.inbound import IgnoredItem, InboundItem, MalformedItem, parse_item
from shared.channels.registry import CHANNELS, SEND_QUEUES, Channel, UnknownChannel, channel, channel_of
from shared.channels.whatsapp_cloud.errors import ERRORS, GraphApiError, classify_error
from shared.channels.whatsapp_qr.dialects import DIALECTS
from shared.errors import PermanentError, PermanentRefusal, Snooze
from shared.http import Response
from shared.queues import MODULES, Queue
from web.hooks import hook_modules

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


def test_the_send_queues_are_the_channels_own() -> None:
    assert SEND_QUEUES == {"widget": None, "whatsapp_cloud": "whatsapp-cloud-send", "whatsapp_qr": "whatsapp-qr-send"}


def test_an_unknown_channel_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UnknownChannel, match="no channel 'telegram'; it must be one of widget, whatsapp_cloud, whatsapp_qr"):
        channel("telegram")
    with pytest.raises(UnknownChannel, match="ai-processing sends for no channel"):
        channel_of(Queue.AI)
    assert issubclass(UnknownChannel, PermanentError)


def _texts(node: ast.AST) -> set[Any]:
    parts = [*node.keys, *node.values] if isinstance(node, ast.Dict) else getattr(node, "elts", [])
    return {part.value for part in parts if isinstance(part, ast.Constant)}


def test_nobody_but_the_registry_lists_channels(root: Path) -> None:
    lists = {
        f"{path.relative_to(root)}:{node.lineno}"
        for package in ("shared", "web", "workers", "scripts/commands")
        for path in (root / package).rglob("*.py")
        if path.name not in ("registry.py", "queues.py")  # queues names modules of workers/
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict) and len(_texts(node) & set(CHANNELS)) > 1
    }
    assert not lists


def test_the_registry_is_vocabulary(root: Path) -> None:
    source = ast.parse((root / "shared/channels/registry.py").read_text())
    imported = {node.module for node in ast.walk(source) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "dataclasses", "shared.errors", "shared.queues"}
    packages = ast.parse((root / "shared/channels/__init__.py").read_text())
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
    body = str({"error": error}).replace("'", '"').encode()
    return classify_error(Response(status, body, headers))


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, 1, GraphApiError),
        (400, 131000, GraphApiError),
        (400, 131026, PermanentRefusal),
        (400, 131047, PermanentRefusal),
        (401, 190, PermanentRefusal),
        (400, "131000", PermanentRefusal),  # an exact match only
        (400, 13100, PermanentRefusal),
        (400, [4], PermanentRefusal),
        (500, 131047, GraphApiError),
        (400, None, GraphApiError),
    ],
)
def test_what_meta_says_decides_by_code_then_by_status(status: int, code: Any, expected: type[Exception]) -> None:
    assert type(_classified(status, code)) is expected


@pytest.mark.parametrize(
    ("status", "code", "headers", "delay"),
    [
        (400, 130429, {}, 5.0),
        (400, 131056, {}, 6.0),
        (500, 131057, {}, 30.0),
        (429, 131000, {}, 5.0),
        (429, None, {"Retry-After": "9"}, 9.0),
        (400, 4, {"Retry-After": "9"}, 9.0),
    ],
)
def test_what_meta_throttles_waits(status: int, code: Any, headers: dict[str, str], delay: float) -> None:
    error = _classified(status, code, **headers)
    assert isinstance(error, Snooze)
    assert error.delay == delay


def test_every_code_of_metas_is_one_row_of_the_table() -> None:
    assert all(isinstance(code, int) for code in ERRORS)
    refusal = _classified(400, 131026)
    assert isinstance(refusal, PermanentRefusal)
    assert (str(refusal), refusal.words) == ("WhatsApp Cloud: HTTP 400, code 131026", "why: how")
