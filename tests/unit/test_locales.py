"""A machine whose locale knows ASCII or Latin-1 only: what we read, write and log is UTF-8 all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Python makes UTF-8 of the locale C unless it is told not to; with LANG=de_DE it needs no telling.
ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
TEXT = "café ✓"
LOG = f"from shared.telemetry.logs import configure_logging as c; c('INFO'); import logging; logging.info({TEXT!a})"
WIDGET = "from web.desk.language import script_words as w; assert w('de', 'widget-page.js') and w('de', 'widget.js')"
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
