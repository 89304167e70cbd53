"""What each service answers without a fault, as the vendors' documentation of 2026 describes it, and which addresses it has."""

from __future__ import annotations

import re
from collections.abc import Callable

from scripts.local.simulator import (
    ai,
    files,
    gateways,
    graph_accounts,
    graph_messages,
    graph_uploads,
    presence,
    speech,
    telegram,
    templates,
)
from scripts.local.simulator.exchange import Reply, Request
from scripts.local.simulator.site import SITE

Service = Callable[[Request], Reply]


def kind_of(request: Request) -> str:
    """The service that a request belongs to; "" for none."""
    return "typing" if presence.is_typing(request) else _kind_of(request.path)


def _kind_of(path: str) -> str:
    if telegram.is_telegram(path):
        return "telegram"
    if path.partition("?")[0].endswith("/chat/completions"):  # Azure's has a version behind it
        return "ai"
    if path.partition("?")[0].endswith("/audio/transcriptions"):
        return "transcription"
    if path.endswith("/embeddings"):
        return "embeddings"
    if re.fullmatch(r"/v[\d.]+/\d+/messages", path):
        return "graph"
    if re.fullmatch(r"/v[\d.]+/\d+/media", path):
        return "graph_upload"
    if re.fullmatch(r"/v[\d.]+/\d+/message_templates(\?.*)?", path):
        return "templates"
    if graph_accounts.is_account(path):
        return "graph_account"
    if path.startswith("/whatsapp_business/attachments/") or re.fullmatch(r"/v[\d.]+/[\w.-]+", path):
        return "graph_media"
    if path.startswith("/api/files/"):
        return "waha_file"
    if path.startswith("/chat/getBase64FromMediaMessage/"):
        return "evolution_file"
    if path.startswith("/api/"):
        return "waha"
    if path.startswith(("/message/", "/instance/")):
        return "evolution"
    if path.startswith(("/site/", "/robots.txt", "/sitemap.xml")):
        return "site"
    return "webhook" if path.startswith("/customer/") else ""


def _customer(request: Request) -> Reply:
    """A customer's webhook endpoint."""
    return Reply(200, {"ok": True}, accepted=True, key=request.path)


SERVICES: dict[str, Service] = {
    "ai": ai.complete,
    "embeddings": ai.embed,
    "transcription": speech.transcribe,
    "graph": graph_messages.send,
    "typing": presence.show,
    "telegram": telegram.answer,
    "templates": lambda request: graph_messages.refused_caller(request) or templates.listed(request),
    "graph_upload": lambda request: graph_messages.refused_caller(request) or graph_uploads.upload(request),
    "graph_account": lambda request: graph_messages.refused_caller(request) or graph_accounts.answer(request),
    "graph_media": files.graph_media,
    "waha": gateways.waha,
    "waha_file": files.waha_file,
    "evolution": gateways.evolution,
    "evolution_file": files.evolution_file,
    "webhook": _customer,
    "site": SITE.serve,
}
