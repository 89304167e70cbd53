"""Messages by Meta's Graph API: texts, files, buttons, lists and templates, and what Meta refuses of them."""

from __future__ import annotations

import hashlib
import itertools
import re
import time
from collections.abc import Iterator
from typing import Any

from scripts.local.simulator import graph_uploads, templates
from scripts.local.simulator.errors import graph_error
from scripts.local.simulator.exchange import Reply, Request

_numbers = itertools.count(1)
#: The oldest Graph API version that Meta supports in November 2026.
OLDEST_GRAPH = 21
#: Recipients whose number ends so are not on WhatsApp.
NOBODY = "0000404"


def send(request: Request) -> Reply:
    """POST /{version}/{phone_number_id}/messages."""
    sent = request.json()
    recipient = sent.get("to") or sent.get("recipient") or ""
    number = request.path.split("/")[2]
    file, wrong = graph_uploads.named_in(sent, number)
    text = file["caption"] if file else _words_of(sent)
    reply = refused_caller(request) or (_wrong_file(wrong) if wrong else _reply(sent, recipient, text, file is not None))
    reply.key, reply.text, reply.sender, reply.file = recipient, text, number, file
    reply.callback_data = sent.get("biz_opaque_callback_data", "")
    return reply


def refused_caller(request: Request) -> Reply | None:
    """What Meta refuses whatever is asked."""
    version = int(re.findall(r"/v(\d+)", request.path)[0])
    if version < OLDEST_GRAPH:
        return graph_error(400, 2635, "You are calling a deprecated version of the Ads API", f"v{version} is no longer usable")
    if not request.headers.get("authorization", "").startswith("Bearer "):
        return graph_error(401, 190, "Invalid OAuth access token", "The access token could not be decrypted")
    return None


def _wrong_file(wrong: str) -> Reply:
    return graph_error(400, 131009, "Parameter value is not valid", wrong)


def _reply(sent: dict[str, Any], recipient: str, text: str, has_file: bool) -> Reply:
    if not recipient or not (text or has_file):
        return graph_error(400, 100, "Invalid parameter", "to (or recipient) and text.body are required")
    if len(text) > 4096:
        return graph_error(400, 100, "Invalid parameter", "text.body must be at most 4096 characters long")
    if wrong := refusal(sent):
        return graph_error(400, wrong[0], "Invalid message", wrong[1])
    if recipient.endswith(NOBODY):
        return graph_error(400, 131026, "Message undeliverable", "Message Undeliverable: the recipient is not a WhatsApp user")
    identity = "wamid." + hashlib.sha256(f"{next(_numbers)}{time.time_ns()}".encode()).hexdigest()[:20].upper()
    body = {
        "messaging_product": "whatsapp",
        "contacts": [{"input": recipient, "wa_id": recipient}],
        "messages": [{"id": identity, "message_status": "accepted"}],
    }
    return Reply(200, body, accepted=True, answered_id=identity)


def _words_of(sent: dict[str, Any]) -> str:
    """What a person reads of a message: its text, or the words around its buttons, or its template's name and parameters."""
    if sent.get("type") == "interactive":
        titles = [one["title"] for one in choices_of(sent["interactive"])]
        return "\n".join([sent["interactive"]["body"]["text"], *(f"[{title}]" for title in titles)])
    if sent.get("type") == "template":
        return ", ".join([sent["template"]["name"], *(_shown(one) for one in _parameters(sent["template"]))])
    return str((sent.get("text") or {}).get("body", ""))


def choices_of(interactive: dict[str, Any]) -> list[dict[str, Any]]:
    """Its buttons, or the rows of its list."""
    action = interactive["action"]
    if interactive["type"] == "button":
        return [button["reply"] for button in action["buttons"]]
    return [row for section in action["sections"] for row in section["rows"]]


def _parameters(template: dict[str, Any]) -> Iterator[dict[str, Any]]:
    return (parameter for component in template.get("components", ()) for parameter in component["parameters"])


def _shown(parameter: dict[str, Any]) -> str:
    return str(parameter.get("text") or parameter.get("payload") or parameter["type"])


def refusal(sent: dict[str, Any]) -> tuple[int, str] | None:
    """Meta's code and what is wrong; None: it takes the message."""
    if sent.get("type") == "template":
        return _refused_template(sent["template"])
    if sent.get("type") == "interactive":
        wrong = _wrong_interactive(sent["interactive"])
        return (131009, wrong) if wrong else None
    return None


def _refused_template(template: dict[str, Any]) -> tuple[int, str] | None:
    known = templates.find(template["name"], template["language"]["code"])
    if known is None:
        return 132001, "template name does not exist in the translation"
    given = {one["type"]: one["parameters"] for one in template.get("components", ()) if one["type"] != "button"}
    for component in known["components"]:
        wanted = len(re.findall(r"\{\{", component.get("text", "")))
        got = len(given.get(component["type"].lower(), ()))
        if wanted != got:
            return 132000, f"{component['type'].lower()}: number of localizable_params ({got}) does not match ({wanted})"
    return None


def _wrong_interactive(interactive: dict[str, Any]) -> str:
    choices, is_list = choices_of(interactive), interactive["type"] == "list"
    most, longest, id_limit = (10, 24, 200) if is_list else (3, 20, 256)
    titles = [one["title"] for one in choices]
    if not 1 <= len(choices) <= most or len(set(titles)) < len(titles) or len({one["id"] for one in choices}) < len(choices):
        return "the number of choices is wrong, or two are the same"
    if any(not 1 <= len(title) <= longest for title in titles) or any(not 1 <= len(one["id"]) <= id_limit for one in choices):
        return "a title or an id is too long"
    if any(len(one.get("description", "")) > 72 for one in choices) or not 1 <= len(interactive["body"]["text"]) <= 1024:
        return "a description or the body is too long"
    if is_list and not 1 <= len(interactive["action"]["button"]) <= 20:
        return "the list's button is too long"
    return ""
