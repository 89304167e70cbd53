"""scripts/demo: plays a small town's customer chats through the real workers, breaks things on the way, checks every outcome."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.commands.migrate import migrate_and_fill
from scripts.local.demo import report
from scripts.local.demo.checks import Check, checks
from scripts.local.demo.http_client import HttpClient
from scripts.local.demo.lessons import teach
from scripts.local.demo.operating import links_to_the_desk, set_prices
from scripts.local.demo.play import NoAnswer, perform
from scripts.local.demo.script import Scenario, Turn, faults, for_the_desk, load, reports
from scripts.local.demo.trouble import Trouble
from scripts.local.embedded import Services
from scripts.local.folders import ROOT, data_folder
from scripts.local.front_door import door_addresses, door_url, generated_secrets, must_be_usable
from scripts.local.leftovers import empty_folder
from scripts.local.ports import free_port
from scripts.local.processes import BEHIND_WEB, ProcessManager, into_file
from scripts.local.programs import ServiceFailed
from scripts.local.simulator.client import Simulator
from scripts.local.terminal import wait_for_signal

DATA = data_folder("demo")
LOG = DATA / "workers.log"


def main() -> int:
    """0 only if every outcome is the expected one."""
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 140)
    logging.disable(logging.CRITICAL)  # the workers' lines are in LOG
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("demo: stopped"))
    with ExitStack() as stack:
        console.print(
            "[bold]Switchboard[/bold]: PostgreSQL, Redis, the front door, all workers and a simulated outside world are starting"
        )
        simulator, real_ai = stack.enter_context(_system())
        scenario = load(simulator.url)
        set_prices()
        lessons = teach(scenario, simulator.url)
        client = HttpClient.of_environment(scenario)
        trouble = Trouble(scenario, client)
        simulator.faults(faults(scenario, real_ai, client.url))
        try:
            _perform(console, scenario, client, trouble.end)
        except NoAnswer as problem:
            console.print(f"[red]demo: {problem}[/red] ({LOG})")
            return 1
        record = simulator.record()
        results = [*lessons, *checks(scenario, record, client.drafts, real_ai), *trouble.checks(record)]
        _print(console, scenario, results, real_ai)
        if arguments.keep:
            _leave_work(console, for_the_desk(scenario), client, simulator, real_ai)
            _keep(console, links_to_the_desk(scenario))
        else:
            console.print("scripts/demo --keep leaves it running, and opens the desk to you: inbox, chatbots, failures.")
    return 0 if all(check.kept for check in results) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C, to look around")
    return parser.parse_args()


@contextmanager
def _system() -> Iterator[tuple[Simulator, bool]]:
    """Everything, started from nothing: services, simulator, the Procfile's processes. And whether a real AI answers."""
    real_ai, door = bool(os.environ.get("OPENAI_API_KEY")), port(os.environ)
    empty_folder(DATA)
    with ExitStack() as stack:
        services = Services(DATA)
        stack.callback(services.stop)
        services.start()
        simulator = stack.enter_context(Simulator.start(seed=1))
        chosen = {**simulator.environment(), **services.environment()}
        if real_ai:
            chosen = {name: value for name, value in chosen.items() if not name.startswith("OPENAI_")}
        os.environ.update({**chosen, "PORT": door})
        migrate_and_fill(services.database_url)
        processes = ProcessManager(ROOT / "Procfile", env=os.environ, cwd=ROOT, on_line=into_file(LOG), behind_web=BEHIND_WEB)
        stack.callback(processes.stop)
        processes.start()
        yield simulator, real_ai


def port(environment: Mapping[str, str]) -> str:
    """PORT, which has to be free; without one 8000, or another that is. Raises ServiceFailed."""
    chosen = environment.get("PORT", "")
    if not chosen:
        return str(free_port(8000))
    if not chosen.isdecimal() or not 1 <= int(chosen) <= 65_535:
        raise ServiceFailed(f"PORT={chosen} is not a port. Use a number from 1 to 65535.")
    must_be_usable(environment.get("WEB_HOST", ""), int(chosen))
    return chosen


def _perform(console: Console, scenario: Scenario, client: HttpClient, beside: Callable[[], None] = lambda: None) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("messages answered", total=len(scenario.turns()))

        def answered(turn: Turn) -> None:
            progress.advance(task)
            if turn.failure:
                progress.console.print(f"  [yellow]{turn.failure}[/yellow]: done")

        perform(scenario, client, answered, beside)


def _print(console: Console, scenario: Scenario, results: list[Check], real_ai: bool) -> None:
    report.conversations(console, scenario)
    console.print()
    report.times(console, scenario)
    report.stats(console)
    report.verdicts(console, results)
    if real_ai:
        console.print("A real provider answered (OPENAI_API_KEY is set): the AI's failures were not played.")
    broken = [check for check in results if not check.kept]
    if broken:
        console.print(f"[bold red]{len(broken)} of {len(results)} checks failed.[/bold red] See {LOG}")
    else:
        console.print(f"[bold green]All {len(results)} checks passed.[/bold green]")


def _leave_work(console: Console, scenario: Scenario, client: HttpClient, simulator: Simulator, real_ai: bool) -> None:
    """What people at the desk find: somebody wants a person, and answers and sends failed for three reasons."""
    simulator.faults(faults(scenario, real_ai, client.url))
    try:
        _perform(console, scenario, client)
    except NoAnswer as problem:
        console.print(f"[yellow]demo: {problem}[/yellow]")
    simulator.faults(reports(client.url))


def _keep(console: Console, people: list[tuple[str, str]]) -> None:
    console.print(f"Running on: DATABASE_URL={os.environ['DATABASE_URL']} REDIS_URL={os.environ['REDIS_URL']}")
    for what, where in door_addresses(os.environ):
        console.print(f"  {what}: {where}", markup=False)
    for secret in generated_secrets(os.environ, {}):
        console.print(f"  {secret}", markup=False, highlight=False)
    console.print("Look around with scripts/jobs stats in another terminal; Ctrl-C ends it.")
    url = door_url(os.environ)
    console.print(
        f"\n[bold]The desk[/bold] is at {url}/desk/. Each of these links opens it, once; it asks for a password of your own:"
    )
    for who, path in people:
        console.print(f"  {who}: {url}{path}", markup=False, soft_wrap=True)
    try:
        wait_for_signal()
    except KeyboardInterrupt:
        console.print("stopping")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("demo: stopped")
    except ServiceFailed as problem:
        sys.exit(f"demo: {problem}")
