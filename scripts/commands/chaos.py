"""scripts/chaos: disrupts a running system and proves by exact counts that nothing was lost and nothing was done twice."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.local.chaos.audit import Audit
from scripts.local.chaos.harness import Conditions, run
from scripts.local.chaos.scenarios import SCENARIOS
from scripts.local.folders import data_folder
from scripts.local.terminal import count, file_to_write, stop_on_signals

#: The scenarios of `scripts/chaos each`, in order.
EACH = [name for name in SCENARIOS if name not in ("all", "calm")]
#: Names for several scenarios.
GROUPS = {"each": EACH, "channels": ["takeovers", "accounts"]}
DATA = data_folder("chaos")
COLUMNS = (
    ("scenario", "scenario"),
    ("sent in", "messages"),
    ("user messages", "user_messages"),
    ("replies", "replies"),
    ("SENT", "sent"),
    ("FAILED", "failed"),
    ("webhooks", "delivered"),
    ("dup. in DB", "database_duplicates"),
    ("dup. sends", "duplicate_sends"),
    ("ambiguous", "ambiguous_duplicates"),
    ("dup. webhooks", "duplicate_webhooks"),
    ("order", "order_violations"),
    ("neighbours", "neighbours_given_up"),
    ("recovery s", "longest_recovery"),
    ("last reply s", "last_reply"),
    ("took s", "seconds"),
    ("", "verdict"),
)


def main() -> int:
    """Runs the named scenarios; 0 only if every count is exact."""
    arguments = _arguments()
    if arguments.list:
        print(_scenarios())
        return 0
    stop_on_signals("chaos")
    logging.disable(logging.CRITICAL)  # this process only observes; the workers' logs are in workers.log under --data
    console = Console(stderr=True)
    names = [name for scenario in arguments.scenario for name in GROUPS.get(scenario, [scenario])]
    results = []
    for name in names:
        scenario = SCENARIOS[name]
        messages = arguments.messages or scenario.messages or 3_000
        conditions = Conditions(
            messages, arguments.seed, arguments.ambiguous, arguments.statuses, arguments.data.resolve(), arguments.small
        )
        try:
            result = run(scenario, conditions, console.print)
        except RuntimeError as problem:  # a server does not start, a program is missing
            sys.exit(f"chaos: {problem}")
        results.append(result)
        for wrong in result.wrong:
            console.print(f"  [red]wrong[/red] {wrong}")
    _print(results, arguments.json)
    return 0 if all(result.passed for result in results) else 1


def _scenarios() -> str:
    """A line for each."""
    left_out = ", ".join(name for name in SCENARIOS if name not in EACH)
    lines = {name: scenario.about for name, scenario in SCENARIOS.items()} | {
        "each": f"all of these but {left_out}",
        "channels": "what happens to channels: " + ", ".join(GROUPS["channels"]),
    }
    return "\n".join(f"  {name:20} {about}" for name, about in lines.items())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description=__doc__,
        epilog=f"scenarios:\n{_scenarios()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", nargs="*", type=_scenario, default=["all"], help="see below (default: all)")
    parser.add_argument("--list", action="store_true", help="only explain the scenarios")
    parser.add_argument("--messages", type=count, help="messages of each scenario (default 3000; backlog 20000)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the load and the disruptions (default 1)")
    parser.add_argument(
        "--ambiguous", choices=("resend", "hold"), default="resend", help="the workers' AMBIGUOUS_SEND (default resend)"
    )
    parser.add_argument("--statuses", action="store_true", help="the channels report delivery statuses")
    parser.add_argument("--small", action="store_true", help="one process runs all stages, the Procfile's `worker`")
    parser.add_argument("--data", type=Path, default=DATA, help=f"data folder, emptied first (default {DATA})")
    parser.add_argument("--json", type=file_to_write, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.small and {"backlog", "each"} & set(arguments.scenario):
        parser.error("--small: the scenario backlog stops the AI's process, and has none to stop")
    return arguments


def _scenario(name: str) -> str:
    # Not argparse's `choices`: with nargs="*" it checks the default list against them and refuses it.
    if name not in (*SCENARIOS, *GROUPS):
        raise argparse.ArgumentTypeError(f"there is no scenario {name!r}; choose one of {', '.join((*SCENARIOS, *GROUPS))}")
    return name


def _print(results: list[Audit], path: Path | None) -> None:
    table = Table(*(title for title, _ in COLUMNS))
    for result in results:
        figures = _figures(result)
        table.add_row(*(str(figures[key]) for _, key in COLUMNS))
    Console(width=None if sys.stdout.isatty() else 230).print(table)
    if path:
        path.write_text(json.dumps([result.as_dict() for result in results], indent=2, default=str), encoding="utf-8")


def _figures(result: Audit) -> dict[str, object]:
    counts = result.counts
    duplicates = counts["user_messages"] - counts["distinct_inbound"] + counts["replies_twice"]
    return {
        **counts,
        **result.as_dict(),
        "database_duplicates": duplicates,
        "longest_recovery": round(counts["longest_recovery"], 1),
        "verdict": "ok" if result.passed else "WRONG",
    }


if __name__ == "__main__":
    sys.exit(main())
