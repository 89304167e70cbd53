"""scripts/connect: makes a business with its chatbot, changes chatbots, and connects WhatsApp and Telegram to one.

Tokens and secrets are read from standard input, never from the command line: that is in the shell's history.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from typing import Any

import peewee
import psycopg2.errors

from scripts.commands import connect_telegram, connect_whatsapp, whatsapp_templates
from scripts.commands.audited import audited
from scripts.commands.chatbots import no_chatbot
from scripts.commands.connect_account import read_secret
from scripts.local.environment import web_address
from scripts.local.terminal import count, with_database
from shared import db
from shared.channels import connecting
from shared.errors import InvalidPayload, Refused
from shared.http.urls import UrlRefused
from shared.models import Chatbot, Customer
from shared.operations import customers
from shared.payloads import check
from shared.teaching import chatbots, knowledge
from shared.teaching.languages import LANGUAGES
from shared.teaching.sites import site_origin

_PROVIDER_HELP = (
    "an AI provider and its model, asked when those before it fail: https://api.mistral.ai/v1=mistral-small-latest, or "
    "platform=gpt-4o-mini for the operator's; may be given several times, replaces the earlier ones, asks for each one's key"
)
_TRANSCRIPTION_HELP = (
    "who writes down what voice notes say: https://api.groq.com/openai/v1=whisper-large-v3, or platform=whisper-1 for the "
    "operator's provider; asks for its key; none: nobody"
)
_SITE_HELP = "a site whose pages may show the chat, like shop.example; may be given several times"


def main() -> int:
    """Runs one command; 1 if the database refuses it, or does not answer."""
    arguments = _arguments()
    try:
        return with_database("connect", arguments)
    except peewee.IntegrityError as problem:
        reason = _reason(problem, arguments)
    except connecting.Taken:
        reason = f"{_account_in(arguments)} is another chatbot's; connect another one, or the other chatbot first"
    except InvalidPayload as problem:
        reason = str(problem)
    print(f"connect: {reason}", file=sys.stderr)
    return 1


def _reason(problem: peewee.IntegrityError, arguments: argparse.Namespace) -> str:
    """Why the database refused it, in the command's words."""
    refusal = getattr(problem, "orig", None)
    if isinstance(refusal, psycopg2.errors.ForeignKeyViolation):
        return no_chatbot(arguments.chatbot)
    return str(problem).splitlines()[0]


def _account_in(arguments: argparse.Namespace) -> str:
    if "session" in arguments:
        return f"session {arguments.session}"
    return f"number {arguments.phone_number_id}" if "phone_number_id" in arguments else "the bot"


def _dollars(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,2})?", text):
        raise argparse.ArgumentTypeError(f"must be dollars a month, like 50 or 49.90, got {text!r}")
    return float(text)


def _site(text: str) -> str:
    try:
        return site_origin(text)
    except UrlRefused as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def _provider(text: str) -> dict[str, Any]:
    base_url, _, model = text.rpartition("=")
    if not base_url or not model:
        raise argparse.ArgumentTypeError(
            f"must be an address and a model, like https://api.mistral.ai/v1=mistral-small, got {text!r}"
        )
    return {"base_url": None if base_url == "platform" else base_url, "model": model}


def _transcription(text: str) -> dict[str, Any]:
    return {} if text == "none" else _provider(text)


def _prompt(path: str) -> str:
    try:
        return (sys.stdin if path == "-" else open(path, encoding="utf-8")).read().strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise argparse.ArgumentTypeError(f"must be a readable file of UTF-8 text: {problem}") from None


def _matching(pattern: str, described: str) -> Callable[[str], str]:
    """An argument that the schema's constraint of this pattern takes."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise argparse.ArgumentTypeError(f"must be {described}, got {text!r}")
        return text

    return check


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/connect", description=__doc__)
    commands = parser.add_subparsers(required=True)
    business = commands.add_parser("business", help="a customer, its chatbot and an empty knowledge base; prints their ids")
    business.add_argument("name", type=_matching(r"(?s).*\S.*", "a name"), help="the name of the business")
    business.add_argument(
        "--plan", type=_dollars, default=0.0, help="dollars a month, by which its AI jobs have priority (default 0)"
    )
    business.add_argument(
        "--bot", default="Assistant", type=_matching(r"(?s).*\S.*", "a name"), help="the chatbot's name (default: Assistant)"
    )
    business.add_argument("--site", type=_site, action="append", default=[], help=_SITE_HELP)
    business.add_argument(
        "--language", choices=LANGUAGES, default="english", help="what most of its knowledge is written in (default: english)"
    )
    business.set_defaults(run=_business)
    _add_chatbot_command(commands)
    connect_whatsapp.add_commands(commands, _matching)
    whatsapp_templates.add_command(commands)
    connect_telegram.add_command(commands)
    return parser.parse_args()


def _add_chatbot_command(commands: Any) -> None:
    command = commands.add_parser("chatbot", help="makes another chatbot for a customer, or changes one; prints what it is now")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("id", type=count, nargs="?", help="the chatbot to change")
    which.add_argument("--customer", type=count, help="makes one for this customer, with an empty knowledge base")
    command.add_argument("--name", help="its name, which customers see")
    command.add_argument("--prompt", dest="system_prompt", type=_prompt, metavar="FILE", help="who it is and how it speaks")
    command.add_argument("--model", help="of its first provider")
    command.add_argument("--provider", type=_provider, action="append", metavar="URL=MODEL", help=_PROVIDER_HELP)
    command.add_argument("--temperature", type=float, help="how freely it writes, from 0 to 2")
    command.add_argument("--max-tokens", type=count, help="of one answer")
    command.add_argument("--fallback", dest="fallback_message", help="the reply when no provider answers")
    command.add_argument("--unsupported", dest="unsupported_message", help="the reply to pictures and voice messages")
    command.add_argument("--transcription", type=_transcription, metavar="URL=MODEL", help=_TRANSCRIPTION_HELP)
    command.add_argument("--speech", metavar="LANGUAGE", help="what customers speak, such as pt; default: the model hears it")
    command.add_argument(
        "--sees",
        dest="can_see",
        action=argparse.BooleanOptionalAction,
        help="its models are shown the pictures that customers send",
    )
    command.add_argument("--debounce", dest="debounce_seconds", type=float, help="seconds; messages within them get one reply")
    command.add_argument(
        "--site", dest="allowed_origins", type=_site, action="append", help=f"{_SITE_HELP}; replaces the earlier ones"
    )
    base = command.add_mutually_exclusive_group()
    base.add_argument("--base", dest="knowledge_base_id", type=count, help="the knowledge base that it answers from")
    base.add_argument("--new-base", action="store_true", help="gives it an empty knowledge base, as every new chatbot has")
    command.set_defaults(run=_chatbot)


def _business(arguments: argparse.Namespace) -> int:
    with db.transaction():
        customer = customers.create(arguments.name, str(arguments.plan))
        base = _new_base(customer, arguments.name, arguments.language)
        given = {"name": arguments.bot, "knowledge_base_id": base, "allowed_origins": arguments.site}
        bot = chatbots.create_chatbot(customer, check(chatbots.ChatbotSchema, "chatbot", given))
        audited("connect", "customer.created", "customer", customer, customer, name=arguments.name)
        audited("connect", "chatbot.created", "chatbot", bot["id"], customer, name=bot["name"])
    key = bot["public_key"]
    print(f"customer {customer}, chatbot {bot['id']}, knowledge base {base}, public key {key}")
    print(f"Its chat is {web_address()}/widget/{key}")
    _print_embedding(bot)
    return 0


def _chatbot(arguments: argparse.Namespace) -> int:
    """Makes one, or changes what was given of one."""
    given = {
        name: value
        for name, value in vars(arguments).items()
        if name in chatbots.SETTINGS - {"transcription"} and value is not None
    }
    if arguments.transcription is not None:
        asked = _with_key({**arguments.transcription, "language": arguments.speech}) if arguments.transcription else None
        given["transcription"] = asked
    elif arguments.speech:
        raise Refused("--speech is said of --transcription; give both")
    if arguments.provider:
        given["providers"] = [_with_key(provider) for provider in arguments.provider]
    if arguments.id is None:
        bot = _make_chatbot(arguments.customer, {"name": "Assistant", **given})
    else:
        bot = _change_chatbot(arguments.id, given, arguments.new_base)
    if (transcriber := bot["transcription"]) is not None:
        bot["transcription"] = f"{transcriber['base_url'] or 'platform'}={transcriber['model']}"
    bot["providers"] = [f"{one['base_url'] or 'platform'}={one['model']}" for one in bot["providers"]]
    for name, value in bot.items():
        print(f"{name}: {', '.join(value) if isinstance(value, list) else '' if value is None else value}")
    _print_embedding(bot)
    return 0


def _make_chatbot(customer_id: int, given: dict[str, Any]) -> dict[str, Any]:
    if db.scalar(Customer.select(Customer.id).where(Customer.id == customer_id)) is None:
        raise Refused(f"there is no customer {customer_id}; use the id that scripts/connect business printed")
    with db.transaction():
        if "knowledge_base_id" not in given:
            given["knowledge_base_id"] = _new_base(customer_id, given["name"], "english")
        bot = chatbots.create_chatbot(customer_id, check(chatbots.ChatbotSchema, "chatbot", given))
        audited("connect", "chatbot.created", "chatbot", bot["id"], customer_id, name=bot["name"])
    return bot


def _change_chatbot(chatbot_id: int, given: dict[str, Any], has_new_base: bool) -> dict[str, Any]:
    row = db.row(Chatbot.select(Chatbot.customer, Chatbot.name).where(Chatbot.id == chatbot_id))
    if row is None:
        raise Refused(no_chatbot(chatbot_id))
    with db.transaction():
        if has_new_base:
            given["knowledge_base_id"] = _new_base(row["customer_id"], row["name"], "english")
        changes = check(chatbots.ChatbotChangesSchema, "chatbot", given)
        bot = chatbots.change_chatbot(row["customer_id"], chatbot_id, changes) or {}
        if changes:
            about = {"name": bot["name"], "changed": ", ".join(sorted(changes))}
            audited("connect", "chatbot.changed", "chatbot", chatbot_id, row["customer_id"], **about)
    return bot


def _new_base(customer_id: int, name: str, language: str) -> int:
    """Call it in a transaction."""
    base = knowledge.create_base(customer_id, check(knowledge.BaseSchema, "knowledge base", {"name": name, "language": language}))
    audited("connect", "knowledge.base_created", "knowledge base", base["id"], customer_id, name=name)
    return int(base["id"])


def _with_key(provider: dict[str, Any]) -> dict[str, Any]:
    """The provider with the key that is asked for; without one, the key that is stored for its address stays."""
    if provider["base_url"] is None:
        return provider
    key = read_secret(f"API key of {provider['base_url']} (empty: the one that is stored)", may_be_empty=True)
    return {**provider, "api_key": key} if key else provider


def _print_embedding(bot: dict[str, Any]) -> None:
    if not bot["allowed_origins"]:
        print(f"Its chat is on no site yet: scripts/connect chatbot {bot['id']} --site shop.example lets a site show it.")
        return
    print(f"For the pages of {', '.join(bot['allowed_origins'])}:")
    print(f'  <script src="{web_address()}/widget.js" data-chatbot="{bot["public_key"]}" async></script>')


if __name__ == "__main__":
    sys.exit(main())
