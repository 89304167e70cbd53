"""The lines of shared/README.md that use the system from Python, run as they stand there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from scripts.local.environment import announcement, services_lock
from scripts.local.occupied import occupy
from tests.builders import World


def test_the_example_reaches_the_server_that_runs_here(world: World, root: Path, tmp_path: Path) -> None:
    section = (root / "shared" / "README.md").read_text(encoding="utf-8").partition("## Use it from Python")[2]
    example = section.partition("```python\n")[2].partition("```")[0]
    code = re.sub(r"chatbot_id=\d+", f"chatbot_id={world.chatbot}", example) + "print(message_id)"
    needed = ("DATABASE_URL", "REDIS_URL", "CREDENTIALS_KEY")
    announcement(tmp_path).write_text(json.dumps({name: os.environ[name] for name in needed}), encoding="utf-8")
    elsewhere = {**{name: value for name, value in os.environ.items() if name not in needed}, "SWITCHBOARD_DATA": str(tmp_path)}
    with occupy(services_lock(tmp_path)):
        ended = subprocess.run([sys.executable, "-c", code], cwd=root, env=elsewhere, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    world.drain()
    [message] = world.messages(id=int(ended.stdout))
    assert message["content"] == "When do you ship?"
