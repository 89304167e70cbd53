"""The newcomer's path of scripts/README.md, commands as they are typed: a business, 20 questions, the first right answer."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.builders import World
from tests.pipeline.processes import front_door
from tests.waiting import until


@pytest.fixture
def url(environment: dict[str, str]) -> Iterator[str]:
    """The front door of a small system."""
    with front_door("worker") as (address, _):
        yield address


def typed(command: str, *arguments: str) -> str:
    """What a command prints; it has to succeed."""
    words = [sys.executable, "-m", f"scripts.commands.{command}", *arguments]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_a_newcomer_teaches_20_questions_and_gets_the_right_answer(world: World, url: str, root: Path) -> None:
    printed = typed("connect", "business", "Bakery", "--site", "Bakery.Example/shop")
    chatbot, key = re.search(r"chatbot (\d+), .*public key (pk_\w+)", printed).groups()  # type: ignore[union-attr]
    assert f'data-chatbot="{key}" async></script>' in printed
    assert "20 items" in typed("knowledge", "import", str(root / "scripts/local/demo/faq.csv"), "--chatbot", chatbot)
    found = typed("knowledge", "search", "do you ship to Austria?", "--chatbot", chatbot).splitlines()
    assert "Do you ship to Austria?" in found[2], "the best"
    api = f"{url}/api/v1/chatbots/{key}"
    visit = {"Origin": "https://bakery.example", "Content-Type": "application/json"}
    token = requests.post(f"{api}/sessions", headers=visit, timeout=60).json()["token"]
    headers = {**visit, "Authorization": f"Bearer {token}"}
    sent = requests.post(f"{api}/messages", json={"content": "Hello, do you ship to Austria?"}, headers=headers, timeout=60)
    assert sent.status_code == 202
    [reply] = until(lambda: world.messages(chatbot=int(chatbot), role="assistant", status="SENT"))
    assert "within three working days" in reply["content"]
