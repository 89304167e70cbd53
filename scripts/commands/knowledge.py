"""scripts/knowledge: what a chatbot knows: lists and searches it, adds and removes items, imports files and sites.

Without --chatbot or --base it is about the only chatbot there is.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import Any

from peewee import fn

from scripts.commands import knowledge_gaps, knowledge_sources
from scripts.commands.audited import audited
from scripts.commands.chatbots import only_chatbot, require_chatbot
from scripts.local.terminal import count, print_table, with_database
from shared import db
from shared.ai import local_model
from shared.ai.search import try_out
from shared.errors import InvalidPayload, PermanentError, Refused
from shared.models import Chatbot, KnowledgeBase, KnowledgeItem
from shared.payloads import check
from shared.teaching import knowledge, vectors
from shared.teaching.languages import LANGUAGES

#: Items of one list, and characters of their texts in it.
LISTED, SHOWN = 100, 100


def main() -> int:
    """Runs one command; 1 if it is refused, or there is no such row."""
    return with_database("knowledge", _arguments(), InvalidPayload)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/knowledge", description=__doc__)
    commands = parser.add_subparsers(required=True)
    which = _which()
    bases = commands.add_parser("bases", help="all knowledge bases: whose, in which language, how many items")
    bases.set_defaults(run=_bases)
    listed = commands.add_parser("list", parents=[which], help="the items of a base, newest first")
    listed.add_argument("--limit", type=count, default=LISTED, help=f"at most so many (default {LISTED})")
    listed.set_defaults(run=_list)
    searched = commands.add_parser("search", parents=[which], help="what the chatbot would find for a question, best first")
    searched.add_argument("question")
    searched.set_defaults(run=_search)
    added = commands.add_parser("add", parents=[which], help="a new item; its text is read from standard input")
    added.add_argument("title", help="a question, or what the item is about")
    added.add_argument("--text", help="its text, in place of standard input")
    added.add_argument("--language", choices=LANGUAGES, help="default: the text's own, if it can be detected")
    added.add_argument("--url", help="a page that says more")
    added.add_argument("--hide-link", dest="show_link", action="store_false", help="answers do not show the url")
    added.set_defaults(run=_add)
    embedded = commands.add_parser("vectors", parents=[which], help="lets items be found by meaning, and says how far that is")
    embedded.add_argument("model", nargs="?", help=f"the provider's, such as text-embedding-3-small; {local_model.NAME}; or none")
    embedded.set_defaults(run=_vectors)
    _add_item_commands(commands)
    knowledge_gaps.add_commands(commands, which, base_of)
    knowledge_sources.add_commands(commands, which, base_of)
    return parser.parse_args()


def _which() -> argparse.ArgumentParser:
    """The arguments that name a base."""
    which = argparse.ArgumentParser(add_help=False)
    one = which.add_mutually_exclusive_group()
    one.add_argument("--chatbot", type=count, metavar="ID", help="what this chatbot answers from")
    one.add_argument("--base", type=count, metavar="ID", help="this knowledge base")
    return which


def _vectors(arguments: argparse.Namespace) -> int:
    base = base_of(arguments)
    base_id = base["id"]
    if arguments.model:
        _check_model(arguments.model)
        with db.transaction():
            vectors.choose(base_id, None if arguments.model == "none" else arguments.model)
            about = {"model": arguments.model, "changed": "embedding_model"}
            audited("knowledge", "knowledge.base_changed", "knowledge base", base_id, base["customer_id"], **about)
    state = vectors.state(base_id)
    if state is None or state.model is None:
        print("This knowledge base is searched by words alone. To search it by meaning as well, name a model.")
        return 0
    serving = "they serve" if state.serving == state.model else f"{state.serving or 'no vectors'} serve until all are done"
    print(f"{state.model}: {state.items_done} of {state.items} items have vectors; {serving}.")
    if not state.error and state.items_done < state.items:
        print("The process type knowledge makes them; without a model, this command says how far they are.")
    if state.error:
        print(f"The last attempt failed: {state.error}\nTo try again, name the model again.", file=sys.stderr)
    return 1 if state.error else 0


def _check_model(name: str) -> None:
    """Raises Refused for a local model that does not run here: nothing would make the vectors."""
    if name.startswith("local:"):
        try:
            local_model.engine(name)
        except PermanentError as problem:
            raise Refused(str(problem)) from None


def _add_item_commands(commands: Any) -> None:
    """Those that name items by their ids."""
    for name, run, about in (
        ("show", _show, "everything about items, with their whole texts"),
        ("on", partial(_switch, True), "lets items be found again"),
        ("off", partial(_switch, False), "keeps items, and lets nobody find them"),
        ("remove", _remove, "deletes items"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("id", type=count, nargs="+", help="as list and search show it")
        command.set_defaults(run=run)


def base_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The base that --base or --chatbot names, or that of the only chatbot: {id, customer_id}. Raises Refused."""
    bases = KnowledgeBase.select(KnowledgeBase.id, KnowledgeBase.customer)
    if arguments.base is not None:
        found = db.row(bases.where(KnowledgeBase.id == arguments.base))
        if found is None:
            raise Refused(f"there is no knowledge base {arguments.base}; scripts/knowledge bases lists them")
        return found
    chatbot_id = arguments.chatbot or only_chatbot()
    require_chatbot(chatbot_id)
    found = db.row(bases.join(Chatbot, on=Chatbot.knowledge_base == KnowledgeBase.id).where(Chatbot.id == chatbot_id))
    if found is None:
        raise Refused(
            f"chatbot {chatbot_id} has no knowledge base; scripts/connect chatbot {chatbot_id} --new-base gives it an empty one"
        )
    return found


def _bases(_: argparse.Namespace) -> int:
    chatbots = Chatbot.select(fn.STRING_AGG(Chatbot.id.cast("text"), ", ").order_by(Chatbot.id))
    columns = (
        KnowledgeBase.id,
        KnowledgeBase.name,
        KnowledgeBase.language,
        KnowledgeBase.embedding_model,
        knowledge.ITEM_COUNT,
        KnowledgeBase.customer,
        chatbots.where(Chatbot.knowledge_base == KnowledgeBase.id).alias("chatbots"),
    )
    rows = db.rows(KnowledgeBase.select(*columns).order_by(KnowledgeBase.id))
    print_table(("id", "name", "language", "vectors", "items", "customer", "chatbots"), (row.values() for row in rows))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    columns = (KnowledgeItem.id, KnowledgeItem.is_active, KnowledgeItem.language, KnowledgeItem.updated_at, KnowledgeItem.title)
    own = KnowledgeItem.knowledge_base == base_of(arguments)["id"]
    items = db.rows(KnowledgeItem.select(*columns).where(own).order_by(KnowledgeItem.id.desc()).limit(arguments.limit))
    listed = ([item["id"], "" if item["is_active"] else "off", *list(item.values())[2:]] for item in items)
    print_table(("id", "", "language", "changed", "title"), listed)
    total = db.scalar(KnowledgeItem.select(fn.COUNT(KnowledgeItem.id)).where(own))
    if total > len(items):
        print(f"These are the newest {len(items)} of {total}; --limit {total} shows all.")
    return 0


def _search(arguments: argparse.Namespace) -> int:
    base = base_of(arguments)
    if not arguments.question.strip():
        raise Refused("a question must not be empty")
    items = try_out(base["customer_id"], base["id"], arguments.question)
    if not items:
        print("Nothing fits: the chatbot would say that it does not know.")
        return 0
    found = ((item["id"], f"{item['score']:.2f}", item["title"][:SHOWN], _beginning(item["content"])) for item in items)
    print_table(("id", "score", "title", "text"), found)
    return 0


def _add(arguments: argparse.Namespace) -> int:
    base = base_of(arguments)
    content = sys.stdin.read().strip() if arguments.text is None else arguments.text
    given = {"title": arguments.title, "content": content, "language": arguments.language}
    more = {"url": arguments.url, "show_link": arguments.show_link}
    checked = check(knowledge.ItemSchema, "item", {**given, **more})
    with db.transaction():
        item = knowledge.create_item(base["customer_id"], base["id"], checked)
        if item is not None:
            _audited("created", base["customer_id"], item["id"], item["title"][: knowledge.SHOWN])
    if item is None:
        raise Refused(f"there is no knowledge base {base['id']} any more")
    print(f"item {item['id']} is in knowledge base {base['id']} ({item['language']})")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    for item in _items(arguments.id):
        content = item.pop("content")
        for name, value in item.items():
            shown = value["location"] if isinstance(value, dict) else value
            print(f"{name}: {'' if shown is None else shown}")
        print(f"\n{content}\n")
    return 0


def _switch(is_active: bool, arguments: argparse.Namespace) -> int:
    for item in _items(arguments.id):
        with db.transaction():
            knowledge.change_item(item["customer_id"], item["id"], {"is_active": is_active})
            _audited("changed", item["customer_id"], item["id"], knowledge.name_of(item["id"]), changed="is_active")
        print(f"item {item['id']} is {'on' if is_active else 'off'}: {item['title'][:SHOWN]}")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    for item in _items(arguments.id):
        with db.transaction():
            name = knowledge.delete_item(item["customer_id"], item["id"])
            if name is not None:
                _audited("deleted", item["customer_id"], item["id"], name)
        print(f"item {item['id']} is removed: {item['title'][:SHOWN]}")
    return 0


def _audited(what: str, customer_id: int, item_id: int, name: str, **about: str) -> None:
    audited("knowledge", f"knowledge.item_{what}", "knowledge item", item_id, customer_id, name=name, **about)


def _items(ids: list[int]) -> list[dict[str, Any]]:
    """These items, with their customers. Raises Refused, and nothing is changed, if one of them does not exist."""
    items = knowledge.items().select_extend(KnowledgeBase.customer).join_from(KnowledgeItem, KnowledgeBase)
    rows = {row["id"]: row for row in db.rows(items.where(KnowledgeItem.id.in_(ids)))}
    if missing := [str(item_id) for item_id in ids if item_id not in rows]:
        raise Refused(f"there is no item {', '.join(missing)}; scripts/knowledge list shows their ids")
    return [rows[item_id] for item_id in dict.fromkeys(ids)]


def _beginning(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN else flat[:SHOWN].rstrip() + " …"


if __name__ == "__main__":
    sys.exit(main())
