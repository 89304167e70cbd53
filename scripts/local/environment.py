"""What scripts on one machine know of each other: local settings, and the embedded services that another one runs."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg2
from cryptography.fernet import Fernet

ROOT = Path(__file__).parents[2]
DEFAULT_DATA = ROOT / ".local"
DEMO_DATA = DEFAULT_DATA / "demo"
#: What opens the front door. A system of this machine gets its own.
DOOR_SECRETS = (
    "WHATSAPP_VERIFY_TOKEN",
    "WHATSAPP_APP_SECRET",
    "WHATSAPP_QR_WEBHOOK_SECRET",
    "DASHBOARD_PASSWORD",
    "METRICS_TOKEN",
)


def local_settings(data_dir: Path) -> dict[str, str]:
    """Settings of a local system: a key for credentials, made once, and webhooks to this machine allowed."""
    path = data_dir / "credentials.key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(Fernet.generate_key())
    key = path.read_text()
    return {"CREDENTIALS_KEY": key, "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1", "WEB_HOST": "127.0.0.1", **_door_secrets(key)}


def _door_secrets(key: str) -> dict[str, str]:
    """Secrets of the front door, for a system of this machine only: made of its key, so the same after a restart."""
    made = {name: hashlib.sha256(f"{name} {key}".encode()).hexdigest()[:20] for name in DOOR_SECRETS}
    return {**made, "DASHBOARD_USER": "operator"}


def free_port(wanted: int = 8000) -> int:
    """This port of loopback, or another one if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def door_addresses(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """What there is to see at the front door: (what, where)."""
    url = f"http://{environment.get('WEB_HOST', '127.0.0.1')}:{environment['PORT']}"
    found = [
        ("web widget of the first chatbot", f"{url}/widget/{_public_key(environment['DATABASE_URL'])}"),
        ("hook for Meta", f"{url}/webhooks/whatsapp/cloud (signed with WHATSAPP_APP_SECRET)"),
        ("hook for QR gateways", f"{url}/webhooks/whatsapp/qr/<session>"),
        ("API for servers", f"{url}/api/v1/openapi.json (a key: scripts/keys create --customer 1)"),
        ("health, metrics", f"{url}/readyz, {url}/metrics (with METRICS_TOKEN as bearer token)"),
    ]
    if environment.get("DASHBOARD_PASSWORD"):
        found.append(("dashboard", f"{url}/dashboard/ (as {environment.get('DASHBOARD_USER')}, with DASHBOARD_PASSWORD)"))
    return found


def made_secrets(environment: Mapping[str, str], given: Mapping[str, str]) -> list[str]:
    """The front door's secrets that were made for this machine, as NAME=value; what the user gave is not shown."""
    return [f"{name}={environment[name]}" for name in DOOR_SECRETS if name in environment and not given.get(name)]


def _public_key(database_url: str) -> str:
    connection = psycopg2.connect(database_url)
    with connection.cursor() as cursor:
        cursor.execute("select public_key from chatbot order by id limit 1")
        found = cursor.fetchone()
    connection.close()
    return found[0] if found else "pk_… (scripts/connect business prints it)"


def running_services(data_dir: Path = DEFAULT_DATA) -> dict[str, str] | None:
    """The environment of the embedded services that another script runs now, or None."""
    try:
        told: dict[str, Any] = json.loads(announcement(data_dir.resolve()).read_text())
        os.kill(told.pop("pid"), 0)
    except (OSError, ValueError, KeyError):
        return None
    return told


def use_running_services(program: str, variable: str) -> None:
    """Makes the embedded services that run now this process's own. Ends the program, naming the variable, if none do."""
    running = running_services(DEMO_DATA) or running_services()
    if running is None:
        sys.exit(f"{program}: {variable} is not set, and neither scripts/server nor scripts/demo --keep is running")
    os.environ.update(running)


def announcement(data_dir: Path) -> Path:
    """The file in which running services say where they are."""
    return data_dir / "services.json"
