"""A scripts/server with a data folder of its own is found by the commands beside it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local import environment, folders
from scripts.local.occupied import occupy
from scripts.local.ports import free_port
from scripts.local.programs import ServiceFailed, make_postgres_data, postgres_programs

#: A Fernet key.
KEY = "k" * 43 + "="


def test_commands_find_the_server_of_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHBOARD_DATA", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "")  # what is changed is put back
    environment.announcement(tmp_path).write_text(json.dumps({"REDIS_URL": "redis://there"}), encoding="utf-8")
    with pytest.raises(SystemExit, match=f"no scripts/server is running with {tmp_path}, which SWITCHBOARD_DATA names"):
        environment.use_running_services("jobs", "REDIS_URL")
    with occupy(environment.services_lock(tmp_path)), occupy(tmp_path / "server.lock") as server:
        server.say(address="http://127.0.0.1:8123")
        environment.use_running_services("jobs", "REDIS_URL")
        assert os.environ["REDIS_URL"] == "redis://there"
        assert environment.server_address() == "http://127.0.0.1:8123"


def test_an_embedded_database_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """Its server dies, and what runs it has not noticed yet."""
    there = {
        "DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/x",
        "REDIS_URL": "redis://127.0.0.1:1",
        "CREDENTIALS_KEY": KEY,
    }
    environment.announcement(tmp_path).write_text(json.dumps(there), encoding="utf-8")
    with occupy(environment.services_lock(tmp_path)):
        done = subprocess.run(
            [sys.executable, "-m", "scripts.commands.jobs", "stats"],
            env={**os.environ, "SWITCHBOARD_DATA": str(tmp_path), "DATABASE_URL": ""},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"jobs: the embedded database in {tmp_path} cannot be reached:")
    assert "secret" not in done.stderr


def test_a_free_port_is_none_that_the_system_gives_to_whoever_asks() -> None:
    """A connection of another process had it before the server for which it was."""
    ports = {free_port() for _ in range(5)}
    assert len(ports) == 5
    assert max(ports) < 32_768, "Linux gives those from there on"
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        assert free_port(taken.getsockname()[1]) < 32_768


@pytest.mark.parametrize("command", ["server", "demo", "migrate", "chaos calm", "bench latency", "bench streams"])
def test_a_folder_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path, command: str) -> None:
    """As where the project's own folder is read-only: what to do instead is said as well."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    name, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, "-m", f"scripts.commands.{name}", *arguments],
        env={**os.environ, "SWITCHBOARD_DATA": str(tmp_path / "file" / "data"), "DATABASE_URL": "", "REDIS_URL": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert f"{name}: {tmp_path / 'file' / 'data'}" in done.stderr
    assert "Name another one in SWITCHBOARD_DATA" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_told_in_a_sentence(tmp_path: Path) -> None:
    said = f"{tmp_path} takes no more files: No space left on device. Make room"
    with pytest.raises(ServiceFailed, match=said), folders.filling(tmp_path), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    with pytest.raises(ConnectionRefusedError), folders.filling(tmp_path):
        raise ConnectionRefusedError  # nothing that is the disk's fault


def test_half_a_database_folder_does_not_stand_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a disk that became full while it was copied there."""
    data = tmp_path / "postgres"

    def copy_half(_made: Path, place: Path) -> None:
        place.mkdir()
        (place / "PG_VERSION").write_text("18", encoding="utf-8")
        raise shutil.Error([("from", "to", "[Errno 28] No space left on device")])

    with monkeypatch.context() as disk:
        disk.setattr(shutil, "move", copy_half)
        with pytest.raises(ServiceFailed, match="takes no more files"), folders.filling(tmp_path):
            make_postgres_data(data, postgres_programs(tmp_path) / "initdb")
    assert not data.exists()
    make_postgres_data(data, postgres_programs(tmp_path) / "initdb")
    assert (data / "base").is_dir()


def test_the_demo_of_another_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHBOARD_DATA", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "")
    folder = folders.data_folder("demo")
    folder.mkdir()
    environment.announcement(folder).write_text(json.dumps({"REDIS_URL": "redis://the-demo"}), encoding="utf-8")
    with occupy(environment.services_lock(folder)):
        environment.use_running_services("jobs", "REDIS_URL")
    assert os.environ["REDIS_URL"] == "redis://the-demo"
