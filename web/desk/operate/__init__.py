"""Operators' pages: how the whole does, what failed and its replay, where an id leads, what is paused, whose businesses they are.

What belongs here: views over shared/operations, and the words in which they say it. What does not: queries and rules, which the
commands share.
"""
