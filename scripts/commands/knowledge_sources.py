"""The commands of scripts/knowledge that import files, pages and sites, and show how their sources stand."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from scripts.commands.audited import audited
from scripts.local.terminal import count, print_table
from shared import db
from shared.errors import Refused
from shared.knowledge import sources
from shared.knowledge.sources import File, Page, Sitemap
from shared.models import KnowledgeBase, KnowledgeSource
from shared.teaching.languages import LANGUAGES

#: Seconds between two looks at an import, and after which one that nobody has begun is worth a word.
LOOK, PATIENCE = 0.3, 10.0
#: Documents whose problems are listed.
PROBLEMS = 20

_NO_WAIT = "does not wait until it is done"

BaseOf = Callable[[argparse.Namespace], dict[str, Any]]


def add_commands(commands: Any, which: argparse.ArgumentParser, base_of: BaseOf) -> None:
    """Adds them to scripts/knowledge."""
    imported = commands.add_parser("import", parents=[which], help="takes in files, a web page, or the pages of a site")
    imported.add_argument("what", nargs="+", metavar="FILE|URL", help="CSV, Excel, Markdown, text, PDF, Word, HTML; or https://…")
    imported.add_argument("--sitemap", action="store_true", help="all pages of the site, or of the sitemap, at the URL")
    imported.add_argument("--every", type=count, metavar="HOURS", help="reads pages again by itself, and takes in what changed")
    imported.add_argument("--language", choices=LANGUAGES, help="of all its items (default: each one's own)")
    imported.add_argument("--no-wait", action="store_true", help=_NO_WAIT)
    imported.set_defaults(run=lambda arguments: _import(arguments, base_of(arguments)))
    listed = commands.add_parser("sources", parents=[which], help="files, pages and sites that items came from")
    listed.set_defaults(run=lambda arguments: _sources(base_of(arguments)))
    for name, run, about in (
        ("sync", _sync, "reads a page or site again, and takes in what changed"),
        ("retry", _retry, "reads again what failed or was stopped"),
        ("stop", _stop, "ends an import; what was read stays"),
        ("forget", _forget, "deletes a source, and all items that came from it"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("source", type=count, help="its number, as scripts/knowledge sources shows it")
        command.add_argument("--no-wait", action="store_true", help=argparse.SUPPRESS if name in ("stop", "forget") else _NO_WAIT)
        command.set_defaults(run=run)


def _import(arguments: argparse.Namespace, base: dict[str, Any]) -> int:
    given = {"language": arguments.language, "sync_hours": arguments.every}
    whats = [_what(text, arguments.sitemap) for text in arguments.what]
    if arguments.every and any(isinstance(what, File) for what in whats):
        raise Refused("--every is for pages and sites; a file is imported again when there is a new version of it.")
    started = [_start(base, what, given) for what in whats]
    if arguments.no_wait:
        print(f"source {', '.join(map(str, started))}: import started; scripts/knowledge sources shows how it goes")
        return 0
    return max(map(_wait, started))


def _start(base: dict[str, Any], what: File | Page | Sitemap, given: dict[str, Any]) -> int:
    name = sources.name_of(what.name if isinstance(what, File) else what.url)

    def record(source_id: int) -> None:
        about = ("knowledge.import_started", "knowledge source", source_id, base["customer_id"])
        audited("knowledge", *about, name=name)

    return sources.start_import(base["id"], what, **given, record=record)


def _recording(verb: str, source_id: int) -> Callable[[int], None]:
    """Writes the audit's row of what is done to a source; nothing of one that there is not, which is refused."""
    columns = (KnowledgeBase.customer, KnowledgeSource.location)
    row = db.row(KnowledgeSource.select(*columns).join(KnowledgeBase).where(KnowledgeSource.id == source_id))

    def record(_source_id: int) -> None:
        if row is not None:
            about = (f"knowledge.source_{verb}", "knowledge source", source_id, row["customer_id"])
            audited("knowledge", *about, name=sources.name_of(row["location"]))

    return record


def _what(text: str, is_site: bool) -> File | Page | Sitemap:
    if text.lower().startswith(("https://", "http://")):
        return Sitemap(text) if is_site else Page(text)
    if is_site:
        raise Refused("--sitemap takes the address of a site or sitemap, like https://shop.example")
    try:
        return File(Path(text).name, Path(text).read_bytes())
    except OSError as problem:
        hint = "; an address begins with https://" if "." in text and not os.path.exists(text) else ""
        raise Refused(f"{text} cannot be read ({problem.strerror}){hint}") from None


def _wait(source_id: int) -> int:
    """Shows how an import goes until it is done; 1 if something failed."""
    began, is_terminal, line = monotonic(), sys.stderr.isatty(), ""
    has_hinted = False
    while (source := sources.progress(source_id)) and source["state"] in ("listing", "importing"):
        done = source["found"] - source["waiting"]
        if is_terminal:
            line = f"{source['location']}: {done} of {source['found']} read, {source['failed']} failed"
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
        if not done and not has_hinted and monotonic() - began > PATIENCE:
            print("\nknowledge: nothing has been read yet; is a worker running (scripts/server)?", file=sys.stderr)
            has_hinted = True
        sleep(LOOK)
    if line:
        print("\r" + " " * len(line), end="\r", file=sys.stderr)
    return _report(source) if source else 1


def _report(source: dict[str, Any]) -> int:
    print(f"source {source['id']} ({source['location']}) {_outcome(source)}")
    if source["error"]:
        print(f"  {source['error']}")
    problems = sources.problems_of(source["id"], PROBLEMS)
    for problem in problems:
        print(f"  {problem['state']}: {problem['location']} {problem['error']}")
    if source["failed"] > len(problems):
        print(f"  and {source['failed'] - len(problems)} more")
    if source["failed"]:
        print(f"scripts/knowledge retry {source['id']} reads again what failed.")
    return int(bool(source["failed"]) or source["state"] == "failed")


def _outcome(source: dict[str, Any]) -> str:
    """How an import ended, and with how many items; of a site also how many pages."""
    is_site, items = source["kind"] == "sitemap", _items(source)
    if source["state"] == "failed" or (source["failed"] and not is_site):
        return f"failed; {items}"
    if source["skipped"] and not is_site:
        return f"was skipped; {items}"
    if not is_site:
        return f"is {source['state']}: {items}"
    names = ("added", "changed", "unchanged", "removed", "skipped", "failed")
    pages = ", ".join(f"{source[name]} {name}" for name in names if source[name])
    return f"is {source['state']}: pages: {pages or 'none'}; {items}"


def _items(source: dict[str, Any]) -> str:
    changes = [f"{source[name]} {word}" for name, word in (("items_added", "new"), ("items_removed", "gone")) if source[name]]
    if source["unchanged"] and not changes:
        changes = ["unchanged"]
    return f"{source['items']} item{'s' * (source['items'] != 1)}" + (f" ({', '.join(changes)})" if changes else "")


def _sources(base: dict[str, Any]) -> int:
    columns = ("id", "kind", "location", "state", "found", "stored", "skipped", "failed", "items")
    rows = sources.sources_of(base["customer_id"], base["id"])
    times = ([*(row[name] for name in columns), row["synced_at"], row["next_sync_at"] or ""] for row in rows)
    print_table((*columns, "last read", "next"), times)
    return 0


def _sync(arguments: argparse.Namespace) -> int:
    if not sources.sync(arguments.source, _recording("sync", arguments.source)):
        print("It is being read at this moment.")
    return 0 if arguments.no_wait else _wait(arguments.source)


def _retry(arguments: argparse.Namespace) -> int:
    if not sources.retry_failed(arguments.source, _recording("retry", arguments.source)):
        print("Nothing of it can be read again: nothing failed or was stopped, or its file is not kept any longer; import that.")
        return 0
    return 0 if arguments.no_wait else _wait(arguments.source)


def _stop(arguments: argparse.Namespace) -> int:
    is_stopped = sources.stop(arguments.source, _recording("stop", arguments.source))
    print(f"source {arguments.source} is {'stopped' if is_stopped else 'not being read'}")
    return 0


def _forget(arguments: argparse.Namespace) -> int:
    source = sources.progress(arguments.source)
    if source is None:
        raise Refused(f"There is no source {arguments.source}.")
    sources.delete(arguments.source, _recording("delete", arguments.source))
    number = source["items"]
    print(f"source {arguments.source} ({source['location']}) is deleted, with {number} {'item' if number == 1 else 'items'}")
    return 0
