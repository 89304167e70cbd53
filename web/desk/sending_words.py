"""Why a message or a template is not sent, in the language of who wrote it. The API says the same to programs, in English.

What a form of this page cannot bring about has one sentence for all of it: the template has changed since the form was shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from flask_babel import format_decimal, gettext

from web.desk.known_texts import marked, patterns_of
from web.desk.message_words import CHANNEL_NAMES
from web.desk.schema_words import translated

#: What web/api/outbound.py says, and what a person is told.
_WHOLE = {
    "must have at most %(most)s characters on %(channel)s, and has %(count)s": marked(
        "%(channel)s takes at most %(most)s characters at once, and this has %(count)s. Send it in parts."
    ),
    "there is no template %(name)s in %(language)s; GET …/templates lists them": marked(
        "This template is no longer there. Choose another one."
    ),
    "only an approved template can be sent; this is %(status)s": marked(
        "WhatsApp does not let this template be sent any more; its state there is %(status)s. Choose another one."
    ),
}
#: What shared/channels/whatsapp_cloud/templates.py says of a parameter.
_PARAMETER = {
    "must be a text that is not empty": marked("is empty"),
    "must have at most %(most)s characters, and has %(count)s": marked("takes at most %(most)s characters, and has %(count)s"),
    "makes a text of %(count)s characters; at most %(most)s are allowed": marked(
        "becomes a text of %(count)s characters; WhatsApp takes %(most)s"
    ),
    "must not have line breaks, tabs, more than four spaces in a row, or NUL": marked(
        "must not have line breaks, tabs, or more than four spaces in a row"
    ),
    "must not have a space, for it becomes part of an address": marked(
        "must not have a space, for it becomes part of an address"
    ),
}
#: Which parameter it says that of: the number or name of a placeholder, a button's text, or the link to a file.
_PLACE = re.compile(
    r"(?:number (?P<number>\d+)|button \d+ \('(?P<button>.*?)'\)|(?P<link>link)|(?P<name>\w+)): (?P<why>.*)", re.DOTALL
)
_CHANGED = marked(
    "This template cannot be sent like this: it has changed meanwhile, or has a part that cannot be filled in here. Reload the "
    "page, or choose another one."
)


def sending_problem(errors: Mapping[str, str]) -> str:
    """What is wrong with what somebody sends, by an InvalidPayload's `errors`."""
    said = [_of_parameter(text) if name.startswith("parameters.") else _known(_WHOLE, text) for name, text in errors.items()]
    return " ".join(dict.fromkeys(words or str(gettext(_CHANGED)) for words in said))


def _of_parameter(text: str) -> str:
    """Empty for what is unknown."""
    match = _PLACE.fullmatch(text)
    if match is None:
        why = _known(_PARAMETER, text)
        return str(gettext("The text %(why)s.", why=why)) if why else ""
    if match["link"]:
        return str(gettext("The link %(why)s.", why=translated(match["why"])))
    place = match["button"] or "{{" + (match["number"] or match["name"]) + "}}"
    why = _known(_PARAMETER, match["why"])
    return f"{place} {why}." if why else ""


def _known(texts: Mapping[str, str], said: str) -> str:
    for pattern, text in patterns_of(tuple(texts)):
        if match := pattern.fullmatch(said):
            return str(gettext(texts[text], **{name: _written(value) for name, value in match.groupdict().items()}))
    return ""


def _written(value: str) -> str:
    return str(format_decimal(int(value))) if value.isdecimal() else str(CHANNEL_NAMES.get(value, value))
