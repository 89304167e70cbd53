"""What the scripts of one machine share: local settings, and the embedded services that another script runs."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from scripts.local.occupied import is_occupied, what_holder_says
from scripts.local.programs import ServiceFailed, give_to_postgres

ROOT = Path(__file__).parents[2]
DEFAULT_DATA = ROOT / ".local"
#: Secrets of the front door, which a local system generates.
DOOR_SECRETS = (
    "WHATSAPP_VERIFY_TOKEN",
    "WHATSAPP_APP_SECRET",
    "WHATSAPP_QR_WEBHOOK_SECRET",
    "DASHBOARD_PASSWORD",
    "METRICS_TOKEN",
)

#: Where providers are. What scripts/server was told of them goes for the commands beside it: with the simulator, none may call
#: the real Telegram.
PROVIDER_ADDRESSES = (
    "OPENAI_BASE_URL",
    "TELEGRAM_API_URL",
    "WHATSAPP_GRAPH_URL",
    "WHATSAPP_MEDIA_URL",
    "WHATSAPP_QR_SERVICE_URL",
)


def private_folder(path: Path) -> None:
    """Makes a folder that only its owner can enter, and .local around it. Raises ServiceFailed."""
    for folder in (DEFAULT_DATA, path):
        if path.is_relative_to(folder):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
                give_to_postgres(folder)
            except OSError as problem:
                reason = "a file stands there" if isinstance(problem, FileExistsError) else problem.strerror
                raise ServiceFailed(
                    f"{folder} cannot be a data folder: {reason}. Name another one in SWITCHBOARD_DATA, or in --data."
                ) from None


#: Errors of a file system that takes no more, or nothing.
_NOT_WRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def filling(folder: Path) -> Iterator[None]:
    """Names a data folder whose disk is full or read-only. Raises ServiceFailed."""
    try:
        yield
    except OSError as problem:
        # What shutil tells of many files has no number: (from, to, why) of each.
        why = str(problem.args[0][0][-1]) if isinstance(problem, shutil.Error) else problem.strerror
        if problem.errno not in _NOT_WRITABLE and not isinstance(problem, shutil.Error):
            raise
        raise ServiceFailed(
            f"{folder} takes no more files: {why}. Make room on its disk, or name another one in SWITCHBOARD_DATA, or in --data."
        ) from None


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, in one piece."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def local_settings(data_dir: Path) -> dict[str, str]:
    """Settings of a local system: generated secrets, its own folder for files, and webhooks to private addresses allowed."""
    path = data_dir / "credentials.key"
    if not path.exists():
        private_folder(data_dir)
        write_private(path, Fernet.generate_key().decode())
    key = path.read_text(encoding="utf-8")
    return {
        "CREDENTIALS_KEY": key,
        "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",
        "WEB_HOST": "127.0.0.1",
        "MEDIA_FOLDER": str(data_dir.resolve() / "media"),
        **_door_secrets(key),
    }


def _door_secrets(key: str) -> dict[str, str]:
    """Derived from the local key, so that they stay the same after a restart."""
    derived = {name: hashlib.sha256(f"{name} {key}".encode()).hexdigest()[:20] for name in DOOR_SECRETS}
    return {**derived, "DASHBOARD_USER": "operator"}


#: The marks of ports that this process was given.
_reserved: list[socket.socket] = []


def free_port(preferred: int = 0) -> int:
    """This port of loopback, or another one if it is taken; 0 is any, which no other process is told meanwhile."""
    while True:
        port = _unused_port(preferred)
        if port == preferred or _reserve(port):
            return port
        preferred = 0


def _unused_port(preferred: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _reserve(port: int) -> bool:
    """Whether the port is ours until this process ends: its user opens it later, and two test runs look at the same time."""
    if sys.platform != "linux":  # no names that end with their process
        return True
    mark = socket.socket(socket.AF_UNIX)
    try:
        mark.bind(f"\0switchboard-port-{port}")
    except OSError:
        mark.close()
        return False
    _reserved.append(mark)
    return True


def running_services(data_dir: Path = DEFAULT_DATA) -> dict[str, str] | None:
    """The environment of the embedded services that another script is running, or None."""
    if not is_occupied(services_lock(data_dir)):
        return None
    try:
        environment: dict[str, str] = json.loads(announcement(data_dir.resolve()).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return environment


def chosen_data() -> Path | None:
    """The data folder that SWITCHBOARD_DATA names: that of the scripts/server which commands are to find."""
    folder = os.environ.get("SWITCHBOARD_DATA")
    return Path(folder).resolve() if folder else None


def data_folder(name: str = "") -> Path:
    """Where a script keeps its data: in the folder that SWITCHBOARD_DATA names or in .local; `name`: in one of its own there."""
    return (chosen_data() or DEFAULT_DATA) / name


def server_address() -> str | None:
    """Where the front door of the scripts/server of this folder answers, or None if none runs."""
    lock = data_folder() / "server.lock"
    address = what_holder_says(lock).get("address") if is_occupied(lock) else None
    return address if isinstance(address, str) else None


def web_address() -> str:
    """Where people reach web, for addresses that are shown to them: PUBLIC_URL, or the scripts/server of this folder."""
    return (os.environ.get("PUBLIC_URL") or server_address() or "https://your.address").rstrip("/")


def use_running_services(program: str, variable: str) -> None:
    """Points this process to the embedded services that are running. Exits, naming the variable, if there are none."""
    chosen = chosen_data()
    running = running_services(data_folder("demo")) or running_services(data_folder())
    if running is None and chosen:
        sys.exit(f"{program}: no scripts/server is running with {chosen}, which SWITCHBOARD_DATA names.")
    if running is None:
        sys.exit(
            f"{program}: {variable} is not set, and neither scripts/server nor scripts/demo --keep is running. "
            "One with another data folder is found with SWITCHBOARD_DATA=that folder."
        )
    os.environ.update({**running, **provider_addresses()})


def provider_addresses() -> dict[str, str]:
    """Those that this process was given."""
    return {name: os.environ[name] for name in PROVIDER_ADDRESSES if os.environ.get(name)}


def announcement(data_dir: Path) -> Path:
    """The file in which running services publish their addresses."""
    return data_dir / "services.json"


def services_lock(data_dir: Path) -> Path:
    """Held by the process that runs the embedded services of a folder."""
    return data_dir / "services.lock"
