"""Texts of which nobody sees anything, and texts with the same characters that everybody reads."""

from __future__ import annotations

BLANK = (
    *("\u200b", "\u200c\u200d", "\u2060", "\ufeff\n", "\u200e\u200f", "\u202b\u202c", "\u3164", "\uffa0", "\u115f\u1160"),
    *("\u2800 ", "\ufe0f", "\u00ad", "\u061c", "\u180e", "\x00", "\U000e0020\U000e007f", "\U000e0100", " \u2060\t\u200b \u00a0"),
)
SEEN = (
    *("👩\u200d👩\u200d👧", "❤\ufe0f", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "1\ufe0f\u20e3"),
    *("می\u200cخواهم", "क्\u200dष", "\u200fשלום", "ᄀ\u1160", "?", "\u200b.\u200b"),
)
