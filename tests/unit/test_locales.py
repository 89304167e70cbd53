"""A machine whose locale knows ASCII or Latin-1 only: what we read, write and log is UTF-8 all the same."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

#: Python makes UTF-8 of the locale C unless it is told not to; with LANG=de_DE it needs no telling.
ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
TEXT = "café ✓"
LOG = f"from shared.telemetry.logs import configure_logging as c; c('INFO'); import logging; logging.info({TEXT!a})"
WIDGET = "from web.desk.language import script_words as w; assert w('de', 'widget/screen.js') and w('de', 'widget.js')"
PRINT = f"import scripts.commands; print({TEXT!a})"


@pytest.fixture
def environment() -> dict[str, str]:
    settings = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
    return {**os.environ, **ASCII_ONLY, **settings}


def run(code: str, root: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def test_a_log_line_is_json_in_utf8(root: Path, environment: dict[str, str]) -> None:
    assert json.loads(run(LOG, root, environment).stderr)["event"] == TEXT


def test_a_command_prints_what_the_terminal_can_show(root: Path, environment: dict[str, str]) -> None:
    assert run(PRINT, root, environment).stdout == b"caf? ?\n"


def test_the_widgets_scripts_have_their_words(root: Path, environment: dict[str, str]) -> None:
    run(WIDGET, root, environment)


def _reads_as_the_locale_says(call: ast.Call) -> bool:
    """Whether it opens a file as text and names no encoding."""
    if any(keyword.arg == "encoding" for keyword in call.keywords):
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    mode = next((word.value for word in call.args[:2] if isinstance(word, ast.Constant) and _is_mode(word.value)), None)
    if name in ("NamedTemporaryFile", "TemporaryFile", "SpooledTemporaryFile"):
        return mode is not None and "b" not in mode
    if name == "open" and isinstance(call.func, ast.Attribute) and mode is None:
        return not call.args  # with another argument it is a browser, an archive or os
    return name in ("read_text", "write_text") or (name in ("open", "fdopen") and "b" not in (mode or ""))


def _is_mode(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[rwax][bt+]*", value) is not None


def test_each_text_file_is_opened_with_its_encoding(root: Path) -> None:
    wrong = [
        f"{path.relative_to(root)}:{node.lineno}"
        for room in ("shared", "workers", "web", "scripts", "tests")
        for path in sorted((root / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _reads_as_the_locale_says(node)
    ]
    assert not wrong
