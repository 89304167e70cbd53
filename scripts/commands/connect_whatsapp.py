"""scripts/connect whatsapp and qr: a number of Meta's Cloud API, and a session of a QR gateway."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from scripts.commands.audited import noting_channel
from scripts.commands.chatbots import CHATBOT_HELP, require_chatbot
from scripts.commands.connect_account import in_place_of, read_secret
from scripts.local.terminal import count
from shared import db
from shared.channels import connecting
from shared.channels.whatsapp_cloud import template_store
from shared.models import WhatsappCloudAccount

Matching = Callable[[str, str], Callable[[str], str]]


def add_commands(commands: Any, matching: Matching) -> None:
    """Adds them to the parser of scripts/connect."""
    cloud = commands.add_parser("whatsapp", help="a number of Meta's Cloud API; asks for its access token")
    cloud.add_argument("--chatbot", type=count, required=True, help=CHATBOT_HELP)
    number = matching(r"[0-9]+", "Meta's id of the number, digits only")
    cloud.add_argument("--phone-number-id", type=number, required=True, help="Meta's id of the number, not the number")
    cloud.add_argument("--waba-id", type=number, help="Meta's id of its business account; else its first webhook tells")
    cloud.set_defaults(run=_cloud)
    qr = commands.add_parser("qr", help="a session of a QR gateway; asks for its API key, prints the secret of the hook")
    qr.add_argument("--chatbot", type=count, required=True, help=CHATBOT_HELP)
    name = matching(r"[A-Za-z0-9_.-]+", "letters, digits, and the characters _ . -")
    qr.add_argument("--session", type=name, required=True, help="its name at the gateway")
    qr.add_argument("--dialect", choices=("waha", "evolution"), default="waha", help="what the gateway speaks (default: waha)")
    qr.set_defaults(run=_qr)


def _cloud(arguments: argparse.Namespace) -> int:
    note = noting_channel(arguments.chatbot, require_chatbot(arguments.chatbot), "whatsapp_cloud")
    token = read_secret("access token")
    with db.transaction():
        before = connecting.connect_cloud(arguments.chatbot, arguments.phone_number_id, token)
        if arguments.waba_id:
            account = WhatsappCloudAccount.select(WhatsappCloudAccount.id).where(
                WhatsappCloudAccount.chatbot == arguments.chatbot
            )
            template_store.learn(db.scalar(account), arguments.waba_id)
        note(connecting.CONNECTED, arguments.phone_number_id)
    replaced = in_place_of("number", before, arguments.phone_number_id)
    print(
        f"number {arguments.phone_number_id} is chatbot {arguments.chatbot}'s{replaced}; Meta's hook is /webhooks/whatsapp/cloud"
    )
    return 0


def _qr(arguments: argparse.Namespace) -> int:
    note = noting_channel(arguments.chatbot, require_chatbot(arguments.chatbot), "whatsapp_qr")
    key = read_secret("API key of the gateway (empty: WHATSAPP_QR_API_KEY)", may_be_empty=True)
    with db.transaction():
        secret, before = connecting.connect_qr(arguments.chatbot, arguments.session, arguments.dialect, key)
        note(connecting.CONNECTED, arguments.session)
    whose = f"chatbot {arguments.chatbot}'s{in_place_of('session', before, arguments.session)}"
    print(f"session {arguments.session} is {whose}; its hook is /webhooks/whatsapp/qr/{arguments.session}")
    print(f"the hook's secret, shown once{'; the earlier one no longer holds' if before else ''}: {secret}")
    return 0
