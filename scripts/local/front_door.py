"""The front door on this machine: where it is, what opens it, whether its address is free, and whether it is ready."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Mapping
from contextlib import closing

import requests

from scripts.local.environment import DOOR_SECRETS
from scripts.local.programs import ServiceFailed
from shared.db.connecting import open_session
from shared.db.session import COMMAND

#: Seconds for one request to be answered.
_TIMEOUT = 5.0


def door_url(environment: Mapping[str, str]) -> str:
    """Where this machine reaches the front door."""
    host = environment.get("WEB_HOST") or "0.0.0.0"
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
    return f"http://{here}:{environment['PORT']}"


def door_addresses(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """The addresses of a local front door: (what, where)."""
    url = door_url(environment)
    addresses = [
        ("web widget of the first chatbot", f"{url}/widget/{_public_key(environment['DATABASE_URL'])}"),
        ("hook for Meta", f"{url}/webhooks/whatsapp/cloud (signed with WHATSAPP_APP_SECRET)"),
        ("hook for QR gateways", f"{url}/webhooks/whatsapp/qr/<session>"),
        ("Telegram", "scripts/connect telegram asks for a bot's token; its messages are asked for from here"),
        ("desk, for people", f"{url}/desk/ (its users: scripts/users)"),
        ("API for servers", f"{url}/api/v1/openapi.json (a key: scripts/keys create --customer 1)"),
        ("health, metrics", f"{url}/readyz, {url}/metrics (with METRICS_TOKEN as bearer token)"),
        ("operators' tools", f"{url}/operations/v1/failures (with OPERATOR_TOKEN as bearer token)"),
    ]
    if environment.get("DASHBOARD_PASSWORD"):
        addresses.append(("dashboard", f"{url}/dashboard/ (as {environment.get('DASHBOARD_USER')}, with DASHBOARD_PASSWORD)"))
    return addresses


def generated_secrets(environment: Mapping[str, str], configured: Mapping[str, str]) -> list[str]:
    """The front door's secrets that were generated for this machine, as NAME=value; those that the user set are not shown."""
    return [f"{name}={environment[name]}" for name in DOOR_SECRETS if name in environment and not configured.get(name)]


def _public_key(url: str) -> str:
    with closing(open_session(url, COMMAND)) as session, session.cursor() as cursor:
        cursor.execute("select public_key from chatbot order by id limit 1")
        row = cursor.fetchone()
    return row[0] if row else "pk_… (scripts/connect business prints it)"


def bind_problem(host: str, port: int) -> str | None:
    """Why nobody can listen at WEB_HOST and PORT, and what to do; None if somebody can."""
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            host.strip("[]") or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as problem:
        return _explained(problem, host, port)
    return None


def must_be_usable(host: str, port: int) -> None:
    """Raises ServiceFailed where nobody can listen at WEB_HOST and the PORT that somebody chose."""
    problem = bind_problem(host, port)
    if problem and problem.startswith("port"):
        raise ServiceFailed(f"{problem} {'Free it, or choose' if 'taken' in problem else 'Choose'} another with PORT.")
    if problem:
        raise ServiceFailed(problem)


def _explained(problem: OSError, host: str, port: int) -> str:
    if problem.errno == errno.EADDRINUSE:
        return f"port {port} is taken by another program."
    if problem.errno == errno.EACCES:
        return f"port {port} is not for this user: ports below 1024 are root's."
    if isinstance(problem, socket.gaierror) or problem.errno == errno.EADDRNOTAVAIL:
        return f"WEB_HOST={host} is not an address of this machine. Use 127.0.0.1 for this machine only, or 0.0.0.0 for all."
    return f"port {port} of {host} cannot be used: {problem.strerror}."


def readiness(url: str) -> str | None:
    """What keeps the front door at this address from being ready, None if nothing does."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy for the outside is none for this machine
            answer = session.get(f"{url}/readyz", timeout=_TIMEOUT).json()
    except (requests.RequestException, ValueError) as problem:
        return f"{url}/readyz does not answer ({type(problem).__name__})"
    if answer.get("status") == "ok":
        return None
    return "; ".join(f"{name}: {found}" for name, found in answer.get("checks", {}).items() if found != "ok") or str(answer)


def wait_for_answer(url: str, seconds: float) -> None:
    """Until this address of a front door that is starting answers. Raises RuntimeError."""
    given_up = time.monotonic() + seconds
    while time.monotonic() < given_up:
        try:
            if requests.get(url, timeout=_TIMEOUT).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.1)
    raise RuntimeError(f"The web process did not answer within {seconds:.0f} s.")
