"""Prints what happened as a person would read it."""

from __future__ import annotations

from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from scripts.local.demo.checks import Check
from scripts.local.demo.script import Play, Talk
from shared import db
from shared.queue_service import STATES, get_queue_stats

_STAGES = {
    "incoming-messages": "incoming",
    "ai-processing": "ai",
    "outgoing-messages": "outgoing",
    "whatsapp-cloud-send": "send",
    "whatsapp-qr-send": "send",
}
_REPLY = "select content, status, error from message where reply_to = %s"
# From a job's birth to its end: waiting, work and retries together.
_TIMES = """
    select j.queue, round(extract(epoch from j.closed_at - j.created_at) * 1000)::int as ms
    from job j join message m on m.id = j.message_id where %(id)s in (m.id, m.reply_to) and j.queue <> 'webhook-delivery'
"""
_MARKS = {"SENT": "[green]✓[/green]", "FAILED": "[red]✗[/red]"}


def conversations(console: Console, play: Play) -> None:
    """Who said what, and what was answered."""
    for talk in play.talks:
        shop = play.tenants[talk.tenant]
        plan = f"${shop.price_cents // 100} plan"
        console.print(f"\n[bold]{escape(talk.who)}[/bold] and {escape(shop.name)} [dim]({talk.channel}, {plan})[/dim]")
        console.print(_dialogue(talk, shop.bot))


def _dialogue(talk: Talk, bot: str) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for line in talk.lines:
        reply = db.row(_REPLY, [line.message_ids[0]]) or {"content": "", "status": "none", "error": None}
        table.add_row(f"[cyan]{escape(talk.who.split()[0])}[/cyan]", escape(line.says))
        table.add_row(f"[magenta]{escape(bot)}[/magenta] {_MARKS.get(reply['status'], '?')}", _answer(reply, line.twist))
    return table


def _answer(reply: dict[str, Any], twist: str) -> Group:
    parts = [Text(reply["content"])]
    if reply["error"]:
        parts.append(Text(f"not delivered: {reply['error']}", style="red"))
    if twist:
        parts.append(Text(f"({twist})", style="yellow italic"))
    return Group(*parts)


def times(console: Console, play: Play) -> None:
    """How long each message took at each stage."""
    table = Table(
        "message", *dict.fromkeys(_STAGES.values()), "in all", title="milliseconds per stage, waiting and retries included"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for _, line in play.lines():
        took = {_STAGES[row["queue"]]: row["ms"] for row in db.rows(_TIMES, {"id": line.message_ids[0]})}
        cells = [str(took.get(stage, "–")) for stage in dict.fromkeys(_STAGES.values())]
        table.add_row(escape(line.says), *cells, str(sum(took.values())))
    console.print(table)


def stats(console: Console) -> None:
    """The queues as an operator sees them."""
    table = Table("queue", *STATES, title="queues")
    for name, counts in get_queue_stats().items():
        table.add_row(name, *(str(counts[state]) for state in STATES), style="bold" if name == "total" else None)
    console.print(table)


def verdicts(console: Console, results: list[Check]) -> None:
    """What was checked."""
    table = Table("", "checked", "found", title="checks")
    for check in results:
        table.add_row("[green]✓[/green]" if check.kept else "[red]✗[/red]", escape(check.promise), escape(check.found))
    console.print(table)
