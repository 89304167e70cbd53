"""A text with choices as Meta takes it: up to three reply buttons, or a list of up to ten rows.

Source: Meta's Cloud API reference, interactive messages. Limits are of characters; the lower one where its pages differ.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.channels.choices import MAX_DESCRIPTION, Choice, length, shortened
from shared.channels.formatting import parts
from shared.channels.whatsapp_cloud.send import Content, as_text

MAX_BODY = 1_024
MAX_BUTTONS, MAX_BUTTON_TITLE, MAX_ROW_TITLE = 3, 20, 24
#: What opens a list; a word would be of some language.
LIST_LABEL = "☰"


def with_choices(text: str, choices: Sequence[Choice]) -> list[Content]:
    """What leaves, in its order: a long text goes before, and its last part has the choices."""
    *earlier, last = parts(text, MAX_BODY)
    return [*(as_text(part) for part in earlier), _interactive(last, choices)]


def _interactive(body: str, choices: Sequence[Choice]) -> Content:
    are_short = all(length(choice.title) <= MAX_BUTTON_TITLE and not choice.description for choice in choices)
    interactive = _buttons(choices) if are_short and len(choices) <= MAX_BUTTONS else _list(choices)
    return {"type": "interactive", "interactive": {**interactive, "body": {"text": body}}}


def _buttons(choices: Sequence[Choice]) -> Content:
    replies = [{"type": "reply", "reply": {"id": choice.id, "title": choice.title}} for choice in choices]
    return {"type": "button", "action": {"buttons": replies}}


def _list(choices: Sequence[Choice]) -> Content:
    titles = [shortened(choice.title, MAX_ROW_TITLE) for choice in choices]
    if len(set(titles)) < len(titles):  # they begin alike
        titles = [shortened(f"{number}. {choice.title}", MAX_ROW_TITLE) for number, choice in enumerate(choices, start=1)]
    rows = [_row(choice, title) for choice, title in zip(choices, titles, strict=True)]
    return {"type": "list", "action": {"button": LIST_LABEL, "sections": [{"rows": rows}]}}


def _row(choice: Choice, title: str) -> dict[str, str]:
    """A title that had to be cut is whole in the description, if there is no other."""
    description = choice.description or ("" if title == choice.title else choice.title)
    return {
        "id": choice.id,
        "title": title,
        **({"description": shortened(description, MAX_DESCRIPTION)} if description else {}),
    }
