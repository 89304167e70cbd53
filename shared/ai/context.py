"""Prompts that are too long for a model: cut in half, and asked again.

Nobody tells us beforehand how much a model's context holds: it depends on the server, and the tokens of a text on its language.
So it is learnt from refusals, which cost nothing, and remembered for an hour in this process: the next prompt as long as one that
was refused is not sent whole. Of each customer by itself, for texts of one say nothing of those of another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from shared.ai import prompt
from shared.ai.completion import Completion
from shared.ai.failures import ContextTooLong
from shared.ai.provider import Provider

#: How often a prompt is halved: 40,000 characters become 5,000. A model with less is asked for nothing useful.
HALVINGS = 3
#: Seconds for which a refused length is remembered; servers are changed.
REMEMBERED = 3600.0
#: Models that are remembered at most.
MOST_MODELS = 4096

Messages = list[prompt.Message]
#: (customer, base URL, model) -> characters of the shortest prompt that was too long, and when that was.
_too_long: dict[tuple[Any, ...], tuple[int, float]] = {}


def ask(customer_id: int | None, asked: Provider, messages: Messages, call: Callable[[Messages], Completion]) -> Completion:
    """The model's answer to as much of the prompt as it takes. Raises ContextTooLong if not even the question fits."""
    model = customer_id, asked.base_url, asked.model
    refused, learnt_at = _too_long.get(model, (0, 0.0))
    if refused and time.monotonic() - learnt_at < REMEMBERED and prompt.length(messages) >= refused:
        messages = prompt.shortened(messages, refused // 2)
    for _ in range(HALVINGS):
        try:
            return call(messages)
        except ContextTooLong:
            length = prompt.length(messages)
            shorter = prompt.shortened(messages, length // 2)
            if shorter == messages:
                raise
            if len(_too_long) >= MOST_MODELS:
                _too_long.clear()
            _too_long[model] = length, time.monotonic()
            messages = shorter
    return call(messages)


def forget() -> None:
    """Empties this process's memory."""
    _too_long.clear()
