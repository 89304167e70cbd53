"""scripts/bench: measures how fast Switchboard is on this machine. It checks exact counts before it prints any figure."""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.local.bench import desk, front_door, knowledge, plot, provider_call, question_set, replies, scale, streams
from scripts.local.bench.compare import MODES, Figure, compare
from scripts.local.bench.rig import open_rig
from scripts.local.chaos.harness import Conditions, start_harness
from scripts.local.chaos.scenarios import SCENARIOS
from scripts.local.environment import data_folder, empty_folder
from scripts.local.programs import ServiceFailed

Say = Callable[[str], None]
DATA = data_folder("bench")
#: Highest ratio of the time per message on a full database to that on an empty one.
MAX_SCALE_RATIO = 1.3


def main() -> int:
    """Runs a benchmark; 0 if all its bars are met."""
    arguments = _arguments()
    logging.disable(logging.CRITICAL)  # the workers' logs are in workers.log under --data
    say = Console(stderr=True).print
    _, run = OTHERS.get(arguments.mode, ("", _compare))
    try:
        return run(arguments, say)
    except ServiceFailed as problem:
        sys.exit(f"bench: {problem}")


def _compare(arguments: argparse.Namespace, say: Say) -> int:
    names = [name for name, mode in MODES.items() if not mode.is_long] if arguments.mode == "all" else [arguments.mode]
    path = arguments.peer.resolve() if arguments.peer else None
    try:
        if arguments.plot:
            plot.require(names)
        with open_rig(path, arguments.data.resolve()) as rig:
            lines = compare(names, arguments.pairs, arguments.messages, rig, say)
        if arguments.plot:
            plot.draw(rig.samples, arguments.plot)
    except RuntimeError as problem:
        print(f"bench: {problem}", file=sys.stderr)
        return 1
    _print_figures(lines, path is not None)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(line) for line in lines], indent=2))
    return 0 if all(line.met for line in lines) else 1


def _print_figures(lines: list[Figure], with_peer: bool) -> None:
    table = Table("mode", "figure (median)", "ours", *(("peer", "ratio") if with_peer else ()), "bar", "")
    for line in lines:
        peers = ["" if value is None else f"{value:,.2f}" for value in (line.theirs, line.ratio)] if with_peer else []
        verdict = ("met" if line.met else "MISSED") if line.bar else ""
        table.add_row(line.mode, line.name, f"{line.ours:,.2f}", *peers, line.bar, verdict)
    _show(table)


def _scale(arguments: argparse.Namespace, say: Say) -> int:
    messages = arguments.messages or 2_000
    conditions = Conditions(messages, 1, "resend", False, arguments.data.resolve())
    with start_harness(SCENARIOS["calm"], conditions, say) as harness:
        result = scale.measure(messages, arguments.old_messages, arguments.old_jobs, harness, say)
    _print_scale(result)
    if arguments.json:
        arguments.json.write_text(json.dumps({**asdict(result), "ratio": result.ratio}, indent=2))
    return 0 if result.ratio <= MAX_SCALE_RATIO and not result.slow_housekeeping else 1


def _print_scale(result: scale.Scale) -> None:
    table = Table("", "empty", f"{result.messages:,} messages, {result.jobs:,} jobs", "ratio")
    empty, full = statistics.median(result.empty), statistics.median(result.full)
    table.add_row("ms per message (median)", f"{empty:.2f}", f"{full:.2f}", f"{result.ratio:.2f}")
    table.add_row("one sweep, s", "", f"{result.sweep_seconds:.2f}", "")
    table.add_row(f"pruning {result.pruned:,} records, s", "", f"{result.prune_seconds:.1f}", "")
    table.add_row(f"statements over {scale.SLOW} ms: housekeeping", "", str(len(result.slow_housekeeping)), "")
    table.add_row(f"statements over {scale.SLOW} ms: all", "", str(len(result.slow)), "")
    _show(table)
    for line in result.slow[:10]:
        print(f"  {line[:110]}")


def _streams(arguments: argparse.Namespace, say: Say) -> int:
    empty_folder(arguments.data)
    result = streams.measure(arguments.streams, arguments.data, say)
    table = Table("", f"{result.streams} open pages")
    for row in streams.lines(result):
        table.add_row(*row)
    _show(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(streams.as_dict(result), indent=2))
    for missed in streams.missed(result):
        say(f"  not met: {missed}")
    return 0 if result.refused == 503 and not streams.missed(result) else 1


def _replies(arguments: argparse.Namespace, _say: Say) -> int:
    empty_folder(arguments.data)
    result = replies.measure(arguments.data)
    table = Table("", f"{result.replies} replies of {replies.WORDS} words, {replies.PAGES} at once")
    for row in replies.lines(result):
        table.add_row(*row)
    _show(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(replies.as_dict(result), indent=2))
    return 0 if result.first_word_p99 <= replies.BAR else 1


def _front_door(arguments: argparse.Namespace, say: Say) -> int:
    with start_harness(SCENARIOS["calm"], Conditions(0, 1, "resend", False, arguments.data.resolve()), say) as harness:
        result = front_door.measure(harness, say)
    heads = ("1 message to 3 statuses", "messages", "messages")
    table = Table("", *(f"{load.rate}/s for {load.seconds} s: {what}" for load, what in zip(result.loads, heads, strict=True)))
    for row in front_door.lines(result):
        table.add_row(*row)
    _show(table)
    return 0 if result.kept_all else 1


def _provider_call(_arguments: argparse.Namespace, _say: Say) -> int:
    ways = provider_call.measure()
    table = Table("ms of CPU a call (median)", "1 thread", f"{provider_call.THREADS} threads")
    for way in ways:
        table.add_row(way.name, f"{way.one_thread:.2f}", f"{way.many_threads:.2f}")
    _show(table)
    return 0 if ways[0].one_thread <= provider_call.BUDGET else 1


def _desk(arguments: argparse.Namespace, say: Say) -> int:
    empty_folder(arguments.data)
    pages = desk.measure(arguments.old_messages, arguments.data, say)
    table = Table("", "page", "p50 ms", "p95 ms", "")
    for page in pages:
        table.add_row(page.role, page.address, f"{page.p50:.0f}", f"{page.p95:.0f}", "" if page.p95 <= desk.BAR else "MISSED")
    _show(table, 140)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(page) for page in pages], indent=2))
    return 0 if all(page.p95 <= desk.BAR for page in pages) else 1


def _knowledge(arguments: argparse.Namespace, say: Say) -> int:
    try:
        bases = question_set.read(arguments.set)
    except (OSError, ValueError, KeyError, TypeError) as problem:
        print(f"bench: {arguments.set} is no question set: {problem}", file=sys.stderr)
        return 1
    with open_rig(None, arguments.data.resolve()):
        rows = knowledge.measure(bases, say, arguments.everything, arguments.model)
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
    _show(table, 190)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))
    return 0


def _show(table: Table, width: int = 120) -> None:
    Console(width=None if sys.stdout.isatty() else width).print(table)


#: The modes that compare runs neither with a peer's nor with bars of compare.py: what each measures, and what runs it.
OTHERS: dict[str, tuple[str, Callable[[argparse.Namespace, Say], int]]] = {
    "scale": ("time per message on an empty and on a full database", _scale),
    "streams": ("cost of open widget pages", _streams),
    "replies": ("how soon a page sees a streamed reply, and its cost", _replies),
    "front-door": ("the inbound hook at 200 and 600 requests a second", _front_door),
    "provider-call": ("CPU of a call to the AI, by our transport and by the openai client's own", _provider_call),
    "knowledge": ("how often the right item is found, how fast", _knowledge),
    "desk": ("how fast the desk's pages are on a large database", _desk),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    abouts = {name: mode.about for name, mode in MODES.items()} | {name: about for name, (about, _) in OTHERS.items()}
    only_by_name = ", ".join([*(name for name, mode in MODES.items() if mode.is_long), *OTHERS])
    modes = "; ".join(f"{name}: {about}" for name, about in abouts.items()) + f"; all: every mode but {only_by_name}"
    parser.add_argument("mode", choices=(*MODES, "all", *OTHERS), help=modes)
    parser.add_argument("--data", type=Path, default=DATA, help=f"data folder, emptied first (default {DATA})")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    _add_options_of_modes(parser)
    arguments = parser.parse_args()
    for name in ("pairs", "streams", "messages"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            parser.error(f"--{name} must be 1 or more, got {value}")
    if arguments.mode == "knowledge" and arguments.set is None:
        parser.error("--set FILE is what the mode knowledge measures with")
    if arguments.plot and not arguments.plot.absolute().parent.is_dir():
        parser.error(f"--plot: the folder {arguments.plot.absolute().parent} does not exist")
    return arguments


def _add_options_of_modes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--peer", type=Path, help="folder of the BullMQ peer, measured in turns on its servers and its mock")
    add("--pairs", type=int, default=3, help="runs of each mode that the peer has as well; medians are printed (default 3)")
    add("--messages", type=int, help="messages of each load (default: depends on the mode)")
    add("--plot", type=Path, metavar="FILE.png", help="plot latencies and each stage's throughput over time")
    add("--streams", type=int, default=10_000, help="mode streams: open pages (default 10,000)")
    old_messages = "modes scale and desk: messages in the full database (default 5,000,000)"
    add("--old-messages", type=int, default=5_000_000, help=old_messages)
    add("--old-jobs", type=int, default=2_000_000, help="mode scale: jobs in the full database (default 2,000,000)")
    add("--set", type=Path, help="mode knowledge: a file of bases, items and questions with their right items")
    add("--model", help="mode knowledge: search by vectors of this model as well, local:multilingual-e5-small")
    everything = "mode knowledge: also typos, chatter, a long text beside the items, and bases of 1,000 and beside 100,000 items"
    add("--everything", action="store_true", help=everything)


if __name__ == "__main__":
    sys.exit(main())
