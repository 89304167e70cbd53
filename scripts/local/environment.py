"""The environment of a local system: settings that it generates, and those of the services that another script runs."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from cryptography.fernet import Fernet

from scripts.local.folders import chosen_data, data_folder, private_folder, write_private
from scripts.local.occupied import is_occupied, what_holder_says

#: Secrets of the front door, which a local system generates.
DOOR_SECRETS = (
    "WHATSAPP_VERIFY_TOKEN",
    "WHATSAPP_APP_SECRET",
    "WHATSAPP_QR_WEBHOOK_SECRET",
    "DASHBOARD_PASSWORD",
    "METRICS_TOKEN",
    "OPERATOR_TOKEN",
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


def running_services(data_dir: Path) -> dict[str, str] | None:
    """The environment of the embedded services that another script is running, or None."""
    if not is_occupied(services_lock(data_dir)):
        return None
    try:
        environment: dict[str, str] = json.loads(announcement(data_dir.resolve()).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return environment


def server_address() -> str | None:
    """Where the front door of the scripts/server of this folder answers, or None if none runs."""
    lock = data_folder() / "server.lock"
    address = what_holder_says(lock).get("address") if is_occupied(lock) else None
    return address if isinstance(address, str) else None


def web_address() -> str:
    """Where people reach web, for addresses that are shown to them: PUBLIC_URL, or the scripts/server of this folder."""
    return (os.environ.get("PUBLIC_URL") or server_address() or "https://your.address").rstrip("/")


def use_running_services(program: str, variable: str) -> Path:
    """Points this process to the embedded services that run; returns their folder. Exits, naming the variable, if none do."""
    chosen = chosen_data()
    folder, running = data_folder("demo"), running_services(data_folder("demo"))
    if running is None:
        folder, running = data_folder(), running_services(data_folder())
    if running is None and chosen:
        sys.exit(f"{program}: no scripts/server is running with {chosen}, which SWITCHBOARD_DATA names.")
    if running is None:
        sys.exit(
            f"{program}: {variable} is not set, and neither scripts/server nor scripts/demo --keep is running. "
            "One with another data folder is found with SWITCHBOARD_DATA=that folder."
        )
    os.environ.update({**running, **provider_addresses()})
    return folder


def provider_addresses() -> dict[str, str]:
    """Those that this process was given."""
    return {name: os.environ[name] for name in PROVIDER_ADDRESSES if os.environ.get(name)}


def announcement(data_dir: Path) -> Path:
    """The file in which running services publish their addresses."""
    return data_dir / "services.json"


def services_lock(data_dir: Path) -> Path:
    """Held by the process that runs the embedded services of a folder."""
    return data_dir / "services.lock"
