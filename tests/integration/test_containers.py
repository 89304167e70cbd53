"""Dockerfile, compose.yaml and app.json, without Docker: each names what there is, and the image's steps make a system that runs.

The steps that copy files are done here in an empty folder, and the containers' commands run there with compose's settings and
health checks. What needs Docker itself, the base images and the install of packages, is not: workers/README.md says when
somebody last built the image.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.local.ports import free_port
from scripts.local.processes import parse_procfile
from tests.builders import World
from tests.settings import variables

#: What only the health checks of compose.yaml read.
OF_HEALTH_CHECKS = {"WEB_URL"}


@pytest.fixture
def services_of_compose(root: Path) -> dict[str, Any]:
    """The services of compose.yaml."""
    return dict(yaml.safe_load((root / "compose.yaml").read_text(encoding="utf-8"))["services"])


@pytest.fixture
def instructions(root: Path) -> list[tuple[str, list[str]]]:
    """The Dockerfile's instructions and their words."""
    lines = [line for line in (root / "Dockerfile").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], shlex.split(line)[1:]) for line in lines]


def ours(services: dict[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if service["image"] == "switchboard"}


def test_each_process_type_is_a_service(root: Path, services_of_compose: dict[str, Any]) -> None:
    types = parse_procfile((root / "Procfile").read_text(encoding="utf-8"))
    assert {name: service["command"] for name, service in ours(services_of_compose).items()} == {name: [name] for name in types}


def test_one_process_runs_all_stages_unless_the_profile_stages_is_asked_for(services_of_compose: dict[str, Any]) -> None:
    plain = {name for name, service in ours(services_of_compose).items() if "profiles" not in service}
    assert plain == {"web", "worker", "release"}
    assert all(service.get("profiles", ["stages"]) == ["stages"] for service in services_of_compose.values())


def test_services_come_in_order_and_are_watched(services_of_compose: dict[str, Any]) -> None:
    assert services_of_compose["release"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name, service in ours(services_of_compose).items():
        if name != "release":
            assert service["depends_on"]["release"]["condition"] == "service_completed_successfully"
            assert service["depends_on"]["valkey"]["condition"] == "service_healthy"
    unwatched = {name for name, service in services_of_compose.items() if "healthcheck" not in service}
    assert unwatched == {"release", "scheduler"}  # one ends; the other serves nobody who could be asked


def test_settings_are_those_that_there_are(root: Path, services_of_compose: dict[str, Any]) -> None:
    for service in ours(services_of_compose).values():
        assert set(service["environment"]) - OF_HEALTH_CHECKS <= variables()
        assert service["env_file"] == ".env"
    app = json.loads((root / "app.json").read_text(encoding="utf-8"))
    assert set(app["env"]) <= variables()
    assert app["env"]["CREDENTIALS_KEY"].keys() == {"description"}, "a generated secret is no Fernet key"


def test_app_json_starts_the_two_process_types_of_a_small_plan(root: Path) -> None:
    formation = json.loads((root / "app.json").read_text(encoding="utf-8"))["formation"]
    assert set(formation) == set(parse_procfile((root / "Procfile").read_text(encoding="utf-8"))) - {"release"}
    assert {name for name, size in formation.items() if size["quantity"]} == {"web", "worker"}


def test_the_image_is_not_roots_and_needs_no_compiler(instructions: list[tuple[str, list[str]]]) -> None:
    assert ("USER", ["10001:10001"]) in instructions
    assert instructions[-2:] == [("ENTRYPOINT", ["[bin/run]"]), ("CMD", ["[web]"])]
    [install] = [words for instruction, words in instructions if instruction == "RUN" and "pip" in words]
    assert {"--require-hashes", "--only-binary"} <= set(install)


def test_the_folder_for_files_is_its_users_alone_though_debians_images_have_one(root: Path, tmp_path: Path) -> None:
    [command] = re.findall(r"^RUN (.*/media)$", (root / "Dockerfile").read_text(encoding="utf-8"), re.M)
    folder = tmp_path / "media"
    folder.mkdir()
    folder.chmod(0o755)
    owned = command.replace("10001", str(os.getuid()), 1).replace("10001", str(os.getgid()))
    assert subprocess.run(["sh", "-c", owned.replace("/media", str(folder))], timeout=120).returncode == 0
    assert folder.stat().st_mode & 0o777 == 0o700


def test_dockerignore_leaves_what_the_dockerfile_copies(root: Path, instructions: list[tuple[str, list[str]]]) -> None:
    kept = set(re.findall(r"^!(.*)$", (root / ".dockerignore").read_text(encoding="utf-8"), re.M))
    assert {source.split("/")[0] for source in _copied(instructions)} == kept


def test_dockerignore_keeps_hidden_files_out_of_the_folders_too(root: Path) -> None:
    last_exception, last_rule = (root / ".dockerignore").read_text(encoding="utf-8").rpartition("\n!")[::2]
    assert last_exception
    assert "**/.*" in last_rule.splitlines(), "a rule counts only below the exceptions"


def _copied(instructions: list[tuple[str, list[str]]]) -> list[str]:
    """What COPY takes from this folder."""
    copies = [words for instruction, words in instructions if instruction == "COPY" and not words[0].startswith("--from")]
    return [source for *sources, _ in copies for source in sources]


@pytest.fixture
def image(root: Path, tmp_path: Path, instructions: list[tuple[str, list[str]]]) -> Path:
    """The folder /app of the image, as the last stage of the Dockerfile copies it."""
    app = tmp_path / "app"
    app.mkdir()
    last_stage = max(number for number, (instruction, _) in enumerate(instructions) if instruction == "FROM")
    for source in _copied(instructions[last_stage:]):
        if (root / source).is_dir():
            shutil.copytree(root / source, app / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / source, app / source)
    return app


def test_what_the_image_runs_is_compiled(root: Path, image: Path, tmp_path: Path) -> None:
    library = tmp_path / "python3.13"
    library.mkdir()
    (library / "json.py").touch()
    [command] = re.findall(r"^RUN (python -m compileall .*)$", (root / "Dockerfile").read_text(encoding="utf-8"), re.M)
    here = command.replace("/usr/local/lib", str(tmp_path))
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    assert subprocess.run(["sh", "-c", here], cwd=image, env=path, timeout=300).returncode == 0
    modules = [*image.rglob("*.py"), *library.rglob("*.py")]
    assert len(modules) > 100
    assert [module for module in modules if not list(module.parent.glob(f"__pycache__/{module.stem}.*.pyc"))] == []


@pytest.fixture
def settings(root: Path, world: World, services_of_compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A container's environment: that of the image, then .env as made from .env.example, then compose's own."""
    env_file = dict(re.findall(r"^([A-Z_]+)=(.*)$", (root / ".env.example").read_text(encoding="utf-8"), re.M))
    env_file["CREDENTIALS_KEY"] = os.environ["CREDENTIALS_KEY"]
    port = str(free_port())
    replaced = {
        "DATABASE_URL": os.environ["DATABASE_URL"],
        "REDIS_URL": os.environ["REDIS_URL"],
        "PORT": port,
        "WEB_URL": f"http://127.0.0.1:{port}",
    }
    of_compose = services_of_compose["web"]["environment"]
    assert set(replaced) <= set(of_compose)
    image = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    image["HOME"] = "/dev/null"  # its user has none
    return {**image, **env_file, **of_compose, **replaced}


@contextmanager
def container(image: Path, settings: dict[str, str], command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command of compose.yaml, with the image's entry point."""
    with (image.parent / f"{command[0]}.log").open("wb") as log:
        process = subprocess.Popen(["bin/run", *command], cwd=image, env=settings, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(40) == 0, "it ends in time, and well"


def is_healthy(image: Path, settings: dict[str, str], service: dict[str, Any]) -> bool:
    _, *check = service["healthcheck"]["test"]
    return subprocess.run(check, cwd=image, env=settings, capture_output=True, timeout=120).returncode == 0


def test_the_containers_commands_make_a_healthy_system(
    image: Path, settings: dict[str, str], services_of_compose: dict[str, Any]
) -> None:
    shipped = set(image.rglob("*"))
    release = subprocess.run(["bin/run", *services_of_compose["release"]["command"]], cwd=image, env=settings, timeout=120)
    assert release.returncode == 0
    services = [services_of_compose["web"], services_of_compose["worker"]]
    assert not any(is_healthy(image, settings, service) for service in services)
    with ExitStack() as stack:
        for service in services:
            stack.enter_context(container(image, settings, service["command"]))
        deadline = time.monotonic() + 150
        while not all(is_healthy(image, settings, service) for service in services):
            assert time.monotonic() < deadline, [path.read_text(encoding="utf-8")[-2000:] for path in image.parent.glob("*.log")]
            time.sleep(0.5)
    assert set(image.rglob("*")) == shipped, "nothing is written"
    assert "error" not in (image.parent / "web.log").read_text(encoding="utf-8").lower()


@pytest.mark.parametrize(
    ("words", "code", "said"), [((), 2, "which process type? One of: web "), (("true",), 0, ""), (("/bin/false",), 1, "")]
)
def test_the_entry_point_runs_other_commands_too(image: Path, words: tuple[str, ...], code: int, said: str) -> None:
    done = subprocess.run(
        ["bin/run", *words], cwd=image, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code
    assert said in done.stderr
