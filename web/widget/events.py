"""The events of a page's stream: messages, and replies while they are written."""

from __future__ import annotations

import json
from typing import Any

from web.widget.conversation import Draft, News


def event(name: str, data: dict[str, Any], event_id: int) -> str:
    """One server-sent event; JSON has no line breaks of its own."""
    return f"event: {name}\nid: {event_id}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def events_of(news: News, shown: Draft | None) -> tuple[str, Draft | None]:
    """The events of these news for a page that shows this draft, and the draft that it shows afterwards.

    A draft has the id of the newest message, so that a page which resumes there gets the draft whole.
    """
    text = "".join(event("message", message, revision) for revision, message in news.messages)
    answered = {message["reply_to"] for _, message in news.messages}
    if shown is not None and (shown.reply_to in answered or news.is_draft_gone):
        if shown.reply_to not in answered:
            text += event("draft", {"reply_to": shown.reply_to, "text": None}, news.cursor)
        shown = None
    draft = news.draft
    if draft is None or draft.reply_to in answered:
        return text, shown
    if shown is not None and (shown.reply_to, shown.text) == (draft.reply_to, draft.text):
        return text, shown
    has_grown = shown is not None and shown.reply_to == draft.reply_to and draft.text.startswith(shown.text)
    new = {"more": draft.text[len(shown.text) :]} if has_grown and shown else {"text": draft.text}
    html = {} if draft.html is None else {"html": draft.html}
    return text + event("draft", {"reply_to": draft.reply_to, **new, **html}, news.cursor), draft
