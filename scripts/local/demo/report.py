"""Prints what happened as a person would read it."""

from __future__ import annotations

from typing import Any

from peewee import fn
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scripts.local.demo.checks import Check
from scripts.local.demo.script import Dialogue, Scenario
from shared import db
from shared.models import Job, Message
from shared.queue_service import STATES, get_queue_stats
from shared.queues import Queue

_STAGES = {
    "incoming-messages": "incoming",
    "media-fetch": "files",
    "ai-processing": "ai",
    "outgoing-messages": "outgoing",
    "whatsapp-cloud-send": "send",
    "whatsapp-qr-send": "send",
}
_MARKS = {"SENT": "[green]✓[/green]", "DELIVERED": "[green]✓✓[/green]", "FAILED": "[red]✗[/red]"}


def conversations(console: Console, scenario: Scenario) -> None:
    """Who said what, and what was answered."""
    for dialogue in scenario.dialogues:
        shop = scenario.tenants[dialogue.tenant]
        plan = f"${shop.price_cents // 100} plan"
        console.print(f"\n[bold]{escape(dialogue.who)}[/bold] and {escape(shop.name)} [dim]({dialogue.channel}, {plan})[/dim]")
        console.print(_dialogue(dialogue, shop.bot))


def _dialogue(dialogue: Dialogue, bot: str) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for turn in dialogue.turns:
        replies = Message.select(Message.content, Message.status, Message.error)
        reply = db.row(replies.where(Message.reply_to == turn.message_ids[0])) or {"content": "", "status": "none", "error": None}
        table.add_row(f"[cyan]{escape(dialogue.who.split()[0])}[/cyan]", escape(turn.says))
        table.add_row(f"[magenta]{escape(bot)}[/magenta] {_MARKS.get(reply['status'], '?')}", _answer(reply, turn.failure))
    return table


def _answer(reply: dict[str, Any], failure: str) -> Group:
    parts = [Text(reply["content"])]
    if reply["error"]:
        parts.append(Text(f"not delivered: {reply['error']}", style="red"))
    if failure:
        parts.append(Text(f"({failure})", style="yellow italic"))
    return Group(*parts)


def times(console: Console, scenario: Scenario) -> None:
    """How long each message milliseconds at each stage."""
    table = Table(
        "message", *dict.fromkeys(_STAGES.values()), "in all", title="milliseconds per stage, waiting and retries included"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for turn in scenario.turns():
        milliseconds = _milliseconds(turn.message_ids[0])
        cells = [str(milliseconds.get(stage, "–")) for stage in dict.fromkeys(_STAGES.values())]
        table.add_row(escape(turn.says), *cells, str(sum(milliseconds.values())))
    console.print(table)


def _milliseconds(message_id: int) -> dict[str, int]:
    """By stage, from a job's birth to its end: waiting, work and retries together."""
    seconds = fn.date_part("epoch", Job.closed_at - Job.created_at).alias("seconds")
    jobs = Job.select(Job.queue, seconds).join(Message, on=Message.id == Job.message_id)
    is_its_own = (Message.id == message_id) | (Message.reply_to == message_id)
    rows = db.rows(jobs.where(is_its_own, Job.queue != Queue.WEBHOOKS))
    return {_STAGES[row["queue"]]: round(row["seconds"] * 1000) for row in rows}


def stats(console: Console) -> None:
    """The queues as an operator sees them."""
    table = Table("queue", *STATES, title="queues")
    for name, counts in get_queue_stats().items():
        table.add_row(name, *(str(counts[state]) for state in STATES), style="bold" if name == "total" else None)
    console.print(table)


def verdicts(console: Console, results: list[Check]) -> None:
    """What was checked."""
    table = Table("", "checked", "observed", title="checks")
    for check in results:
        table.add_row("[green]✓[/green]" if check.kept else "[red]✗[/red]", escape(check.promise), escape(check.observed))
    console.print(table)
