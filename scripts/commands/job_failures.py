"""scripts/jobs: failures by reason, replays of what is meant by a filter, and pauses."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

from scripts.commands.audited import audited
from scripts.local.terminal import count, print_table
from shared import db
from shared.channels.registry import CHANNELS
from shared.errors import InvalidPayload, Refused
from shared.operations import bulk_actions, criteria, dead_letters, pauses, replays
from shared.operations.dead_letters import Filter

#: Who replays and pauses by a command, in the rows that remember it.
ACTOR = "scripts/jobs"
_QUEUE = "a queue, such as ai-processing: scripts/jobs stats lists them"
_CHANNEL = f"a channel: {', '.join(CHANNELS)}"


def add_commands(commands: Any) -> None:
    """Adds these commands to the parser of scripts/jobs."""
    replay = commands.add_parser("replays", help="replays of failures, newest first; or what became of one")
    replay.add_argument("id", type=count, nargs="?", help="a replay's id: what became of it")
    replay.add_argument("--stop", action="store_true", help="ends this replay")
    replay.set_defaults(run=_replays)
    pause = commands.add_parser("pause", help="work on a queue, channel, chatbot or customer waits until it is resumed")
    for option, what in (("--queue", _QUEUE), ("--channel", f"{_CHANNEL}; with --chatbot this chatbot's account on it")):
        pause.add_argument(option, help=what)
    for option in ("--chatbot", "--customer"):
        pause.add_argument(option, type=count, help="its id")
    pause.add_argument("--reason", help="why; colleagues see it")
    pause.set_defaults(run=_pause)
    resume = commands.add_parser("resume", help="ends a pause; what waited leaves in its order")
    resume.add_argument("id", type=count, help="of the pause; scripts/jobs pauses lists them")
    add_pace(resume, "jobs", pauses.PACE)
    resume.set_defaults(run=_resume)
    commands.add_parser("pauses", help="what is paused, by whom, and how many jobs wait").set_defaults(run=_pauses)


def add_criteria(command: argparse.ArgumentParser) -> None:
    """Adds the options that say which failures are meant."""
    command.add_argument("--queue", help=_QUEUE)
    command.add_argument("--channel", help=_CHANNEL)
    command.add_argument("--error", help="with this error code: scripts/jobs failed --by-reason lists them")
    for option in ("--customer", "--chatbot", "--endpoint"):
        command.add_argument(option, type=count, help=f"of this {option[2:]}, by its id")
    for option in ("--since", "--until"):
        command.add_argument(option, help="a time like 2026-11-26T10:14:00Z, or how long ago: 90m, 2d")


def add_pace(command: argparse.ArgumentParser, what: str, default: float) -> None:
    """Adds --pace. What is too fast is refused by check_pace, as the API and the desk do."""
    span = f"{bulk_actions.SLOWEST:g} to {bulk_actions.FASTEST:g}"
    command.add_argument("--pace", type=count, default=int(default), help=f"{what} a second, {span} (default %(default)s)")


def criteria_of(arguments: argparse.Namespace) -> Filter | None:
    """What these options mean; None, with a line for each mistake, if they are wrong."""
    said = {name: getattr(arguments, name) for name in criteria.NAMES.values() if hasattr(arguments, name)}
    try:
        return criteria.read(said)
    except InvalidPayload as problem:
        for name, wrong in problem.errors.items():
            print(f"jobs: --{name}: {wrong}", file=sys.stderr)
        return None


def says_more_than_an_id(arguments: argparse.Namespace) -> bool:
    """Whether an option for many failures was given to `retry`, whose id means one."""
    return criteria_of(arguments) != Filter() or arguments.dry_run or arguments.include_unknown


def by_reason() -> int:
    """Prints open failures, grouped."""
    groups = dead_letters.groups()
    if not groups:
        print("jobs: no failure is open")
        return 0
    what, when = ("queue", "channel", "error_code", "count"), ("first_at", "last_at", "error")
    rows = ((*(g[key] for key in what), g["customer"] or g["customers"], *(g[key] for key in when)) for g in groups)
    print_table(("queue", "channel", "error code", "failures", "customers", "since", "last", "newest error"), rows)
    return 0


def replay(arguments: argparse.Namespace) -> int:
    """Prints what a replay would do; begins it, unless it is a dry run or there is nothing to do."""
    where = criteria_of(arguments)
    if where is None:
        return 2
    if where == Filter():
        print("jobs: name a job's id, or say which failures are meant: --queue, --error, --customer, --since …", file=sys.stderr)
        return 2
    bulk_actions.check_pace(arguments.pace)
    plan = replays.preview(where, arguments.include_unknown)
    _print_plan(plan)
    if arguments.dry_run or not plan.ready:
        return 0 if plan.total else 1
    with db.transaction():
        action = replays.begin(plan.where, ACTOR, include_unknown=arguments.include_unknown, pace=arguments.pace)
        audited("jobs", "replay.begun", "replay", action, plan.where.customer_id, **criteria.facts(plan.where))
    print(f"jobs: replay {action} has begun, {arguments.pace} a second; scripts/jobs replays {action} shows how far it is")
    return 0


def _print_plan(plan: replays.Preview) -> None:
    looked_at = f" (of the first {replays.PREVIEWED:,} of them)" if plan.is_cut else ""
    print(f"{plan.total} {'failure matches' if plan.total == 1 else 'failures match'}. {plan.ready} would run again{looked_at}.")
    for outcome, number in plan.left_out.items():
        hint = "; --include-unknown sends them" if outcome == "outcome_unknown" else ""
        print(f"{number} would not: {replays.REASONS.get(outcome, outcome)}{hint}.")
    if plan.samples:
        rows = ((s["id"], s["customer_name"], s["queue"], s["failed_at"], s["verdict"], s["error"]) for s in plan.samples)
        print_table(("failure", "customer", "queue", "failed at", "verdict", "error"), rows)


def _replays(arguments: argparse.Namespace) -> int:
    if arguments.id is None:
        if arguments.stop:
            raise Refused("--stop ends one replay, and needs its id; scripts/jobs replays lists them")
        newest = bulk_actions.newest(replays.KIND)
        rows = ((r["id"], r["state"], r["total"], sum(r["counts"].values()), r["created_by"], r["created_at"]) for r in newest)
        print_table(("replay", "state", "of", "done", "by", "begun"), rows)
        return 0
    action = _replay(arguments.id)
    if arguments.stop:
        _stop(arguments.id)
        action = _replay(arguments.id)
    done = sum(action["counts"].values())
    print(f"replay {action['id']} by {action['created_by']}: {action['state']}, {done} of {action['total']}")
    for outcome, number in action["counts"].items():
        reason = replays.REASONS.get(outcome, outcome)
        print(f"{number} ran again" if outcome == "replayed" else f"{number} did not: {reason}")
    for result, number in replays.results(arguments.id).items():
        print(f"of those that ran again {number} {result}")
    return 0


def _replay(replay_id: int) -> dict[str, Any]:
    action = bulk_actions.find(replays.KIND, replay_id)
    if action is None:
        raise Refused(f"there is no replay {replay_id}")
    return action


def _stop(replay_id: int) -> None:
    with db.transaction():
        if not bulk_actions.stop(replay_id, ACTOR):
            raise Refused(f"replay {replay_id} is not running")
        audited("jobs", "replay.stopped", "replay", replay_id, None)


def _pause(arguments: argparse.Namespace) -> int:
    try:
        what = pauses.subject(arguments.queue, arguments.channel, arguments.chatbot, arguments.customer)
    except pauses.NoSuchSubject as problem:
        print(f"jobs: {problem}", file=sys.stderr)
        return 2
    with db.transaction():
        pause_id = pauses.pause(what, ACTOR, arguments.reason)
        about = {"queue": what.queue, "chatbot": what.chatbot_id, "customer": what.customer_id}
        audited("jobs", "pause.begun", "pause", pause_id, what.customer_id, **about)
    print(f"pause {pause_id} takes effect within seconds; scripts/jobs resume {pause_id} ends it")
    return 0


def _resume(arguments: argparse.Namespace) -> int:
    bulk_actions.check_pace(arguments.pace)
    note = partial(audited, "jobs", "pause.ended", "pause", arguments.id, None)
    released = pauses.resume(arguments.id, ACTOR, arguments.pace, note)
    if released is None:
        raise Refused(f"there is no pause {arguments.id}; scripts/jobs pauses lists them")
    print(f"pause {arguments.id} has ended; {released} jobs leave, {arguments.pace} a second")
    return 0


def _pauses(_: argparse.Namespace) -> int:
    heads = ("pause", "queue", "chatbot", "customer", "waiting", "since", "by", "reason")
    rows = pauses.overview()
    if not rows:
        print("jobs: nothing is paused")
        return 0
    keys = ("id", "queue", "chatbot_id", "customer_name", "waiting", "created_at", "created_by", "reason")
    print_table(heads, ([row[key] for key in keys] for row in rows))
    return 0
