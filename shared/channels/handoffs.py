"""Why the bot handed a conversation over to a person: fixed codes, which the conversation, the event and the desk have in common.

hand_over_v1 in schema.sql does it, wherever it is decided: the model calls its tool (shared/ai/tools.py), or a rule of the
chatbot applies. What the model gave as its reason stays in the reply's `tool`.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """As it is stored (conversation_handover_reason)."""

    #: The customer wants a person.
    ASKED = "asked"
    #: The knowledge held no answer, as often in a row as the chatbot allows.
    MISSES = "misses"
    #: Customer and bot go in circles.
    LOOP = "loop"
    #: The customer sent what cannot be read, seen or heard.
    UNSUPPORTED = "unsupported"
    #: No provider answered: the customer got the fallback message.
    PROVIDER_DOWN = "provider_down"
    #: The business is closed, and its chatbot answers nobody meanwhile.
    OUT_OF_HOURS = "out_of_hours"
    #: What the chatbot may cost is used up.
    BUDGET = "budget"
    #: Any other rule that the model was given: somebody is upset, or wants what it may not do.
    RULE = "rule"


_OF_MODEL = {
    "asked_for_human": Reason.ASKED,
    "loop": Reason.LOOP,
    "no_knowledge": Reason.MISSES,
    "unsupported": Reason.UNSUPPORTED,
}


def of_model(reason: str) -> Reason:
    """Why, if the model calls `hand_over` with this reason."""
    return _OF_MODEL.get(reason, Reason.RULE)
