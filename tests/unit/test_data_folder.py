"""A scripts/server with a data folder of its own is found by the commands beside it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scripts.local import environment
from scripts.local.occupied import occupy


def test_commands_find_the_server_of_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHBOARD_DATA", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "")  # what is changed is put back
    environment.announcement(tmp_path).write_text(json.dumps({"REDIS_URL": "redis://there"}))
    with pytest.raises(SystemExit, match=f"no scripts/server is running with {tmp_path}, which SWITCHBOARD_DATA names"):
        environment.use_running_services("jobs", "REDIS_URL")
    with occupy(environment.services_lock(tmp_path)), occupy(tmp_path / "server.lock") as server:
        server.say(address="http://127.0.0.1:8123")
        environment.use_running_services("jobs", "REDIS_URL")
        assert os.environ["REDIS_URL"] == "redis://there"
        assert environment.server_address() == "http://127.0.0.1:8123"
