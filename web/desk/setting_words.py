"""What settings are called on the pages that have them, for the audit: the API records by their names what it changed."""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import lazy_gettext as _l
from flask_babel.speaklater import LazyString

#: Of chatbots, knowledge bases and knowledge items. What is not here is shown as it is written: a test finds it.
SETTINGS: Mapping[str, LazyString] = {
    "allowed_origins": _l("Sites that may show the chat"),
    "can_see": _l("Let it see the pictures that customers send"),
    "cite_sources": _l("Show links to the pages an answer is taken from"),
    "closed_hands_over": _l("Outside of these hours conversations wait for a person, too"),
    "closed_message": _l("Said outside of these hours"),
    "content": _l("Answer"),
    "debounce_seconds": _l("Seconds to wait for another message"),
    "embedding_model": _l("Search by meaning"),
    "fallback_hands_over": _l("Then a person of your team takes over"),
    "fallback_message": _l("When no model answers"),
    "history_characters": _l("Characters of the conversation that the model is given"),
    "handover_message": _l("When it hands over to a person"),
    "is_active": _l("Chatbots may use it"),
    "knowledge_base_id": _l("Knowledge"),
    "knowledge_characters": _l("Characters of knowledge that the model is given"),
    "language": _l("Language"),
    "max_tokens": _l("Longest answer, in tokens"),
    "model": _l("Model"),
    "name": _l("Name"),
    "no_answer_hands_over": _l("when it does not know the answer"),
    "no_answer_hands_over_after": _l("After how many questions without an answer"),
    "no_answer_message": _l("When it does not know"),
    "opening_hours": _l("When people are there"),
    "providers": _l("Models"),
    "return_after_minutes": _l("Minutes of silence until the chatbot answers again"),
    "show_link": _l("Answers may show the link"),
    "shows_typing": _l("Typing is shown while it answers"),
    "system_prompt": _l("Who it is, and how it speaks"),
    "temperature": _l("Creativity"),
    "time_zone": _l("Time zone"),
    "title": _l("Question, or what it is about"),
    "transcription": _l("Transcription of voice notes"),
    "unsupported_hands_over": _l("when it cannot read a message"),
    "unsupported_message": _l("When it cannot read a message"),
    "url": _l("A page that says more"),
}


def settings_named(names: str) -> str:
    """Of names as the audit has them ("fallback_message, name"), what pages call these settings."""
    return "; ".join(str(SETTINGS.get(name, name.replace("_", " "))) for name in names.split(", "))
