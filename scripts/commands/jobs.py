"""scripts/jobs: shows jobs, what failed and why; runs failed ones again, gives one up, pauses, enqueues a message by hand."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

from peewee import JOIN

from scripts.commands import job_failures
from scripts.commands.audited import audited
from scripts.local.terminal import cell, count, print_table, with_database
from shared import db
from shared.channels import accounts, health
from shared.channels.registry import CHANNELS
from shared.errors import InvalidPayload, Refused
from shared.jobs import operator
from shared.models import Chatbot, InboundReject, Job, Message
from shared.operations import bulk_actions, journey
from shared.operations.search import find
from shared.payloads import MAX_ROW_ID
from shared.queue_service import STATES, enqueue_incoming_message, get_queue_stats
from web.hooks.replay import replay


def main() -> int:
    """Runs one command; 1 if there is nothing to show or to do, 2 if the input is wrong."""
    arguments = _arguments()
    # Without a handler Python would print the bare log event beside the command's own line.
    logging.getLogger("shared").addHandler(logging.NullHandler())
    return with_database("jobs", arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/jobs", description=__doc__)
    commands = parser.add_subparsers(required=True)
    commands.add_parser("stats", help="jobs of each queue by state").set_defaults(run=_stats)
    for name, run, about in (
        ("show", _show, "everything the ledger knows of a job"),
        ("delete", _delete, "gives a job up, with all that follows from a failure"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("id", type=count, help="the job's id; scripts/jobs message finds it by its message's")
        command.set_defaults(run=run)
    retry = commands.add_parser("retry", help="runs a failed job again, as if it were new; or replays all failures that match")
    retry.add_argument("id", type=count, nargs="?", help="the job's id; without it the options say which failures are meant")
    job_failures.add_criteria(retry)
    retry.add_argument("--include-unknown", action="store_true", help="also sends again what may have arrived already")
    job_failures.add_pace(retry, "failures", bulk_actions.PACE)
    retry.add_argument("--dry-run", action="store_true", help="says what would be sent, what not and why, and does nothing")
    retry.set_defaults(run=_retry)
    message = commands.add_parser("message", help="where a message is: its jobs, and its replies'")
    message.add_argument("id", help="the message's id, as enqueue prints it, or the provider's, such as wamid.…")
    message.set_defaults(run=_message)
    failed = commands.add_parser("failed", help="the newest jobs that failed for good")
    failed.add_argument("--limit", type=count, default=20, help="how many (default 20)")
    failed.add_argument("--by-reason", action="store_true", help="grouped: how many, whose, since when")
    failed.set_defaults(run=_failed)
    channels = commands.add_parser("channels", help="whether numbers and sessions can send, why not, and how many replies wait")
    channels.add_argument(
        "--retry", type=count, metavar="CHATBOT", help="lets the next reply of this chatbot try its accounts that cannot send"
    )
    channels.set_defaults(run=_channels)
    rejects = commands.add_parser("rejects", help="what channels sent that could not be taken, newest first")
    rejects.add_argument("--limit", type=count, default=20, help="how many (default 20)")
    rejects.add_argument("--replay", action="store_true", help="take what can be taken by now")
    rejects.set_defaults(run=_rejects)
    job_failures.add_commands(commands)
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
    print_table(("queue", *STATES), ((name, *map(counts.get, STATES)) for name, counts in get_queue_stats().items()))
    return 0


def _show(arguments: argparse.Namespace) -> int:
    job = db.row(Job.select().where(Job.id == arguments.id))
    if job is None:
        raise Refused(f"there is no job {arguments.id}; it was pruned, or never was")
    for name, value in job.items():
        if name == "payload":
            value = json.dumps(_without_text(value))
        if value is not None:
            print(f"{name:22} {cell(value)}")
    return 0


def _retry(arguments: argparse.Namespace) -> int:
    if arguments.id is None:
        return job_failures.replay(arguments)
    if job_failures.says_more_than_an_id(arguments):
        print("jobs: give an id or options, not both: a job that is retried by its id runs at once", file=sys.stderr)
        return 2
    return _operate(operator.requeue, arguments.id, "will run again")


def _delete(arguments: argparse.Namespace) -> int:
    return _operate(operator.discard, arguments.id, "is given up")


def _operate(verb: Callable[[int], None], job_id: int, outcome: str) -> int:
    verb(job_id)
    print(f"job {job_id} {outcome}")
    return 0


def _message(arguments: argparse.Namespace) -> int:
    # An inbound message's jobs and its replies': `message_id` is whichever of them a job works on.
    message_id = _message_id(arguments.id)
    replies = Message.select(Message.id).where(Message.reply_to == message_id)
    of_job = (Job.id, Job.queue, Job.state, Job.attempts, Job.message_id)
    jobs = (
        Job.select(*of_job, Message.status, Job.created_at, Job.closed_at, Job.last_error)
        .join(Message, JOIN.LEFT_OUTER, on=Message.id == Job.message_id)
        .where((Job.message_id == message_id) | Job.message_id.in_(replies))
        .order_by(Job.id)
    )
    rows = db.rows(jobs)
    if not rows:
        raise Refused(f"no job knows a message {arguments.id}; they were pruned, or it never was")
    if str(message_id) != arguments.id:
        print(f"message {message_id}")
    heads = ("job", "queue", "state", "attempts", "message", "its status", "created", "closed", "error")
    print_table(heads, (row.values() for row in rows))
    _tell_of_silence(message_id)
    return 0


def _message_id(given: str) -> int:
    """Ours, of a message that is not stored yet as well; or of the message that a provider knows by it. 0 is nobody's."""
    if given.isdecimal():
        return min(int(given), MAX_ROW_ID)
    ids = {hit["kind"]: hit["id"] for hit in find(given)}
    if "message" in ids:
        return int(ids["message"])
    return int(db.scalar(Job.select(Job.message_id).where(Job.id == ids.get("job", 0))) or 0)


def _tell_of_silence(message_id: int) -> None:
    """Why a message that was stored has no answer and gets none."""
    found = journey.of_message(message_id)
    for step in found.steps if found else ():
        if step.kind == "kept":
            is_late = step.facts["is_late"]
            reason = "it was older than ANSWER_WITHIN when it came" if is_late else "its kind or source wants no answer"
            print(f"kept, not answered: {reason}")


def _without_text(payload: dict[str, Any]) -> dict[str, Any]:
    """What customers write is not for an operator's terminal."""
    return {name: f"({len(value)} characters)" if name == "content" else value for name, value in payload.items()}


def _failed(arguments: argparse.Namespace) -> int:
    if arguments.by_reason:
        return job_failures.by_reason()
    columns = (Job.id, Job.queue, Job.customer_id, Job.message_id, Job.attempts, Job.closed_at, Job.last_error)
    jobs = Job.select(*columns).where(Job.state == "failed").order_by(Job.id.desc()).limit(arguments.limit)
    heads = ("job", "queue", "customer", "message", "attempts", "failed at", "error")
    return _list(heads, db.rows(jobs), "no job failed for good, or all that did are pruned")


def _channels(arguments: argparse.Namespace) -> int:
    if arguments.retry is not None:
        mine = [row["channel"] for row in accounts.overview() if row["chatbot_id"] == arguments.retry]
        tried = [one for one in mine if _try(one, arguments.retry)]
        print(f"jobs: a reply tries {', '.join(tried)}" if tried else "jobs: no account of this chatbot is down")
        return 0 if tried else 1
    rows = [
        {name: row[name] for name in ("channel", "name", "chatbot_id", "state", "since", "held_replies", "explanation", "detail")}
        for row in accounts.overview()
        if row["active"]
    ]
    heads = ("channel", "account", "chatbot", "state", "since", "waiting", "what to do", "the provider says")
    return _list(heads, rows, "no account is connected; scripts/connect does that")


def _try(channel: str, chatbot_id: int) -> bool:
    customer = db.scalar(Chatbot.select(Chatbot.customer).where(Chatbot.id == chatbot_id))
    with db.transaction():
        is_tried = health.retry(health.account_of(CHANNELS[channel], chatbot_id, ""))
        if is_tried:
            audited("jobs", "channel.retried", "channel", chatbot_id, customer, channel=channel)
    return is_tried


def _rejects(arguments: argparse.Namespace) -> int:
    if arguments.replay:
        return _replay()
    columns = (InboundReject.id, InboundReject.received_at, InboundReject.source, InboundReject.subject, InboundReject.reason)
    rejects = InboundReject.select(*columns).order_by(InboundReject.id.desc()).limit(arguments.limit)
    heads = ("reject", "received at", "source", "number or session", "reason")
    return _list(heads, db.rows(rejects), "nothing was rejected in the last week, or all was replayed")


def _list(heads: tuple[str, ...], rows: list[dict[str, Any]], nothing: str) -> int:
    if rows:
        print_table(heads, (row.values() for row in rows))
    else:
        print(f"jobs: {nothing}")
    return 0


def _replay() -> int:
    outcomes: Counter[str] = Counter()
    for replayed in replay():
        outcomes[replayed.outcome] += 1
        print(f"reject {replayed.id} of {replayed.source} {replayed.subject}: {replayed.outcome}")
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
    print(f"message {message_id} accepted; scripts/jobs message {message_id} shows where it is")
    return 0


if __name__ == "__main__":
    sys.exit(main())
