"""scripts/jobs: looks at jobs, and at what failed and why; enqueues a message by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.local.terminal import cell, count, with_database
from shared import db
from shared.channels.registry import CHANNELS
from shared.errors import InvalidPayload
from shared.queue_service import STATES, enqueue_incoming_message, get_queue_stats
from web.hooks.replay import replay

console = Console(width=None if sys.stdout.isatty() else 160)

_FAILED = """
    select id, queue, customer_id, message_id, attempts, closed_at, last_error
    from job where state = 'failed' order by id desc limit %s
"""

#: An inbound message's jobs and its replies': `message_id` is whichever of them a job works on.
_MESSAGE = """
    select j.id, j.queue, j.state, j.attempts, j.message_id, m.status, j.created_at, j.closed_at, j.last_error
    from job j left join message m on m.id = j.message_id
    where j.message_id in (select %s::bigint union all select id from message where reply_to = %s)
    order by j.id
"""

_REJECTS = "select id, received_at, source, subject, reason from inbound_reject order by id desc limit %s"


def main() -> int:
    """Runs one command; 1 if there is nothing to show, 2 if the input is wrong."""
    arguments = _arguments()
    return with_database("jobs", arguments.run, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/jobs", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("stats", help="jobs of each queue by state").set_defaults(run=_stats)
    show = commands.add_parser("show", help="everything the ledger knows of a job")
    show.add_argument("id", type=count, help="the job's id; of a message: scripts/jobs message")
    show.set_defaults(run=_show)
    message = commands.add_parser("message", help="where a message is: its jobs, and its replies'")
    message.add_argument("id", type=count, help="as enqueue, the hooks and the API tell it")
    message.set_defaults(run=_message)
    failed = commands.add_parser("failed", help="the newest jobs that failed for good")
    failed.add_argument("--limit", type=count, default=20, help="how many (default 20)")
    failed.set_defaults(run=_failed)
    rejects = commands.add_parser("rejects", help="what channels sent that found no place, newest first")
    rejects.add_argument("--limit", type=count, default=20, help="how many (default 20)")
    rejects.add_argument("--replay", action="store_true", help="takes what can be taken by now")
    rejects.set_defaults(run=_rejects)
    _enqueue_arguments(commands.add_parser("enqueue", help="an inbound message, as a channel would send it"))
    return parser.parse_args()


def _enqueue_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("content", help="what the customer writes")
    parser.add_argument("--chatbot", type=count, required=True, help="its id: scripts/connect business prints it")
    parser.add_argument("--user", required=True, help="who writes: a visitor's id or a phone number")
    parser.add_argument("--channel", default="widget", help=f"{', '.join(CHANNELS)} (default: widget)")
    parser.add_argument("--external-id", help="the channel's id of the message; the same id again does nothing")
    parser.set_defaults(run=_enqueue)


def _stats(_: argparse.Namespace) -> int:
    table = Table("queue", *STATES)
    for name, counts in get_queue_stats().items():
        table.add_row(name, *(str(counts[state]) for state in STATES))
    console.print(table)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    job = db.row("select * from job where id = %s", [arguments.id])
    if job is None:
        print(f"jobs: there is no job {arguments.id}; it was pruned, or never was", file=sys.stderr)
        return 1
    for name, value in job.items():
        if name == "payload":
            value = json.dumps(_without_text(value))
        if value is not None:
            console.print(f"{name:22} {cell(value)}", markup=False, highlight=False)
    return 0


def _message(arguments: argparse.Namespace) -> int:
    found = db.rows(_MESSAGE, [arguments.id, arguments.id])
    if not found:
        print(f"jobs: no job knows a message {arguments.id}; they were pruned, or it never was", file=sys.stderr)
        return 1
    columns = ("job", "queue", "state", "attempts", "message", "its status", "created", "closed", "error")
    return _listed(columns, found, "")


def _without_text(payload: dict[str, Any]) -> dict[str, Any]:
    """What customers write is not for an operator's terminal."""
    return {name: f"({len(value)} characters)" if name == "content" else value for name, value in payload.items()}


def _failed(arguments: argparse.Namespace) -> int:
    columns = ("job", "queue", "customer", "message", "attempts", "failed at", "error")
    return _listed(columns, db.rows(_FAILED, [arguments.limit]), "no job failed for good, or all that did are pruned")


def _rejects(arguments: argparse.Namespace) -> int:
    if arguments.replay:
        return _replay()
    columns = ("reject", "received at", "source", "number or session", "reason")
    return _listed(columns, db.rows(_REJECTS, [arguments.limit]), "nothing was rejected in the last week, or all was replayed")


def _listed(columns: tuple[str, ...], rows: Iterable[dict[str, Any]], nothing: str) -> int:
    table = Table(*columns)
    for row in rows:
        table.add_row(*map(cell, row.values()))
    if table.row_count:
        console.print(table)
    else:
        print(f"jobs: {nothing}")
    return 0


def _replay() -> int:
    outcomes: Counter[str] = Counter()
    for found in replay():
        outcomes[found.outcome] += 1
        console.print(f"reject {found.id} of {found.source} {found.subject}: {found.outcome}", markup=False, highlight=False)
    print("jobs: " + (", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()) or "nothing to replay"))
    return 0


def _enqueue(arguments: argparse.Namespace) -> int:
    try:
        message_id = enqueue_incoming_message(
            chatbot_id=arguments.chatbot,
            channel=arguments.channel,
            external_user_id=arguments.user,
            content=arguments.content,
            external_id=arguments.external_id,
        )
    except InvalidPayload as problem:
        print(f"jobs: {problem}", file=sys.stderr)
        return 2
    print(f"message {message_id} accepted; scripts/jobs message {message_id} tells where it is")
    return 0


if __name__ == "__main__":
    sys.exit(main())
