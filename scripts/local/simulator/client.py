"""The simulator's Python client, for demo, tests, bench and chaos."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import requests

ROOT = Path(__file__).parents[3]


def settings_for(url: str) -> dict[str, str]:
    """The settings with which Switchboard uses a simulator at this address."""
    return {
        "OPENAI_BASE_URL": f"{url}/v1",
        "OPENAI_API_KEY": "sk-simulated",
        "WHATSAPP_GRAPH_URL": url,
        "WHATSAPP_MEDIA_URL": url,
        "WHATSAPP_QR_SERVICE_URL": url,
        "TELEGRAM_API_URL": url,
        "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "1",
    }


class Simulator:
    """A running simulator process."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process, self.url = process, url
        self._session = requests.Session()
        self._session.trust_env = False

    @classmethod
    def start(cls, seed: int | None = None) -> Simulator:
        """Starts one on a free port; it ends with this process."""
        command = [sys.executable, "-m", "scripts.local.simulator", "--port", "0", "--follow-stdin"]
        command += ["--seed", str(seed)] if seed is not None else []
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if "ready on" not in line:
            raise RuntimeError(f"The simulator did not start; it printed {line!r}.")
        return cls(process, line.rsplit(" ", 1)[1].strip())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def environment(self) -> dict[str, str]:
        """The settings with which Switchboard uses this simulator."""
        return settings_for(self.url)

    def faults(self, rules: list[dict[str, Any]]) -> None:
        """Replaces the fault rules (faults.py)."""
        answer = self._session.post(f"{self.url}/__faults", json=rules, timeout=60)
        if not answer.ok:
            raise ValueError(answer.json()["error"])

    def faults_are_drawn(self) -> bool:
        """Whether all requests have begun to which the rules with `times` are to happen."""
        rules = self._session.get(f"{self.url}/__faults", timeout=60).json()
        return all(rule.get("times", 0) == 0 for rule in rules)

    def clear_faults(self) -> None:
        """Removes all fault rules."""
        self.faults([])

    def record(self, kind: str | None = None, first: int = 0, count: int | None = None) -> list[dict[str, Any]]:
        """The requests that it received (record.py)."""
        query = {"kind": kind, "first": first, "count": count}
        return cast(list[dict[str, Any]], self._session.get(f"{self.url}/__record", params=query, timeout=60).json())

    def counts(self) -> dict[str, dict[str, int]]:
        """{kind: {requests, accepted}}."""
        return cast(dict[str, dict[str, int]], self._session.get(f"{self.url}/__counts", timeout=60).json())

    def site(self, **changes: Any) -> None:
        """Changes its web site (site.py)."""
        self._session.post(f"{self.url}/__site", json=changes, timeout=60)

    def reset(self) -> None:
        """Clears the record and all fault rules."""
        self._session.post(f"{self.url}/__reset", timeout=60)

    def stop(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.wait(10)

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
