"""What is wrong with a command's words is said in a sentence, before anything is started or measured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("dashboard", "argument --port: must be a whole number from 1, got 'abc'"),
        ("dashboard --port 0", "argument --port: must be a whole number from 1, got '0'"),
        ("bench latency --messages 0", "argument --messages: must be a whole number from 1, got '0'"),
        ("bench desk --old-messages -4", "argument --old-messages: must be a whole number from 1, got '-4'"),
        ("bench latency --peer /nowhere", "argument --peer: must be the peer's folder, and /nowhere has no up.sh"),
        ("bench latency --json /nowhere/figures.json", "--json: must be a file to write, and the folder /nowhere does not exist"),
        ("bench latency --plot /", "argument --plot: must be a file to write, and is a folder, got '/'"),
        ("bench desk --plot figures.png", "--plot and --peer are not for the mode desk"),
        ("bench knowledge", "--set FILE is what the mode knowledge measures with"),
        ("bench knowledge --set /nowhere", "argument --set: /nowhere is no question set: "),
        ("chaos calm --json /nowhere/figures.json", "--json: must be a file to write, and the folder /nowhere does not exist"),
        ("chaos nothing", "argument scenario: there is no scenario 'nothing'; choose one of calm, kill-workers, "),
    ],
)
def test_a_wrong_word_is_refused_in_a_sentence(tmp_path: Path, command: str, said: str) -> None:
    environment = {**os.environ, "PORT": "abc", "SWITCHBOARD_DATA": str(tmp_path / "data")}
    words = [sys.executable, "-m", *f"scripts.commands.{command}".split()]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()
