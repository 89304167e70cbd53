"""scripts/bench: measures how fast Switchboard is on this machine. It checks exact counts before it prints any figure."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.local.bench import desk, knowledge, plot, question_set
from scripts.local.bench.compare import MODES, Figure, compare
from scripts.local.bench.rig import open_rig
from scripts.local.folders import data_folder
from scripts.local.terminal import count, file_to_write, stop_on_signals

Say = Callable[[str], None]
#: What a mode measured: as a table, as rows for --json, and whether all bars are met.
Result = tuple[Table, Sequence[Any], bool]
DATA = data_folder("bench")
#: The modes that print a table of their own.
OTHERS = {
    "knowledge": "how often the right item is found, how fast",
    "desk": "how fast the desk's pages are on a large database",
}
ALL = [name for name, mode in MODES.items() if not mode.is_alone]
#: Columns of a table that goes to no terminal.
WIDTH = 190


def main() -> int:
    """Runs a benchmark; 0 if all its bars are met."""
    arguments = _arguments()
    stop_on_signals("bench")
    logging.disable(logging.CRITICAL)  # the workers' logs are in workers.log under --data
    run = {"knowledge": _knowledge, "desk": _desk}.get(arguments.mode, _compare)
    try:
        table, figures, is_met = run(arguments, Console(stderr=True).print)
    except RuntimeError as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2), encoding="utf-8")
    return 0 if is_met else 1


def _compare(arguments: argparse.Namespace, say: Say) -> Result:
    names = ALL if arguments.mode == "all" else [arguments.mode]
    if arguments.plot:
        plot.require(names)
    with open_rig(arguments.peer, arguments.data.resolve(), arguments.old_messages, arguments.old_jobs) as rig:
        figures = compare(names, arguments.pairs, arguments.messages, rig, say)
    if arguments.plot:
        plot.draw(rig.samples, arguments.plot)
    return _table_of(figures, arguments.peer is not None), figures, all(figure.met for figure in figures)


def _table_of(figures: list[Figure], with_peer: bool) -> Table:
    table = Table("mode", "figure (median)", "ours", *(("peer", "ratio") if with_peer else ()), "bar", "")
    for one in figures:
        peers = ["" if value is None else f"{value:,.2f}" for value in (one.theirs, one.ratio)] if with_peer else []
        verdict = ("met" if one.met else "MISSED") if one.bar else ""
        table.add_row(one.mode, one.name, f"{one.ours:,.2f}", *peers, one.bar, verdict)
    return table


def _desk(arguments: argparse.Namespace, say: Say) -> Result:
    with open_rig(None, arguments.data.resolve()) as rig:
        pages = desk.measure(rig, arguments.old_messages, say)
    table = Table("", "page", "p50 ms", "p95 ms", "")
    for page in pages:
        table.add_row(page.role, page.address, f"{page.p50:.0f}", f"{page.p95:.0f}", "" if page.p95 <= desk.BAR else "MISSED")
    return table, pages, all(page.p95 <= desk.BAR for page in pages)


def _knowledge(arguments: argparse.Namespace, say: Say) -> Result:
    with open_rig(None, arguments.data.resolve()):
        rows = knowledge.measure(arguments.set, say, arguments.everything, arguments.model)
    table = Table("", "questions", "recall@1", "recall@5", "MRR@5", "nothing", "characters", "p50 ms", "p99 ms", "")
    for row in rows:
        for indent, one in (*((2, base) for base in row.bases if len(row.bases) > 1), (0, row)):
            figures = (one.recall_1, one.recall_5, one.mrr)
            table.add_row(
                " " * indent + one.name,
                str(one.questions),
                *("" if figure is None else f"{figure:.3f}" for figure in figures),
                "" if one.nothing is None else f"{one.nothing:.1%}",
                "" if one.characters is None else f"{one.characters:,.0f}",
                *("" if ms is None else f"{ms:.1f}" for ms in (one.p50, one.p99)),
                one.note,
            )
    return table, rows, True


def _arguments() -> argparse.Namespace:
    abouts = {name: mode.about for name, mode in MODES.items()} | OTHERS | {"all": f"the first {len(ALL)} of these"}
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__,
        epilog="modes:\n" + "\n".join(f"  {name:20} {about}" for name, about in abouts.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("mode", choices=tuple(abouts), metavar="mode", help="see below")
    parser.add_argument("--data", type=Path, default=DATA, help=f"data folder, emptied first (default {DATA})")
    parser.add_argument("--json", type=file_to_write, help="also write the figures to this file")
    _add_options_of_modes(parser)
    arguments = parser.parse_args()
    if arguments.mode == "knowledge" and arguments.set is None:
        parser.error("--set FILE is what the mode knowledge measures with")
    if arguments.mode in OTHERS and (arguments.plot or arguments.peer):
        parser.error(f"--plot and --peer are not for the mode {arguments.mode}")
    return arguments


def _add_options_of_modes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--peer", type=_peer, help="folder of the BullMQ peer, measured in turns on its servers and its mock")
    add("--pairs", type=count, default=3, help="runs of each mode that the peer has as well; medians are printed (default 3)")
    add("--messages", type=count, help="how many messages, events, requests or open pages (default: depends on the mode)")
    add("--plot", type=file_to_write, metavar="FILE.png", help="plot latencies and each stage's throughput over time")
    old_messages = "modes scale and desk: messages in the full database (default 5,000,000)"
    add("--old-messages", type=count, default=5_000_000, help=old_messages)
    add("--old-jobs", type=count, default=2_000_000, help="mode scale: jobs in the full database (default 2,000,000)")
    add("--set", type=_question_set, help="mode knowledge: a file of bases, items and questions with their right items")
    add("--model", help="mode knowledge: search by vectors of this model as well, local:multilingual-e5-small")
    everything = "mode knowledge: also typos, chatter, a long text beside the items, and bases of 1,000 and beside 100,000 items"
    add("--everything", action="store_true", help=everything)


def _peer(text: str) -> Path:
    path = Path(text).resolve()
    if not (path / "up.sh").is_file():
        raise argparse.ArgumentTypeError(f"must be the peer's folder, and {text} has no up.sh")
    return path


def _question_set(text: str) -> list[question_set.Base]:
    try:
        return question_set.read(Path(text))
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise argparse.ArgumentTypeError(f"{text} is no question set: {problem}") from None


if __name__ == "__main__":
    sys.exit(main())
