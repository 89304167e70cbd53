"""When a bot falls silent in a conversation, because the other side seems to be a bot as well: two that answer each other never
end, and each reply is paid for.

Decided before the AI is asked, from what PostgreSQL knows of the conversation. Its jobs run one at a time, so the decision is
exact however many processes there are. Messages are kept, and what people write goes out as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from shared.setting_types import Rate

#: The same text that often, each time as an answer to a reply of ours, is an auto-reply: nobody asks a sixth time who was
#: answered five times. Messages that were written before our reply count as impatience, not as answers to it.
SAME_TEXTS = 5
#: Characters of such a text. "Yes", "Thank you" and "Are you open?" are said often.
MIN_SAME_TEXT = 20
#: The same of texts that differ in their numbers alone: a ticket's, the time of day. People ask for one order after another.
ALIKE_TEXTS = 10
#: So many answers in a row, each within this many seconds of a reply of ours. A person who types without reading writes 20 short
#: lines in a minute; then they look.
INSTANT_ANSWERS, INSTANT = 30, 3.0
#: Brakes within a day, each twice as long as the one before, at most this many times: 30 minutes become 16 hours.
MOST_DOUBLINGS = 5


class Reply(NamedTuple):
    """A reply of the bot."""

    age: float
    #: Seconds until the customer answered it; None if their next message was under way before.
    pause: float | None
    #: Whether the message it replied to is the one that is to be answered now.
    is_same: bool
    #: The same, whatever digits the two have. A machine writes no more than their first thousand characters.
    is_alike: bool = False


def reason(replies: Sequence[Reply], question: str, limit: Rate | None) -> str | None:
    """Why to brake before this question is answered: `replies` are those of the last hour, newest first. None: answer it."""
    recent = [reply for reply in replies if limit and reply.age < limit.window]
    if limit and len(recent) >= limit.limit:
        return "too_many_replies"
    answered = [reply for reply in replies if reply.pause is not None]
    if len(question) >= MIN_SAME_TEXT and sum(reply.is_same for reply in answered) >= SAME_TEXTS:
        return "same_text"
    has_words = sum(not character.isdigit() for character in question) >= MIN_SAME_TEXT
    if has_words and sum(reply.is_alike for reply in answered) >= ALIKE_TEXTS:
        return "same_text"
    instant = takewhile(lambda reply: reply.pause is not None and reply.pause < INSTANT, replies)
    return "instant_answers" if sum(1 for _ in instant) >= INSTANT_ANSWERS else None
