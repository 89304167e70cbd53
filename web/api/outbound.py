"""What a business sends into a conversation: a text, with choices or without, a file, or a template of WhatsApp's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError
from werkzeug.exceptions import Conflict

from shared import db
from shared.channels import choices
from shared.channels.kinds import MediaKind
from shared.channels.outbound_file import MEGABYTE, Way, most_bytes, way_for
from shared.channels.outcomes import Reason
from shared.channels.registry import Channel, channel
from shared.channels.whatsapp_cloud import template_store, templates, window
from shared.errors import InvalidPayload
from shared.models import WhatsappCloudAccount
from web import uploads
from web.uploads import FileRefused, Why

#: Templates that a refusal lists.
MAX_LISTED = 100


class WindowClosed(Conflict):
    """A free text after WhatsApp's 24 hours. The problem document names approved templates."""

    def __init__(self, approved: list[dict[str, str]]) -> None:
        super().__init__(window.explanation(approved))
        self.members = {"code": Reason.WINDOW_CLOSED, "templates": approved}


def compose(message: Mapping[str, Any], conversation: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The words of what is sent, and its data. Raises InvalidPayload, which names what is wrong."""
    if file := message.get("file"):
        return _with_file(file, message, conversation), {}
    if template := message.get("template"):
        if extra := [name for name in ("content", "choices") if message.get(name)]:
            raise InvalidPayload("message", dict.fromkeys(extra, "must not be given beside a template"))
        return _template(template, conversation)
    if not message.get("content"):
        raise InvalidPayload("message", {"content": "must be given, or a template"})
    _check_length(message["content"], conversation["channel"])
    try:
        return message["content"], {"choices": choices.stored(message["choices"])} if message.get("choices") else {}
    except ValidationError as wrong:
        raise InvalidPayload("message", {"choices": str(wrong.messages[0])}) from None


def is_same(given: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether an earlier message is what is given now, in each of its members."""
    data, file, template = message["data"], given.get("file"), given.get("template")
    take_over = message["take_over"]  # None: nobody asked, or it was sent before this was kept
    if take_over is not None and given.get("take_over", take_over) != take_over:
        return False
    if [(sent["sha256"], sent["filename"]) for sent in message["media"]] != ([(file.sha256, file.name)] if file else []):
        return False
    if template:
        sent = data.get("template", {})
        is_alone = not given.get("content") and not given.get("choices")
        return is_alone and all(sent.get(name) == template[name] for name in ("name", "language", "parameters"))
    words = _words_of(file, given) if file else given.get("content")
    if "template" in data or words != message["content"]:
        return False
    try:
        return bool(choices.stored(given.get("choices") or ()) == data.get("choices", []))
    except ValidationError:  # two that are alike, which were never sent
        return False


def check_window(conversation: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Raises WindowClosed for what WhatsApp would refuse."""
    if conversation["is_window_closed"] and "template" not in data:
        raise WindowClosed(template_store.usable(waba_id(conversation), MAX_LISTED))


def _with_file(file: uploads.File, message: Mapping[str, Any], conversation: Mapping[str, Any]) -> str:
    """What the message says. Raises InvalidPayload."""
    if extra := [name for name in ("template", "choices") if message.get(name)]:
        raise InvalidPayload("message", dict.fromkeys(extra, "must not be given beside a file"))
    way = _way_of(file, channel(conversation["channel"]))
    _check_length(words := _words_of(file, message), conversation["channel"])
    caption, most = message.get("content") or "", way.max_caption
    if caption.strip() and not way.takes_text(caption):
        raise FileRefused(Why.WORDS, f"takes at most {most} characters of text beside it on {conversation['channel']}", most)
    return words


def _way_of(file: uploads.File, one: Channel) -> Way:
    """Raises FileRefused for what a channel does not take."""
    if way := way_for(one.name, MediaKind(file.kind), file.mime, file.size):
        return way
    most = most_bytes(one.name, MediaKind(file.kind), file.mime)
    takes = f"may have at most {most // MEGABYTE} MB" if most else f"of the type {file.mime} cannot be sent"
    raise FileRefused(Why.CHANNEL, f"{takes} on {one.name}")


def _words_of(file: uploads.File, message: Mapping[str, Any]) -> str:
    """Its caption, or what stands in the place of one."""
    caption: str = message.get("content") or ""
    return caption if caption.strip() else uploads.label(file.kind)


def _check_length(content: str, name: str) -> None:
    limit = channel(name).max_content
    if len(content) > limit:
        problem = f"must have at most {limit} characters on {name}, and has {len(content)}"
        raise InvalidPayload("message", {"content": problem})


def _template(given: Mapping[str, Any], conversation: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if conversation["channel"] != "whatsapp_cloud":
        raise templates.TemplateRefused({"name": f"a template is for whatsapp_cloud, and this is {conversation['channel']}"})
    name, language = given["name"], given["language"]
    row = template_store.find(waba_id(conversation), name, language)
    if row is None:
        raise templates.TemplateRefused({"name": f"there is no template {name!r} in {language!r}; GET …/templates lists them"})
    if row["status"] != template_store.APPROVED:
        reason = f" ({row['reason']})" if row["reason"] else ""
        raise templates.TemplateRefused({"name": f"only an approved template can be sent; this is {row['status']}{reason}"})
    composed = templates.compose(row["components"], given["parameters"])
    sent = {"name": name, "language": language, "parameters": given["parameters"], "components": composed.components}
    return composed.text, {"template": sent}


def waba_id(conversation: Mapping[str, Any]) -> str | None:
    """Whose templates may be sent into a conversation; None: nobody's."""
    account = WhatsappCloudAccount
    own = (account.chatbot == conversation["chatbot_id"]) & account.active
    known: str | None = db.scalar(account.select(account.waba_id).where(own))
    return known
