"""What scripts on one machine know of each other: local settings, and the embedded services that another one runs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

ROOT = Path(__file__).parents[2]
DEFAULT_DATA = ROOT / ".local"
DEMO_DATA = DEFAULT_DATA / "demo"


def local_settings(data_dir: Path) -> dict[str, str]:
    """Settings of a local system: a key for credentials, made once, and webhooks to this machine allowed."""
    path = data_dir / "credentials.key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(Fernet.generate_key())
    return {"CREDENTIALS_KEY": path.read_text(), "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1"}


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
