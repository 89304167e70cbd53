"""scripts/connect templates: the message templates of a chatbot's WhatsApp number, as Meta has them."""

from __future__ import annotations

import argparse
from typing import Any

from scripts.commands.audited import audited
from scripts.commands.chatbots import require_chatbot
from scripts.local.terminal import count
from shared import db
from shared.channels.whatsapp_cloud import template_store
from shared.errors import Refused
from shared.models import WhatsappCloudAccount


def add_command(commands: Any) -> None:
    """Adds `templates` to the commands of scripts/connect."""
    command = commands.add_parser("templates", help="the message templates of a chatbot's WhatsApp number")
    command.add_argument("--chatbot", type=count, required=True, help="its id")
    command.add_argument("--refresh", action="store_true", help="has the list read again, within a minute or so")
    command.set_defaults(run=_print)


def _print(arguments: argparse.Namespace) -> int:
    waba_id = _waba_id(arguments.chatbot)
    for one in template_store.listed(waba_id):
        reason = f" ({one['reason']})" if one["reason"] else ""
        print(
            f"{one['name']} {one['language']}: {one['status']}{reason}, {one['category']}, quality {one['quality'] or 'unknown'}"
        )
    business = template_store.business(waba_id)
    if arguments.refresh:
        with db.transaction():
            template_store.want(waba_id)
            customer = require_chatbot(arguments.chatbot)
            audited("connect", "channel.templates_wanted", "channel", arguments.chatbot, customer, name=waba_id)
    synced_at, error = business["templates_synced_at"], business["templates_error"]
    when = f"The list was read at {synced_at}." if synced_at else "The list is read within a minute or so, by maintenance."
    print(when + (f" The last attempt failed: {error}" if error else ""))
    return 0


def _waba_id(chatbot_id: int) -> str:
    is_own = (WhatsappCloudAccount.chatbot == chatbot_id) & WhatsappCloudAccount.active
    account = db.row(WhatsappCloudAccount.select(WhatsappCloudAccount.waba_id).where(is_own))
    if account is None:
        raise Refused(f"chatbot {chatbot_id} has no WhatsApp number; scripts/connect whatsapp connects one")
    if account["waba_id"] is None:
        raise Refused("the number's business account is not known until Meta's first webhook; or connect it with --waba-id")
    return str(account["waba_id"])
