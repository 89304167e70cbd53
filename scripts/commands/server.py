"""scripts/server: web and a process for each stage, on your DATABASE_URL and REDIS_URL or on embedded services.

Embedded PostgreSQL and Redis keep their data under .local. PORT is 8000, or a free one if that is taken. Ctrl-C stops it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from shlex import quote

import psycopg2
import redis

from scripts.commands.migrate import migrate_and_fill, why_not
from scripts.local.embedded import resolved_environment
from scripts.local.folders import DEFAULT_DATA, ROOT, data_folder, filling, private_folder
from scripts.local.front_door import bind_problem, door_addresses, door_url, generated_secrets, must_be_usable, readiness
from scripts.local.occupied import Occupied, occupy
from scripts.local.ports import free_port
from scripts.local.processes import BEHIND_WEB, SMALL, ProcessManager
from scripts.local.programs import ServiceFailed
from scripts.local.telegram_relay import Relay
from shared import config, db
from shared.broker import suitability
from shared.broker.connection import connect_redis, word_for
from shared.people import links

#: The port that people expect.
_PORT = 8000
#: Seconds between two looks at /readyz and for a signal, and after which, again and again, it is told what is missing.
_LOOK, _TELL = 0.3, 20.0
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95)
#: What to do where none is left.
_RAISE_LIMIT = "End others, or raise its limit: `ulimit -u` for a user, `pids.max` for a container, TasksMax for a service."


class _Refused(Exception):
    """It cannot start; the text says why."""


def main() -> int:
    """Runs until Ctrl-C or SIGTERM; 1, and no process started, if something is wrong: it is named."""
    arguments = _arguments()
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        _run(arguments, stopping)
    except (_Refused, ServiceFailed) as problem:
        print(f"server: {problem}", file=sys.stderr)
        return 1
    except (BlockingIOError, RuntimeError) as problem:
        if not _is_out_of_threads(problem):
            raise
        print(f"server: this machine starts no more processes or threads ({problem}). {_RAISE_LIMIT}", file=sys.stderr)
        return 1
    return 0


def _is_out_of_threads(problem: BlockingIOError | RuntimeError) -> bool:
    return isinstance(problem, BlockingIOError) or "start new thread" in str(problem)


def _arguments() -> argparse.Namespace:
    wide = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="scripts/server", description=__doc__, formatter_class=wide)
    parser.add_argument("--small", action="store_true", help="all stages in one process, the Procfile's `worker`")
    about = "data folder of the embedded services (default SWITCHBOARD_DATA, or .local)"
    parser.add_argument("--data", type=Path, default=data_folder(), help=about)
    return parser.parse_args()


def _run(arguments: argparse.Namespace, stopping: threading.Event) -> None:
    data = arguments.data.resolve()
    private_folder(data)
    with ExitStack() as stack:
        try:
            with filling(data):
                occupation = stack.enter_context(occupy(data / "server.lock"))
        except Occupied as other:
            raise _Refused(f"already runs here ({other}). Stop that one first; it takes Ctrl-C, or SIGTERM.") from None
        own = dict(os.environ)
        environment = stack.enter_context(resolved_environment(data))
        os.environ.update(environment)
        config.settings()  # a wrong one is reported once, here, and not by nine processes again and again
        environment = {**environment, "PORT": _port(environment)}
        _check_redis()
        _migrate(environment["DATABASE_URL"], None if own.get("DATABASE_URL") else data)
        occupation.say(address=door_url(environment))
        processes = ProcessManager(
            ROOT / "Procfile",
            environment,
            ROOT,
            SMALL if arguments.small else None,
            on_line=_print,
            behind_web=BEHIND_WEB,
        )
        if data != DEFAULT_DATA:
            _say(f"commands in other terminals find it with: export SWITCHBOARD_DATA={quote(str(data))}")
        _serve(processes, environment, own, stopping)


def _port(environment: Mapping[str, str]) -> str:
    """PORT, which has to be free; without one 8000, or another that is."""
    host, chosen = environment.get("WEB_HOST", ""), environment.get("PORT", "")
    if chosen:
        must_be_usable(host, int(chosen))
        return chosen
    problem = bind_problem(host, _PORT)
    if problem is None:
        return str(_PORT)
    another = free_port()
    if bind_problem(host, another):  # it is not the port
        raise _Refused(problem)
    _say(f"{problem} This one takes port {another} instead.")
    return str(another)


def _check_redis() -> None:
    conf = config.settings()
    client = connect_redis(conf)
    try:
        client.ping()
    except redis.RedisError as problem:
        raise _Refused(f"the Redis of REDIS_URL or REDIS_HOST cannot be used: {problem} ({word_for(problem)})") from None
    if reason := suitability.why_not(client, conf.redis_namespace):
        raise _Refused(reason)


def _migrate(database_url: str, embedded_in: Path | None) -> None:
    try:
        applied = migrate_and_fill(database_url)
    except psycopg2.Error as problem:
        raise _Refused(why_not(problem, embedded_in)) from None
    if applied:
        _say(f"the database was brought to the newest schema ({', '.join(applied)})")


def _serve(
    processes: ProcessManager, environment: Mapping[str, str], own_environment: Mapping[str, str], stopping: threading.Event
) -> None:
    processes.start()
    relay = Relay(door_url(environment))
    _say("starting")
    try:
        _until_ready(door_url(environment), stopping)
        relay.start()
        if not stopping.is_set():
            for line in introduction(environment, own_environment, stopping):
                _say(line)
            while not stopping.is_set():  # wait() would sleep on where the signal came a moment before it, or to another thread
                time.sleep(_LOOK)
    finally:
        _say("stopping")
        relay.stop()
        processes.stop()


def _until_ready(url: str, stopping: threading.Event) -> None:
    waited = 0.0
    while not stopping.is_set() and (missing := readiness(url)) is not None:
        if waited >= _TELL:
            _say(f"not ready yet: {missing}")
            waited = 0.0
        stopping.wait(_LOOK)
        waited += _LOOK


def introduction(environment: Mapping[str, str], own_environment: Mapping[str, str], stopping: threading.Event) -> list[str]:
    """What a new user wants to know. Some of it is PostgreSQL's to say, and what runs goes on while it cannot."""
    is_told = False
    while not stopping.is_set():
        try:
            return _introduction(environment, own_environment)
        except Exception as problem:
            if not db.is_outage(problem):
                raise
            if not is_told:
                _say(f"running; its addresses follow when PostgreSQL can be asked ({db.word_for(problem)})")
            is_told = True
            stopping.wait(_LOOK)
    return []


def _introduction(environment: Mapping[str, str], own_environment: Mapping[str, str]) -> list[str]:
    lines = [f"{what}: {where}" for what, where in door_addresses(environment)]
    secrets = [f"generated for this machine: {secret}" for secret in generated_secrets(environment, own_environment)]
    if not environment.get("OPENAI_API_KEY"):
        lines.append(
            "OPENAI_API_KEY is not set: chatbots without a key of their own say their fallback message (or: scripts/simulator)"
        )
    # What a new user needs first is the last line: it stays in sight.
    lines += [f"{what}: {where}" for what, where in _first_operator(environment)]
    return ["running; Ctrl-C stops it", *secrets, *lines]


def _first_operator(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """While there is no operator: a link that makes one, once. It is new at every start."""
    path = links.for_first_operator()
    db.reset()
    return [("the desk's first operator", f"{door_url(environment)}{path} (works once, within a day)")] if path else []


def _say(line: str) -> None:
    print(f"server: {line}", flush=True)


def _print(name: str, line: str) -> None:
    label = f"{name:15} |"
    if sys.stdout.isatty():
        label = f"\033[{_COLOURS[sum(name.encode()) % len(_COLOURS)]}m{label}\033[0m"
    sys.stdout.write(f"{label} {line.rstrip()}\n")  # in one piece: each process has a thread that prints
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
