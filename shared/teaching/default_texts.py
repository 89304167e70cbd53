"""What a new chatbot says where it was given no words of its own: in the language of its knowledge.

English is in the defaults of schema.sql, for all languages that are not here. To add one, add its texts.
"""

from __future__ import annotations

#: By the language of a knowledge base (shared/teaching/languages.py), then by column.
TEXTS = {
    "german": {
        "system_prompt": "Du bist die freundliche Assistenz des Kundenservice. Antworte kurz, und sprich Kunden mit „Sie“ an.",
        "fallback_message": "Entschuldigung, ich kann gerade nicht antworten. Ein Kollege meldet sich bei Ihnen.",
        "unsupported_message": "Entschuldigung, ich kann nur Text lesen. Könnten Sie es mir schreiben?",
        "handover_message": "Ich gebe das an einen Kollegen weiter, der sich bei Ihnen meldet.",
        "no_answer_message": "Das weiß ich leider nicht.",
    },
}


def default_texts(language: str | None) -> dict[str, str]:
    """Those of this language; none: schema.sql has them."""
    return TEXTS.get(language or "", {})
